//! Rules of the events' endpoint: what was acknowledged was sent and stays, what was refused stays so.

use std::collections::BTreeMap;

use super::history::{Exchange, History};
use super::posts::{Journal, Posts, events, journal, refused};
use super::{Finding, finding};

pub(super) const ACKNOWLEDGED_WAS_SENT: &str = "acknowledged-was-sent";
pub(super) const NEVER_TAKEN_BACK: &str = "never-taken-back";
pub(super) const REFUSED_STAYS_REFUSED: &str = "refused-stays-refused";

pub(super) fn findings(history: &History, posts: &Posts<'_>) -> Vec<Finding> {
    let mut by_journal: BTreeMap<Journal, Vec<&Exchange>> = BTreeMap::new();
    for exchange in &history.exchanges {
        if let Some(journal) = journal(exchange) {
            by_journal.entry(journal).or_default().push(exchange);
        }
    }
    let mut findings = Vec::new();
    for (journal, exchanges) in &by_journal {
        for exchange in exchanges {
            findings.extend(was_sent(posts, journal, exchange));
            findings.extend(stays_refused(posts, journal, exchange));
        }
        findings.extend(stays(history, exchanges));
    }
    findings
}

/// A 200 covers every seq from 1 on, without a gap, and each was sent before it.
fn was_sent(posts: &Posts<'_>, journal: &Journal, exchange: &Exchange) -> Option<Finding> {
    let (at, answer) = exchange.answer(200)?;
    let last_seq = answer["last_seq"].as_u64().unwrap_or(0);
    let sent = |seq: &u64| {
        let told = posts.events.get(&(journal.clone(), *seq));
        told.is_some_and(|told| told.request.sent <= at)
    };
    let missing = (1..=last_seq).find(|seq| !sent(seq))?;
    let detail = format!("200 covers seq {last_seq}, and seq {missing} was never sent");
    Some(finding(ACKNOWLEDGED_WAS_SENT, exchange, detail))
}

/// Whoever asks after an acknowledgement is never told of less.
fn stays(history: &History, exchanges: &[&Exchange]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for before in exchanges {
        let Some((at, answer)) = before.answer(200) else { continue };
        let known = answer["last_seq"].as_u64().unwrap_or(0);
        for after in exchanges.iter().filter(|after| after.sent > at) {
            let has = match after.status {
                200 => after.answer["last_seq"].as_u64(),
                409 => after.answer["expected_seq"].as_u64().map(|expected| expected - 1),
                _ => None,
            };
            if let Some(has) = has.filter(|has| *has < known)
                && !history.database_changed(at, after.answered.unwrap_or(after.sent))
            {
                let detail = format!("seq {known} was acknowledged, now it is {has}");
                findings.push(finding(NEVER_TAKEN_BACK, after, detail));
            }
        }
    }
    findings
}

/// A seq that was refused is not taken when it is repeated (in a replay it stands as refused).
fn stays_refused(posts: &Posts<'_>, journal: &Journal, exchange: &Exchange) -> Option<Finding> {
    exchange.answer(200)?;
    let repeated = |(seq, event): &(u64, &serde_json::Value)| {
        let told = posts.events.get(&(journal.clone(), *seq));
        let refused = told.and_then(|told| told.refused);
        event["kind"] != "refused" && refused.is_some_and(|at| at < exchange.sent)
    };
    let (seq, _) = events(exchange).find(repeated)?;
    debug_assert!(refused(exchange).is_none(), "a 200 refuses nothing");
    let detail = format!("seq {seq} was refused, and is acknowledged when it is repeated");
    Some(finding(REFUSED_STAYS_REFUSED, exchange, detail))
}
