//! R6: the known bugs of `tests/planted/` still apply, and the tests that must find them exist.
//!
//! Not here: that they are found (`cargo xtask planted`, which builds the tree once a bug).

use serde::Deserialize;
use wavegate_tests::doc_commands::workspace;

use crate::sources::{expect_none, function_names};

/// At least so many.
const BUGS: usize = 15;

#[derive(Debug, Deserialize)]
struct Bug {
    bug: String,
    test: String,
    change: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    file: String,
    find: String,
    replace: String,
}

fn bugs() -> Vec<(String, Bug)> {
    let folder = std::fs::read_dir(workspace().join("tests/planted")).unwrap();
    let mut bugs: Vec<(String, Bug)> = folder
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let bug = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path.file_stem().unwrap().to_string_lossy().into_owned(), bug)
        })
        .collect();
    bugs.sort_by(|a, b| a.0.cmp(&b.0));
    bugs
}

#[test]
fn r6_every_planted_bug_still_applies() {
    let bugs = bugs();
    assert!(bugs.len() >= BUGS, "{} bugs", bugs.len());
    let mut findings = Vec::new();
    for (name, bug) in &bugs {
        assert!(!bug.bug.is_empty() && !bug.change.is_empty(), "{name}");
        for Change { file, find, replace } in &bug.change {
            let text = std::fs::read_to_string(workspace().join(file)).unwrap_or_default();
            let times = text.matches(find).count();
            if times != 1 || find == replace {
                findings.push(format!("{name}: {file} has it {times} times: {find}"));
            }
        }
    }
    expect_none("planted bugs that do not apply: put them where the code went", &findings);
}

#[test]
fn r6_the_tests_that_must_find_planted_bugs_exist() {
    let functions = function_names();
    let bugs = bugs();
    let missing = bugs.iter().filter(|(_, bug)| !functions.contains(&bug.test));
    let missing: Vec<String> = missing.map(|(name, bug)| format!("{name}: {}", bug.test)).collect();
    expect_none("tests that planted bugs name and that are not there", &missing);
}
