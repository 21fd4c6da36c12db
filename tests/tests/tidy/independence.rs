//! The judge of recorded histories shares nothing with what it judges.

use crate::sources::{all, expect_none};

/// What it may use besides the standard library.
const ALLOWED: [&str; 5] = ["crate", "serde_json", "std", "self", "super"];

#[test]
fn r7_the_judge_uses_no_crate_of_the_workspace() {
    let all = all();
    let own = all.iter().filter(|source| source.path.starts_with("tests/src/judge/"));
    let mut findings = Vec::new();
    let mut files = 0;
    for source in own {
        files += 1;
        for (number, line) in (1..).zip(source.text.lines()) {
            let code = line.trim_start();
            let foreign = code.strip_prefix("use ").is_some_and(|path| {
                let root = path.split([':', ';', ' ']).next().unwrap_or_default();
                !ALLOWED.contains(&root) && root != "history" && root != "posts"
            });
            let names_it = code.contains("wavegate_")
                || (code.contains("crate::") && !code.starts_with("//!"));
            if foreign || names_it {
                findings.push(format!("{}:{number}: {code}", source.path));
            }
        }
    }
    assert!(files >= 5, "{files} files");
    expect_none("what the judge shares with others", &findings);
}
