//! Health gates: what must pass after a resource before its dependents start.
//!
//! Written flat like a probe: the keys of the check beside `retries` and `timeout_secs`.
//!
//! Not here: running them (the agent).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::artifact::bundle::check::Check;
use crate::artifact::bundle::keys::{keys_of, put, take};

/// The most checks of a gate.
pub const MAX_GATE_RETRIES: u32 = 1000;

/// The longest a gate may take, in seconds.
pub const MAX_GATE_TIMEOUT_SECS: u64 = 24 * 3600;

/// What must pass after a resource before its dependents start.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthGate {
    /// What is asked.
    pub check: Check,
    /// The most checks; 1 to [`MAX_GATE_RETRIES`].
    pub retries: u32,
    /// The time all checks may take together, in seconds; 1 to [`MAX_GATE_TIMEOUT_SECS`].
    pub timeout_secs: u64,
}

/// The check's own keys beside those of the gate.
impl Serialize for HealthGate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = keys_of(&self.check)?;
        put(&mut keys, "retries", &self.retries)?;
        put(&mut keys, "timeout_secs", &self.timeout_secs)?;
        keys.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HealthGate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let error = serde::de::Error::custom;
        let mut keys = Map::deserialize(deserializer)?;
        let retries = take(&mut keys, "retries")?.unwrap_or(6);
        let timeout_secs = take(&mut keys, "timeout_secs")?.unwrap_or(60);
        if !(1..=MAX_GATE_RETRIES).contains(&retries) {
            return Err(error(format!("retries must be 1 to {MAX_GATE_RETRIES}")));
        }
        if !(1..=MAX_GATE_TIMEOUT_SECS).contains(&timeout_secs) {
            return Err(error("timeout must be 1s to 24h".to_owned()));
        }
        let check =
            serde_json::from_value(Value::Object(keys)).map_err(serde::de::Error::custom)?;
        Ok(Self { check, retries, timeout_secs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_written_flat_with_its_defaults() {
        let gate: HealthGate = serde_json::from_str(r#"{"kind":"tcp","address":"a:1"}"#).unwrap();
        assert_eq!((gate.retries, gate.timeout_secs), (6, 60));
        let written = serde_json::to_value(&gate).unwrap();
        let expected =
            serde_json::json!({"kind":"tcp","address":"a:1","retries":6,"timeout_secs":60});
        assert_eq!(written, expected);
    }

    #[test]
    fn unknown_keys_and_values_without_sense_are_refused() {
        for bad in [
            r#"{"kind":"tcp","address":"a:1","retires":6}"#,
            r#"{"kind":"tcp","address":"a:1","retries":0}"#,
            r#"{"kind":"tcp","address":"a:1","timeout_secs":0}"#,
            r#"{"check":{"kind":"tcp","address":"a:1"}}"#,
            r#"{"kind":"teapot"}"#,
        ] {
            assert!(serde_json::from_str::<HealthGate>(bad).is_err(), "{bad}");
        }
    }
}
