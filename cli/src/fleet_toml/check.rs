//! Health checks and probes as people write them: the keys of the wire, with durations as text.
//!
//! Not here: merging the scopes (see [`crate::release::checks`]), running them (the agent).

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::{Map, Value};
use wavegate_proto::artifact::bundle::{HealthGate, Probe};

use super::scalar::Seconds;

/// A health check; the same thing as a probe of a bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck(pub Probe);

impl<'de> Deserialize<'de> for HealthCheck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = Map::deserialize(deserializer)?;
        read_probe(keys).map(Self).map_err(D::Error::custom)
    }
}

/// Reads a probe.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn read_probe(mut keys: Map<String, Value>) -> Result<Probe, String> {
    duration_key(&mut keys, "interval")?;
    duration_key(&mut keys, "timeout")?;
    if keys.get("kind").and_then(Value::as_str) == Some("evidence") {
        duration_key(&mut keys, "max_age")?;
    } else {
        check_kind(&keys)?;
    }
    // A short interval takes its default time-out with it: the default must not make it invalid.
    if let (Some(interval), None) =
        (keys.get("interval_secs").and_then(Value::as_u64), keys.get("timeout_secs"))
        && interval <= 5
    {
        keys.insert("timeout_secs".to_owned(), Value::from(interval.saturating_sub(1).max(1)));
    }
    serde_json::from_value(Value::Object(keys)).map_err(|error| sentence(&error))
}

/// Reads a health gate: the keys of a check, with `retries` and a `timeout` for all tries together.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn read_gate(mut keys: Map<String, Value>) -> Result<HealthGate, String> {
    duration_key(&mut keys, "timeout")?;
    check_kind(&keys)?;
    serde_json::from_value(Value::Object(keys)).map_err(|error| sentence(&error))
}

fn check_kind(keys: &Map<String, Value>) -> Result<(), String> {
    match keys.get("kind").and_then(Value::as_str) {
        Some("http" | "tcp" | "exec") => Ok(()),
        Some("evidence") => Err("kind `evidence` is a probe, and no gate of a resource".to_owned()),
        Some(other) => {
            Err(format!("unknown variant `{other}`, expected one of `http`, `tcp`, `exec`"))
        }
        None => Err("missing key `kind`".to_owned()),
    }
}

/// `interval = "15s"` becomes `interval_secs = 15`; the wire's own key is not for people.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn duration_key(keys: &mut Map<String, Value>, key: &str) -> Result<(), String> {
    let wire_key = format!("{key}_secs");
    if keys.contains_key(&wire_key) {
        return Err(format!("unknown field `{wire_key}`, expected `{key}`"));
    }
    let Some(value) = keys.remove(key) else { return Ok(()) };
    let Some(text) = value.as_str() else {
        return Err(format!("{key}: expected a duration such as \"15s\""));
    };
    let seconds: Seconds = text.parse().map_err(|error| format!("{key}: {error}"))?;
    keys.insert(wire_key, Value::from(seconds.0));
    Ok(())
}

fn sentence(error: &serde_json::Error) -> String {
    error.to_string().replace("missing field", "missing key")
}
