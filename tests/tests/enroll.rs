//! A fleet brought up from nothing with tokens only, by real processes: its hosts have the trust file and
//! a token each, and renew their certificates in the middle of a rollout.
//!
//! Not here: who is let in and who is not (the control plane's own tests).
#![allow(clippy::unwrap_used, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use wavegate_proto::ids::HostName;
use wavegate_proto::wire::operator::{EventItem, HostDocument, Outcome, RolloutState};
use wavegate_tests::processes::agents::Agents;
use wavegate_tests::processes::control_plane::ControlPlane;
use wavegate_tests::processes::folder::{Content, Folder, Plan, Wave, files_of};
use wavegate_tests::processes::log::{expect_one_start_an_attempt, expect_whole};
use wavegate_tests::processes::reader::Reader;
use wavegate_tests::processes::wait::{PATIENCE, until};

/// Certificates are renewed after 20 to 23 s.
const HOST_CERT_TTL: &str = "30s";

/// The rollout lasts longer than that.
fn plan() -> Plan {
    let wave = |name, hosts| Wave { name, hosts, soak_secs: 15 };
    Plan { waves: vec![wave("canary", vec![1]), wave("rest", Vec::new())], ..Plan::default() }
}

fn end_of_certificates(reader: &Reader, folder: &Folder) -> BTreeMap<HostName, String> {
    let end = |host: &HostName| {
        let document: HostDocument = reader.get(&format!("/v1/hosts/{host}")).unwrap();
        (host.clone(), document.cert_expires_at.unwrap().to_string())
    };
    folder.hosts.iter().map(end).collect()
}

fn position(log: &[EventItem], kind: &str, last: bool) -> u64 {
    let mut rows = log.iter().filter(|row| row.kind == kind);
    if last { rows.next_back() } else { rows.next() }.unwrap().seq.0
}

#[test]
fn a_fleet_comes_up_by_tokens_alone_and_renews_in_the_middle_of_a_rollout() {
    let folder = Folder::new(3);
    for host in &folder.hosts {
        for suffix in ["pem", "key"] {
            fs::remove_file(folder.path(format!("certs/host-{host}.{suffix}"))).unwrap();
        }
    }
    let control_plane = ControlPlane::start_issuing(&folder, HOST_CERT_TTL);
    let reader = control_plane.reader();
    let mut agents = Agents::start_by_tokens(&folder, &control_plane.url);
    // The hosts knock until a signed release names them.
    folder.plan(&plan());
    folder.release(1, Content::Healthy);
    control_plane.publish(1);
    until("every host to be online", PATIENCE, || {
        let hosts = reader.all("/v1/hosts")?;
        let online = hosts.iter().filter(|host| host["online"] == true).count();
        if online == 3 { Ok(()) } else { Err(format!("{hosts:?}")) }
    });
    let first = end_of_certificates(&reader, &folder);
    let rollout = until("the rollout to end", PATIENCE, || {
        let rollout = reader.rollout("stable@r1")?;
        if rollout.state == RolloutState::Terminal {
            Ok(rollout)
        } else {
            Err(format!("{rollout:?}"))
        }
    });
    assert_eq!(rollout.outcome, Some(Outcome::Complete));
    agents.expect_running();

    // Every host has renewed before the rollout was over, and lost nothing by it.
    let log = reader.log().unwrap();
    expect_whole(&log);
    expect_one_start_an_attempt(&log);
    let end = position(&log, "converged", true);
    let renewed: BTreeSet<_> = log
        .iter()
        .filter(|row| row.kind == "certificate_renewed" && row.seq.0 < end)
        .map(|row| row.host.clone().unwrap())
        .collect();
    assert!(renewed.len() == 3, "renewed before the end: {renewed:?}");
    assert!(position(&log, "dispatch_ack", false) < position(&log, "certificate_renewed", false));
    for kind in ["dispatch_expired", "infra_retry", "failed", "event_refused", "replay_requested"] {
        assert!(log.iter().all(|row| row.kind != kind), "{kind}");
    }
    for row in log.iter().filter(|row| row.kind == "dispatch_ack") {
        assert_eq!(row.payload["attempt"], 1, "{row:?}");
    }
    for host in &folder.hosts {
        assert_eq!(folder.files(host), files_of(1, Content::Healthy));
        let key = folder.agent_state(host).join("identity/host.key");
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let last = end_of_certificates(&reader, &folder);
    assert!(first.iter().all(|(host, end)| last[host] > *end), "{first:?} {last:?}");

    a_used_token_lets_nobody_in(&folder, &control_plane.url);
    secrets_stay_out_of_logs(&folder);
    control_plane.check_log();
}

fn a_used_token_lets_nobody_in(folder: &Folder, url: &str) {
    let (token, trust) = (folder.token(&folder.hosts[0]), folder.path("trust.json"));
    let thief = folder.path("thief");
    let (token, trust, thief) =
        (token.to_str().unwrap(), trust.to_str().unwrap(), thief.to_str().unwrap());
    let output = folder.wavegate(&[
        "agent",
        "enroll",
        "--token-file",
        token,
        "--trust",
        trust,
        "--url",
        url,
        "--state-dir",
        thief,
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("token-used"), "{said}");
}

fn secrets_stay_out_of_logs(folder: &Folder) {
    let token = fs::read_to_string(folder.token(&folder.hosts[0])).unwrap();
    for entry in fs::read_dir(folder.path("logs")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(token.trim()) && !text.contains("PRIVATE KEY"));
    }
}
