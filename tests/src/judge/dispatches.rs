//! Rules of dispatches: one an attempt, acknowledged within its lease, waves in order, budgets kept.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::history::{Exchange, History, millis};
use super::posts::{Posts, Told};
use super::{Finding, Terms, finding};

pub(super) const ONE_DISPATCH_AN_ATTEMPT: &str = "one-dispatch-an-attempt";
pub(super) const WITHIN_THE_LEASE: &str = "within-the-lease";
pub(super) const WAVES_IN_ORDER: &str = "waves-in-order";
pub(super) const BUDGETS_HOLD: &str = "budgets-hold";

/// A dispatch as its host was given it.
pub(super) struct Dispatch<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) host: &'a str,
    pub(super) rollout: &'a str,
    pub(super) attempt: u64,
    pub(super) at: u64,
    pub(super) document: &'a Value,
}

pub(super) fn dispatches(history: &History) -> Vec<Dispatch<'_>> {
    let dispatch = |exchange| dispatch(exchange);
    history.exchanges.iter().filter_map(dispatch).collect()
}

fn dispatch(exchange: &Exchange) -> Option<Dispatch<'_>> {
    if !exchange.is("GET", "/v1/agent/dispatch") {
        return None;
    }
    let (at, document) = exchange.answer(200)?;
    let rollout = document["rollout_id"].as_str()?;
    let attempt = document["attempt"].as_u64()?;
    Some(Dispatch { exchange, host: &exchange.who, rollout, attempt, at, document })
}

pub(super) fn findings(history: &History, posts: &Posts<'_>) -> Vec<Finding> {
    let dispatches = dispatches(history);
    let mut findings = one_an_attempt(&dispatches);
    findings.extend(posts.events.values().filter_map(|told| within_the_lease(&dispatches, told)));
    for dispatch in &dispatches {
        let Some(terms) = history.terms.get(dispatch.rollout) else { continue };
        findings.extend(in_order(posts, terms, dispatch));
    }
    for (rollout, terms) in &history.terms {
        findings.extend(budgets(posts, rollout, terms));
    }
    findings
}

