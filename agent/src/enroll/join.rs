//! The first certificate, by a token.

use std::path::Path;

use wavegate_proto::ids::HostName;
use wavegate_proto::trust::TrustFile;
use wavegate_proto::wire::enroll::{EnrollRequest, TokenText};
use wavegate_proto::wire::problem::ProblemCode;

use super::answer::{self, Expected};
use super::{key, name};
use crate::client::{Backoff, ClientError, ControlPlane};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::identity::Identity;

use std::time::Duration;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// The most bytes of a file with a token.
const MAX_TOKEN_FILE_BYTES: u64 = 64 * 1024;

/// Joins by the token of the settings when there is no certificate yet, however long the control plane
/// takes to be reached.
///
/// # Errors
/// When the token is refused, or something here cannot be read or written.
pub async fn join_when_missing(settings: &Settings, trust: &TrustFile) -> Result<(), Failure> {
    let Some(token_file) = settings.token_file.as_deref().filter(|_| !settings.cert.exists())
    else {
        return Ok(());
    };
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    loop {
        let token = read_token(token_file)?;
        let error = match attempt(settings, trust, &token).await? {
            Ok(identity) => {
                tracing::info!(host = %identity.host, "joined the fleet");
                return Ok(());
            }
            Err(error) => error,
        };
        if !may_change(&error) {
            return Err(refused(&error));
        }
        tracing::warn!(%error, "not joined yet, trying again");
        tokio::time::sleep(backoff.after_error(&error)).await;
    }
}

/// One attempt to join by `token`.
///
/// # Errors
/// The outer one: something here is wrong. The inner one: what the control plane said.
pub async fn attempt(
    settings: &Settings,
    trust: &TrustFile,
    token: &str,
) -> Result<Result<Identity, ClientError>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error);
    if settings.makes_its_key {
        key::make_when_missing(&settings.key).map_err(|e| failed(&e))?;
    }
    let key_pem = key::read_pem(&settings.key).map_err(|e| failed(&e))?;
    let request = EnrollRequest {
        token: Some(TokenText(token.to_owned())),
        host: host(settings, token),
        expired_chain_pem: None,
        csr_pem: key::request(&key_pem).map_err(|e| failed(&e))?,
    };
    let control_plane = ControlPlane::anonymous(&settings.url, settings.ca.as_deref(), trust)
        .map_err(|e| Failure::new(Exit::Usage, e))?;
    let answer = match control_plane.enroll(&request).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    let expected = Expected::HostOf(&trust.fleet);
    let kept = answer::keep(&answer.chain_pem, &key_pem, expected, &settings.cert);
    kept.map(Ok).map_err(|e| failed(&e))
}

fn host(settings: &Settings, token: &str) -> Option<HostName> {
    name::asked_for(settings.host_name.as_ref(), token)
}

/// What the control plane said, for a person.
#[must_use]
pub fn refused(error: &ClientError) -> Failure {
    Failure::new(Exit::Failed, format!("join the fleet: {error}"))
        .hint("mint another token: wavegate token mint --host NAME")
}

/// Whether the same token may be taken later: the control plane comes back, or learns of the host.
fn may_change(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable(_) | ClientError::NotValidNow(_) => true,
        ClientError::Status { status, .. } => *status >= 500,
        ClientError::Problem { problem, .. } => {
            let later = [ProblemCode::HostNotInFleet, ProblemCode::RateLimited];
            problem.status >= 500 || later.iter().any(|code| problem.code() == code.as_str())
        }
        ClientError::BadUrl(_)
        | ClientError::Tls(_)
        | ClientError::TooLarge { .. }
        | ClientError::BadAnswer(_)
        | ClientError::HashMismatch { .. }
        | ClientError::Store(_) => false,
    }
}

/// The token in a file, without the line's end.
///
/// # Errors
/// When it cannot be read.
pub fn read_token(path: &Path) -> Result<String, Failure> {
    let failed = |reason: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("read the token {}: {reason}", path.display()))
    };
    let length = std::fs::metadata(path).map_err(|e| failed(&e))?.len();
    if length > MAX_TOKEN_FILE_BYTES {
        return Err(failed(&"the file is too large"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
    Ok(text.trim().to_owned())
}
