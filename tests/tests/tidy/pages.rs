//! The pages for people: no command in them escapes the test that types them.
//!
//! Not here: typing them (see the end-to-end tests).

use pulldown_cmark::{Event, Parser, Tag};
use wavegate_tests::doc_commands::{PAGES, RUN_ELSEWHERE, fences, of_page, workspace};

use crate::sources::{expect_none, function_names};

/// Words with which a command would begin.
const PROGRAMS: [&str; 8] =
    ["$", "cargo", "curl", "kill", "rm", "wavegate", "wavegate-agent", "wavegate-cp"];

#[test]
fn every_block_with_commands_is_a_console_block() {
    let mut findings = Vec::new();
    for page in PAGES {
        let text = std::fs::read_to_string(workspace().join(page)).unwrap();
        for fence in fences(&text) {
            let begins = |line: &str| PROGRAMS.contains(&line.split(' ').next().unwrap_or(""));
            let console = fence.info.split(' ').next() == Some("console");
            if !console && fence.text.lines().any(begins) {
                findings.push(format!("{page}:{}", fence.line));
            }
        }
    }
    expect_none("blocks with commands that are not marked `console`", &findings);
}

#[test]
fn every_page_has_commands() {
    for page in PAGES {
        assert!(!of_page(page).is_empty(), "{page} shows no command");
    }
}

#[test]
fn what_runs_elsewhere_is_on_a_page() {
    let commands: Vec<_> = PAGES.iter().flat_map(|page| of_page(page)).collect();
    for (command, _) in RUN_ELSEWHERE {
        assert!(commands.iter().any(|c| c.command == command), "no page shows `{command}`");
    }
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut findings = Vec::new();
    for page in PAGES.iter().chain(&[
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/coverage.md",
        "docs/mutants.md",
        "docs/reliability.md",
        "docs/heritage.md",
    ]) {
        let path = workspace().join(page);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let target = link.split('#').next().unwrap_or("");
            if !target.is_empty() && !path.parent().unwrap().join(target).exists() {
                findings.push(format!("{page}: {link}"));
            }
        }
    }
    expect_none("links that lead nowhere", &findings);
}

fn links(markdown: &str) -> Vec<String> {
    let link = |event| {
        let Event::Start(Tag::Link { dest_url, .. }) = event else { return None };
        Some(dest_url.to_string())
    };
    Parser::new(markdown).filter_map(link).collect()
}

/// Words in `code` of the architecture page that name a file, or a function with its brackets.
#[test]
fn the_architecture_page_names_what_exists() {
    let text = std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    let functions = function_names();
    let is_missing = |code: &&String| {
        if let Some(function) = code.strip_suffix("()") {
            !functions.contains(function.rsplit("::").next().unwrap_or(function))
        } else if code.ends_with(".rs") && code.contains("/src/") {
            !workspace().join(code.as_str()).exists()
        } else {
            false
        }
    };
    let missing: Vec<String> = code_spans(&text).iter().filter(is_missing).cloned().collect();
    expect_none("ARCHITECTURE.md names what does not exist", &missing);
}

/// Words in `code` of these pages that read like the name of a test name one, and folders and files are
/// there.
#[test]
fn the_pages_that_promise_name_tests_that_exist() {
    let functions = function_names();
    for page in ["docs/reliability.md", "docs/heritage.md", "SECURITY.md"] {
        let text = std::fs::read_to_string(workspace().join(page)).unwrap();
        let spans = code_spans(&text);
        let tests: Vec<&String> = spans.iter().filter(|code| is_test_name(code)).collect();
        assert!(tests.len() > 20, "{page}: {} names", tests.len());
        let mut missing: Vec<String> =
            tests.into_iter().filter(|test| !functions.contains(*test)).cloned().collect();
        let paths = spans
            .iter()
            .filter(|code| code.starts_with("tests/") || code.starts_with("packaging/"));
        missing.extend(paths.filter(|path| !workspace().join(path).exists()).cloned());
        expect_none(&format!("{page} names what does not exist"), &missing);
    }
}

/// Each claim under an attacker has its test: an item of a list without one is a wish.
#[test]
fn every_claim_of_the_threat_model_names_a_test() {
    let text = std::fs::read_to_string(workspace().join("SECURITY.md")).unwrap();
    let attackers = text.split("## Attackers").nth(1).unwrap().split("\n## ").next().unwrap();
    let claims = attackers.split("\n- ").skip(1).map(|claim| claim.split("\n\n").next().unwrap());
    let has_test = |claim: &&str| code_spans(claim).iter().any(|code| is_test_name(code));
    let without: Vec<String> = claims.filter(|claim| !has_test(claim)).map(str::to_owned).collect();
    expect_none("claims without a test", &without);
    assert_eq!(attackers.matches("\n### ").count(), 7, "seven attackers");
    assert_eq!(attackers.matches("\nWhat is left").count(), 7, "each with what is left to them");
}

fn is_test_name(code: &str) -> bool {
    code.matches('_').count() > 1
        && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn code_spans(markdown: &str) -> Vec<String> {
    let code = |event| {
        let Event::Code(code) = event else { return None };
        Some(code.to_string())
    };
    Parser::new(markdown).filter_map(code).collect()
}
