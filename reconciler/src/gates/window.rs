//! Holds outside of the policy's maintenance windows. A window is about beginning: what has been
//! dispatched in it goes on when it closes.

use wavegate_proto::time::Now;

use super::{Candidate, Hold};
use crate::window::WindowState;

pub(super) fn check(candidate: &Candidate<'_>, _now: Now) -> Option<Hold> {
    match candidate.window {
        WindowState::Open => None,
        WindowState::Closed { opens_at } => Some(Hold::OutsideWindow { opens_at }),
    }
}
