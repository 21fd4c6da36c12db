//! Putting a channel back.

use std::path::PathBuf;

use super::super::recall::{RecallError, RecallOptions, older, recall};
use super::super::verify::{VerifyError, checked_blob};
use super::*;

/// Release folders side by side, each built on the one before and signed.
struct Shelf {
    root: tempfile::TempDir,
    key: PrivateKey,
}

impl Shelf {
    fn with(texts: &[&str]) -> Self {
        let shelf =
            Self { root: tempfile::tempdir().unwrap(), key: PrivateKey::from_seed([7; 32]) };
        for (position, text) in texts.iter().enumerate() {
            let previous = (position > 0).then(|| PreviousRelease::read(&shelf.dir(position)));
            let options = BuildOptions { previous: previous.transpose().unwrap(), ..options() };
            let release = build(&file(text).unwrap_or_else(|e| panic!("{e}")), &options).unwrap();
            shelf.put(&release, position + 1);
        }
        shelf
    }

    fn put(&self, release: &BuiltRelease, number: usize) {
        write_dir(release, &self.dir(number)).unwrap();
        sign_dir(&self.dir(number), &self.key).unwrap();
    }

    fn dir(&self, number: usize) -> PathBuf {
        self.root.path().join(number.to_string())
    }

    fn recall(
        &self,
        current: usize,
        to: usize,
        change: impl FnOnce(&mut RecallOptions),
    ) -> Result<BuiltRelease, RecallError> {
        let (now, then) = (self.dir(current), self.dir(to));
        let mut options = RecallOptions {
            channel: "stable".parse().unwrap(),
            reference: None,
            serial: None,
            signed_at: at("2026-11-21T10:00:00.250Z"),
        };
        change(&mut options);
        let (current, older) = (unsigned::read(&now).unwrap(), unsigned::read(&then).unwrap());
        recall(&current, &older, &options, &|blob| match checked_blob(&now, blob) {
            Err(VerifyError::MissingBlob(_)) => checked_blob(&then, blob),
            read => read,
        })
    }

    fn found(&self, current: usize, channel: &str) -> Option<String> {
        let fleet = unsigned::read(&self.dir(current)).unwrap().fleet;
        let found = older::find(&self.dir(current), &fleet, &channel.parse().unwrap()).unwrap();
        found.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
    }
}

fn both() -> String {
    format!("{BASE}{EDGE}")
}

/// What each host of a rollout runs.
fn closures(release: &wavegate_proto::artifact::release::Release, channel: &str) -> Vec<String> {
    let hosts = &release.rollouts[channel].hosts;
    hosts.iter().map(|entry| format!("{} {}", entry.host, entry.closure)).collect()
}

/// G22: a channel goes back under a new ref; the others keep theirs, and the whole is a release.
#[test]
fn g22_a_recalled_channel_runs_what_it_ran_under_a_new_ref() {
    let first = runs(&both(), "web-01", "large.toml");
    let second = both().replace("app.toml", "new.toml").replace("\"30m\"", "\"1h\"");
    let shelf = Shelf::with(&[&first, &second]);
    let recalled = shelf.recall(2, 1, |_| ()).unwrap();
    assert_eq!(recalled.serial, Serial(3));
    shelf.put(&recalled, 3);
    let [one, two, three] = [1, 2, 3].map(|number| unsigned::read(&shelf.dir(number)).unwrap());
    assert_eq!(closures(&three, "stable"), closures(&one, "stable"));
    assert_eq!(closures(&three, "edge"), closures(&two, "edge"));
    let (back, now) = (&three.rollouts["stable"], &two.rollouts["stable"]);
    assert_eq!(back.header.reference.as_str(), "r3");
    assert_eq!(back.header.policy, now.header.policy, "the policy stays the current one");
    let (kept, edge) = (&three.rollouts["edge"], &two.rollouts["edge"]);
    assert_eq!(
        (&kept.header.reference, kept.content_id),
        (&edge.header.reference, edge.content_id)
    );
    // Everything that it needs is in the folder, the large file of the older release too.
    let keys = vec![TrustedKey::new(shelf.key.public_key())];
    let trust = TrustFile::new("demo".parse().unwrap(), 1, keys, Vec::new());
    let now = at("2026-11-21T11:00:00Z");
    assert_eq!(verify_dir(&shelf.dir(3), &trust, now).unwrap().blobs, 4);
    assert_eq!(recalled.assets.len(), 1);
    let origins: Vec<_> =
        recalled.report.channels.iter().map(|c| (c.channel.as_str(), c.ref_origin)).collect();
    assert_eq!(origins, [("edge", RefOrigin::Kept), ("stable", RefOrigin::New)]);
    // An ordinary build goes on from it.
    let next =
        BuildOptions { previous: Some(PreviousRelease::read(&shelf.dir(3)).unwrap()), ..options() };
    let next = build(&file(&second).unwrap(), &next).unwrap();
    let ids: Vec<_> = next.rollouts.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["edge@r2", "stable@r4"], "fleet.toml still says what was recalled");
}

