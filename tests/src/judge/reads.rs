//! Rules of what is read: serials and the log only grow, rows of the log stand, and every acknowledged
//! event is one of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::history::{Exchange, History};
use super::posts::{Posts, Told};
use super::{Finding, finding};

pub(super) const SERIAL_NEVER_FALLS: &str = "serial-never-falls";
pub(super) const LOG_NEVER_FALLS: &str = "log-never-falls";
pub(super) const LOG_ROWS_STAND: &str = "log-rows-stand";
pub(super) const ACKNOWLEDGED_IS_LOGGED_ONCE: &str = "acknowledged-is-logged-once";

pub(super) fn findings(history: &History, posts: &Posts<'_>) -> Vec<Finding> {
    let serial = |exchange: &Exchange| {
        let published = exchange.is("POST", "/v1/releases") && exchange.status == 201;
        let read = exchange.is("GET", "/v1/status") && exchange.status == 200;
        (published || read).then(|| exchange.answer["serial"].as_u64())?
    };
    let log = |exchange: &Exchange| {
        let read = exchange.is("GET", "/v1/status") && exchange.status == 200;
        read.then(|| exchange.answer["log"]["last_seq"].as_u64())?
    };
    let mut findings = never_falls(history, SERIAL_NEVER_FALLS, serial);
    findings.extend(never_falls(history, LOG_NEVER_FALLS, log));
    let mut rows: BTreeMap<u64, (&Exchange, &Value)> = BTreeMap::new();
    findings.extend(rows_stand(history, &mut rows));
    if !rows.is_empty() {
        findings.extend(posts.events.values().filter_map(|told| logged_once(&rows, told)));
    }
    findings
}

fn never_falls(
    history: &History,
    rule: &'static str,
    figure: impl Fn(&Exchange) -> Option<u64>,
) -> Vec<Finding> {
    let told = history
        .exchanges
        .iter()
        .filter_map(|exchange| Some((exchange, exchange.answered?, figure(exchange)?)));
    let told: Vec<(&Exchange, u64, u64)> = told.collect();
    let mut findings = Vec::new();
    for (_, answered, before) in &told {
        let later = told.iter().filter(|(exchange, ..)| exchange.sent > *answered);
        for (exchange, at, _) in later.filter(|(.., after)| after < before) {
            if !history.database_changed(*answered, *at) {
                findings.push(finding(rule, exchange, format!("it was {before} before")));
            }
        }
    }
    findings
}

/// Pages have no gaps, and a row that is read again says the same.
fn rows_stand<'a>(
    history: &'a History,
    rows: &mut BTreeMap<u64, (&'a Exchange, &'a Value)>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for exchange in history.exchanges.iter().filter(|exchange| exchange.is("GET", "/v1/events")) {
        let Some((at, page)) = exchange.answer(200) else { continue };
        let mut last = None;
        for row in page["items"].as_array().into_iter().flatten() {
            let seq = row["seq"].as_u64().unwrap_or(0);
            if last.is_some_and(|last| seq != last + 1) {
                findings.push(finding(
                    LOG_ROWS_STAND,
                    exchange,
                    format!("row {seq} follows {last:?}"),
                ));
            }
            last = Some(seq);
            let (first, known) = *rows.entry(seq).or_insert((exchange, row));
            if known != row && !history.database_changed(first.sent, at) {
                findings.push(finding(LOG_ROWS_STAND, exchange, format!("row {seq} was {known}")));
            }
        }
    }
    findings
}

/// The log was read to its end after everything was over.
fn logged_once(rows: &BTreeMap<u64, (&Exchange, &Value)>, told: &Told<'_>) -> Option<Finding> {
    told.acknowledged?;
    let same = |row: &&Value| {
        row["host"] == *told.journal.host
            && row["rollout_id"] == *told.journal.rollout
            && row["kind"] == told.kind
            && row["payload"]["journal_id"] == *told.journal.id
            && row["payload"]["seq"] == told.seq
    };
    // A refused event that is told again in a replay is acknowledged in the form it was refused in.
    if told.kind == "refused" || told.refused.is_some() {
        return None;
    }
    let times = rows.values().map(|(_, row)| *row).filter(same).count();
    (times != 1).then(|| {
        let detail = format!("seq {} ({}) is in the log {times} times", told.seq, told.kind);
        finding(ACKNOWLEDGED_IS_LOGGED_ONCE, told.request, detail)
    })
}
