//! The judge itself: a history in order breaks no rule, and one that was broken by hand breaks the rule
//! that it was broken for.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wavegate_tests::judge::history::History;
use wavegate_tests::judge::{RULES, judge};

const J1: &str = "00000000-0000-4000-8000-000000000001";
const J2: &str = "00000000-0000-4000-8000-000000000002";

/// An exchange that took five milliseconds.
fn exchange(
    sent: u64,
    who: &str,
    line: &str,
    request: &Value,
    status: u64,
    answer: &Value,
) -> Value {
    let (method, path) = line.split_once(' ').unwrap();
    json!({ "sent": sent, "answered": sent + 5, "who": who, "method": method, "path": path,
        "request": request, "status": status, "answer": answer })
}

fn poll(sent: u64, who: &str, rollout: &str, wave: u64) -> Value {
    let dispatch = json!({ "rollout_id": rollout, "channel": "stable", "wave": wave,
        "target_closure": "sha256:aa", "no_change": false, "attempt": 1,
        "issued_at": "2026-11-21T09:00:00.000Z", "expires_at": "2026-11-21T09:05:00.000Z" });
    exchange(sent, who, "GET /v1/agent/dispatch?wait_secs=55", &Value::Null, 200, &dispatch)
}

fn post(sent: u64, who: &str, rollout: &str, id: &str, events: &[(u64, Value)]) -> Value {
    let last_seq = events.last().unwrap().0;
    let events: Vec<Value> = events
        .iter()
        .map(|(seq, event)| json!({ "seq": seq, "at": "…", "event": event }))
        .collect();
    let request =
        json!({ "rollout_id": rollout, "journal_id": id, "replay": false, "events": events });
    exchange(sent, who, "POST /v1/agent/events", &request, 200, &json!({ "last_seq": last_seq }))
}

fn row(seq: u64, host: &str, rollout: &str, kind: &str, (id, of): (&str, u64)) -> Value {
    json!({ "seq": seq, "host": host, "rollout_id": rollout, "kind": kind,
        "payload": { "journal_id": id, "seq": of } })
}

fn status(sent: u64, serial: u64, last_seq: u64) -> Value {
    let answer = json!({ "cp_epoch": "one", "serial": serial, "log": { "last_seq": last_seq } });
    exchange(sent, "operator", "GET /v1/status", &Value::Null, 200, &answer)
}

fn publish(sent: u64, serial: u64) -> Value {
    let answer = json!({ "serial": serial, "rollouts_opened": [format!("stable@r{serial}")] });
    exchange(sent, "operator", "POST /v1/releases", &Value::Null, 201, &answer)
}

fn ack() -> Value {
    json!({ "kind": "dispatch_ack", "attempt": 1, "prior_closure": null })
}

fn event(kind: &str) -> Value {
    json!({ "kind": kind })
}

/// Two hosts, one after the other, under a budget of one; then a release that fails on the first.
fn in_order() -> Vec<Value> {
    let (r1, r2) = ("stable@r1", "stable@r2");
    let rows = vec![
        row(1, "host-01", r1, "dispatch_ack", (J1, 1)),
        row(2, "host-01", r1, "converged", (J1, 2)),
        row(3, "host-02", r1, "dispatch_ack", (J2, 1)),
        row(4, "host-02", r1, "converged", (J2, 2)),
        row(5, "host-01", r2, "dispatch_ack", (J1, 1)),
        row(6, "host-01", r2, "failed", (J1, 2)),
    ];
    let events = |sent| {
        let answer = json!({ "items": rows, "next_cursor": null });
        exchange(sent, "operator", "GET /v1/events?after_seq=0", &Value::Null, 200, &answer)
    };
    vec![
        publish(0, 1),
        poll(10, "host-01", r1, 0),
        post(20, "host-01", r1, J1, &[(1, ack())]),
        post(30, "host-01", r1, J1, &[(2, event("converged"))]),
        status(40, 1, 2),
        poll(50, "host-02", r1, 1),
        post(60, "host-02", r1, J2, &[(1, ack())]),
        post(70, "host-02", r1, J2, &[(2, event("converged"))]),
        publish(80, 2),
        poll(90, "host-01", r2, 0),
        post(100, "host-01", r2, J1, &[(1, ack())]),
        post(110, "host-01", r2, J1, &[(2, event("failed"))]),
        status(120, 2, 6),
        events(130),
        events(140),
    ]
}

