//! Memory that is free, given back to the system. The C library keeps what is freed in the middle of its heap, and
//! to read a release, or to try one out, takes as much for a moment as the fleet takes for good.

/// Gives back every page in which nothing lives, after work that took much. The whole heap is walked meanwhile, and
/// others who allocate wait: not for a busy path.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "libc has no safe form of it")]
    {
        let begun = std::time::Instant::now();
        // SAFETY: it takes no pointer, and asks nothing of its caller.
        let any = unsafe { libc::malloc_trim(0) } == 1;
        tracing::debug!(any, took = ?begun.elapsed(), "gave free memory back");
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    fn resident_bytes() -> u64 {
        let said = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = said.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    #[test]
    fn what_is_freed_between_what_lives_is_given_back() {
        let mut blocks: Vec<Vec<u8>> = (0..200_000).map(|_| vec![1; 512]).collect();
        let full = resident_bytes();
        let mut number = 0;
        blocks.retain(|_| {
            number += 1;
            number % 100 == 0
        });
        let freed = resident_bytes();
        assert!(full - freed.min(full) < 10_000_000, "the heap has no hole: {full}, {freed}");
        give_back();
        let left = resident_bytes();
        assert!(freed.saturating_sub(left) > 50_000_000, "{freed} bytes, then {left}");
        assert_eq!(blocks.len(), 2000);
    }
}
