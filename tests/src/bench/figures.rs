//! What was measured, as one line for people and the same as JSON for whoever draws or compares.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use wavegate_control_plane::clock::wall;

/// Where figures go: to stdout, and to a file when one is wanted.
pub(super) struct Figures(Option<File>);

impl Figures {
    /// Adds to the file; it is made when it is not there.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.with_context(|| format!("open {}", path.display()))
        };
        path.map(open).transpose().map(Self)
    }

    /// Tells one line: the target, then `name=value` words.
    pub(super) fn tell(&mut self, line: &str) -> Result<()> {
        println!("{line}");
        let Some(file) = &mut self.0 else { return Ok(()) };
        let mut object = object(line);
        object.insert("at".to_owned(), json!(wall()));
        writeln!(file, "{}", Value::Object(object)).context("write the figures")
    }
}

/// The words of a line by name. What has several numbers (`19647/29333`, `0.55..0.76`) is a list of them, and a rate
/// (`45307/s`) its number.
fn object(line: &str) -> Map<String, Value> {
    let (named, target): (Vec<&str>, Vec<&str>) =
        line.split_whitespace().partition(|word| word.contains('='));
    let target = ("target".to_owned(), json!(target.join(" ")));
    let figures = named.into_iter().filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        // What the figure is held against has its own name in a line, and would hide the target's.
        let name = if name == "target" { "limit" } else { name };
        Some((name.to_owned(), figure(value)))
    });
    std::iter::once(target).chain(figures).collect()
}

fn figure(text: &str) -> Value {
    let parts = text.trim_end_matches("/s").replace("..", "/");
    let numbers: Option<Vec<Value>> =
        parts.split('/').map(|part| serde_json::from_str(part).ok()).collect();
    match numbers {
        Some(mut numbers) if numbers.len() == 1 => numbers.remove(0),
        Some(numbers) => Value::Array(numbers),
        None => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_same_as_json() {
        let line = "P3 heartbeat ratio=1.24 instructions=19647/24333 spread=0.55..0.76 ours=45307/s target=15MB,0.1%";
        let expected = json!({
            "target": "P3 heartbeat", "ratio": 1.24, "instructions": [19647, 24333],
            "spread": [0.55, 0.76], "ours": 45307, "limit": "15MB,0.1%",
        });
        assert_eq!(Value::Object(object(line)), expected);
    }
}
