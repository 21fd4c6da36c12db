//! Where what applies to a host comes from: classes, channels, a CSV file.

use super::*;
use crate::fleet_toml::model::FleetToml;
use crate::fleet_toml::policy::RolloutPolicy;

/// `(what it runs from, where its tags stand, its tags)` of a host.
fn sources(release: &BuiltRelease, host: &str) -> (String, Option<String>, Vec<String>) {
    let report = release.report.hosts.iter().find(|h| h.host.as_str() == host).unwrap();
    (report.from.clone(), report.tags_from.clone(), report.tags.iter().cloned().collect())
}

#[test]
fn the_most_specific_place_wins_and_is_told() {
    let text = "[fleet]\nname = \"demo\"\n\
        [channels.stable]\nrollout_policy = \"p\"\nbundle = \"app.toml\"\ntags = [\"c\"]\n\
        [rollout_policies.p]\nwaves = [{ name = \"w\", hosts = \"all\", soak = \"1s\" }]\n\
        [classes.pi]\nbundle = \"new.toml\"\ntags = [\"p\", \"q\"]\n\
        [classes.bare]\n\
        [hosts.plain]\nchannel = \"stable\"\n\
        [hosts.pi]\nchannel = \"stable\"\nclass = \"pi\"\n\
        [hosts.bare]\nchannel = \"stable\"\nclass = \"bare\"\n\
        [hosts.own]\nchannel = \"stable\"\nclass = \"pi\"\ntags = []\n\
        closure = \"/nix/store/00000000000000000000000000000000-a\"\n";
    let release = built(text);
    let from = |place: &str| Some(place.to_owned());
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    for (host, runs, tags_from, expected) in [
        ("plain", "channels.stable", from("channels.stable"), tags(&["c"])),
        ("pi", "classes.pi", from("classes.pi"), tags(&["p", "q"])),
        ("bare", "channels.stable", from("channels.stable"), tags(&["c"])),
        ("own", "hosts.own", from("hosts.own"), tags(&[])),
    ] {
        assert_eq!(sources(&release, host), (runs.to_owned(), tags_from, expected), "{host}");
    }
    let verbose = crate::show::release::built(&release.report, true);
    assert!(verbose.contains("from classes.pi\n    tags p, q from classes.pi\n"), "{verbose}");
}

fn listed(file: &str) -> String {
    format!(
        "[hosts_from]\nfile = \"{file}\"\n{BASE}[classes.pi]\nbundle = \"new.toml\"\ntags = [\"pi\"]\n"
    )
}

#[test]
fn hosts_of_a_csv_file_are_hosts_like_any_other() {
    let release = built(&listed("hosts.csv"));
    let found: Vec<_> =
        entries(&release, "stable@r1").iter().map(|e| format!("{} {}", e.host, e.wave)).collect();
    assert_eq!(found, ["db-1 1", "web-01 0", "web-02 1", "web-11 1", "web-12 1"]);
    let csv = |line: u32| Some(format!("hosts.csv:{line}"));
    let expected = ("channels.stable".to_owned(), csv(2), vec!["web".to_owned()]);
    assert_eq!(sources(&release, "web-11"), expected);
    let expected = ("classes.pi".to_owned(), Some("classes.pi".to_owned()), vec!["pi".to_owned()]);
    assert_eq!(sources(&release, "web-12"), expected);
}

/// O5: what is wrong with a host is told where the host stands.
#[test]
fn o5_mistakes_about_listed_hosts_are_told_in_their_file() {
    for (text, expected) in [
        (
            listed("wrong.csv"),
            "wrong.csv:2: unknown channel `stabel`\n  hint: did you mean `stable`?\n\
             wrong.csv:3: unknown class `pie`\n  hint: did you mean `pi`?",
        ),
        (listed("twice.csv"), "twice.csv:3: host web-01 stands in fleet.toml as well"),
        (listed("bad.csv"), "bad.csv:2: expected 2 columns, found 1"),
        (listed("gone.csv"), "fleet.toml:2: \"gone.csv\" cannot be read"),
        (
            listed("hosts.csv")
                .replace("hosts = \"all\"", "hosts = { tags_any = [\"web\", \"db\"] }"),
            "hosts.csv:3: host web-12 is in no wave of rollout policy `canary`",
        ),
    ] {
        let found = complaint(&text);
        assert!(found.contains(expected), "expected {expected}\nfound {found}");
    }
}

/// What docs/operations.md shows is read, and shows the defaults of a policy as they are.
#[test]
fn the_file_on_the_page_for_operators_is_read() {
    let page = include_str!("../../../../docs/operations.md");
    let (_, block) = page.split_once("```toml\n[fleet]\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let keys: FleetToml = toml::from_str(&format!("[fleet]\n{block}")).unwrap();
    assert!(keys.hosts_from.is_some() && !keys.pins.is_empty() && !keys.revoked.is_empty());
    let mut shown = keys.rollout_policies["canary"].to_signed();
    (shown.waves, shown.windows) = (Vec::new(), Vec::new());
    let defaults: RolloutPolicy = toml::from_str("waves = []").unwrap();
    assert_eq!(shown, defaults.to_signed());
}
