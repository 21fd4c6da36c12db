//! `docs/protocol.md` says what the code does: its tables of codes and kinds, its worked examples.
//!
//! Not here: the documents themselves (see `golden.rs`).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::Value;
use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::canonical::{canonical_bytes, chain_journal, chain_log};
use wavegate_proto::event::JournalEntry;
use wavegate_proto::ids::Sha256Hash;
use wavegate_proto::wire::operator::EventItem;
use wavegate_proto::wire::problem::ProblemCode;

const PAGE: &str = include_str!("../../docs/protocol.md");

/// The rows of the first table after `heading`, cell by cell.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = PAGE.split_once(&format!("\n{heading}\n")).unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).skip(1).collect()
    })
    .collect()
}

/// The lines of the worked example after `heading`, without their indent.
fn example(heading: &str) -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(&format!("\n{heading}\n")).unwrap();
    let (_, section) = section.split_once("\nExample").unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with("    "));
    lines.map_while(|line| line.strip_prefix("    ")).collect()
}

fn figure(line: &str) -> Sha256Hash {
    line.split_once(" = ").unwrap().1.parse().unwrap()
}

#[test]
fn the_table_of_rules_is_the_code_in_its_order() {
    let page: Vec<_> = table("### Rules").into_iter().map(|row| row[0].clone()).collect();
    let code: Vec<_> = RuleCode::ALL.iter().map(|rule| rule.as_str().to_owned()).collect();
    assert_eq!(page, code);
}

#[test]
fn the_table_of_problems_is_the_code() {
    let rows = table("## Problems");
    let page: Vec<_> = rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let code = |code: &ProblemCode| (code.status().to_string(), code.as_str().to_owned());
    assert_eq!(page, ProblemCode::PLAIN.iter().map(code).collect::<Vec<_>>());
}

#[test]
fn the_table_of_event_kinds_is_the_golden_files() {
    let page: BTreeSet<_> =
        table("### Event kinds").into_iter().map(|row| row[0].replace('_', "-")).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let kinds: BTreeSet<_> = names
        .filter_map(|name| {
            let kind = name.to_str()?.strip_prefix("event-")?.strip_suffix(".json")?;
            (kind != "item").then(|| kind.to_owned())
        })
        .collect();
    assert_eq!(page, kinds);
}

#[test]
fn the_worked_example_of_a_journal_head_is_right() {
    let lines = example("### Journal heads");
    assert_eq!(lines.len(), 4);
    let mut head = Sha256Hash::default();
    for pair in lines.chunks(2) {
        let entry: JournalEntry = serde_json::from_str(pair[0]).unwrap();
        head = chain_journal(&head, &entry);
        assert_eq!(head, figure(pair[1]));
    }
}

#[test]
fn the_worked_example_of_the_log_chain_is_right() {
    let lines = example("### The log and its chain");
    let mut row: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(canonical_bytes(&row), lines[0].as_bytes());
    row["chain"] = serde_json::json!(Sha256Hash::default());
    let row: EventItem = serde_json::from_value(row).unwrap();
    assert_eq!(chain_log(&Sha256Hash::default(), &row), figure(lines[1]));
}
