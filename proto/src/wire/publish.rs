//! `POST /v1/releases`: publishing a release over HTTP. Its blobs (closures, assets, hosts tables)
//! are uploaded first with `PUT /v1/blobs/{sha256:hex}`.

use serde::{Deserialize, Serialize};

use crate::ids::{BlobId, ChannelName, RolloutId, Serial};
use crate::signing::SignatureFile;

/// A release to adopt, whole or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishRequest {
    /// The exact bytes of `fleet.json`, base64. Exactly one of this and `fleet_sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<String>,
    /// The blob that holds `fleet.json`, for large fleets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet_sha256: Option<BlobId>,
    /// The content of `fleet.json.sig`.
    pub fleet_sig: SignatureFile,
    /// One for each channel that has hosts.
    pub rollouts: Vec<PublishRollout>,
}

/// One channel's part of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishRollout {
    /// The header's exact bytes, base64.
    pub header: String,
    /// The content of its `.sig` file.
    pub sig: SignatureFile,
    /// The blob that holds `…hosts.jsonl`.
    pub hosts_sha256: BlobId,
}

/// The answer to a release that was adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishAnswer {
    /// The release's serial.
    pub serial: Serial,
    /// The rollouts it opened.
    pub rollouts_opened: Vec<RolloutId>,
    /// The channels whose ref stayed the same.
    pub unchanged: Vec<ChannelName>,
}
