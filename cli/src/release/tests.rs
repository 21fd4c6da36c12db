//! `fleet.toml` in, release or complaint out; and what becomes of a release folder.

mod diff;
mod hosts;
mod pins;
mod recall;
mod refs;
mod windows;

use std::fs;
use std::io;
use std::path::Path;

use wavegate_proto::artifact::entry::HostEntry;
use wavegate_proto::artifact::header::RolloutHeader;
use wavegate_proto::signing::PrivateKey;
use wavegate_proto::trust::{TrustFile, TrustedKey};

use super::*;
use crate::bundle_toml::SecretsPolicy;

const BASE: &str = r#"[fleet]
name = "demo"
[channels.stable]
rollout_policy = "canary"
bundle = "app.toml"
[rollout_policies.canary]
waves = [ { name = "canary", hosts = { tags = ["canary"] }, soak = "30m" },
          { name = "rest", hosts = "all", soak = "5m" } ]
[hosts.web-01]
channel = "stable"
tags = ["web", "canary"]
[hosts.web-02]
channel = "stable"
tags = ["web"]
[hosts.db-1]
channel = "stable"
tags = ["db"]
"#;

/// Another channel with one host, in one wave.
const EDGE: &str = r#"
[channels.edge]
rollout_policy = "at-once"
bundle = "app.toml"
[rollout_policies.at-once]
waves = [ { name = "all", hosts = "all", soak = "0s" } ]
[hosts.edge-1]
channel = "edge"
"#;

const FILE: &str = "[[resources]]\nid = \"a\"\nkind = \"file\"\npath = \"/a\"\ncontent = \"a\"\n";

/// Hosts in a file of their own.
const LISTED: &str = "host,channel,class,tags\nweb-11,stable,,web\nweb-12,stable,pi,\n";

