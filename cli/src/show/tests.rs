//! Documents in, words out.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wavegate_control_plane::forecast::simulate::{RolloutEnd, Simulation};
use wavegate_control_plane::forecast::timeline::{Entry, Timeline, What};
use wavegate_control_plane::forecast::{Assumptions, Ending};
use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::operator::{HostDocument, ReasonKind, WaitingFor};

use super::*;

const CLOSURE: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const EPOCH: &str = "0b0fd8a2-7f0c-4f9e-9c39-0d5d1a2b3c4d";

fn now() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn host(name: &str, seen: &str, current: Option<&str>) -> Value {
    json!({
        "host": name, "channel": "stable", "tags": ["web", "canary"], "member": true, "seen": seen,
        "online": seen == "online", "last_seen_at": "2026-11-21T08:59:50.000Z",
        "agent_version": "0.1.0", "current_closure": current, "target_closure": CLOSURE,
        "rollout_id": "stable@r2", "wave": 0, "state": "soaking",
        "state_since": "2026-11-21T08:57:00.000Z",
        "probes": [{"name": "http", "kind": "http", "mode": "enforce", "status": "fail",
                    "failing_since": "2026-11-21T08:59:00.000Z", "reason": "status 500"}],
        "resources": {"completed": 2, "failed": 0, "blocked": 1, "running": 0, "pending": 0,
                      "unknown": 0, "drifted": 0},
        "hold": null, "cert_expires_at": null, "clock_skew_secs": -2
    })
}

fn rollout() -> Value {
    json!({
        "rollout_id": "stable@r2", "channel": "stable", "ref": "r2", "serial": 2, "state": "failed",
        "mark": "paused",
        "mark_by": {"actor": "operator/alice", "reason": "looking", "at": "2026-11-21T08:59:30.000Z"},
        "frozen": false,
        "halt": {"reason": "probe http", "host": "web-01", "at": "2026-11-21T08:59:00.000Z"},
        "outcome": null, "opened_at": "2026-11-21T08:30:00.000Z", "finished_at": null,
        "superseded_by": null, "current_wave": 0,
        "waves": [
            {"index": 0, "name": "canary", "soak_secs": 1800, "requires_approval": false,
             "approved_by": "operator/bob", "hosts": 1, "by_state": {"failed": 1}},
            {"index": 1, "name": "rest", "soak_secs": 300, "requires_approval": true,
             "approved_by": null, "hosts": 2, "by_state": {"pending": 2},
             "eta": {"p50": "2026-11-21T09:12:00.000Z", "p90": "2026-11-21T09:12:30.000Z"}}
        ],
        "failures": {"artifact": 1, "infra": 0},
        "waiting_for": [{"host": "web-01", "gate": "rollout", "since": "2026-11-21T08:59:00.000Z",
                         "kind": "needs-person"}]
    })
}

