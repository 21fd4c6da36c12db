//! What a probe or a gate asks.
//!
//! Not here: asking it (the agent).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::ProbeKind;
use crate::signing::PublicKey;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Check {
    /// An HTTP endpoint; redirects are not followed.
    Http {
        /// Where.
        url: String,
        /// The method.
        #[serde(default = "default_method")]
        method: String,
        /// The statuses that pass; empty: 200 to 299.
        #[serde(default)]
        expect_status: Vec<u16>,
        /// What the first 64 KiB of the body must contain.
        #[serde(default)]
        body_contains: Option<String>,
        /// Request headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// A TCP port.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// A program's exit code; run without a shell, with an empty environment.
    Exec {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Its environment, beside `PATH` and `WAVEGATE_ROOT`.
        #[serde(default)]
        env: BTreeMap<String, String>,
        /// The user it runs as.
        #[serde(default = "default_user")]
        user: String,
        /// The exit code that passes.
        #[serde(default)]
        expect_exit: i32,
    },
    /// A signed report of a local collector about single controls; a probe only, no gate.
    Evidence {
        /// Where the report is.
        path: String,
        /// Whose signature counts: an Ed25519 key in base64.
        public_key: PublicKey,
        /// How old it may be, in seconds.
        max_age_secs: u64,
        /// The controls that must be in it; empty: those that are.
        #[serde(default)]
        controls: Vec<String>,
    },
}

fn default_method() -> String {
    "GET".to_owned()
}

fn default_user() -> String {
    "nobody".to_owned()
}

impl Check {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ProbeKind {
        match self {
            Self::Http { .. } => ProbeKind::Http,
            Self::Tcp { .. } => ProbeKind::Tcp,
            Self::Exec { .. } => ProbeKind::Exec,
            Self::Evidence { .. } => ProbeKind::Evidence,
        }
    }
}
