//! Files written by people that are wrong: each is refused with exit code 2 and the place, and no folder
//! is left behind.

use std::fs;

use crate::yard::Yard;

const BUILD: [&str; 5] = ["release", "build", "fleet.toml", "--out", "releases/1"];

/// Adds to `fleet.toml` and expects the build to be refused.
#[track_caller]
fn refused(yard: &Yard, more: &str, expected: &str) {
    let file = yard.path("fleet.toml");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{before}\n{more}\n")).unwrap();
    yard.refused(&BUILD, 2, expected);
    assert!(!yard.path("releases/1").exists(), "nothing half-built");
    fs::write(&file, before).unwrap();
}

/// O5.
#[test]
fn o5_hosts_pins_and_windows_that_are_wrong_are_refused_with_their_place() {
    let yard = Yard::open();
    let from = "[hosts_from]\nfile = \"hosts.csv\"";
    refused(&yard, from, "\"hosts.csv\" cannot be read");
    for (csv, expected) in [
        ("host,channel\nhost-03,stabel\n", "hosts.csv:2: unknown channel `stabel`"),
        ("host,channel\nhost-03,stable\nHOST,stable\n", "hosts.csv:3: column `host`: not a valid"),
        (
            "host,channel\nhost-01,stable\n",
            "hosts.csv:2: host host-01 stands in fleet.toml as well",
        ),
        ("host;channel\nhost-03;stable\n", "hosts.csv:1: unknown column `host;channel`"),
    ] {
        fs::write(yard.path("hosts.csv"), csv).unwrap();
        refused(&yard, from, expected);
    }
    let pin = "[pins.host-02]\nbundle = \"bundles/app.toml\"\nreason = \"r\"\nuntil =";
    refused(&yard, &format!("{pin} 2020-01-01T00:00:00Z"), "the pin of host host-02 has expired");
    refused(&yard, &format!("{pin} \"soon\""), "invalid type");
    let policy = |window: &str| {
        format!(
            "[rollout_policies.night]\nwaves = [{{ name = \"w\", hosts = \"all\", soak = \"1s\" }}]\n\
             windows = [{window}]"
        )
    };
    let window =
        policy("{ tz = \"Mars/Olympus\", days = [\"mon\"], start = \"22:00\", end = \"04:00\" }");
    refused(&yard, &window, "unknown value `Mars/Olympus`");
    yard.ok(&BUILD);
}

#[test]
fn folders_that_are_no_releases_are_refused_by_what_reads_them() {
    let yard = Yard::open();
    yard.ok(&BUILD);
    fs::create_dir(yard.path("empty")).unwrap();
    yard.refused(&["release", "diff", "releases/1", "empty"], 1, "empty/");
    yard.refused(&["release", "windows", "empty", "host-01"], 1, "empty/");
    yard.refused(
        &["release", "windows", "releases/1", "host-09"],
        1,
        "host-09 is not in release 1",
    );
    let recall = ["release", "recall", "--channel", "stable", "--out", "releases/2", "--previous"];
    yard.refused(&[&recall[..], &["empty"]].concat(), 1, "empty/");
    yard.refused(&[&recall[..], &["releases/1"]].concat(), 1, "no older signed release beside");
    // A table that was tampered with is no release, signed or not.
    let table = yard.path("releases/1/rollouts/stable@r1.hosts.jsonl");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.replace("\"wave\":1", "\"wave\":0")).unwrap();
    yard.refused(&["release", "diff", "releases/1", "releases/1"], 1, "merkle-mismatch");
    yard.refused(&[&recall[..], &["releases/1"]].concat(), 1, "merkle-mismatch");
    assert!(!yard.path("releases/2").exists());
}
