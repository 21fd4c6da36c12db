//! `[pins.HOST]`: single hosts that run something else for a while, and until when.
//!
//! A pin that has expired is an error, not a warning: taking it away by itself would change what the
//! host runs in a release that somebody builds for another reason.
//!
//! Not here: what the host runs instead (see [`super::resolve`]).

use std::collections::BTreeMap;

use serde::Serialize;
use wavegate_proto::ids::HostName;
use wavegate_proto::time::Timestamp;

use crate::fleet_toml::FleetFile;
use crate::fleet_toml::model::PinSection;
use crate::fleet_toml::source::Complaints;
use crate::suggest;

/// How far ahead a pin may end, in seconds: a year.
const MAX_PIN_SECS: u64 = 366 * 86_400;

const MAX_REASON_CHARS: usize = 500;

/// A pin that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pin {
    /// From when on nothing is built with it.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// The pins by host.
pub(super) type Pins = BTreeMap<HostName, Pin>;

/// Reads every pin as of `now`; complains of those that cannot count.
pub(super) fn read(file: &FleetFile, now: Timestamp, complaints: &mut Complaints<'_>) -> Pins {
    let mut pins = Pins::new();
    for (host, section) in &file.keys.pins {
        if !file.keys.hosts.contains_key(host) {
            let known: Vec<&str> = file.keys.hosts.keys().map(HostName::as_str).collect();
            complaints.add_with_hint(
                &["pins", host.as_str()],
                format!("a pin of unknown host `{host}`"),
                suggest::hint(host.as_str(), &known),
            );
            continue;
        }
        if section.bundle.is_none() && section.closure.is_none() {
            complaints.add(&["pins", host.as_str()], "a pin needs a `bundle` or a `closure`");
        }
        match read_one(section, now) {
            Ok(pin) => {
                pins.insert(host.clone(), pin);
            }
            Err((key, message)) => complaints.add_with_hint(
                &["pins", host.as_str(), key],
                format!("the pin of host {host} {message}"),
                (key == "until").then(|| "take it out, or write a later `until`".to_owned()),
            ),
        }
    }
    pins
}

fn read_one(section: &PinSection, now: Timestamp) -> Result<Pin, (&'static str, String)> {
    let until = section.until.0;
    if until <= now {
        return Err(("until", format!("has expired at {until}")));
    }
    if until > now.plus_secs(MAX_PIN_SECS) {
        return Err((
            "until",
            "ends in more than a year: give the host a class instead".to_owned(),
        ));
    }
    let length = section.reason.trim().chars().count();
    if !(1..=MAX_REASON_CHARS).contains(&length) {
        return Err(("reason", format!("needs a reason of 1 to {MAX_REASON_CHARS} characters")));
    }
    Ok(Pin { until, reason: section.reason.trim().to_owned() })
}
