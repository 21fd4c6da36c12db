//! `wavegate events`: one line a row.
//!
//! Not here: which rows.

use serde_json::Value;
use wavegate_proto::wire::operator::EventItem;

/// The longest payload shown, in characters; `--json` shows all of it.
const MAX_PAYLOAD: usize = 160;

/// One row of the log.
#[must_use]
pub fn line(item: &EventItem) -> String {
    let mut text = format!("{:>6} {} {}", item.seq, item.at, item.kind);
    if let Some(host) = &item.host {
        text.push_str(&format!(" host={host}"));
    }
    if let Some(rollout) = &item.rollout_id {
        text.push_str(&format!(" rollout={rollout}"));
    }
    if item.synthetic {
        text.push_str(" (concluded)");
    }
    if item.actor.starts_with("operator/") {
        text.push_str(&format!(" by {}", item.actor));
    }
    for (key, value) in item.payload.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(value) if key != "kind" => text.push_str(&format!(" {key}={value}")),
            Value::String(_) => {}
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                text.push_str(&format!(" {key}={value}"));
            }
        }
    }
    let limit = MAX_PAYLOAD + 80;
    // Host text goes to a terminal: control characters stay out.
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let cut: String = clean.clone().take(limit).collect();
    if clean.count() > limit { format!("{cut}…") } else { cut }
}
