//! One method per route of the agent.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use wavegate_proto::artifact::bundle::MAX_CLOSURE_BYTES;
use wavegate_proto::ids::{BlobId, RolloutId};
use wavegate_proto::wire::agent::{
    Dispatch, EventsAnswer, EventsRequest, Heartbeat, HeartbeatAnswer, RolloutProof,
};
use wavegate_proto::wire::enroll::{CertificateAnswer, EnrollRequest, RenewRequest};
use wavegate_proto::wire::trust::{MAX_TRUST_ANSWER_BYTES, TrustAnswer};

use super::error::ClientError;
use super::{ControlPlane, body};
use crate::cache::CacheWriter;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A poll may stay open this much longer than it asked to wait.
const POLL_GRACE: Duration = Duration::from_secs(10);
/// An asset of a gibibyte over a slow line.
const ASSET_TIMEOUT: Duration = Duration::from_secs(3600);

const MAX_SMALL_ANSWER_BYTES: u64 = 64 * 1024;
const MAX_HEARTBEAT_ANSWER_BYTES: u64 = 1024 * 1024;
/// A header of 256 KiB as base64, signatures, an entry and 64 hashes.
const MAX_PROOF_BYTES: u64 = 512 * 1024;

impl ControlPlane {
    /// `POST /v1/agent/heartbeat`.
    ///
    /// # Errors
    /// As [`ClientError`] says; so for every call here.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer, ClientError> {
        let request = self.request(Method::POST, "/v1/agent/heartbeat").json(heartbeat);
        body::read_json(send(request).await?, MAX_HEARTBEAT_ANSWER_BYTES).await
    }

    /// `GET /v1/agent/dispatch`, waiting up to `wait_secs` for one.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn poll_dispatch(&self, wait_secs: u64) -> Result<Option<Dispatch>, ClientError> {
        let path = format!("/v1/agent/dispatch?wait_secs={wait_secs}");
        let timeout = Duration::from_secs(wait_secs) + POLL_GRACE;
        let response = send(self.request(Method::GET, &path).timeout(timeout)).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        body::read_json(response, MAX_SMALL_ANSWER_BYTES).await.map(Some)
    }

    /// `POST /v1/agent/events`.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn post_events(&self, request: &EventsRequest) -> Result<EventsAnswer, ClientError> {
        let request = self.request(Method::POST, "/v1/agent/events").json(request);
        body::read_json(send(request).await?, MAX_SMALL_ANSWER_BYTES).await
    }

    /// `POST /v1/agent/rollouts`: offers a header that the control plane has lost.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn offer_rollout(&self, proof: &RolloutProof) -> Result<(), ClientError> {
        let request = self.request(Method::POST, "/v1/agent/rollouts").json(proof);
        body::read(send(request).await?, MAX_SMALL_ANSWER_BYTES).await.map(drop)
    }

    /// `POST /v1/enroll`: what is answered is not checked.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn enroll(&self, request: &EnrollRequest) -> Result<CertificateAnswer, ClientError> {
        let request = self.request(Method::POST, "/v1/enroll").json(request);
        body::read_json(send(request).await?, MAX_SMALL_ANSWER_BYTES).await
    }

    /// `POST /v1/agent/renew`: what is answered is not checked.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn renew(&self, request: &RenewRequest) -> Result<CertificateAnswer, ClientError> {
        let request = self.request(Method::POST, "/v1/agent/renew").json(request);
        body::read_json(send(request).await?, MAX_SMALL_ANSWER_BYTES).await
    }

    /// `GET /v1/agent/rollouts/{id}`: not verified.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn rollout_proof(&self, id: &RolloutId) -> Result<RolloutProof, ClientError> {
        let request = self.request(Method::GET, &format!("/v1/agent/rollouts/{id}"));
        body::read_json(send(request).await?, MAX_PROOF_BYTES).await
    }

    /// `GET /v1/agent/trust`: the versions of the trust file after `version`, not verified.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn trust_after(&self, version: u64) -> Result<TrustAnswer, ClientError> {
        let request = self.request(Method::GET, &format!("/v1/agent/trust?after={version}"));
        body::read_json(send(request).await?, MAX_TRUST_ANSWER_BYTES as u64).await
    }

    /// `GET /v1/closures/{closure}`: the exact bytes, checked against their hash.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn closure(&self, closure: BlobId) -> Result<Vec<u8>, ClientError> {
        let request = self.request(Method::GET, &format!("/v1/closures/{closure}"));
        let bytes = body::read(send(request).await?, MAX_CLOSURE_BYTES as u64).await?;
        if BlobId::of(&bytes) != closure {
            return Err(ClientError::HashMismatch { wanted: closure });
        }
        Ok(bytes)
    }

    /// `GET /v1/assets/{asset}`: streams what is missing of `size` bytes into `sink`, which checks the hash
    /// when it is committed.
    ///
    /// # Errors
    /// As [`ClientError`] says. After [`ClientError::Unreachable`] it may go on where it was.
    pub async fn asset(
        &self,
        asset: BlobId,
        size: u64,
        sink: &mut CacheWriter<'_>,
    ) -> Result<(), ClientError> {
        let have = sink.received();
        if have > 0 && have == size {
            return Ok(());
        }
        let mut request = self.request(Method::GET, &format!("/v1/assets/{asset}"));
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let mut response = send(request.timeout(ASSET_TIMEOUT)).await?;
        if have > 0 && !goes_on_at(&response, have)? {
            sink.start_over()?;
        }
        while let Some(chunk) = next_chunk(&mut response).await? {
            if sink.received().saturating_add(chunk.len() as u64) > size {
                return Err(ClientError::TooLarge { limit_bytes: size });
            }
            sink.write(&chunk)?;
        }
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http().request(method, format!("{}{path}", self.base)).timeout(REQUEST_TIMEOUT)
    }
}

/// Whether the answer is the part that begins at `first`; false: it is the whole.
fn goes_on_at(response: &Response, first: u64) -> Result<bool, ClientError> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(false);
    }
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let begins =
        range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    if begins == Some(first) {
        return Ok(true);
    }
    Err(ClientError::BadAnswer(format!("asked for bytes from {first}, came {range:?}")))
}

/// The next part of a stream that may be long, but may not stall.
async fn next_chunk(response: &mut Response) -> Result<Option<bytes::Bytes>, ClientError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, response.chunk()).await {
        Ok(chunk) => Ok(chunk?),
        Err(_elapsed) => Err(ClientError::Unreachable("the download stalled".to_owned())),
    }
}

async fn send(request: RequestBuilder) -> Result<Response, ClientError> {
    body::check(request.send().await?).await
}
