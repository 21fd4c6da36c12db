//! The same documents for people.

use std::fmt::Write as _;

use serde_json::Value;

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// One line, without the rest of it when a text cannot be written: writing to a string never fails.
fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(arguments);
    out.push('\n');
}

pub(super) fn status(document: &Value) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("runs     {}", text(&document["current_closure"])));
    line(&mut out, format_args!("serial   {}", text(&document["serial"])));
    line(&mut out, format_args!("trust    version {}", text(&document["trust_version"])));
    let contact = &document["contact"];
    if !contact.is_null() {
        let word = if contact["reached"] == true { "reached" } else { "not reached" };
        line(&mut out, format_args!("contact  {word} since {}", text(&contact["since"])));
        if !contact["detail"].is_null() {
            line(&mut out, format_args!("         {}", text(&contact["detail"])));
        }
    }
    let clock = &document["clock"];
    if !clock["behind_secs"].is_null() {
        let (behind, known) = (text(&clock["behind_secs"]), text(&clock["known"]));
        line(&mut out, format_args!("clock    {behind} s behind {known}, which has been: set it"));
    }
    for rollout in items(&document["rollouts"]) {
        line(
            &mut out,
            format_args!(
                "rollout  {}  {} entries, last {} at {}, {} not answered yet",
                text(&rollout["rollout_id"]),
                text(&rollout["last_seq"]),
                text(&rollout["last_event"]),
                text(&rollout["last_at"]),
                text(&rollout["unanswered"]),
            ),
        );
    }
    for rejected in items(&document["rejected"]) {
        let (closure, rollout) = (text(&rejected["closure"]), text(&rejected["rollout_id"]));
        line(&mut out, format_args!("rejected {closure} of {rollout}"));
    }
    out
}

pub(super) fn resources(document: &Value) -> String {
    let mut out = String::new();
    for resource in items(document) {
        let [id, kind, status, drift, error] =
            ["id", "kind", "status", "drift", "error"].map(|key| text(&resource[key]));
        line(&mut out, format_args!("{id:<24} {kind:<12} {status:<10} drift {drift:<8} {error}"));
    }
    out
}

/// One line a resource: what was decided, and what stands in the way.
pub(super) fn reasons(document: &Value) -> String {
    let mut out = String::new();
    for resource in items(document) {
        let [id, decision, status] = ["id", "decision", "status"].map(|key| text(&resource[key]));
        line(&mut out, format_args!("{id:<24} {decision:<8} {status:<10} {}", why(resource)));
    }
    out
}

fn why(resource: &Value) -> String {
    let told =
        [("blocker", "waits for"), ("error", "failed:"), ("retry_after", "tried again after")];
    let of = |(key, word): (&str, &str)| Some(format!("{word} {}", resource[key].as_str()?));
    let mut reasons: Vec<String> = told.into_iter().filter_map(of).collect();
    if let Some(drift) = resource["drift"].as_str().filter(|drift| *drift != "ok") {
        reasons.push(format!("drift {drift}"));
    }
    if reasons.is_empty() { "as it should be".to_owned() } else { reasons.join("; ") }
}

/// One resource with its log.
pub(super) fn reason(resource: &Value) -> String {
    let mut out = String::new();
    let [id, kind, status, since, decision] =
        ["id", "kind", "status", "since", "decision"].map(|key| text(&resource[key]));
    line(&mut out, format_args!("{id} ({kind}) is {status} since {since}"));
    line(&mut out, format_args!("decision {decision}: {}", why(resource)));
    let actor = &resource["actor"];
    let (who, source) = (text(&actor["identity"]), text(&actor["source"]));
    line(&mut out, format_args!("last worked on for {who} ({source})"));
    for entry in items(&resource["log"]) {
        let [ts, event, source] = ["ts", "event", "source"].map(|key| text(&entry[key]));
        line(&mut out, format_args!("  {ts} {event} ({source})"));
    }
    out
}

pub(super) fn journal(document: &Value) -> String {
    let mut out = String::new();
    for entry in items(document) {
        let [rollout, seq, at, answer] =
            ["rollout_id", "seq", "at", "answer"].map(|key| text(&entry[key]));
        let event = &entry["event"];
        line(&mut out, format_args!("{at}  {rollout} {seq:>4} {answer:<11} {event}"));
    }
    out
}