#[test]
fn status() {
    let status = read(json!({
        "fleet": "demo", "serial": 2, "cp_epoch": EPOCH, "version": "0.1.0", "mode": "recovering",
        "hosts": {"total": 3, "online": 2, "offline": 1,
                  "by_state": {"converged": 2, "soaking": 1, "failed": 0}},
        "rollouts": [{"rollout_id": "stable@r2", "state": "active", "current_wave": 1,
                      "waves_total": 2, "eta": {"p50": "2026-11-21T09:12:00.000Z",
                      "p90": "2026-11-21T09:20:00.000Z", "basis": "rollout"}}],
        "log": {"last_seq": 41}
    }));
    insta::assert_snapshot!(status::status(&status, now()), @"
    fleet    demo
    release  serial 2
    mode     recovering (nothing is dispatched until hosts have reported)
    hosts    3 (2 online, 1 offline)
    states   2 converged, 1 soaking
    log      41 rows

    ROLLOUT    STATE   WAVE    ENDS
    stable@r2  active  1 of 2  in 12m to 20m
    ");
}

#[test]
fn hosts() {
    let hosts =
        [read(host("web-01", "online", Some(CLOSURE))), read(host("web-02", "never", None))];
    insta::assert_snapshot!(hosts::list(&hosts, now()), @"
    HOST    CHANNEL  SEEN    STATE    SINCE   WAVE  RUNS                 ON TARGET
    web-01  stable   online  soaking  3m ago  0     sha256:e3b0c44298fc  yes
    web-02  stable   never   soaking  3m ago  0     -                    no
    ");
    assert_eq!(hosts::list(&[], now()), "no hosts match\n");
}

#[test]
fn one_host() {
    insta::assert_snapshot!(hosts::one(&read(host("web-01", "online", Some(CLOSURE))), now()), @"
    host       web-01
    channel    stable
    tags       web, canary
    seen       online, 10s ago
    agent      0.1.0
    rollout    stable@r2
    wave       0
    state      soaking, 3m ago
    runs       sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    target     sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    resources  2 completed, 0 failed, 1 blocked, 0 drifted
    hold       -
    provider   -
    clock      -2 s

    PROBE  MODE     STATUS  REASON
    http   enforce  fail    status 500
    ");
}

#[test]
fn what_a_provider_says_of_a_host() {
    let mut document = host("web-01", "offline", None);
    document["provider"] = json!({
        "provider_id": "i-0abc", "provider_state": "off", "actor": "operator/scripts",
        "since": "2026-11-21T08:00:00.000Z", "last_sync": "2026-11-21T08:59:30.000Z",
    });
    let told: HostDocument = read(document.clone());
    let line = "provider   off (i-0abc) since 1h ago, told 30s ago by operator/scripts\n";
    assert!(hosts::one(&told, now()).contains(line), "{}", hosts::one(&told, now()));
    let after = "provider of web-01: off (i-0abc) since 1h ago, told 30s ago by operator/scripts\n";
    assert_eq!(hosts::after_sync(&told, now()), after);
    document["provider"]["provider_id"] = Value::Null;
    let after = "provider of web-01: off since 1h ago, told 30s ago by operator/scripts\n";
    assert_eq!(hosts::after_sync(&read(document), now()), after);
}

/// O2: held back says by what, since when, and what opens it, and looks different from being stuck.
#[test]
fn o2_an_explanation_names_every_gate() {
    let explanation = read(json!({
        "host": "web-02", "decision": "wait", "reasons": [
            {"gate": "wave", "code": "earlier-wave", "detail": "wave 0 is not done: web-01 is soaking",
             "since": "2026-11-21T08:30:00.000Z", "earliest_at": "2026-11-21T09:27:00.000Z",
             "clears_when": "web-01 has converged", "kind": "held-back"},
            {"gate": "approval", "code": "not-approved", "detail": "wave 1 needs an approval",
             "since": null, "earliest_at": null, "clears_when": "an operator approves the wave",
             "kind": "needs-person"},
            {"gate": "offline", "code": "silent", "detail": "the host is silent",
             "since": null, "earliest_at": null, "clears_when": "the host sends a heartbeat",
             "kind": "stuck"},
            {"gate": "budget", "code": "budget-full", "detail": "budget web: web-01 uses its only slot",
             "since": null, "earliest_at": null, "clears_when": "web-01 has converged"}
        ]
    }));
    insta::assert_snapshot!(explain::explanation(&explanation, now()), @"
    web-02 waits
      held back: wave (earlier-wave): wave 0 is not done: web-01 is soaking
        held since 2026-11-21T08:30:00.000Z (30m ago)
        not before 2026-11-21T09:27:00.000Z
        clears when web-01 has converged
      waiting for a person: approval (not-approved): wave 1 needs an approval
        clears when an operator approves the wave
      stuck: offline (silent): the host is silent
        clears when the host sends a heartbeat
      held back: budget (budget-full): budget web: web-01 uses its only slot
        clears when web-01 has converged
    ");
}

#[test]
fn rollouts() {
    let document = read(rollout());
    insta::assert_snapshot!(rollouts::list(&[document], now()), @"
    ROLLOUT    STATE           WAVE    HOSTS                OPENED
    stable@r2  failed, paused  0 of 2  2 pending, 1 failed  30m ago
    ");
    insta::assert_snapshot!(rollouts::one(&read(rollout()), now()), @"
    rollout   stable@r2
    state     failed, paused
    serial    2
    opened    30m ago
    marked    by operator/alice, 30s ago: looking
    halted    probe http on web-01, 1m ago
    failures  1 of the artifact, 0 other

    WAVE  NAME    SOAK  HOSTS  APPROVAL         STATES     DONE
    0     canary  30m   1      by operator/bob  1 failed   -
    1     rest    5m    2      needed           2 pending  in 12m

    WAITS FOR  GATE     WHICH IS              SINCE
    web-01     rollout  waiting for a person  1m ago
    ");
}

#[test]
fn channels_and_quarantines() {
    let channel = |until: &str| {
        read(json!({
            "channel": "stable", "ref": "r2", "serial": 2, "signed_at": "2026-11-21T08:00:00Z",
            "fresh_until": until, "rollout_id": null, "state": null, "hosts": 3, "after": ["edge"]
        }))
    };
    let channels = [channel("2026-11-22T08:00:00Z"), channel("2026-11-21T08:59:59Z")];
    insta::assert_snapshot!(channels::list(&channels, now()), @"
    CHANNEL  REF  SERIAL  STATE  HOSTS  FRESH FOR  AFTER
    stable   r2   2       -      3      23h        edge
    stable   r2   2       -      3      stale      edge
    ");
    let quarantine = read(json!({
        "channel": "stable", "closure": CLOSURE, "since": "2026-11-19T08:00:00.000Z", "host": "web-01",
        "rollout_id": "stable@r2", "attempt": 1, "reason": "probe http", "source": "rollback"
    }));
    insta::assert_snapshot!(quarantines::list(&[quarantine], now()), @"
    CHANNEL  CLOSURE                                                                  SINCE   HOST    ROLLOUT    SOURCE    REASON
    stable   sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  2d ago  web-01  stable@r2  rollback  probe http
    ");
}

/// Text of a host never reaches the terminal's control sequences.
#[test]
fn an_event_is_one_clean_line() {
    let event = |reason: &str| {
        read(json!({
            "seq": 7, "at": "2026-11-21T08:00:00.000Z", "host": "web-01", "rollout_id": "stable@r2",
            "kind": "dispatch_reject", "actor": "host/web-01", "synthetic": false,
            "payload": {"kind": "dispatch_reject", "reason": reason, "detail": null, "attempt": 2},
            "chain": "0".repeat(64)
        }))
    };
    insta::assert_snapshot!(events::line(&event("stale\u{1b}[2J\n")), @"     7 2026-11-21T08:00:00.000Z dispatch_reject host=web-01 rollout=stable@r2 attempt=2 reason=stale [2J");
    assert_eq!(events::line(&event(&"x".repeat(5000))).chars().count(), 241);
}

#[test]
fn a_plan() {
    let golden = include_str!("../../../proto/tests/golden/plan-document.json");
    insta::assert_snapshot!(plan::plan(&read(serde_json::from_str(golden).unwrap())), @"
    release    43 of fleet demo
    opens      stable@r43
    unchanged  edge
    ends       in 24h

    rollout   stable@r43
    replaces  stable@r42
    after     edge
    edges     1 hosts go after others
    silent    hosts are left out after 24h
    first     web-01, web-02
    ends      in 24h, judged by the hosts of the channel so far

    WAVE  NAME                   SOAK  HOSTS  CHANGE  UNCHANGED  STARTS         DONE
    0     canary                 30m   1      1       0          at once        in 31m to 34m
    1     rest (needs approval)  5m    119    110     9          in 31m to 34m  in 24h
    holds web-01 and 1 more: channel edge goes first and edge@e7 is not done (channel-edge)
      clears when every host of that rollout is done

    BUDGET  AT ONCE  HOSTS  HOLDS
    etcd    1        3      2 hosts

    LEFT BEHIND  ROLLOUT     BECAUSE
    web-99       stable@r43  the host was left out because it was silent; it is dispatched when it returns
    warning: 3 hosts leave the fleet, web-97 among them
    ");
}

#[test]
fn a_simulation() {
    let assumptions = Assumptions { seed: 7, fail: 0.05, offline: 0.0 };
    insta::assert_snapshot!(simulate::simulation(&halted(), assumptions), @"
    release  2 of fleet demo
    start    2026-11-21T09:00:00.000Z
    assumed  5% of activations fail, 0% of hosts are silent, seed 7; nobody runs anything yet

    TIME                  AFTER   ROLLOUT    WHAT
    2026-11-21T09:00:00Z  0s      stable@r2  opens: 40 hosts in 2 waves
    2026-11-21T09:00:00Z  0s      stable@r2  wave 0 (canary) starts
    2026-11-21T09:00:00Z  0s      stable@r2  dispatched web-01
    2026-11-21T09:01:10Z  1m 10s  stable@r2  converged web-01, web-02, web-03 and 27 more, the last after 1h 6m
    2026-11-21T10:06:40Z  1h 6m   stable@r2  failed web-04
    2026-11-21T10:06:40Z  1h 6m   stable@r2  halted by web-04: probes failing: modelled
    … and 2 more

    over after 1h 6m
    ROLLOUT    END             CONVERGED  WAITS FOR
    stable@r2  failed, frozen  30 of 40   a (soaking), b (soaking), c (soaking), …
    ");
}

fn halted() -> Simulation {
    let at = |secs| now().plus_secs(secs);
    let id = || "stable@r2".parse().unwrap();
    let host = |name: &str| name.parse::<wavegate_proto::ids::HostName>().unwrap();
    let entry = |secs, what, detail: &str| Entry {
        at: at(secs),
        until: at(secs),
        rollout_id: id(),
        what,
        detail: detail.to_owned(),
        hosts: Vec::new(),
        count: 0,
    };
    let group = |from, until, what, hosts: &[&str], count| Entry {
        until: at(until),
        hosts: hosts.iter().map(|name| host(name)).collect(),
        count,
        ..entry(from, what, "")
    };
    let entries = vec![
        entry(0, What::Opened, "40 hosts in 2 waves"),
        entry(0, What::WaveStarted, "wave 0 (canary)"),
        group(0, 0, What::Dispatched, &["web-01"], 1),
        group(70, 4000, What::Converged, &["web-01", "web-02", "web-03"], 30),
        group(4000, 4000, What::Failed, &["web-04"], 1),
        entry(4000, What::State, "halted by web-04: probes failing: modelled"),
    ];
    let timeline = Timeline { entries, left_out: 2 };
    let waiting = |name| WaitingFor {
        host: host(name),
        gate: "soaking".to_owned(),
        since: at(0),
        kind: ReasonKind::HeldBack,
    };
    Simulation {
        fleet: "demo".parse().unwrap(),
        serial: wavegate_proto::ids::Serial(2),
        started_at: now(),
        ended_at: at(4000),
        ending: Ending::Halted,
        rollouts: vec![RolloutEnd {
            rollout_id: id(),
            state: wavegate_proto::wire::operator::RolloutState::Failed,
            outcome: None,
            halt: None,
            frozen: true,
            converged: 30,
            hosts: 40,
            waiting_for: ["a", "b", "c", "d"].map(waiting).to_vec(),
        }],
        timeline,
    }
}