fn rules_broken(exchanges: &[Value]) -> BTreeSet<&'static str> {
    let terms = json!({ "waves": { "host-01": 0, "host-02": 1 }, "max_failures": 0,
        "budgets": [{ "limit": 1, "hosts": ["host-01", "host-02"] }] });
    let mut text = json!({ "terms": { "stable@r1": terms, "stable@r2": terms } }).to_string();
    for exchange in exchanges {
        text.push('\n');
        text.push_str(&exchange.to_string());
    }
    judge(&History::parse(&text).unwrap()).into_iter().map(|finding| finding.rule).collect()
}

/// How one rule is broken in a history that was in order.
type Breaking = fn(&mut Vec<Value>);

/// The events that were read, in both pages, from the row with this number on.
fn rows(history: &mut [Value], from: usize) -> impl Iterator<Item = &mut Value> {
    history.iter_mut().skip(from).filter_map(|exchange| exchange["answer"].get_mut("items"))
}

const BROKEN: [(&str, Breaking); RULES.len()] = [
    ("acknowledged-was-sent", |history| history[3]["answer"]["last_seq"] = json!(3)),
    ("never-taken-back", |history| {
        let mut again = post(38, "host-01", "stable@r1", J1, &[(2, event("converged"))]);
        again["answer"]["last_seq"] = json!(1);
        history.push(again);
    }),
    ("refused-stays-refused", |history| {
        let mut refused = history[3].clone();
        refused["sent"] = json!(22);
        refused["answered"] = json!(25);
        refused["status"] = json!(422);
        refused["answer"] =
            json!({ "type": "urn:wavegate:problem:event-refused", "seq": 2, "last_seq": 2 });
        history.push(refused);
    }),
    ("one-dispatch-an-attempt", |history| {
        let mut again = poll(16, "host-01", "stable@r1", 0);
        again["answer"]["target_closure"] = json!("sha256:bb");
        history.push(again);
    }),
    ("within-the-lease", |history| {
        history[1]["answer"]["expires_at"] = json!("2026-11-21T09:00:00.003Z");
    }),
    ("waves-in-order", |history| {
        // Given out before the first wave told that it has converged; acknowledged after that.
        history[5] = poll(21, "host-02", "stable@r1", 1);
    }),
    ("budgets-hold", |history| {
        // The first host starts again while the second is in flight.
        let mut again = poll(55, "host-01", "stable@r1", 0);
        again["answer"]["attempt"] = json!(2);
        history.push(again);
        let ack = json!({ "kind": "dispatch_ack", "attempt": 2 });
        history.push(post(62, "host-01", "stable@r1", J1, &[(3, ack)]));
        let logged = row(7, "host-01", "stable@r1", "dispatch_ack", (J1, 3));
        rows(history, 0).for_each(|rows| rows.as_array_mut().unwrap().push(logged.clone()));
    }),
    ("nothing-after-a-halt", |history| {
        history.push(poll(116, "host-01", "stable@r2", 0));
    }),
    ("nothing-superseded", |history| history.push(poll(86, "host-01", "stable@r1", 0))),
    ("serial-never-falls", |history| history.push(status(127, 1, 6))),
    ("log-never-falls", |history| history.push(status(127, 2, 5))),
    ("log-rows-stand", |history| {
        let page = rows(history, 14).next().unwrap();
        page[2]["payload"]["more"] = json!(1);
    }),
    ("acknowledged-is-logged-once", |history| {
        rows(history, 0).for_each(|rows| rows[5]["kind"] = json!("degraded"));
    }),
];

#[test]
fn r7_a_history_in_order_breaks_no_rule() {
    assert_eq!(rules_broken(&in_order()), BTreeSet::new());
}

#[test]
fn r7_every_rule_is_broken_by_a_history_that_was_broken_for_it() {
    let covered: BTreeSet<&str> = BROKEN.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(covered, RULES.into_iter().collect());
    for (rule, breaks) in BROKEN {
        let mut history = in_order();
        breaks(&mut history);
        assert_eq!(rules_broken(&history), BTreeSet::from([rule]), "{rule}");
    }
}

/// A wiped database may tell of less; the judge sees it by the epoch.
#[test]
fn r7_what_was_told_before_a_wipe_need_not_hold_after() {
    let mut history = in_order();
    let mut after = status(150, 2, 1);
    after["answer"]["cp_epoch"] = json!("two");
    history.push(after);
    assert_eq!(rules_broken(&history), BTreeSet::new());
}
