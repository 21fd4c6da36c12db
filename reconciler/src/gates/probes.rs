//! Holds while more hosts of an earlier wave are degraded, or fail their enforce probes now, than the
//! policy tolerates there (G13). A probe that passes again opens it (E8).

use wavegate_proto::ids::WaveIndex;
use wavegate_proto::time::Now;

use super::{Candidate, Hold};

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    let rollout = candidate.rollout;
    (0..candidate.placement.entry.wave.0).map(WaveIndex).find_map(|index| {
        let wave = rollout.wave(index)?;
        let tolerated = wave.max_failures(rollout.policy());
        (wave.unhealthy > tolerated).then_some(Hold::Unhealthy {
            wave: index,
            hosts: wave.unhealthy,
            tolerated,
        })
    })
}
