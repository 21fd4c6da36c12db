//! Targets are stated for a machine of two cores: the benchmark and what it starts keep to that many, so that figures
//! of a larger machine mean the same.

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, and all threads and programs that it starts, to the first `count` of the cores it may use; with 0
/// to all of them.
pub(super) fn keep_to(count: usize) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let ours = sched_getaffinity(None).context("ask for the cores that may be used")?;
    let mut first = CpuSet::new();
    let cores = (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core)).take(count);
    cores.for_each(|core| first.set(core));
    let kept = first.count();
    ensure!(kept > 0, "no core may be used");
    if usize::try_from(kept)? < count {
        eprintln!("{kept} of the {count} cores that the figures are for: they will be worse");
    }
    sched_setaffinity(None, &first).context("keep to some cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_keeps_to_the_first_core() {
        let started = std::thread::spawn(|| {
            keep_to(1).unwrap();
            std::thread::spawn(|| sched_getaffinity(None).unwrap().count()).join().unwrap()
        });
        assert_eq!(started.join().unwrap(), 1);
    }
}
