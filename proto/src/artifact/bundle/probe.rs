//! Probes: what is asked again and again to see whether the host is healthy.
//!
//! Not here: running them (the agent), their results (see [`crate::record`]).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::artifact::bundle::check::Check;
use crate::artifact::bundle::keys::{keys_of, missing, put, take};
use crate::ids::ProbeName;
use crate::record::ProbeMode;

/// Something asked again and again to see whether the host is healthy.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Its name, unique in the bundle.
    pub name: ProbeName,
    /// What its result counts for.
    pub mode: ProbeMode,
    /// How often it runs, in seconds; 1 to 3600.
    pub interval_secs: u64,
    /// How long one run may take, in seconds; less than the interval, or equal at 1 s.
    pub timeout_secs: u64,
    /// What it asks.
    pub check: Check,
}

/// The longest interval of a probe, in seconds.
pub const MAX_PROBE_INTERVAL_SECS: u64 = 3600;

/// The kind's own keys beside the common ones.
impl Serialize for Probe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = keys_of(&self.check)?;
        put(&mut keys, "name", &self.name)?;
        put(&mut keys, "mode", &self.mode)?;
        put(&mut keys, "interval_secs", &self.interval_secs)?;
        put(&mut keys, "timeout_secs", &self.timeout_secs)?;
        keys.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = Map::deserialize(deserializer)?;
        let name = take(&mut keys, "name")?.ok_or_else(|| missing("name"))?;
        let mode = take(&mut keys, "mode")?.unwrap_or(ProbeMode::Enforce);
        let interval_secs = take(&mut keys, "interval_secs")?.unwrap_or(15);
        let timeout_secs = take(&mut keys, "timeout_secs")?.unwrap_or(5);
        if !(1..=MAX_PROBE_INTERVAL_SECS).contains(&interval_secs) {
            return Err(serde::de::Error::custom("interval must be 1s to 1h"));
        }
        if timeout_secs == 0 || (timeout_secs >= interval_secs && timeout_secs > 1) {
            return Err(serde::de::Error::custom(
                "timeout must be at least 1s and below the interval",
            ));
        }
        let check =
            serde_json::from_value(Value::Object(keys)).map_err(serde::de::Error::custom)?;
        Ok(Self { name, mode, interval_secs, timeout_secs, check })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(times: &str) -> Result<Probe, serde_json::Error> {
        let text = format!(r#"{{"name":"p","kind":"exec","argv":["true"]{times}}}"#);
        serde_json::from_str(&text)
    }

    #[test]
    fn defaults_are_written_out() {
        let probe = read("").unwrap();
        let expected = serde_json::json!({
            "name": "p", "kind": "exec", "mode": "enforce", "interval_secs": 15, "timeout_secs": 5,
            "argv": ["true"], "env": {}, "user": "nobody", "expect_exit": 0,
        });
        assert_eq!(serde_json::to_value(&probe).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Probe>(expected).unwrap(), probe);
    }

    #[test]
    fn a_run_ends_before_the_next_one_is_due() {
        for (interval, timeout, fine) in [
            (1, 1, true),
            (2, 1, true),
            (2, 2, false),
            (3600, 5, true),
            (3601, 5, false),
            (0, 1, false),
            (5, 0, false),
        ] {
            let times = format!(r#","interval_secs":{interval},"timeout_secs":{timeout}"#);
            assert_eq!(read(&times).is_ok(), fine, "{interval} {timeout}");
        }
        assert!(read(r#","intervall_secs":1"#).is_err());
    }
}
