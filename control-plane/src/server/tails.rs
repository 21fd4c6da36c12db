//! What programs on hosts wrote is left out on the status listener, which asks nobody who they are (G27).
//!
//! Not here: who may reach that listener (see [`super::gate`]).

use serde_json::Value;
use wavegate_proto::wire::operator::EventItem;

use super::identity::Peer;

/// How members end that hold the end of a program's output.
const TAIL: &str = "_tail";

/// Makes every tail of an item null, for readers who showed no certificate.
pub(super) fn leave_out(item: &mut EventItem, peer: &Peer) {
    match peer {
        Peer::Known(_) => {}
        Peer::Local | Peer::Anonymous | Peer::Unacceptable(_) => clear(&mut item.payload),
    }
}

fn clear(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if name.ends_with(TAIL) {
                    *member = Value::Null;
                } else {
                    clear(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clear),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn g27_tails_are_cleared_at_any_depth() {
        let mut payload = json!({
            "stderr_tail": "password", "reason": "r",
            "status": { "detail": [{ "stdout_tail": "x", "exit_code": 1 }] },
        });
        clear(&mut payload);
        let cleared = json!({
            "stderr_tail": null, "reason": "r",
            "status": { "detail": [{ "stdout_tail": null, "exit_code": 1 }] },
        });
        assert_eq!(payload, cleared);
    }
}
