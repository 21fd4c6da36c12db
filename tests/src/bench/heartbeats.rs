//! P1: heartbeats a second. Each names its host's journal, is compared with the record, and is answered
//! by the reducer; no disk is touched.

use anyhow::Result;

use super::figures::Figures;
use super::load::{Sides, Work};
use super::options::Size;
use super::rounds::Comparison;

pub(super) async fn measure(sides: &mut Sides, size: &Size, out: &mut Figures) -> Result<()> {
    eprintln!("P1, heartbeats: ours, reference");
    let comparison = Comparison::measure(sides, Work::Heartbeats, size).await?;
    for host in &sides.ours.hosts {
        host.check_heartbeat_answer()?;
    }
    out.tell(&comparison.line("P1"))?;
    Ok(())
}
