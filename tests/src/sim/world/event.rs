//! What can be due in a world, in words for its trace.

use std::fmt;

use wavegate_control_plane::core::Token;
use wavegate_proto::ids::HostName;

use super::super::network::{Request, Response};

/// Something that is to happen.
pub(in crate::sim) enum Event {
    ToControlPlane { host: HostName, number: u64, request: Request },
    ToAgent { host: HostName, number: u64, response: Response },
    PollTimeout { host: HostName, token: Token, number: u64 },
    ControlPlaneTick,
    ControlPlaneStart,
    ControlPlaneCrash,
    AgentTick { host: HostName },
    AgentStart { host: HostName },
    AgentCrash,
    ClockJump,
    WorkDone { host: HostName, generation: u64 },
    Probe { host: HostName, generation: u64, index: usize },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToControlPlane { host, number, request } => {
                write!(f, "{host} #{number} reaches the control plane: {request}")
            }
            Self::ToAgent { host, number, response } => {
                let answer = format!("{response:?}");
                write!(f, "answer to {host} #{number}: {answer:.160}")
            }
            Self::PollTimeout { .. } => f.write_str("a poll times out"),
            Self::ControlPlaneTick => f.write_str("the control plane's tick"),
            Self::ControlPlaneStart => f.write_str("the control plane starts"),
            Self::ControlPlaneCrash => f.write_str("the control plane dies"),
            Self::AgentTick { host } => write!(f, "{host} looks around"),
            Self::AgentStart { host } => write!(f, "{host} starts"),
            Self::AgentCrash => f.write_str("some agent dies"),
            Self::ClockJump => f.write_str("some wall clock jumps"),
            Self::WorkDone { host, .. } => write!(f, "{host} ends its work"),
            Self::Probe { host, .. } => write!(f, "{host} runs its probe"),
        }
    }
}
