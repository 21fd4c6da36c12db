//! Plain tables and the small words in them.
//!
//! Not here: which columns there are.

use comfy_table::{Table, presets};
use wavegate_proto::ids::ClosureId;
use wavegate_proto::time::Timestamp;

/// A table without lines; `empty` is said when there are no rows.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    empty: &str,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    if table.is_empty() {
        return format!("{empty}\n");
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `key  value` lines with the values under each other.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    pairs.iter().map(|(key, value)| format!("{key:width$}  {value}\n")).collect()
}

/// A value, or `-`.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `3m ago`.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    let secs = now.secs_since(then);
    if secs < 0 { "in the future".to_owned() } else { format!("{} ago", span(secs.unsigned_abs())) }
}

/// `45s`, `3m`, `5h`, `2d`.
pub(super) fn span(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs}s"),
        60..3_600 => format!("{}m", secs / 60),
        3_600..172_800 => format!("{}h", secs / 3_600),
        _ => format!("{}d", secs / 86_400),
    }
}

/// Enough of a closure to tell it from others.
pub(super) fn closure(closure: Option<&ClosureId>) -> String {
    match closure {
        None => "-".to_owned(),
        Some(ClosureId::Bundle(blob)) => blob.to_string().chars().take(19).collect(),
        Some(ClosureId::StorePath(path)) => {
            path.rsplit('/').next().unwrap_or(path).chars().take(40).collect()
        }
    }
}

/// `3 converged, 1 soaking`.
pub(super) fn counts<K: ToString>(by_state: impl IntoIterator<Item = (K, u64)>) -> String {
    let some = by_state.into_iter().filter(|(_, count)| *count > 0);
    let words: Vec<_> =
        some.map(|(state, count)| format!("{count} {}", state.to_string())).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
