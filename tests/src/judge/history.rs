//! What was recorded: first a line with the plan of each rollout, then a line an exchange.
//!
//! `{"terms":{"stable@r1":{"waves":{"host-01":0},"max_failures":0,"budgets":[{"limit":2,"hosts":["host-01"]}]}}}`
//!
//! `{"sent":12,"answered":15,"who":"host-01","method":"POST","path":"/v1/agent/events","request":{…},"status":200,"answer":{…}}`,
//! in milliseconds of one clock that only goes forward; `answered`, `status` and `answer` are null when
//! there was no answer.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Terms;

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// When the request was seen, before the control plane saw it.
    pub sent: u64,
    /// When the answer was seen, before whoever asked saw it.
    pub answered: Option<u64>,
    /// `host-01`, or `operator`.
    pub who: String,
    pub method: String,
    /// Without the query.
    pub path: String,
    pub request: Value,
    pub status: u64,
    pub answer: Value,
}

impl Exchange {
    /// The answer, if there was one with this status, and when.
    pub(super) fn answer(&self, status: u64) -> Option<(u64, &Value)> {
        let at = self.answered.filter(|_| self.status == status)?;
        Some((at, &self.answer))
    }

    pub(super) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }
}

/// Everything that was recorded.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub terms: BTreeMap<String, Terms>,
    /// By when they were sent.
    pub exchanges: Vec<Exchange>,
}

impl History {
    /// Reads lines of JSON.
    ///
    /// # Errors
    /// Which line is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut history = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = |what: &str| format!("line {number}: {what}");
            let value: Value = serde_json::from_str(line).map_err(|e| wrong(&e.to_string()))?;
            if let Some(terms) = value["terms"].as_object() {
                history.terms = terms.iter().map(|(id, t)| (id.clone(), terms_of(t))).collect();
            } else {
                history.exchanges.push(exchange(&value).ok_or_else(|| wrong("no exchange"))?);
            }
        }
        history.exchanges.sort_by_key(|exchange| exchange.sent);
        Ok(history)
    }

    /// Whether the database was another one at some time between the two: what was told before need not
    /// hold after.
    pub(super) fn database_changed(&self, from: u64, to: u64) -> bool {
        let told = self.exchanges.iter().filter_map(|exchange| {
            let (at, answer) = exchange.answer(200)?;
            Some((at, answer["cp_epoch"].as_str()?))
        });
        let mut told: Vec<(u64, &str)> = told.collect();
        told.sort_unstable();
        let changes = told.windows(2).filter(|pair| pair[0].1 != pair[1].1);
        // The change itself was somewhere between the last of the old and the first of the new.
        changes.into_iter().any(|pair| pair[0].0 <= to && pair[1].0 >= from)
    }
}

fn terms_of(value: &Value) -> Terms {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let waves = value["waves"].as_object().into_iter().flatten();
    let budgets = value["budgets"].as_array().into_iter().flatten();
    Terms {
        waves: waves.map(|(host, wave)| (host.clone(), wave.as_u64().unwrap_or(0))).collect(),
        max_failures: number(&value["max_failures"]),
        budgets: budgets
            .map(|budget| {
                let hosts = budget["hosts"].as_array().into_iter().flatten();
                let hosts = hosts.filter_map(|host| host.as_str().map(str::to_owned)).collect();
                (number(&budget["limit"]), hosts)
            })
            .collect(),
    }
}

fn exchange(value: &Value) -> Option<Exchange> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    Some(Exchange {
        sent: value["sent"].as_u64()?,
        answered: value["answered"].as_u64(),
        who: text("who")?,
        method: text("method")?,
        path: text("path")?.split('?').next()?.to_owned(),
        request: value["request"].clone(),
        status: value["status"].as_u64().unwrap_or(0),
        answer: value["answer"].clone(),
    })
}

/// Milliseconds of a time as the protocol writes it, `2026-11-21T09:00:00.000Z`; only differences of
/// them mean something.
pub(super) fn millis(time: &Value) -> Option<i64> {
    let number = |from: usize, to: usize| time.as_str()?.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // Days since the first of March of year 0: the year begins in March, so that leap days end it.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let secs = ((days * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60 + number(17, 19)?;
    Some(secs * 1000 + number(20, 23).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::millis;

    #[test]
    fn times_are_apart_what_they_say() {
        let apart =
            |from: &str, to: &str| millis(&json!(to)).unwrap() - millis(&json!(from)).unwrap();
        assert_eq!(apart("2026-11-21T09:00:00.000Z", "2026-11-21T09:05:00.250Z"), 300_250);
        assert_eq!(apart("2028-02-28T23:59:59.000Z", "2028-03-01T00:00:00.000Z"), 86_401_000);
        assert_eq!(apart("2026-12-31T23:59:59Z", "2027-01-01T00:00:00.000Z"), 1_000);
        assert_eq!(millis(&json!("soon")), None);
    }
}
