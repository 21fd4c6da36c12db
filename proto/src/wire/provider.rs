//! What the provider of a host's machine says of it, as operators' scripts tell: that a machine is
//! switched off explains a silence. It is shown and never acted on.
//!
//! Not here: what the host says of itself (see [`super::operator`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::ProviderId;
use crate::time::Timestamp;

/// `PUT /v1/hosts/{host}/provider`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSync {
    /// The machine's name with its provider; `None`: as it was told before.
    #[serde(default)]
    pub provider_id: Option<ProviderId>,
    /// What the provider says.
    pub provider_state: ProviderState,
}

/// `provider` of a host document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The machine's name with its provider.
    pub provider_id: Option<ProviderId>,
    /// What the provider says.
    pub provider_state: ProviderState,
    /// By whom that was told, as the log names them: `operator/alice`.
    pub actor: String,
    /// Since when it is told like this.
    pub since: Timestamp,
    /// When it was told last.
    pub last_sync: Timestamp,
}

/// What a provider says of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderState {
    /// It runs.
    Running,
    /// It is switched off.
    Off,
    /// The provider does not know, or was not asked.
    Unknown,
}

impl ProviderState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Running, Self::Off, Self::Unknown];

    /// The state as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ProviderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no [`ProviderState`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a provider says running, off or unknown")]
pub struct NoProviderState;

impl FromStr for ProviderState {
    type Err = NoProviderState;

    fn from_str(text: &str) -> Result<Self, NoProviderState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(NoProviderState)
    }
}
