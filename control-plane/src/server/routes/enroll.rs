//! `/v1/enroll` and `/v1/agent/renew`: certificates for hosts. The name is the token's or that of the
//! certificate before, never the request's (S1).
//!
//! Not here: who is let in (see [`crate::core`]), signing (see [`crate::issuing`]).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use wavegate_proto::enroll::{EnrollToken, HostKey};
use wavegate_proto::ids::HostName;
use wavegate_proto::wire::enroll::{EnrollRequest, RenewRequest};
use wavegate_proto::wire::problem::ProblemCode;

use crate::core::{Answer, Enrolling, Input, RenewedBy, Renewing, Token};
use crate::issuing::csr::proven_key;
use crate::issuing::expired::identity_at_the_end;
use crate::issuing::{Issuer, IssuerError};
use crate::server::Context;
use crate::server::arguments::CallingHost;
use crate::server::body;
use crate::server::error::ApiError;
use crate::server::identity::{Caller, Identity};
use crate::server::live_tls::Certificates;

/// `POST /v1/enroll`: by a token, or by a certificate that has expired.
pub(in crate::server) async fn enroll(
    State(context): State<Context>,
    body::Json(request): body::Json<EnrollRequest>,
) -> Result<Response, ApiError> {
    let certificates = context.tls.load();
    expect_issuer(&certificates)?;
    let key = proven(&request.csr_pem)?;
    match (&request.token, &request.expired_chain_pem) {
        (Some(token), None) => {
            let token =
                EnrollToken::verify(&token.0, context.trust.chain().trust(), context.clock.wall());
            let token = token.map_err(|e| ApiError::new(e.code(), e.to_string()))?;
            let host = token.host(request.host.as_ref());
            let host = host.map_err(|e| ApiError::new(e.code(), e.to_string()))?;
            let enrolling = Box::new(Enrolling { token, host: host.clone(), key: key.clone() });
            decide_and_issue(&context, &certificates, host, key, |reply| Input::Enroll {
                enrolling,
                reply,
            })
            .await
        }
        (None, Some(chain)) => {
            let host = slept_through(&context, &certificates, chain, &key)?;
            next_certificate(&context, &certificates, host, key, RenewedBy::ExpiredCertificate)
                .await
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(ApiError::bad_request("give either token or expired_chain_pem"))
        }
    }
}

/// `POST /v1/agent/renew`: by the certificate of the connection.
pub(in crate::server) async fn renew(
    State(context): State<Context>,
    caller: CallingHost,
    body::Json(request): body::Json<RenewRequest>,
) -> Result<Response, ApiError> {
    let certificates = context.tls.load();
    expect_issuer(&certificates)?;
    let key = proven(&request.csr_pem)?;
    next_certificate(&context, &certificates, caller.name, key, RenewedBy::Certificate).await
}

/// The host whose certificate has expired, not too long ago: it has proven to hold its key.
fn slept_through(
    context: &Context,
    certificates: &Certificates,
    chain: &str,
    key: &HostKey,
) -> Result<HostName, ApiError> {
    let refuse = |detail: String| ApiError::new(ProblemCode::RenewalRefused, detail);
    let verifier = &*certificates.server.verifier;
    let (identity, named_key) =
        identity_at_the_end(chain, verifier, &context.trust.chain().trust().fleet)
            .map_err(refuse)?;
    if named_key != *key {
        let detail = "the request is signed by another key than that of the certificate";
        return Err(ApiError::new(ProblemCode::KeyMismatch, detail));
    }
    expect_not_revoked(context, &identity)?;
    if identity.not_after.plus_secs(context.renew_grace_secs) < context.clock.wall() {
        let detail = format!("it ended {}: enroll the host again", identity.not_after);
        return Err(refuse(detail));
    }
    match identity.caller {
        Caller::Host(name) => Ok(name),
        Caller::Operator(_) | Caller::Viewer(_) => {
            Err(refuse("only certificates of hosts are renewed".to_owned()))
        }
    }
}

async fn next_certificate(
    context: &Context,
    certificates: &Arc<Certificates>,
    host: HostName,
    key: HostKey,
    by: RenewedBy,
) -> Result<Response, ApiError> {
    let renewing = Box::new(Renewing { host: host.clone(), key: key.clone(), by });
    decide_and_issue(context, certificates, host, key, |reply| Input::Renew { renewing, reply })
        .await
}

/// Signed first: a certificate that cannot be made uses up no token. Given out once it is durable that the
/// host may have it.
async fn decide_and_issue(
    context: &Context,
    certificates: &Certificates,
    host: HostName,
    key: HostKey,
    input: impl FnOnce(Token) -> Input,
) -> Result<Response, ApiError> {
    let issuer = expect_issuer(certificates)?;
    let answer = issuer.issue(&host, &key, context.clock.wall())?;
    // One that is revoked from its birth on would help nobody.
    let (not_before, not_after) = (answer.not_before, answer.not_after);
    expect_not_revoked(context, &Identity { caller: Caller::Host(host), not_before, not_after })?;
    let Answer::MayIssue = context.handle.call(input).await? else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(Json(answer).into_response())
}

fn expect_not_revoked(context: &Context, identity: &Identity) -> Result<(), ApiError> {
    if context.revocations.is_revoked(identity) {
        let detail = format!("{}: by the adopted release", identity.caller.subject());
        return Err(ApiError::new(ProblemCode::CertificateRevoked, detail));
    }
    Ok(())
}

fn expect_issuer(certificates: &Certificates) -> Result<&Issuer, ApiError> {
    let detail = "start it with --issuer-cert and --issuer-key, or issue certificates elsewhere";
    let disabled = || ApiError::new(ProblemCode::IssuingDisabled, detail);
    certificates.issuer.as_ref().ok_or_else(disabled)
}

fn proven(csr_pem: &str) -> Result<HostKey, ApiError> {
    proven_key(csr_pem).map_err(|error| ApiError::new(ProblemCode::BadCsr, error.to_string()))
}

impl From<IssuerError> for ApiError {
    fn from(error: IssuerError) -> Self {
        tracing::error!(%error, "no certificate issued");
        match error {
            IssuerError::Expired(_) => Self::new(ProblemCode::IssuingDisabled, error.to_string()),
            IssuerError::File { .. } | IssuerError::Issue(_) => {
                Self::new(ProblemCode::Internal, "the certificate could not be made")
            }
        }
    }
}
