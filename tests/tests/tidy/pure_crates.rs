//! What the pure crates pull in: no runtime, no database, no network, no clock, no randomness.

use std::process::Command;

use wavegate_tests::doc_commands::workspace;

use crate::sources::expect_none;

const PURE: [&str; 3] = ["wavegate-proto", "wavegate-state-machine", "wavegate-reconciler"];

/// Whoever depends on one of these could do what a pure crate must not.
const BANNED: [(&str, &str); 33] = [
    ("async-std", "a runtime"),
    ("futures-executor", "a runtime"),
    ("mio", "a runtime"),
    ("rayon", "a runtime"),
    ("smol", "a runtime"),
    ("tokio", "a runtime"),
    ("libsqlite3-sys", "a database"),
    ("refinery", "a database"),
    ("rusqlite", "a database"),
    ("sqlx", "a database"),
    ("axum", "the network"),
    ("h2", "the network"),
    ("hyper", "the network"),
    ("quinn", "the network"),
    ("reqwest", "the network"),
    ("rustls", "the network"),
    ("socket2", "the network"),
    ("tonic", "the network"),
    ("ureq", "the network"),
    ("rustix", "the operating system"),
    ("nix", "the operating system"),
    ("tempfile", "the operating system"),
    ("walkdir", "the operating system"),
    ("iana-time-zone", "a clock"),
    ("instant", "a clock"),
    ("quanta", "a clock"),
    ("web-time", "a clock"),
    ("fastrand", "randomness"),
    ("getrandom", "randomness"),
    ("oorandom", "randomness"),
    ("rand", "randomness"),
    ("rand_chacha", "randomness"),
    ("rand_core", "randomness"),
];

/// Features that bring a clock or randomness into a crate that is allowed without them.
const BANNED_FEATURES: [(&str, &str); 9] = [
    ("chrono", "clock"),
    ("chrono", "now"),
    ("uuid", "v1"),
    ("uuid", "v4"),
    ("uuid", "v7"),
    ("uuid", "rng"),
    ("ed25519-dalek", "rand_core"),
    ("petgraph", "rayon"),
    ("curve25519-dalek", "rand_core"),
];

struct Dependency {
    name: String,
    features: Vec<String>,
}

/// What `package` pulls in when it is built alone, on any platform. This is `cargo tree` and not
/// `cargo metadata`, which adds up the features that other crates of the workspace ask for.
fn dependencies(package: &str) -> Vec<Dependency> {
    let arguments = ["tree", "--package", package, "--edges", "normal", "--target", "all"];
    let output = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args(arguments)
        .args(["--prefix", "none", "--format", "{p}|{f}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let dependency = |line: &str| {
        let (package, features) = line.split_once('|')?;
        let features = features.trim_end_matches(" (*)").split(',').map(str::to_owned).collect();
        Some(Dependency { name: package.split(' ').next()?.to_owned(), features })
    };
    text.lines().filter_map(dependency).collect()
}

fn findings(package: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for found in dependencies(package) {
        for (_, what) in BANNED.iter().filter(|(name, _)| *name == found.name) {
            findings.push(format!("{package} pulls in {}: {what}", found.name));
        }
        for (_, feature) in BANNED_FEATURES.iter().filter(|(name, _)| *name == found.name) {
            if found.features.iter().any(|f| f == feature) {
                findings.push(format!("{package} pulls in {} with {feature}", found.name));
            }
        }
    }
    findings
}

#[test]
fn pure_crates_pull_in_nothing_impure() {
    let findings: Vec<String> = PURE.iter().flat_map(|package| findings(package)).collect();
    expect_none("impure dependencies", &findings);
}

#[test]
fn the_agent_knows_no_planner_and_nothing_uses_the_cli() {
    let uses = |package: &str, other: &str| dependencies(package).iter().any(|d| d.name == other);
    assert!(!uses("wavegate-agent", "wavegate-reconciler"));
    assert!(!uses("wavegate-agent", "wavegate-control-plane"));
    for package in PURE.iter().chain(&["wavegate-agent", "wavegate-control-plane"]) {
        assert!(!uses(package, "wavegate"), "{package} uses the cli");
    }
}

#[test]
fn an_impure_crate_would_be_found() {
    assert!(findings("wavegate-agent").iter().any(|finding| finding.contains("tokio")));
}

#[test]
fn the_pure_crates_ban_clocks_and_hash_maps() {
    for folder in ["proto", "state-machine", "reconciler"] {
        let text = std::fs::read_to_string(workspace().join(folder).join("clippy.toml")).unwrap();
        for banned in ["Instant::now", "SystemTime::now", "Utc::now", "HashMap", "HashSet"] {
            assert!(text.contains(banned), "{folder}/clippy.toml does not ban {banned}");
        }
        let root: toml::Table =
            std::fs::read_to_string(workspace().join("clippy.toml")).unwrap().parse().unwrap();
        let own: toml::Table = text.parse().unwrap();
        for (key, value) in &root {
            assert_eq!(own.get(key), Some(value), "{folder}/clippy.toml does not repeat {key}");
        }
    }
}
