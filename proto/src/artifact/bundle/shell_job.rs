//! `kind = "shell-job"`: a program that runs once on a host.
//!
//! Not here: whether a host lets bundles run programs, and running them (the agent).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::Sha256Hash;

/// The longest a job may take, in seconds.
const MAX_JOB_TIMEOUT_SECS: u64 = 24 * 3600;

/// The most bytes that are kept of each output of a job.
const MAX_JOB_OUTPUT_BYTES: u32 = 1024 * 1024;

/// The most arguments or variables of a job.
const MAX_JOB_WORDS: usize = 1024;

/// `kind = "shell-job"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "JobKeys", into = "JobKeys")]
pub struct ShellJobSpec {
    /// The program and its arguments; no shell reads them.
    pub argv: Vec<String>,
    /// Its environment, beside `PATH` and `WAVEGATE_ROOT`.
    pub env: BTreeMap<String, String>,
    /// How long it may take, in seconds; 1 to 86,400.
    pub timeout_secs: u64,
    /// How much is kept of the end of each output, in bytes; at most 1 MiB.
    pub output_bytes: u32,
}

impl ShellJobSpec {
    /// What is done, as a hash: a job of the same content is the same job, whatever its limits.
    #[must_use]
    pub fn content(&self) -> Sha256Hash {
        // Each text with its length before it, so that no two jobs are written alike.
        let mut bytes = Vec::new();
        let variables = self.env.iter().flat_map(|(key, value)| [key, value]);
        for text in self.argv.iter().chain(variables) {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&(self.argv.len() as u64).to_be_bytes());
        Sha256Hash::of(&bytes)
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobKeys {
    argv: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default = "default_timeout_secs")]
    timeout_secs: u64,
    #[serde(default = "default_output_bytes")]
    output_bytes: u32,
}

fn default_timeout_secs() -> u64 {
    300
}

fn default_output_bytes() -> u32 {
    65_536
}

impl TryFrom<JobKeys> for ShellJobSpec {
    type Error = String;

    fn try_from(keys: JobKeys) -> Result<Self, String> {
        let JobKeys { argv, env, timeout_secs, output_bytes } = keys;
        if argv.first().is_none_or(String::is_empty) {
            return Err("argv is empty".to_owned());
        }
        if argv.len() > MAX_JOB_WORDS || env.len() > MAX_JOB_WORDS {
            return Err(format!("more than {MAX_JOB_WORDS} arguments or variables"));
        }
        let bad_name = |key: &&String| key.is_empty() || key.contains(['=', '\0']);
        if let Some(name) = env.keys().find(bad_name) {
            return Err(format!("env: {name:?} is no name of a variable"));
        }
        if argv.iter().chain(env.values()).any(|text| text.contains('\0')) {
            return Err("argv and env cannot hold a NUL".to_owned());
        }
        if !(1..=MAX_JOB_TIMEOUT_SECS).contains(&timeout_secs) {
            return Err("timeout must be 1s to 24h".to_owned());
        }
        if output_bytes > MAX_JOB_OUTPUT_BYTES {
            return Err(format!("output_bytes must be at most {MAX_JOB_OUTPUT_BYTES}"));
        }
        Ok(Self { argv, env, timeout_secs, output_bytes })
    }
}

impl From<ShellJobSpec> for JobKeys {
    fn from(spec: ShellJobSpec) -> Self {
        let ShellJobSpec { argv, env, timeout_secs, output_bytes } = spec;
        Self { argv, env, timeout_secs, output_bytes }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(keys: serde_json::Value) -> ShellJobSpec {
        serde_json::from_value(keys).unwrap()
    }

    #[test]
    fn the_content_is_what_is_done_and_not_how_long_it_may_take() {
        let content = job(json!({"argv": ["a", "b"], "env": {"c": "d"}})).content();
        let slow = json!({"argv": ["a", "b"], "env": {"c": "d"}, "timeout_secs": 9});
        assert_eq!(job(slow).content(), content);
        for other in [
            json!({"argv": ["a", "b", "c", "d"]}),
            json!({"argv": ["a"], "env": {"b": "", "c": "d"}}),
            json!({"argv": ["ab"], "env": {"c": "d"}}),
            json!({"argv": ["a", "b"], "env": {"c": "e"}}),
        ] {
            assert_ne!(job(other).content(), content);
        }
    }

    #[test]
    fn jobs_without_sense_are_refused() {
        for bad in [
            json!({"argv": []}),
            json!({"argv": [""]}),
            json!({"argv": ["a\0"]}),
            json!({"argv": ["a"], "env": {"A=B": ""}}),
            json!({"argv": ["a"], "timeout_secs": 0}),
            json!({"argv": ["a"], "output_bytes": 2_000_000}),
            json!({"argv": ["a"], "shell": true}),
        ] {
            assert!(serde_json::from_value::<ShellJobSpec>(bad.clone()).is_err(), "{bad}");
        }
    }
}
