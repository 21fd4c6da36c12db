//! R7: what real processes say to each other, recorded at the wire and judged afterwards by code that
//! shares nothing with them.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use wavegate_proto::wire::operator::RolloutState;
use wavegate_tests::judge::history::History;
use wavegate_tests::judge::{RULES, judge};
use wavegate_tests::processes::agents::Agents;
use wavegate_tests::processes::control_plane::ControlPlane;
use wavegate_tests::processes::folder::{Budget, Content, Folder, Plan, Wave};
use wavegate_tests::processes::wait::until;
use wavegate_tests::release_kit::host_name;
use wavegate_tests::tap::Tap;

const HOSTS: usize = 7;
const MEMBERS: [usize; 3] = [4, 5, 6];
const MAX_IN_FLIGHT: usize = 1;

/// A host whose lease lapsed while nobody answered waits before its next attempt.
const ROLLOUT: Duration = Duration::from_secs(240);

fn plan() -> Plan {
    let wave = |name, hosts| Wave { name, hosts, soak_secs: 1 };
    let waves = vec![wave("canary", vec![1]), wave("early", vec![2, 3]), wave("rest", Vec::new())];
    let budget = Budget { hosts: MEMBERS.into(), max_in_flight: MAX_IN_FLIGHT };
    Plan { waves, budget: Some(budget), unchanged: Some(HOSTS), ..Plan::default() }
}

/// The plan of each rollout, as the judge reads it.
fn terms(rollouts: u64) -> Value {
    let wave = |number: usize| match number {
        1 => 0,
        2 | 3 => 1,
        _ => 2,
    };
    let waves: BTreeMap<String, u64> =
        (1..=HOSTS).map(|number| (host_name(number).to_string(), wave(number))).collect();
    let members = MEMBERS.map(|number| host_name(number).to_string());
    let terms = json!({
        "waves": waves, "max_failures": 0,
        "budgets": [{ "limit": MAX_IN_FLIGHT, "hosts": members }],
    });
    let terms: BTreeMap<String, Value> =
        (1..=rollouts).map(|number| (format!("stable@r{number}"), terms.clone())).collect();
    json!({ "terms": terms })
}

fn until_over(control_plane: &ControlPlane<'_>, number: u64, wanted: RolloutState) {
    let reader = control_plane.reader();
    until("the rollout to end", ROLLOUT, || {
        let rollout = reader.rollout(&format!("stable@r{number}"))?;
        (rollout.state == wanted).then_some(()).ok_or_else(|| format!("{rollout:?}"))
    });
}

/// Reads through the tap, as an operator.
fn read(folder: &Folder, tap: &Tap, what: &[&str]) {
    let url = ["--url", &tap.url, "--ca", "fleet/ca/ca.pem", "--json"];
    let certs = ["--cert", "fleet/certs/operator-admin.pem"];
    let keys = ["--key", "fleet/certs/operator-admin.key"];
    folder.succeeds(&[what, &url, &certs, &keys].concat());
}

/// A good release, a bad one and its fix, while both sides are killed now and then.
#[test]
fn r7_a_recorded_history_of_real_processes_breaks_no_rule() {
    let folder = Folder::new(HOSTS);
    folder.plan(&plan());
    let mut control_plane = ControlPlane::start(&folder);
    let tap = Tap::start(&folder, &control_plane.url);
    let mut agents = Agents::start(&folder, &tap.url);
    let mut rng = fastrand::Rng::with_seed(7);
    let ends = [
        (Content::Healthy, RolloutState::Terminal),
        (Content::Broken, RolloutState::Reverted),
        (Content::Healthy, RolloutState::Terminal),
    ];
    for (number, (content, end)) in (1..).zip(ends) {
        folder.release(number, content);
        let published = folder.publish(number, &tap.url);
        assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
        read(&folder, &tap, &["status"]);
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(rng.u64(300..2500)));
            control_plane.kill_9();
            control_plane.start_again();
            let host = host_name(rng.usize(1..=HOSTS));
            agents.kill_9(&host);
            agents.start_again(&host);
        }
        until_over(&control_plane, number, end);
        read(&folder, &tap, &["status"]);
        read(&folder, &tap, &["events"]);
    }
    agents.expect_running();
    for host in &folder.hosts {
        agents.kill_9(host);
    }
    read(&folder, &tap, &["status"]);
    read(&folder, &tap, &["events"]);
    let lines = tap.lines();
    let text = format!("{}\n{}", terms(3), lines.join("\n"));
    std::fs::write(folder.path("logs/history.jsonl"), &text).unwrap();
    let history = History::parse(&text).unwrap();
    println!("{} exchanges judged by {} rules", lines.len(), RULES.len());
    expect_enough(&history);
    let findings = judge(&history);
    assert!(findings.is_empty(), "{findings:#?}");
}

/// A history in which nothing happened breaks no rule either.
fn expect_enough(history: &History) {
    let count = |method: &str, path: &str, status: u64| {
        let of = history.exchanges.iter().filter(|e| e.method == method && e.path == path);
        of.filter(|e| e.status == status).count()
    };
    assert!(count("GET", "/v1/agent/dispatch", 200) > 2 * HOSTS);
    assert!(count("POST", "/v1/agent/events", 200) > 4 * HOSTS);
    assert!(count("POST", "/v1/agent/heartbeat", 200) > 4 * HOSTS);
    assert_eq!(count("POST", "/v1/releases", 201), 3);
    assert!(count("GET", "/v1/events", 200) >= 4 && count("GET", "/v1/status", 200) >= 7);
    assert!(history.exchanges.iter().any(|exchange| exchange.answered.is_none()), "killed");
}
