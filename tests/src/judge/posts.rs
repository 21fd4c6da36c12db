//! What hosts told, and what of it was acknowledged.

use std::collections::BTreeMap;

use serde_json::Value;

use super::history::{Exchange, History};

/// A journal of a host for a rollout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Journal {
    pub(super) host: String,
    pub(super) rollout: String,
    pub(super) id: String,
}

/// One event as it was told for the first time.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) journal: Journal,
    pub(super) seq: u64,
    pub(super) kind: &'a str,
    pub(super) event: &'a Value,
    /// The first request that held it.
    pub(super) request: &'a Exchange,
    /// When the first answer was seen that says it is committed.
    pub(super) acknowledged: Option<u64>,
    /// When the first answer was seen that refuses it.
    pub(super) refused: Option<u64>,
}

/// Every event, by journal and seq.
pub(super) struct Posts<'a> {
    pub(super) events: BTreeMap<(Journal, u64), Told<'a>>,
}

/// The journal of a request to the events' endpoint.
pub(super) fn journal(exchange: &Exchange) -> Option<Journal> {
    if !exchange.is("POST", "/v1/agent/events") {
        return None;
    }
    Some(Journal {
        host: exchange.who.clone(),
        rollout: exchange.request["rollout_id"].as_str()?.to_owned(),
        id: exchange.request["journal_id"].as_str()?.to_owned(),
    })
}

/// The events of a request, with their seqs.
pub(super) fn events(exchange: &Exchange) -> impl Iterator<Item = (u64, &Value)> {
    let events = exchange.request["events"].as_array().into_iter().flatten();
    events.filter_map(|event| Some((event["seq"].as_u64()?, &event["event"])))
}

/// The seq that an answer refuses.
pub(super) fn refused(exchange: &Exchange) -> Option<(u64, u64)> {
    let (at, answer) = exchange.answer(422)?;
    let is_refusal = answer["type"].as_str()?.ends_with(":event-refused");
    Some((at, answer["seq"].as_u64().filter(|_| is_refusal)?))
}

impl<'a> Posts<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut events_told: BTreeMap<(Journal, u64), Told<'a>> = BTreeMap::new();
        for exchange in &history.exchanges {
            let Some(journal) = journal(exchange) else { continue };
            for (seq, event) in events(exchange) {
                let kind = event["kind"].as_str().unwrap_or_default();
                events_told.entry((journal.clone(), seq)).or_insert_with(|| Told {
                    journal: journal.clone(),
                    seq,
                    kind,
                    event,
                    request: exchange,
                    acknowledged: None,
                    refused: None,
                });
            }
        }
        let mut posts = Self { events: events_told };
        history.exchanges.iter().for_each(|exchange| posts.answered(exchange));
        posts
    }

    fn answered(&mut self, exchange: &Exchange) {
        let Some(journal) = journal(exchange) else { return };
        let refused = refused(exchange);
        let committed = exchange.answer(200).and_then(|(at, answer)| {
            let last_seq = answer["last_seq"].as_u64()?;
            Some((at, last_seq))
        });
        for (seq, _) in events(exchange) {
            let Some(told) = self.events.get_mut(&(journal.clone(), seq)) else { continue };
            let earliest = |known: Option<u64>, at: u64| Some(known.map_or(at, |k| k.min(at)));
            match (committed, refused) {
                (Some((at, last_seq)), _) if seq <= last_seq => {
                    told.acknowledged = earliest(told.acknowledged, at);
                }
                (_, Some((at, stopped))) if seq == stopped => {
                    told.refused = earliest(told.refused, at);
                }
                // What stands before a refused event is committed.
                (_, Some((at, stopped))) if seq < stopped => {
                    told.acknowledged = earliest(told.acknowledged, at);
                }
                _ => {}
            }
        }
    }

    /// What a host told in a rollout, in any of its journals.
    pub(super) fn of_host(&self, host: &str, rollout: &str) -> impl Iterator<Item = &Told<'a>> {
        let of =
            move |told: &&Told<'a>| told.journal.host == host && told.journal.rollout == rollout;
        self.events.values().filter(of)
    }
}
