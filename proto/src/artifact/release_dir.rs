//! The names of the files of a release folder, relative to it. The same names serve under a URL.
//!
//! Not here: reading or writing them.

use crate::ids::{BlobId, RolloutId};

/// The fleet document.
pub const FLEET: &str = "fleet.json";

/// The folder of the headers, their signatures and hosts tables.
pub const ROLLOUTS: &str = "rollouts";

/// The folder of the closure documents.
pub const CLOSURES: &str = "closures";

/// The folder of the assets.
pub const ASSETS: &str = "assets";

/// The folder of the versions of the trust file that a release brings along.
pub const TRUST: &str = "trust";

/// The file with the signatures of `path`.
#[must_use]
pub fn signature_of(path: &str) -> String {
    format!("{path}.sig")
}

/// The header of a rollout.
#[must_use]
pub fn header(rollout: &RolloutId) -> String {
    format!("{ROLLOUTS}/{rollout}.json")
}

/// The hosts table of a rollout.
#[must_use]
pub fn hosts(rollout: &RolloutId) -> String {
    format!("{ROLLOUTS}/{rollout}.hosts.jsonl")
}

/// A version of the trust file.
#[must_use]
pub fn trust(version: u64) -> String {
    format!("{TRUST}/{version}.json")
}

/// A closure document.
#[must_use]
pub fn closure(blob: BlobId) -> String {
    format!("{CLOSURES}/{}.json", blob.file_name())
}

/// An asset.
#[must_use]
pub fn asset(blob: BlobId) -> String {
    format!("{ASSETS}/{}", blob.file_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_in_the_contract() {
        let rollout = "stable@r42".parse().unwrap();
        assert_eq!(header(&rollout), "rollouts/stable@r42.json");
        assert_eq!(signature_of(&header(&rollout)), "rollouts/stable@r42.json.sig");
        assert_eq!(hosts(&rollout), "rollouts/stable@r42.hosts.jsonl");
        let blob = BlobId::of(b"");
        assert!(closure(blob).starts_with("closures/sha256-e3b0c4"));
        assert!(closure(blob).ends_with(".json"));
        assert!(asset(blob).starts_with("assets/sha256-e3b0c4"));
    }
}
