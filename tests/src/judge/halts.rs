//! Rules of rollouts that do not go on: nothing is given out in one that failed, or that a newer release
//! has taken the place of. A poll that waited already may bring what was decided before; one that was sent
//! after the answer may not.

use std::collections::{BTreeMap, BTreeSet};

use super::dispatches::{Dispatch, dispatches};
use super::history::History;
use super::posts::{Posts, Told};
use super::{Finding, Terms, finding};

pub(super) const NOTHING_AFTER_A_HALT: &str = "nothing-after-a-halt";
pub(super) const NOTHING_SUPERSEDED: &str = "nothing-superseded";

pub(super) fn findings(history: &History, posts: &Posts<'_>) -> Vec<Finding> {
    let dispatches = dispatches(history);
    let halts: BTreeMap<&str, u64> = history
        .terms
        .iter()
        .filter_map(|(rollout, terms)| Some((rollout.as_str(), halted(posts, rollout, terms)?)))
        .collect();
    let superseded = superseded(history);
    let after = |at: Option<&u64>, dispatch: &Dispatch<'_>| {
        at.is_some_and(|at| dispatch.exchange.sent > *at)
    };
    let mut findings = Vec::new();
    for dispatch in &dispatches {
        if after(halts.get(dispatch.rollout), dispatch) {
            let detail = format!("{} is given out after it failed", dispatch.rollout);
            findings.push(finding(NOTHING_AFTER_A_HALT, dispatch.exchange, detail));
        }
        if after(superseded.get(dispatch.rollout), dispatch) {
            let detail = format!("{} is given out after a newer one opened", dispatch.rollout);
            findings.push(finding(NOTHING_SUPERSEDED, dispatch.exchange, detail));
        }
    }
    findings
}

/// When it was acknowledged that more hosts of a wave failed for the closure's fault than may.
fn halted(posts: &Posts<'_>, rollout: &str, terms: &Terms) -> Option<u64> {
    let waves: BTreeSet<u64> = terms.waves.values().copied().collect();
    let halts = waves.into_iter().filter_map(|wave| {
        let hosts = terms.waves.iter().filter(|(_, of)| **of == wave);
        let failed = hosts.filter_map(|(host, _)| {
            let told = posts.of_host(host, rollout);
            told.filter(|told| is_artifact_failure(told)).filter_map(|told| told.acknowledged).min()
        });
        let mut failed: Vec<u64> = failed.collect();
        failed.sort_unstable();
        failed.get(terms.max_failures).copied()
    });
    halts.min()
}

fn is_artifact_failure(told: &Told<'_>) -> bool {
    told.kind == "failed" || (told.kind == "activation_failed" && told.event["class"] == "artifact")
}

/// When the answer was seen that opened another rollout on the same channel.
fn superseded(history: &History) -> BTreeMap<String, u64> {
    let mut current: BTreeMap<String, String> = BTreeMap::new();
    let mut superseded = BTreeMap::new();
    for exchange in history.exchanges.iter().filter(|exchange| exchange.is("POST", "/v1/releases"))
    {
        let Some((at, answer)) = exchange.answer(201) else { continue };
        for opened in answer["rollouts_opened"].as_array().into_iter().flatten() {
            let Some((channel, _)) = opened.as_str().and_then(|id| id.split_once('@')) else {
                continue;
            };
            let opened = opened.as_str().unwrap_or_default().to_owned();
            if let Some(before) = current.insert(channel.to_owned(), opened) {
                superseded.insert(before, at);
            }
        }
    }
    superseded
}