fn read_beside(path: &Path, fleet_toml: &str) -> io::Result<Vec<u8>> {
    let waits = |host: &str, resource: &str| {
        format!("{FILE}depends_on = [{{ host = \"{host}\", resource = \"{resource}\" }}]\n")
    };
    let text = match path.to_str().unwrap() {
        "fleet.toml" => fleet_toml.to_owned(),
        "app.toml" => FILE.to_owned(),
        "new.toml" => FILE.replace("\"a\"\n", "\"b\"\n"),
        "on-db-1.toml" => waits("db-1", "a"),
        "on-web-01.toml" => waits("web-01", "a"),
        "on-web-02.toml" => waits("web-02", "a"),
        "on-nobody.toml" => waits("nobody", "a"),
        "on-b.toml" => waits("db-1", "b"),
        "b.toml" => FILE.replace("id = \"a\"", "id = \"b\""),
        "large.toml" => FILE.replace("content = \"a\"", "source = \"large.bin\""),
        "large.bin" => "x".repeat(1024 * 1024),
        "hosts.csv" => LISTED.to_owned(),
        "wrong.csv" => "host,channel,class,tags\na,stabel,,\nb,stable,pie,\n".to_owned(),
        "twice.csv" => "host,channel\nweb-11,stable\nweb-01,stable\n".to_owned(),
        "bad.csv" => "host,channel\nweb-11\n".to_owned(),
        _ => return Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    Ok(text.into_bytes())
}

fn file(text: &str) -> Result<FleetFile, FileErrors> {
    FleetFile::load_with(Path::new("fleet.toml"), SecretsPolicy::Refuse, &|path| {
        read_beside(path, text)
    })
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn options() -> BuildOptions {
    BuildOptions { signed_at: at("2026-11-21T09:00:00Z"), ..BuildOptions::default() }
}

fn built(text: &str) -> BuiltRelease {
    build(&file(text).unwrap_or_else(|e| panic!("{e}")), &options())
        .unwrap_or_else(|e| panic!("{e}"))
}

fn complaint(text: &str) -> String {
    match file(text).map_err(BuildError::from).and_then(|file| build(&file, &options())) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

fn entries(release: &BuiltRelease, rollout: &str) -> Vec<HostEntry> {
    let hosts = &release.rollouts[&rollout.parse().unwrap()].hosts;
    hosts
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

fn header(release: &BuiltRelease, rollout: &str) -> RolloutHeader {
    serde_json::from_slice(&release.rollouts[&rollout.parse().unwrap()].header).unwrap()
}

/// O5: what is written wrong is named with its line and, where there is one, a suggestion.
#[test]
fn o5_wrong_keys_and_values_are_refused_with_their_line() {
    for (from, to, expected) in [
        (
            "soak = \"30m\"",
            "soka = \"30m\"",
            "fleet.toml:7: unknown key `soka`\n  hint: did you mean `soak`?",
        ),
        ("soak = \"30m\"", "soak = \"30\"", "fleet.toml:7: not a duration: \"30\""),
        (
            "soak = \"30m\"",
            "soak = 30",
            "fleet.toml:7: invalid type: integer `30`, expected a duration",
        ),
        (
            "[hosts.web-02]",
            "[hots.web-02]",
            "fleet.toml:12: unknown key `hots`\n  hint: did you mean `hosts`?",
        ),
        ("[hosts.web-02]", "[hosts.Web_02]", "fleet.toml:12: not a valid host name"),
        (
            "[fleet]\n",
            "[hosts_from]\nfiles = \"x\"\n[fleet]\n",
            "fleet.toml:2: unknown key `files`\n  hint: did you mean `file`?",
        ),
        ("waves = [", "max_failures = \"5\"\nwaves = [", "fleet.toml:7: not a limit"),
        ("waves = [", "max_failures = \"101%\"\nwaves = [", "fleet.toml:7: not a limit"),
        ("waves = [", "skip_offline_after = true\nwaves = [", "or false for never"),
        (
            "waves = [",
            "on_health_failure = \"rollback\"\nwaves = [",
            "fleet.toml:7: unknown value `rollback`",
        ),
        ("tags = [\"db\"]", "tags = [\"db\"", "fleet.toml:"),
    ] {
        let found = complaint(&BASE.replace(from, to));
        assert!(found.contains(expected), "{to}\nexpected {expected}\nfound {found}");
    }
}

#[test]
fn names_that_do_not_fit_together_are_refused() {
    for (from, to, expected) in [
        (
            "rollout_policy = \"canary\"",
            "rollout_policy = \"canari\"",
            "fleet.toml:4: unknown rollout policy `canari`\n  hint: did you mean `canary`?",
        ),
        (
            "[hosts.db-1]\nchannel = \"stable\"",
            "[hosts.db-1]\nchannel = \"stabel\"",
            "fleet.toml:16: unknown channel `stabel`\n  hint: did you mean `stable`?",
        ),
        ("tags = [\"db\"]", "class = \"pi\"", "fleet.toml:17: unknown class `pi`"),
        (
            "bundle = \"app.toml\"",
            "bundle = \"ap.toml\"",
            "fleet.toml:5: bundle \"ap.toml\" cannot be read",
        ),
        ("bundle = \"app.toml\"\n", "", "host db-1 has no bundle and no closure"),
        (
            "bundle = \"app.toml\"",
            "bundle = \"app.toml\"\nclosure = \"/nix/store/00000000000000000000000000000000-a\"",
            "give either `bundle` or `closure`",
        ),
        (
            "hosts = { tags = [\"canary\"] }",
            "hosts = { tags = [\"canari\"] }",
            "fleet.toml:7: no host has tag `canari`\n  hint: did you mean `canary`?",
        ),
        (
            "hosts = \"all\"",
            "hosts = { tags = [\"web\"] }",
            "fleet.toml:15: host db-1 is in no wave of rollout policy `canary`",
        ),
        (
            "hosts = { tags = [\"canary\"] }",
            "hosts = \"all\"",
            "fleet.toml:8: wave `rest` of rollout policy `canary` has no host on channel `stable`",
        ),
        ("hosts = \"all\"", "hosts = {}", "a selector must not be empty"),
        ("name = \"rest\"", "name = \"canary\"", "a second wave `canary`"),
    ] {
        let found = complaint(&BASE.replace(from, to));
        assert!(found.contains(expected), "{to}\nexpected {expected}\nfound {found}");
    }
}

const BUDGET: &str = "[[disruption_budgets]]\nid = \"b\"\nhosts = \"all\"\n";

fn edge(before: &str, after: &str) -> String {
    format!(
        "[[edges]]\nbefore = {{ hosts = [\"{before}\"] }}\nafter = {{ hosts = [\"{after}\"] }}\n"
    )
}

fn order(before: &str, after: &str) -> String {
    format!("[[channel_edges]]\nbefore = \"{before}\"\nafter = \"{after}\"\n")
}

fn runs(text: &str, host: &str, bundle: &str) -> String {
    let section = format!("[hosts.{host}]\n");
    text.replace(&section, &format!("{section}bundle = \"{bundle}\"\n"))
}

#[test]
fn edges_and_budgets_that_could_never_be_met_are_refused() {
    let both = format!("{BASE}{EDGE}");
    for (text, expected) in [
        (
            format!("{BASE}{}", edge("db-2", "web-02")),
            "no host has the name `db-2`\n  hint: did you mean `db-1`?",
        ),
        (format!("{BASE}{}", edge("db-1", "db-1")), "host db-1 is on both sides"),
        (
            format!("{BASE}{}", edge("db-1", "web-01")),
            "host web-01 would wait for db-1, which is in a later wave",
        ),
        (
            format!("{BASE}{}{}", edge("db-1", "web-02"), edge("web-02", "db-1")),
            "form a cycle: db-1",
        ),
        (
            format!("{both}{}", edge("edge-1", "web-01")),
            "edge across channels: edge-1 and web-01\n  hint: order channels with [[channel_edges]]",
        ),
        (format!("{both}{}", order("edge", "stabel")), "unknown channel `stabel`"),
        (
            format!("{both}{}{}", order("edge", "stable"), order("stable", "edge")),
            "channel edges form a cycle: edge, stable",
        ),
        (format!("{both}{}", order("edge", "edge")), "channel edges form a cycle: edge"),
        (format!("{BASE}{BUDGET}"), "give either `max_in_flight` or `max_in_flight_pct`"),
        (format!("{BASE}{BUDGET}max_in_flight = 0\n"), "would let no host through"),
        (format!("{BASE}{BUDGET}max_in_flight_pct = 0\n"), "must be 1 to 100"),
        (
            format!("{BASE}[[revoked]]\nsubject = \"web-01\"\nnot_before = 2026-11-21T09:00:00Z\n"),
            "is not host/NAME",
        ),
        (
            format!("{BASE}[operators.alice]\nchannels = [\"edge\"]\n"),
            "operator alice: there is no channel edge",
        ),
        (
            format!(
                "{BASE}[[revoked]]\nsubject = \"host/web-01\"\nnot_before = 2026-11-21T09:00:00+01:00\n"
            ),
            "not a time in UTC",
        ),
    ] {
        let found = complaint(&text);
        assert!(found.contains(expected), "expected {expected}\nfound {found}");
    }
    built(&format!("{BASE}{}", edge("db-1", "web-02")));
}

#[test]
fn dependencies_across_hosts_that_could_never_be_met_are_refused() {
    let both = format!("{BASE}{EDGE}");
    for (text, expected) in [
        (
            runs(BASE, "web-02", "on-nobody.toml"),
            "on-nobody.toml:6: resource a on host web-02: unknown host `nobody`",
        ),
        (runs(BASE, "web-02", "on-b.toml"), "host db-1 has no resource `b`"),
        (runs(BASE, "web-02", "on-web-02.toml"), "web-02 is this host"),
        (runs(BASE, "web-01", "on-db-1.toml"), "host db-1 is in a later wave"),
        (
            runs(&runs(BASE, "web-02", "on-db-1.toml"), "db-1", "on-web-02.toml"),
            "form a cycle: db-1",
        ),
        (
            runs(&format!("{BASE}{}", edge("web-02", "db-1")), "web-02", "on-db-1.toml"),
            "form a cycle",
        ),
        (
            runs(&both, "edge-1", "on-web-01.toml"),
            "host web-01 is on channel stable, which no channel edge puts before edge",
        ),
        (
            runs(&format!("{BASE}{BUDGET}max_in_flight = 1\n"), "web-02", "on-db-1.toml"),
            "it shares budget b with host db-1",
        ),
    ] {
        let found = complaint(&text);
        assert!(found.contains(expected), "expected {expected}\nfound {found}");
    }
    built(&runs(BASE, "web-02", "on-db-1.toml"));
    built(&runs(&format!("{both}{}", order("stable", "edge")), "edge-1", "on-web-01.toml"));
}

/// E14 and E15 at build time: channels of one release never share a rollout id, and a channel without
/// hosts gets no rollout that could block another.
#[test]
fn e14_e15_channels_have_their_own_rollouts_and_empty_ones_have_none() {
    let empty = "[channels.spare]\nrollout_policy = \"canary\"\n";
    let release = built(&format!("{BASE}{EDGE}{empty}"));
    let ids: Vec<_> = release.rollouts.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["edge@r1", "stable@r1"]);
    assert_eq!(release.report.warnings, ["channel spare has no hosts and gets no rollout"]);
}

#[test]
fn hosts_are_in_the_first_wave_that_matches_and_entries_are_sorted() {
    let release = built(BASE);
    let found: Vec<_> =
        entries(&release, "stable@r1").iter().map(|e| format!("{} {}", e.host, e.wave)).collect();
    assert_eq!(found, ["db-1 1", "web-01 0", "web-02 1"]);
    let header = release.rollouts.values().next().unwrap().header.clone();
    insta::assert_snapshot!(String::from_utf8(header).unwrap(), @r#"{"budgets":[],"channel":"stable","fleet":"demo","fleet_sha256":"1a5d29a5c27a3029aa9233a400c8d2ef179c206ed1c8595f17a5169fb674809e","freshness_window_secs":86400,"host_count":3,"host_root":"ba483030f20f152e5933e0d5e1f1ef45cfb50cb0e388cfc07b540662bd2f6b36","policy":{"activation_timeout_secs":900,"await_timeout_secs":3600,"dispatch_timeout_secs":300,"failure_threshold_secs":60,"infra_retries":3,"max_dispatch_per_minute":null,"max_failures":{"count":0},"max_infra_failures":{"percent":20},"offline_after_secs":180,"on_health_failure":"rollback-and-halt","skip_offline_after_secs":86400,"waves":[{"name":"canary","requires_approval":false,"soak_secs":1800},{"name":"rest","requires_approval":false,"soak_secs":300}],"windows":[]},"ref":"r1","schema_version":1,"serial":1,"signed_at":"2026-11-21T09:00:00Z"}"#);
}

/// E16: a share is resolved over all members, in every header that names the budget.
#[test]
fn e16_percent_budgets_are_resolved_when_built() {
    for (hosts, expected) in [(1, 1), (2, 1), (3, 1), (99, 49), (100, 50), (101, 50)] {
        let mut text = "[fleet]\nname = \"demo\"\n[channels.c]\nrollout_policy = \"p\"\nbundle = \"app.toml\"\n\
             [rollout_policies.p]\nwaves = [{ name = \"w\", hosts = \"all\", soak = \"1s\" }]\n\
             [[disruption_budgets]]\nid = \"b\"\nhosts = \"all\"\nmax_in_flight_pct = 50\n".to_owned();
        for host in 0..hosts {
            text.push_str(&format!("[hosts.h{host}]\nchannel = \"c\"\n"));
        }
        let budgets = header(&built(&text), "c@r1").budgets;
        assert_eq!(budgets[0].max_in_flight, expected, "{hosts} hosts");
    }
}

/// E20: every policy is written out with a limit on each thing that may be waited for.
#[test]
fn e20_a_policy_has_a_time_limit_on_everything_unless_a_person_says_never() {
    let policy = header(&built(BASE), "stable@r1").policy;
    assert_eq!(policy.activation_timeout_secs, 900);
    assert_eq!(policy.dispatch_timeout_secs, 300);
    assert_eq!(policy.await_timeout_secs, 3600);
    assert_eq!(policy.skip_offline_after_secs, Some(86_400));
    let never = BASE.replace("waves = [", "skip_offline_after = false\nwaves = [");
    assert_eq!(header(&built(&never), "stable@r1").policy.skip_offline_after_secs, None);
}

#[test]
fn health_checks_are_merged_and_the_most_specific_wins() {
    let check = |place: &str, port: u32| {
        format!(
            "[[{place}health_checks]]\nname = \"up\"\nkind = \"tcp\"\naddress = \"127.0.0.1:{port}\"\n"
        )
    };
    let text = format!(
        "{BASE}{}{}{}{}",
        check("", 1),
        check("channels.stable.", 2),
        check("tags.web.", 3),
        check("hosts.web-01.", 4),
    );
    let release = built(&text);
    for (host, scope, port) in
        [("db-1", "channels.stable", 2), ("web-01", "hosts.web-01", 4), ("web-02", "tags.web", 3)]
    {
        let report = release.report.hosts.iter().find(|h| h.host.as_str() == host).unwrap();
        assert_eq!(report.checks.values().collect::<Vec<_>>(), [scope], "{host}");
        let document = &release.closures[&report.closure.blob().unwrap()];
        let document = String::from_utf8(document.clone()).unwrap();
        assert!(document.contains(&format!("127.0.0.1:{port}")), "{host}: {document}");
    }
    assert_eq!(release.closures.len(), 3);
    let twice = format!("{BASE}{}{}", check("tags.web.", 1), check("tags.canary.", 2));
    assert!(complaint(&twice).contains("from two tags, canary and web"));
    let doubled = format!("{BASE}{}{}", check("", 1), check("", 2));
    assert!(complaint(&doubled).contains("a second health check up"));
}

fn previous(release: &BuiltRelease) -> PreviousRelease {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("r");
    write_dir(release, &out).unwrap();
    PreviousRelease::read(&out).unwrap()
}

/// E9: an unrelated change restarts no other channel's rollout.
#[test]
fn e9_a_ref_is_kept_while_the_content_is_the_same() {
    let both = format!("{BASE}{EDGE}");
    let first = built(&both);
    let next = |text: &str, options: BuildOptions| {
        let options = BuildOptions { previous: Some(previous(&first)), ..options };
        build(&file(text).unwrap(), &options)
    };
    let later =
        || BuildOptions { signed_at: at("2026-11-22T09:00:00Z"), ..BuildOptions::default() };
    let ids = |release: &BuiltRelease| {
        release.rollouts.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let refreshed = next(&both, later()).unwrap();
    assert_eq!((refreshed.serial, ids(&refreshed)), (Serial(2), "edge@r1 stable@r1".to_owned()));
    let fresh = both.replace("[channels.edge]", "[channels.edge]\nfreshness_window = \"1h\"");
    assert_eq!(ids(&next(&fresh, later()).unwrap()), "edge@r1 stable@r1");
    let changed = both.replace("[hosts.edge-1]", "[hosts.edge-1]\nbundle = \"new.toml\"");
    assert_eq!(ids(&next(&changed, later()).unwrap()), "edge@r2 stable@r1");
    let slower = both.replace("soak = \"5m\"", "soak = \"6m\"");
    assert_eq!(ids(&next(&slower, later()).unwrap()), "edge@r1 stable@r2");
    let named = |name: &str| {
        let refs = BTreeMap::from([("edge".parse().unwrap(), name.parse().unwrap())]);
        BuildOptions { refs, ..later() }
    };
    assert_eq!(ids(&next(&changed, named("v2")).unwrap()), "edge@v2 stable@r1");
    // G22: the ref went out with other content.
    let conflict = next(&changed, named("r1")).unwrap_err();
    assert!(matches!(conflict, BuildError::RefConflict { .. }), "{conflict}");
    let low = BuildOptions { serial: Some(Serial(1)), ..later() };
    assert!(matches!(next(&both, low), Err(BuildError::SerialNotAbove { .. })));
    let other = both.replace("name = \"demo\"", "name = \"other\"");
    assert!(matches!(next(&other, later()), Err(BuildError::OtherFleet { .. })));
}

#[test]
fn a_private_key_in_a_health_check_is_refused_unless_allowed() {
    let check = "[[health_checks]]\nname = \"up\"\nkind = \"exec\"\nargv = [\"/bin/true\"]\n\
         env = { KEY = \"-----BEGIN PRIVATE KEY-----\" }\n";
    let text = format!("{BASE}{check}");
    assert!(complaint(&text).contains("looks like it holds a private key"));
    let read = |path: &Path| read_beside(path, &text);
    let file = FleetFile::load_with(Path::new("fleet.toml"), SecretsPolicy::Allow, &read).unwrap();
    assert!(build(&file, &options()).is_ok());
}

struct Folder {
    _root: tempfile::TempDir,
    dir: std::path::PathBuf,
    key: PrivateKey,
    trust: TrustFile,
}

fn signed() -> Folder {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("r");
    write_dir(&built(BASE), &dir).unwrap();
    let key = PrivateKey::from_seed([7; 32]);
    sign_dir(&dir, &key).unwrap();
    let keys = vec![TrustedKey::new(key.public_key())];
    let trust = TrustFile::new("demo".parse().unwrap(), 1, keys, Vec::new());
    Folder { _root: root, dir, key, trust }
}

#[test]
fn signing_again_replaces_and_a_second_signer_is_added() {
    let mut folder = signed();
    let before = fs::read(folder.dir.join("fleet.json.sig")).unwrap();
    sign_dir(&folder.dir, &folder.key).unwrap();
    assert_eq!(fs::read(folder.dir.join("fleet.json.sig")).unwrap(), before);
    let second = PrivateKey::from_seed([8; 32]);
    folder.trust.release.keys.push(TrustedKey::new(second.public_key()));
    folder.trust.release.threshold = 2;
    let now = at("2026-11-21T10:00:00Z");
    let error = verify_dir(&folder.dir, &folder.trust, now).unwrap_err();
    let verify::VerifyError::Rule { violation, signers } = error else { panic!("{error}") };
    assert_eq!(violation.code.as_str(), "signature-threshold");
    assert_eq!(
        (signers.signed, signers.missing),
        (vec![folder.key.key_id()], vec![second.key_id()])
    );
    sign_dir(&folder.dir, &second).unwrap();
    assert_eq!(verify_dir(&folder.dir, &folder.trust, now).unwrap().signers.signed.len(), 2);
}

#[test]
fn verify_finds_whatever_was_tampered_with() {
    let only = |dir: &Path, folder: &str| {
        fs::read_dir(dir.join(folder)).unwrap().next().unwrap().unwrap().path()
    };
    let replace = |path: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    type Tamper<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Tamper<'_>); 7] = [
        ("signature-threshold", &|d| {
            replace(&d.join("fleet.json"), "\"serial\":1", "\"serial\":2");
        }),
        ("signature-threshold", &|d| replace(&d.join("rollouts/stable@r1.json"), "1800", "0")),
        ("signature-threshold", &|d| fs::remove_file(d.join("fleet.json.sig")).unwrap()),
        ("merkle-mismatch", &|d| {
            replace(&d.join("rollouts/stable@r1.hosts.jsonl"), "\"wave\":1", "\"wave\":0");
        }),
        ("other content than its name says", &|d| replace(&only(d, "closures"), "0644", "0666")),
        ("missing blob sha256:", &|d| fs::remove_file(only(d, "closures")).unwrap()),
        ("No such file", &|d| fs::remove_file(d.join("rollouts/stable@r1.hosts.jsonl")).unwrap()),
    ];
    let now = at("2026-11-21T10:00:00Z");
    for (expected, tamper) in cases {
        let folder = signed();
        assert_eq!(verify_dir(&folder.dir, &folder.trust, now).unwrap().blobs, 1);
        tamper(&folder.dir);
        let error = verify_dir(&folder.dir, &folder.trust, now).unwrap_err().to_string();
        assert!(error.contains(expected), "expected {expected}, found {error}");
    }
    let folder = signed();
    for (when, code) in
        [("2026-11-22T09:00:01Z", "stale"), ("2026-11-21T08:58:59Z", "signed-in-future")]
    {
        let error = verify_dir(&folder.dir, &folder.trust, at(when)).unwrap_err().to_string();
        assert!(error.contains(code), "{error}");
    }
}

#[test]
fn a_folder_that_is_not_empty_is_never_written_to_and_an_empty_one_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let release = built(BASE);
    let out = root.path().join("out");
    fs::create_dir(&out).unwrap();
    write_dir(&release, &out).unwrap();
    assert!(matches!(write_dir(&release, &out), Err(dir::DirError::NotEmpty(_))));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left beside it");
}
