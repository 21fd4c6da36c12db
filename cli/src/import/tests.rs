//! State files of every shape, and what becomes of `fleet.toml`.
//!
//! Not here: releases beyond that one is built (see `crate::release`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use tempfile::TempDir;

use super::state::{MAX_STATE_BYTES, PrvngState};
use super::*;
use crate::cli::Cli;
use crate::exit::{ExitReason, Failure};

fn parse(text: &str) -> Result<PrvngState, String> {
    PrvngState::parse(Path::new("state.json"), text.as_bytes()).map_err(|error| error.to_string())
}

fn state(servers: &str, more: &str) -> String {
    format!(
        r#"{{"cluster":"prod","timestamp":"2026-01-02T03:04:05Z","version":"1.0.4",
            "state":{{"servers":{servers}{more}}}}}"#
    )
}

#[test]
fn servers_are_taken_with_their_ids_and_other_sections_are_named() {
    let more = r#","networks":{"main":[1.5]},"volumes":{}"#;
    let read = parse(&state(r#"{"web-02":4711,"web-01":"i-0abc"}"#, more)).unwrap();
    let servers: Vec<_> = read.servers.iter().map(|(h, id)| (h.as_str(), id.as_str())).collect();
    assert_eq!(servers, [("web-01", "i-0abc"), ("web-02", "4711")]);
    assert_eq!(read.other_sections, ["networks", "volumes"]);
    assert_eq!((read.cluster.as_str(), read.timestamp.as_str()), ("prod", "2026-01-02T03:04:05Z"));
    let number = state("{}", "").replace("\"1.0.4\"", "2");
    assert!(parse(&number).unwrap().servers.is_empty());
}

#[test]
fn files_of_another_shape_are_refused_with_what_is_wrong() {
    let good = state(r#"{"web-01":"i-0abc"}"#, "");
    let without = |key: &str| good.replace(&format!("\"{key}\""), "\"other\"");
    for (text, expected) in [
        (String::new(), "state.json:1: not a prvng state file: EOF"),
        ("[]".to_owned(), "invalid length 0"),
        ("{}".to_owned(), "missing field `cluster`"),
        (without("timestamp"), "missing field `timestamp`"),
        (without("version"), "missing field `version`"),
        (without("state"), "missing field `state`"),
        (without("servers"), "missing field `state.servers`"),
        (good.replace("\"prod\"", "7"), "expected a string"),
        (good.replace("\"1.0.4\"", "null"), "expected a text or a number"),
        (state("[\"web-01\"]", ""), "expected servers by name"),
        (
            good.replace("{\"servers\":", "{\"servers\":{},\"servers\":"),
            "duplicate field `servers`",
        ),
        (format!("{good}{good}"), "trailing characters"),
        (format!("{good:?}"), "not a prvng state file"),
        ("[".repeat(100_000), "not a prvng state file"),
    ] {
        let refused = parse(&text).unwrap_err();
        assert!(refused.contains(expected), "{text}\nexpected {expected}\nfound {refused}");
        assert!(refused.contains("hint: it looks like {\"cluster\""), "{refused}");
    }
}

#[test]
fn every_bad_name_and_id_is_named() {
    let long = format!("\"{}\"", "i".repeat(257));
    let servers = format!(
        r#"{{"Web_01":"i-1","web-02":"","web-03":null,"web-04":{{"id":"i-4"}},"web-05":"i 5",
            "web-06":{long},"web-07":-7,"web-08":"i-8","web-08":"i-9","-":"i-10"}}"#
    );
    let refused = parse(&state(&servers, "")).unwrap_err();
    for expected in [
        "not a valid host name: \"Web_01\"",
        "server web-02: not a valid provider id: \"\"",
        "server web-03: its provider id is no text",
        "server web-04: its provider id is no text",
        "server web-05: not a valid provider id: \"i 5\"",
        "server web-06: not a valid provider id: \"iiii",
        "server web-07: its provider id is no text",
        "server web-08 stands there twice",
        "not a valid host name: \"-\"",
    ] {
        assert!(refused.contains(expected), "no {expected} in\n{refused}");
    }
    assert_eq!(refused.lines().count(), 9, "{refused}");
}

/// A fleet of `init` in a folder, with a state file beside it.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        desk.run(&["init", &desk.path("fleet"), "--hosts", "2"]).unwrap();
        desk
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn fleet(&self) -> PathBuf {
        self.dir.path().join("fleet/fleet.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.fleet()).unwrap()
    }

    fn run(&self, args: &[&str]) -> Result<String, Failure> {
        let mut out = Vec::new();
        Cli::try_parse_from(["wavegate"].iter().chain(args)).unwrap().run(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn import(&self, state: &str, more: &[&str]) -> Result<String, Failure> {
        let file = self.path("state.json");
        fs::write(&file, state).unwrap();
        let fleet = self.path("fleet/fleet.toml");
        self.run(&[&["import", "prvng-state", &file, "--fleet", &fleet][..], more].concat())
    }

    /// The import is refused, and the fleet file is byte for byte as it was.
    fn refused(&self, state: &str, more: &[&str]) -> Failure {
        let before = self.text();
        let refused = self.import(state, &[more, &["--write"]].concat()).unwrap_err();
        assert_eq!(self.text(), before);
        refused
    }
}

#[test]
fn without_write_hosts_are_printed_and_with_it_added_and_a_release_is_built_of_them() {
    let desk = Desk::new();
    let state = state(r#"{"web-02":"4711","web-01":"i-0abc"}"#, r#","networks":{}"#);
    let before = desk.text();
    let printed = desk.import(&state, &[]).unwrap();
    assert_eq!(desk.text(), before, "nothing was written");
    let sections = "[hosts.web-01]\nchannel = \"stable\"\nprovider_id = \"i-0abc\"\n\n\
                    [hosts.web-02]\nchannel = \"stable\"\nprovider_id = \"4711\"\n";
    assert!(printed.starts_with(sections), "{printed}");
    assert!(
        printed.contains("from cluster \"prod\" as of \"2026-01-02T03:04:05Z\"\n"),
        "{printed}"
    );
    assert!(
        printed.contains("not imported: the sections \"networks\" of its state\n"),
        "{printed}"
    );
    let next = printed.lines().last().unwrap().strip_prefix("next: wavegate ").unwrap();
    assert!(next.ends_with("--write"), "{next}");

    // The command that was printed is the next one, word by word.
    let words: Vec<&str> = next.split(' ').collect();
    fs::set_permissions(desk.fleet(), fs::Permissions::from_mode(0o640)).unwrap();
    let written = desk.run(&words).unwrap();
    assert!(written.contains("added 2 hosts to "), "{written}");
    assert!(written.contains("each is unknown until its agent has spoken"), "{written}");
    assert_eq!(desk.text(), format!("{before}\n{sections}"), "comments and order are kept");
    assert_eq!(fs::metadata(desk.fleet()).unwrap().permissions().mode() & 0o777, 0o640);
    let next = written.lines().last().unwrap().strip_prefix("next: wavegate release build ");
    assert!(next.is_some(), "{written}");
    let (fleet, out) = (desk.path("fleet/fleet.toml"), desk.path("release"));
    let built = desk.run(&["release", "build", &fleet, "--out", &out]).unwrap();
    assert!(built.contains("canary 1, rest 3"), "{built}");
    let signed = fs::read_to_string(desk.dir.path().join("release/fleet.json")).unwrap();
    assert!(signed.contains("web-01") && !signed.contains("i-0abc"), "the id is not signed");

    let again = desk.refused(&state, &[]);
    assert_eq!(again.reason, ExitReason::Refused);
    assert_eq!(again.message, "in fleet.toml already: web-01, web-02");
}

#[test]
fn hosts_that_are_there_are_refused_by_name_wherever_they_stand() {
    let desk = Desk::new();
    let text = format!("[hosts_from]\nfile = \"hosts.csv\"\n\n{}", desk.text());
    fs::write(desk.fleet(), text).unwrap();
    fs::write(desk.path("fleet/hosts.csv"), "host,channel\ndb-01,stable\n").unwrap();
    let refused = desk.refused(&state(r#"{"new-01":"1","db-01":"2","host-02":"3"}"#, ""), &[]);
    assert_eq!(refused.message, "in fleet.toml already: db-01, host-02");
    assert_eq!(refused.hint.as_deref(), Some("nothing was written"));
}

#[test]
fn what_cannot_be_read_or_built_changes_nothing() {
    let desk = Desk::new();
    let good = state(r#"{"web-01":"i-0abc"}"#, "");
    let bad = desk.refused(&state(r#"{"Web_01":"1","web_2":"2"}"#, ""), &[]);
    assert_eq!(bad.reason, ExitReason::Usage);
    assert!(bad.message.contains("Web_01") && bad.message.contains("web_2"), "{bad}");
    let large = " ".repeat(usize::try_from(MAX_STATE_BYTES).unwrap()) + &good;
    assert!(desk.refused(&large, &[]).message.contains("is larger than 16 MiB"));
    let unknown = desk.refused(&good, &["--channel", "stabel"]);
    assert_eq!(unknown.message, "fleet.toml has no channel stabel");
    assert_eq!(unknown.hint.as_deref(), Some("did you mean `stable`?"));

    let missing = desk.path("missing.json");
    let fleet = desk.path("fleet/fleet.toml");
    let gone = desk.run(&["import", "prvng-state", &missing, "--fleet", &fleet]).unwrap_err();
    assert_eq!(gone.reason, ExitReason::Usage);
    assert!(gone.message.contains("missing.json: cannot be read"), "{gone}");

    // Two channels, and a policy that has a place for none but its own hosts.
    let text = desk.text().replace("hosts = \"all\"", "hosts = { hosts = [\"host-02\"] }");
    let second = "\n[channels.edge]\nrollout_policy = \"canary\"\nbundle = \"bundles/app.toml\"\n";
    fs::write(desk.fleet(), text + second).unwrap();
    let which = desk.refused(&good, &[]);
    assert_eq!(which.message, "fleet.toml has the channels edge, stable: which is it?");
    let no_wave = desk.refused(&good, &["--channel", "stable"]);
    assert!(no_wave.message.contains("host web-01 is in no wave"), "{no_wave}");
    assert!(no_wave.hint.is_some_and(|hint| hint.starts_with("nothing was written")));
    fs::write(desk.fleet(), "[fleet\n").unwrap();
    assert_eq!(desk.refused(&good, &[]).reason, ExitReason::Usage);
}

#[test]
fn hosts_come_into_the_file_however_its_hosts_are_written() {
    let channel = "stable".parse().unwrap();
    let hosts = BTreeMap::from([("new".parse().unwrap(), "i-1".parse().unwrap())]);
    let section = "[hosts.new]\nchannel = \"stable\"\nprovider_id = \"i-1\"\n";
    for (before, after) in [
        ("", section.to_owned()),
        ("# ours\n[fleet]\nname = 'demo' # so\n", format!("# ours\n[fleet]\nname = 'demo' # so\n\n{section}")),
        (
            "[hosts.a] # first\nchannel = \"stable\"\n\n[tags.x]\n# last",
            format!("[hosts.a] # first\nchannel = \"stable\"\n\n{section}\n[tags.x]\n# last"),
        ),
        (
            "hosts = { a = { channel = \"stable\" } }\n",
            "hosts = { a = { channel = \"stable\" } , new = { channel = \"stable\", provider_id = \"i-1\" } }\n".to_owned(),
        ),
    ] {
        assert_eq!(add_hosts(before, &channel, &hosts).unwrap(), after, "{before}");
    }
    for bad in ["hosts = 1\n", "[[hosts]]\na = 1\n"] {
        let refused = add_hosts(bad, &channel, &hosts);
        assert!(matches!(refused, Err(ImportError::Unusual)), "{bad}");
    }
}
