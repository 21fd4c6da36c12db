//! The fleet's keys are replaced twice. One host sleeps through both, and still takes the next release; the
//! old key is worth nothing any more, and neither is an old trust file. The authority of its certificates is
//! replaced, too, while everything runs.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::process::Output;

use serde_json::Value;
use wavegate::client::Security;
use wavegate_proto::ids::HostName;
use wavegate_proto::wire::operator::{RolloutState, Status};
use wavegate_tests::processes::agents::Agents;
use wavegate_tests::processes::control_plane::ControlPlane;
use wavegate_tests::processes::folder::{Content, Folder, Plan, Wave};
use wavegate_tests::processes::reader::Reader;
use wavegate_tests::processes::wait::{PATIENCE, until};

const HOSTS: usize = 3;

struct Scene<'a> {
    folder: &'a Folder,
    control_plane: ControlPlane<'a>,
    /// The folders of the operator's authority and certificate.
    operator: (&'static str, &'static str),
}

const OPERATOR: (&str, &str) = ("fleet/ca", "fleet/certs");

impl Scene<'_> {
    /// Runs `wavegate` with the operator's connection.
    fn operator(&self, args: &[&str]) -> Output {
        let (ca, certs) = self.operator;
        let files = [
            format!("{ca}/ca.pem"),
            format!("{certs}/operator-admin.pem"),
            format!("{certs}/operator-admin.key"),
        ];
        let [ca, cert, key] = &files;
        let url = &self.control_plane.url;
        let connection = ["--url", url, "--ca", ca, "--cert", cert, "--key", key];
        self.folder.wavegate(&[args, &connection].concat())
    }

    fn refused(&self, args: &[&str], code: &str) {
        let output = self.operator(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(code), "{args:?}: {said}");
    }

    fn accepted(&self, args: &[&str]) -> String {
        let output = self.operator(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn status(&self) -> Status {
        until("the status", PATIENCE, || self.control_plane.reader().get("/v1/status"))
    }

    fn expect_rollout(&self, id: &str, done: u64) {
        until(&format!("{done} hosts to converge in {id}"), PATIENCE, || {
            let rollout = self.control_plane.reader().rollout(id)?;
            let converged = rollout
                .waves
                .iter()
                .filter_map(|wave| wave.by_state.get(&wavegate_proto::record::HostState::Converged))
                .sum::<u64>();
            (converged == done).then_some(()).ok_or_else(|| format!("{rollout:?}"))
        });
    }

    /// The version of the trust file that a host goes by, from its own disk.
    fn trust_of(&self, host: &HostName) -> u64 {
        let state = self.folder.agent_state(host).display().to_string();
        let shown = self.folder.succeeds(&["agent", "status", "--state-dir", &state, "--json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown["trust_version"].as_u64().unwrap()
    }

    fn expect_trust(&self, host: &HostName, version: u64) {
        until(&format!("{host} to go by trust version {version}"), PATIENCE, || {
            let found = self.trust_of(host);
            (found == version).then_some(()).ok_or_else(|| format!("version {found}"))
        });
    }

    /// Makes a key and the version in which it takes the place of `old`, signed by both.
    fn replace_key(&self, version: u64, old: &str, new: &str) {
        let key = |name: &str| format!("fleet/keys/{name}.key");
        self.folder.succeeds(&["key", "new", "--out", &key(new)]);
        let id = |name| self.folder.succeeds(&["key", "id", &key(name)]);
        let (old_id, new_id) = (id(old), id(new));
        let (old_id, _) = old_id.trim().split_once(' ').unwrap();
        let (_, public) = new_id.trim().split_once(' ').unwrap();
        let current = match version {
            2 => "fleet/trust.json".to_owned(),
            later => format!("fleet/trust-{}.json", later - 1),
        };
        let (next, unsigned) = (format!("fleet/trust-{version}.json"), key(old));
        let rotate = ["trust", "rotate", &current, "--add", public, "--remove", old_id];
        let said = self.folder.succeeds(&[&rotate[..], &["--key", &unsigned]].concat());
        assert!(said.contains("needed 1: enough") && said.contains("not enough"), "{said}");
        // Not by its own keys yet: nobody takes it.
        self.refused(&["trust", "publish", &next], "signature-threshold");
        let check = ["trust", "check", &next, "--previous", &current];
        assert!(!self.folder.wavegate(&check).status.success());
        self.folder.succeeds(&["trust", "sign", &next, "--key", &key(new)]);
        assert!(self.folder.succeeds(&check).contains("ok: trust version"));
        let said = self.accepted(&["trust", "publish", &next]);
        assert!(said.contains(&format!("trust version {version} holds")), "{said}");
    }
}

#[test]
fn s3_keys_are_rotated_twice_and_a_host_that_slept_through_both_takes_the_next_release() {
    let folder = Folder::new(HOSTS);
    let waves = vec![Wave { name: "all", hosts: Vec::new(), soak_secs: 1 }];
    folder.plan(&Plan { waves, ..Plan::default() });
    let control_plane = ControlPlane::start(&folder);
    let mut agents = Agents::start(&folder, &control_plane.url);
    let mut scene = Scene { folder: &folder, control_plane, operator: OPERATOR };
    folder.release(1, Content::Healthy);
    scene.control_plane.publish(1);
    scene.expect_rollout("stable@r1", 3);

    let sleeper = folder.hosts[2].clone();
    agents.kill_9(&sleeper);
    scene.replace_key(2, "release", "second");
    // The key that signed the adopted release is gone: it is shown, and nothing of it is dispatched.
    assert_eq!(scene.status().alarms.release_untrusted.as_deref(), Some("signature-threshold"));
    scene.replace_key(3, "second", "third");
    for host in &folder.hosts[..2] {
        scene.expect_trust(host, 3);
    }
    assert_eq!(scene.trust_of(&sleeper), 1);

    // A start of an agent reads its journal with the keys of its time.
    let restarted = &folder.hosts[0];
    agents.kill_9(restarted);
    agents.start_again(restarted);

    // What was followed outlives a crash, although the file on disk is the first version still.
    scene.control_plane.kill_9();
    scene.control_plane.start_again();
    let status = scene.status();
    assert_eq!(status.trust_version, Some(3));
    assert_eq!(status.serial.0, 1, "the fleet is visible: {status:?}");
    assert_eq!(status.alarms.release_untrusted.as_deref(), Some("signature-threshold"));

    // An older version, shown again with other content; and the old key.
    let old = fs::read_to_string(folder.path("trust-2.json")).unwrap();
    fs::write(folder.path("forged.json"), old.replace("\"version\": 2", "\"version\": 3")).unwrap();
    for key in ["release", "second", "third"] {
        let key = format!("fleet/keys/{key}.key");
        folder.succeeds(&["trust", "sign", "fleet/forged.json", "--key", &key]);
    }
    scene.refused(&["trust", "publish", "fleet/forged.json"], "trust-conflict");
    folder.release(2, Content::Healthy);
    scene.refused(&["release", "publish", "fleet/releases/2"], "signature-threshold");

    folder.succeeds(&["release", "sign", "fleet/releases/2", "--key", "fleet/keys/third.key"]);
    scene.control_plane.publish(2);
    assert_eq!(scene.status().alarms.release_untrusted, None);
    scene.expect_rollout("stable@r2", 2);
    assert_eq!(folder.runs(&sleeper), 1);

    agents.start_again(&sleeper);
    scene.expect_rollout("stable@r2", 3);
    assert_eq!((scene.trust_of(&sleeper), folder.runs(&sleeper)), (3, 2));
    let over = scene.control_plane.reader().rollout("stable@r2").unwrap();
    assert_eq!(over.state, RolloutState::Terminal);
    agents.expect_running();
    scene.control_plane.check_log();
    let said = fs::read_to_string(folder.path(format!("logs/{restarted}.log"))).unwrap();
    assert!(!said.contains("plan no longer verifies"), "{said}");
}

/// The time now in whole seconds, as a person types it.
fn now() -> String {
    wavegate_control_plane::clock::wall().truncated_to_secs().to_string().replace(".000Z", "Z")
}

#[test]
fn two_must_sign_and_the_kill_switch_stops_what_was_signed_before() {
    let folder = Folder::new(1);
    let host = folder.hosts[0].clone();
    let waves = vec![Wave { name: "all", hosts: Vec::new(), soak_secs: 1 }];
    folder.plan(&Plan { waves, ..Plan::default() });
    let control_plane = ControlPlane::start(&folder);
    let _agents = Agents::start(&folder, &control_plane.url);
    let scene = Scene { folder: &folder, control_plane, operator: OPERATOR };
    folder.release(1, Content::Healthy);
    scene.control_plane.publish(1);
    scene.expect_rollout("stable@r1", 1);

    let (first, second) = ("fleet/keys/release.key", "fleet/keys/second.key");
    folder.succeeds(&["key", "new", "--out", second]);
    let id = folder.succeeds(&["key", "id", second]);
    let (second_id, public) = id.trim().split_once(' ').unwrap();
    // In one version: two keys with a threshold of one cannot be had with a threshold of two before.
    let alone = ["trust", "set-threshold", "2", "fleet/trust.json"];
    let output = folder.wavegate(&alone);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("threshold is 2, with 1 keys"), "{said}");
    let rotate = ["trust", "rotate", "fleet/trust.json", "--add", public, "--threshold", "2"];
    let said = folder.succeeds(&[&rotate[..], &["--key", first, "--key", second]].concat());
    assert_eq!(said.matches(": enough").count(), 2, "{said}");

    // The release brings it along, and is held to it.
    folder.release(2, Content::Healthy);
    let beside = folder.path("releases/2/trust");
    fs::create_dir(&beside).unwrap();
    fs::copy(folder.path("trust-2.json"), beside.join("2.json")).unwrap();
    fs::copy(folder.path("trust-2.json.sig"), beside.join("2.json.sig")).unwrap();
    scene.refused(&["release", "publish", "fleet/releases/2"], "signature-threshold");
    assert_eq!(scene.status().trust_version, Some(2));
    let verify = ["release", "verify", "fleet/releases/2", "--trust", "fleet/trust-2.json"];
    let output = folder.wavegate(&verify);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("missing {second_id}; needed 2")), "{said}");
    folder.succeeds(&["release", "sign", "fleet/releases/2", "--key", second]);
    folder.succeeds(&verify);
    scene.control_plane.publish(2);
    scene.expect_rollout("stable@r2", 1);
    scene.expect_trust(&host, 2);

    let kill = ["trust", "rotate", "fleet/trust-2.json", "--reject-signed-before", &now()];
    folder.succeeds(&[&kill[..], &["--key", first, "--key", second]].concat());
    let said = scene.accepted(&["trust", "publish", "fleet/trust-3.json"]);
    assert!(said.contains("warning: the adopted release"), "{said}");
    let untrusted = scene.status().alarms.release_untrusted;
    assert_eq!(untrusted.as_deref(), Some("rejected-signed-before"));
    scene.refused(&["release", "publish", "fleet/releases/2"], "rejected-signed-before");
    let back = ["trust", "rotate", "fleet/trust-3.json", "--reject-signed-before"];
    let output = folder.wavegate(&[&back[..], &["2026-01-01T00:00:00Z"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("only moves forward"));

    folder.release(3, Content::Healthy);
    folder.succeeds(&["release", "sign", "fleet/releases/3", "--key", second]);
    scene.control_plane.publish(3);
    scene.expect_rollout("stable@r3", 1);
    assert_eq!(scene.status().alarms.release_untrusted, None);
    scene.expect_trust(&host, 3);
}

/// The next version of the trust file, believed by what holds and by itself.
fn rotate_authorities(scene: &Scene<'_>, version: u64, authorities: &[&str]) {
    let current = match version {
        2 => "fleet/trust.json".to_owned(),
        later => format!("fleet/trust-{}.json", later - 1),
    };
    let mut rotate = vec!["trust", "rotate", &current, "--key", "fleet/keys/release.key"];
    rotate.extend(authorities.iter().flat_map(|ca| ["--ca", *ca]));
    scene.folder.succeeds(&rotate);
    scene.accepted(&["trust", "publish", &format!("fleet/trust-{version}.json")]);
    for host in &scene.folder.hosts {
        scene.expect_trust(host, version);
    }
}

/// A second authority beside the first, with a certificate of each kind but those of hosts.
fn second_authority(folder: &Folder) {
    folder.succeeds(&["ca", "init", "fleet/ca-2", "--fleet", "demo"]);
    let place = ["--ca", "fleet/ca-2", "--out", "fleet/certs-2"];
    folder.succeeds(&[&["ca", "intermediate"][..], &place].concat());
    folder.succeeds(&[&["ca", "issue", "control-plane", "localhost"][..], &place].concat());
    folder.succeeds(&[&["ca", "issue", "operator", "admin"][..], &place].concat());
}

#[test]
fn the_authority_is_replaced_while_everything_runs() {
    let folder = Folder::new(2);
    let waves = vec![Wave { name: "all", hosts: Vec::new(), soak_secs: 1 }];
    folder.plan(&Plan { waves, ..Plan::default() });
    // Certificates of hosts are renewed after 20 to 23 s.
    let control_plane = ControlPlane::start_issuing(&folder, "30s");
    let mut agents = Agents::start_by_tokens(&folder, &control_plane.url);
    let mut scene = Scene { folder: &folder, control_plane, operator: OPERATOR };
    folder.release(1, Content::Healthy);
    scene.control_plane.publish(1);
    scene.expect_rollout("stable@r1", 2);

    second_authority(&folder);
    rotate_authorities(&scene, 2, &["fleet/ca/ca.pem", "fleet/ca-2/ca.pem"]);
    for file in ["issuer.pem", "issuer.key", "control-plane.pem", "control-plane.key"] {
        fs::copy(folder.path(format!("certs-2/{file}")), folder.path(format!("certs/{file}")))
            .unwrap();
    }
    scene.control_plane.look_again();
    let security = |ca: &str, certs: &str| Security::Tls {
        ca: folder.path(ca).join("ca.pem"),
        identity: Some((
            folder.path(certs).join("operator-admin.pem"),
            folder.path(certs).join("operator-admin.key"),
        )),
    };
    // Shown by the new certificate alone; and who has the old one is still let in.
    scene.operator = ("fleet/ca-2", "fleet/certs-2");
    until("the new certificate", PATIENCE, || {
        let said = scene.operator(&["status"]);
        said.status.success().then_some(()).ok_or_else(|| format!("{said:?}"))
    });
    let old = Reader::with(&scene.control_plane.url, security("ca-2", "certs"));
    old.get::<Status>("/v1/status").unwrap();
    let new_roots = fs::read_to_string(folder.path("certs-2/issuer.pem")).unwrap();
    for host in &folder.hosts {
        let chain = folder.agent_state(host).join("identity/host.pem");
        until(&format!("{host} to have a certificate of the new authority"), PATIENCE, || {
            let chain = fs::read_to_string(&chain).map_err(|error| error.to_string())?;
            chain.contains(new_roots.trim()).then_some(()).ok_or(chain)
        });
    }

    // The old authority goes. A connection that was opened with its certificate is cut.
    rotate_authorities(&scene, 3, &["fleet/ca-2/ca.pem"]);
    until("the old certificate to be refused", PATIENCE, || {
        match old.get::<Status>("/v1/status") {
            Ok(_) => Err("it is let in".to_owned()),
            Err(_) => Ok(()),
        }
    });
    assert!(old.get::<Status>("/v1/status").is_err());

    // What is on the disks is the first version still.
    agents.kill_9(&folder.hosts[0]);
    scene.control_plane.kill_9();
    scene.control_plane.start_again();
    agents.start_again(&folder.hosts[0]);
    folder.release(2, Content::Healthy);
    scene.accepted(&["release", "publish", "fleet/releases/2"]);
    scene.expect_rollout("stable@r2", 2);
    assert!(old.get::<Status>("/v1/status").is_err());
    agents.expect_running();
}
