//! `wavegate host explain`.
//!
//! Not here: the sentences of the gates; they come with the answer.

use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{ExplainDecision, Explanation, ReasonKind};

use super::table::ago;

/// Whether what holds passes by itself (O2).
#[must_use]
pub fn kind(kind: ReasonKind) -> &'static str {
    match kind {
        ReasonKind::HeldBack => "held back",
        ReasonKind::NeedsPerson => "waiting for a person",
        ReasonKind::Stuck => "stuck",
    }
}

/// What would be done with a host now, and why not more.
#[must_use]
pub fn explanation(explanation: &Explanation, now: Timestamp) -> String {
    let decision = match explanation.decision {
        ExplainDecision::Dispatch => "is dispatched next",
        ExplainDecision::Wait => "waits",
        ExplainDecision::InFlight => "is being worked on",
        ExplainDecision::Done => "is done",
        ExplainDecision::Failed => "failed",
    };
    let mut text = format!("{} {decision}\n", explanation.host);
    for reason in &explanation.reasons {
        let (gate, code, detail) = (&reason.gate, &reason.code, &reason.detail);
        text.push_str(&format!("  {}: {gate} ({code}): {detail}\n", kind(reason.kind)));
        if let Some(since) = reason.since {
            text.push_str(&format!("    held since {since} ({})\n", ago(now, since)));
        }
        if let Some(earliest) = reason.earliest_at {
            text.push_str(&format!("    not before {earliest}\n"));
        }
        text.push_str(&format!("    clears when {}\n", reason.clears_when));
    }
    text
}