#[test]
fn a_host_that_was_not_there_stays_as_it_is_and_is_named() {
    let moved = both()
        .replace("[hosts.edge-1]\nchannel = \"edge\"", "[hosts.edge-1]\nchannel = \"stable\"");
    let second =
        format!("{moved}[hosts.web-03]\nchannel = \"stable\"\n").replace("app.toml", "new.toml");
    let shelf = Shelf::with(&[&both(), &second]);
    let recalled = shelf.recall(2, 1, |_| ()).unwrap();
    let stays = "is not on channel stable in release 1: it stays as it is";
    assert_eq!(
        recalled.report.warnings,
        [
            format!("host edge-1 {stays}"),
            format!("host web-03 {stays}"),
            "fleet.toml still says what was recalled: change it before the next build".to_owned()
        ]
    );
    shelf.put(&recalled, 3);
    let [one, two, three] = [1, 2, 3].map(|number| unsigned::read(&shelf.dir(number)).unwrap());
    let runs = |release: &wavegate_proto::artifact::release::Release, host: &str| {
        release.fleet.hosts[host].closure.clone()
    };
    for host in ["edge-1", "web-03"] {
        assert_eq!(runs(&three, host), runs(&two, host), "{host}");
    }
    assert_eq!(runs(&three, "db-1"), runs(&one, "db-1"));
}

#[test]
fn a_recall_that_makes_no_sense_is_refused() {
    let second = both().replace("app.toml", "new.toml");
    let slower = second.replace("\"30m\"", "\"1h\"");
    let shelf = Shelf::with(&[&both(), &second, &slower]);
    let reference = |name: &str| Some(name.parse().unwrap());
    type Change = Box<dyn Fn(&mut RecallOptions)>;
    let cases: [(usize, usize, Change, &str); 7] = [
        (1, 2, Box::new(|_| ()), "release 2 is not older than release 1"),
        (2, 2, Box::new(|_| ()), "release 2 is not older than release 2"),
        (3, 2, Box::new(|_| ()), "channel stable runs in release 2 what it runs in release 3"),
        (2, 1, Box::new(|o| o.serial = Some(Serial(2))), "serial 2 is not above 2"),
        (
            2,
            1,
            Box::new(|o| o.channel = "stabel".parse().unwrap()),
            "release 2 has no hosts on channel stabel",
        ),
        (
            2,
            1,
            Box::new(move |o| o.reference = reference("r1")),
            "ref r1 of channel stable went out before",
        ),
        (
            2,
            1,
            Box::new(move |o| o.reference = reference("r2")),
            "ref r2 of channel stable went out before",
        ),
    ];
    for (current, to, change, expected) in cases {
        let error = shelf.recall(current, to, change).unwrap_err().to_string();
        assert!(error.contains(expected), "expected {expected}, found {error}");
    }
}

#[test]
fn what_no_longer_fits_together_is_not_put_back() {
    let edges = order("stable", "edge");
    let first = runs(&format!("{}{edges}", both()), "edge-1", "on-web-01.toml");
    let second = runs(&format!("{}{edges}", both()), "web-01", "b.toml");
    let shelf = Shelf::with(&[&first, &second]);
    let error =
        shelf.recall(2, 1, |o| o.channel = "edge".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(
        error,
        "host edge-1 would wait for resource a of host web-01, which does not have it"
    );
}

#[test]
fn without_a_name_it_goes_back_to_the_newest_signed_release_with_something_else() {
    let second = both().replace(
        "bundle = \"app.toml\"\n[rollout_policies.canary]",
        "bundle = \"new.toml\"\n[rollout_policies.canary]",
    );
    let slower = second.replace("\"30m\"", "\"1h\"");
    let shelf = Shelf::with(&[&both(), &both(), &second, &slower]);
    assert_eq!(shelf.found(4, "stable").as_deref(), Some("2"), "3 runs the same as 4");
    assert_eq!(shelf.found(3, "stable").as_deref(), Some("2"));
    assert_eq!(shelf.found(2, "stable"), None);
    assert_eq!(shelf.found(4, "edge"), None, "it has always run the same");
    fs::remove_file(shelf.dir(2).join("fleet.json.sig")).unwrap();
    assert_eq!(shelf.found(4, "stable").as_deref(), Some("1"), "nobody signed 2");
    fs::write(shelf.dir(1).join("fleet.json"), "{").unwrap();
    assert_eq!(shelf.found(4, "stable"), None);
}
