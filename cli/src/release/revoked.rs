//! `[[revoked]]`: certificates that count no more.
//!
//! Not here: refusing them (the control plane).

use wavegate_proto::artifact::fleet::Revocation;
use wavegate_proto::artifact::revocations::moved_back;
use wavegate_proto::artifact::rules::{RuleCode, Violation};
use wavegate_proto::ids::PersonName;

use crate::fleet_toml::FleetFile;
use crate::fleet_toml::model::RevokedKeys;
use crate::fleet_toml::source::Complaints;

use super::previous::PreviousRelease;

/// Reads every revocation.
pub(super) fn read(file: &FleetFile, complaints: &mut Complaints<'_>) -> Vec<Revocation> {
    let mut revoked = Vec::new();
    for (index, keys) in file.keys.revoked.iter().enumerate() {
        match read_one(keys) {
            Ok(revocation) => revoked.push(revocation),
            Err((key, message)) => complaints.add(&["revoked", &index.to_string(), key], message),
        }
    }
    revoked
}

/// S4: what the release before revokes stays revoked.
pub(super) fn stand(
    previous: Option<&PreviousRelease>,
    revoked: &[Revocation],
) -> Result<(), Violation> {
    let known = previous.map_or(&[][..], |previous| &previous.revoked);
    match moved_back(known, revoked) {
        None => Ok(()),
        Some(moved) => Err(Violation::new(RuleCode::RevocationMovedBack, moved.to_string())),
    }
}

fn read_one(keys: &RevokedKeys) -> Result<Revocation, (&'static str, String)> {
    let subject = keys.subject.split_once('/');
    // Host and person names follow the same rule.
    let known = subject.is_some_and(|(role, name)| {
        matches!(role, "host" | "operator" | "viewer") && PersonName::new(name).is_ok()
    });
    if !known {
        let message =
            format!("subject {:?} is not host/NAME, operator/NAME or viewer/NAME", keys.subject);
        return Err(("subject", message));
    }
    Ok(Revocation {
        subject: keys.subject.clone(),
        not_before: keys.not_before.0,
        reason: keys.reason.clone(),
    })
}
