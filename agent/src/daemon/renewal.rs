//! The next certificate: fetched when it is due, or put there by somebody else, and used from the next
//! request on (A9).
//!
//! Not here: when it is due (`wavegate_state_machine::agent`).

use std::time::Duration;

use wavegate_proto::time::Mono;
use wavegate_proto::wire::enroll::{EnrollRequest, RenewRequest};
use wavegate_proto::wire::problem::ProblemCode;
use wavegate_state_machine::agent::RenewalStep;

use super::certificate::{CertificateError, OwnCertificate};
use super::inbox::Stopped;
use super::shell::Shell;
use crate::client::{Backoff, ClientError, ControlPlane};
use crate::clock;
use crate::enroll::answer::{self, AnswerError, Expected};
use crate::enroll::key::{self, KeyError};

/// How often it is looked at files and clock. Short: a clock may be set at any time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("read the certificate: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Looks after the certificate until the agent stops.
pub(super) async fn run(shell: &Shell, mut own: OwnCertificate) -> Result<(), Stopped> {
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    while !shell.stop.is_cancelled() {
        let wait = match look(shell, &mut own).await {
            Ok(()) => {
                backoff.reset();
                LOOK_EVERY
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate was not renewed, trying again");
                backoff.after_failure().max(FIRST_RETRY)
            }
        };
        shell.pause(wait).await;
    }
    Ok(())
}

async fn look(shell: &Shell, own: &mut OwnCertificate) -> Result<(), RenewalError> {
    if own.follow(&shell.control_plane, shell.trust().trust())? {
        tracing::info!(
            version = own.trust().version,
            "the authorities of the trust file are in use"
        );
    }
    take_up(shell, own, None)?;
    if !own.renews {
        return Ok(());
    }
    let chain_pem = match own.step(clock::now()) {
        RenewalStep::Wait { .. } => return Ok(()),
        RenewalStep::Renew => match renew(shell, own).await {
            Err(RenewalError::Client(error)) if is_over_there(&error) => by_key_alone(own).await?,
            renewed => renewed?,
        },
        RenewalStep::RenewExpired => by_key_alone(own).await?,
    };
    let key_pem = key::read_pem(&own.key)?;
    answer::keep(&chain_pem, &key_pem, Expected::Same(own.identity()), &own.cert)?;
    take_up(shell, own, Some(clock::mono()))
}

fn take_up(
    shell: &Shell,
    own: &mut OwnCertificate,
    fetched: Option<Mono>,
) -> Result<(), RenewalError> {
    if own.take_up(&shell.control_plane, fetched)? {
        tracing::info!(until = %own.not_after(), "a new certificate is in use");
        // The control plane shows until when.
        shell.heartbeat_now.notify_one();
    }
    Ok(())
}

async fn renew(shell: &Shell, own: &OwnCertificate) -> Result<String, RenewalError> {
    let csr_pem = key::request(&key::read_pem(&own.key)?)?;
    Ok(shell.control_plane.renew(&RenewRequest { csr_pem }).await?.chain_pem)
}

/// The control plane's clock may be ahead, and for it this certificate has ended: it ends the handshake, or answers so over
/// a connection that is open, or resumed.
fn is_over_there(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable(_))
        || error.code() == Some(ProblemCode::ClientCertificateRequired.as_str())
}

async fn by_key_alone(own: &OwnCertificate) -> Result<String, RenewalError> {
    let request = EnrollRequest {
        token: None,
        host: None,
        expired_chain_pem: Some(std::fs::read_to_string(&own.cert)?),
        csr_pem: key::request(&key::read_pem(&own.key)?)?,
    };
    let control_plane = ControlPlane::anonymous(&own.url, own.ca.as_deref(), own.trust())?;
    Ok(control_plane.enroll(&request).await?.chain_pem)
}