/// Asking again before acknowledging returns the same dispatch.
fn one_an_attempt(dispatches: &[Dispatch<'_>]) -> Vec<Finding> {
    let mut known: BTreeMap<(&str, &str, u64), &Value> = BTreeMap::new();
    let mut findings = Vec::new();
    for dispatch in dispatches {
        let key = (dispatch.host, dispatch.rollout, dispatch.attempt);
        let first = *known.entry(key).or_insert(dispatch.document);
        if first != dispatch.document {
            let detail = format!("attempt {} was {first}, now it is {}", key.2, dispatch.document);
            findings.push(finding(ONE_DISPATCH_AN_ATTEMPT, dispatch.exchange, detail));
        }
    }
    findings
}

/// An acknowledgement is taken only of a dispatch that its host was given, while its lease was open. The
/// lease began before the dispatch was seen, so it was over when its length had passed since.
fn within_the_lease(dispatches: &[Dispatch<'_>], told: &Told<'_>) -> Option<Finding> {
    told.acknowledged?;
    if told.kind != "dispatch_ack" || told.request.request["replay"] == true {
        return None;
    }
    let attempt = told.event["attempt"].as_u64().unwrap_or(0);
    let given = dispatches.iter().find(|dispatch| {
        (dispatch.host, dispatch.rollout) == (&told.journal.host, &told.journal.rollout)
            && dispatch.attempt == attempt
            && dispatch.at <= told.request.sent
    });
    let Some(given) = given else {
        let detail = format!("attempt {attempt} is acknowledged, and no such dispatch was given");
        return Some(finding(WITHIN_THE_LEASE, told.request, detail));
    };
    let length = millis(&given.document["expires_at"])? - millis(&given.document["issued_at"])?;
    let passed = i64::try_from(told.request.sent - given.at).unwrap_or(i64::MAX);
    (passed > length).then(|| {
        let detail = format!("attempt {attempt} is acknowledged {passed} ms into {length} ms");
        finding(WITHIN_THE_LEASE, told.request, detail)
    })
}

/// Nothing goes out to a wave before every host of the earlier ones is done: converged, waiting for its
/// reboot, or one of the failures that are tolerated. A host that nothing changes for does not wait, and a
/// broken one does not wait for its fix.
fn in_order(posts: &Posts<'_>, terms: &Terms, dispatch: &Dispatch<'_>) -> Option<Finding> {
    let own = *terms.waves.get(dispatch.host)?;
    if dispatch.document["no_change"] == true || is_broken(posts, dispatch) {
        return None;
    }
    for wave in 0..own {
        let hosts = terms.waves.iter().filter(|(_, of)| **of == wave);
        let mut failed = 0;
        for (host, _) in hosts {
            let told = posts.of_host(host, dispatch.rollout);
            let mut kinds =
                told.filter(|told| told.request.sent <= dispatch.at).map(|told| told.kind);
            let kinds: BTreeSet<&str> = kinds.by_ref().collect();
            if ["converged", "carried", "activation_deferred"]
                .iter()
                .any(|kind| kinds.contains(kind))
            {
                continue;
            }
            failed += 1;
            let may_fail = kinds.contains("failed") || kinds.contains("activation_failed");
            if !may_fail || failed > terms.max_failures {
                let detail = format!(
                    "{} of wave {own}, and {host} of wave {wave} is not done",
                    dispatch.rollout
                );
                return Some(finding(WAVES_IN_ORDER, dispatch.exchange, detail));
            }
        }
    }
    None
}

/// What the host last told under other rollouts is that it failed and did not go back, or is degraded.
fn is_broken(posts: &Posts<'_>, dispatch: &Dispatch<'_>) -> bool {
    let before = posts.events.values().filter(|told| {
        told.journal.host == dispatch.host
            && told.journal.rollout != dispatch.rollout
            && told.request.sent <= dispatch.at
    });
    let verdicts = before.filter_map(|told| {
        let broken = match told.kind {
            "failed" | "activation_failed" | "degraded" | "rollback_failed" => true,
            "converged" | "carried" | "recovered" | "rollback_complete" => false,
            _ => return None,
        };
        Some((told.request.sent, told.seq, broken))
    });
    verdicts.max().is_some_and(|(_, _, broken)| broken)
}

/// Certainly in flight is a host from when its acknowledgement was answered until it tells how it ended.
fn budgets(posts: &Posts<'_>, rollout: &str, terms: &Terms) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (limit, members) in &terms.budgets {
        let flights: Vec<(u64, u64, &Told<'_>)> =
            members.iter().flat_map(|host| flights(posts, host, rollout)).collect();
        for (begun, _, told) in &flights {
            let at_once = flights.iter().filter(|(from, to, _)| from <= begun && begun < to);
            let hosts: BTreeSet<&str> =
                at_once.map(|(.., told)| told.journal.host.as_str()).collect();
            if hosts.len() > *limit {
                let detail = format!("{rollout}: {hosts:?} are in flight at once, {limit} may be");
                findings.push(finding(BUDGETS_HOLD, told.request, detail));
            }
        }
    }
    findings
}

fn flights<'p, 'a>(
    posts: &'p Posts<'a>,
    host: &str,
    rollout: &str,
) -> Vec<(u64, u64, &'p Told<'a>)> {
    let ends = ["converged", "failed", "activation_failed", "rollback_complete", "carried"];
    let told: Vec<&Told<'_>> = posts.of_host(host, rollout).collect();
    let begun = told.iter().filter(|told| told.kind == "dispatch_ack");
    let begun = begun.filter_map(|ack| Some((ack.acknowledged?, *ack)));
    begun
        .map(|(from, ack)| {
            let later =
                told.iter().filter(|told| told.seq > ack.seq || told.journal != ack.journal);
            let end = later.filter(|told| ends.contains(&told.kind)).map(|told| told.request.sent);
            (from, end.filter(|end| *end >= ack.request.sent).min().unwrap_or(u64::MAX), ack)
        })
        .collect()
}
