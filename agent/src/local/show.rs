//! The answers for people.

use serde_json::Value;

fn text<'a>(item: &'a Value, key: &str) -> &'a str {
    item[key].as_str().unwrap_or("-")
}

fn items(document: &Value) -> &[Value] {
    document.as_array().map_or(&[], Vec::as_slice)
}

/// In what something differs, indented.
fn differs(item: &Value) -> String {
    let mut out = String::new();
    for one in items(&item["differs"]) {
        if let Some(lines) = one["lines"].as_str() {
            out.extend(lines.lines().map(|line| format!("    {line}\n")));
        } else {
            let (is, wanted) = (text(one, "is"), text(one, "wanted"));
            out.push_str(&format!("    {}: {is} -> {wanted}\n", text(one, "key")));
        }
    }
    if let Some(error) = item["error"].as_str() {
        out.push_str(&format!("    {error}\n"));
    }
    out
}

pub(super) fn drift(document: &Value) -> String {
    let line = |item: &Value| {
        let [id, kind, drift] = ["id", "kind", "drift"].map(|key| text(item, key));
        format!("{drift:<9} {id:<24} {kind}\n{}", differs(item))
    };
    items(document).iter().map(line).collect()
}

fn step(item: &Value) -> String {
    let [decision, operation, role, id, kind] =
        ["decision", "operation", "role", "id", "kind"].map(|key| text(item, key));
    let blocker = item["blocked_by"].as_str().map(|by| format!("  blocked by {by}"));
    let blocker = blocker.unwrap_or_default();
    format!("{decision:<8} {operation:<7} {role:<13} {id:<24} {kind}{blocker}\n{}", differs(item))
}

pub(super) fn plan(document: &Value) -> String {
    let steps = items(document);
    let to_do = steps.iter().filter(|item| text(item, "decision") != "skip").count();
    let mut out: String = steps.iter().map(step).collect();
    out.push_str(&format!(
        "{to_do} to do, {} as they should be. Nothing was changed.\n",
        steps.len() - to_do
    ));
    out
}

pub(super) fn reconciled(document: &Value) -> String {
    let line = |item: &Value| {
        let [status, operation, role, id, kind] =
            ["status", "operation", "role", "id", "kind"].map(|key| text(item, key));
        let error = item["error"].as_str().map(|error| format!("  {error}")).unwrap_or_default();
        format!("{status:<10} {operation:<7} {role:<13} {id:<24} {kind}{error}\n")
    };
    items(&document["steps"]).iter().map(line).collect()
}

pub(super) fn reset(document: &Value) -> String {
    let jobs = document["jobs_forgotten"].as_u64().unwrap_or(0);
    let again = if jobs > 0 { "; its job will run again" } else { "" };
    format!("reset {}{again}\n", text(document, "id"))
}

pub(super) fn forgotten(document: &Value) -> String {
    format!("forgot {}\n", text(document, "id"))
}
