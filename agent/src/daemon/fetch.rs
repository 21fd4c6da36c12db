//! Filling the cache with a closure and its assets; tried again until the time is up (A5).
//!
//! Not here: the calls (see [`crate::client`]), what is kept for how long (see [`crate::cache`]).

use tokio::time::Instant;
use wavegate_proto::artifact::bundle::{Bundle, FileContent, ResourceSpec};
use wavegate_proto::event::FailureClass;
use wavegate_proto::ids::BlobId;

use super::shell::Shell;
use crate::cache::{CacheError, Item};
use crate::client::ClientError;

/// Why a closure could not be fetched in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FetchFailure {
    pub(super) class: FailureClass,
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("fetch {0}: {1}")]
    Client(BlobId, ClientError),
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl FetchError {
    /// A control plane that is down, busy or wrong speaks against nobody's closure (E18).
    fn class(&self) -> FailureClass {
        match self {
            Self::Client(_, ClientError::Store(error)) | Self::Cache(error) => error.class(),
            Self::Client(_, _) => FailureClass::Network,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Client(_, ClientError::Store(error)) | Self::Cache(error) => error.reason(),
            Self::Client(_, _) => "fetch-failed",
        }
    }
}

impl Shell {
    /// The document of `closure`, with every asset it names in the cache.
    pub(super) async fn fetch_closure(
        &self,
        closure: BlobId,
        deadline: Instant,
    ) -> Result<Bundle, FetchFailure> {
        let mut backoff = self.backoff();
        loop {
            let error = match self.fetch_once(closure, deadline).await {
                Ok(bundle) => return Ok(bundle),
                Err(error) => error,
            };
            let wait = match &error {
                FetchError::Client(_, error) => backoff.after_error(error),
                FetchError::Cache(_) => backoff.after_failure(),
            };
            let is_final = error.class() == FailureClass::Artifact;
            if is_final || Instant::now() + wait >= deadline {
                let (class, reason) = (error.class(), error.reason());
                return Err(FetchFailure { class, reason, detail: error.to_string() });
            }
            tracing::warn!(%closure, %error, "fetch is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn fetch_once(&self, closure: BlobId, deadline: Instant) -> Result<Bundle, FetchError> {
        let cached = tokio::task::block_in_place(|| self.cache.closure(&closure))?;
        let bundle = match cached {
            Some(bundle) => bundle,
            None => self.fetch_document(closure, deadline).await?,
        };
        for resource in &bundle.resources {
            let ResourceSpec::File(file) = &resource.spec else { continue };
            match &file.content {
                FileContent::Asset { asset, size } => {
                    self.fetch_asset(*asset, *size, deadline).await?;
                }
                FileContent::Inline(_) | FileContent::HostFile(_) => {}
            }
        }
        Ok(bundle)
    }

    async fn fetch_document(
        &self,
        closure: BlobId,
        deadline: Instant,
    ) -> Result<Bundle, FetchError> {
        let fetched = before(deadline, self.control_plane.closure(closure)).await;
        let bytes = fetched.map_err(|error| FetchError::Client(closure, error))?;
        let kept = tokio::task::block_in_place(|| {
            self.cache.put(Item::Closure(closure), &bytes)?;
            self.cache.closure(&closure)
        })?;
        let missing = || CacheError::NoBundle { id: closure, why: "it was evicted".to_owned() };
        Ok(kept.ok_or_else(missing)?)
    }

    async fn fetch_asset(
        &self,
        asset: BlobId,
        size: u64,
        deadline: Instant,
    ) -> Result<(), FetchError> {
        if self.cache.contains(Item::Asset(asset)) {
            return Ok(());
        }
        let mut writer = tokio::task::block_in_place(|| self.cache.writer(Item::Asset(asset)))?;
        match before(deadline, self.control_plane.asset(asset, size, &mut writer)).await {
            Ok(()) => Ok(tokio::task::block_in_place(|| writer.commit())?),
            Err(error) => {
                if error.may_go_on() {
                    writer.keep_part()?;
                }
                Err(FetchError::Client(asset, error))
            }
        }
    }
}

/// The answer, or that it did not come in time: what has come of a download until then is kept like that of
/// any other that broke off.
async fn before<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let late = |_| ClientError::Unreachable("it took too long".to_owned());
    tokio::time::timeout_at(deadline, answer).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of an activation may end in the middle of a download: the next one goes on there.
    #[tokio::test]
    async fn what_has_come_when_the_time_is_up_is_kept() {
        let never = std::future::pending::<Result<(), ClientError>>();
        let error = before(Instant::now(), never).await.unwrap_err();
        assert!(error.may_go_on(), "{error}");
    }
}
