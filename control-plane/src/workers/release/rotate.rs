//! Following the trust file: the next version from an operator or from the release source, and what it means
//! for the release that is adopted.
//!
//! Not here: which version follows which (see `wavegate_proto::trust`), keeping it (see [`crate::trust`]).

use wavegate_proto::artifact::release_dir;
use wavegate_proto::artifact::rules::{Freshness, Violation};
use wavegate_proto::signing::SignatureFile;
use wavegate_proto::trust::MAX_TRUST_BYTES;
use wavegate_proto::trust::chain::Followed;
use wavegate_proto::trust::rotation::SignedTrust;
use wavegate_proto::wire::trust::{MAX_TRUST_STEPS, TrustPublished};

use super::adopt::{AdoptError, Adopter};
use super::source::{Source, SourceError};
use crate::core::{Input, TrustHolds};

impl Adopter {
    /// Takes a version that an operator has sent.
    ///
    /// # Errors
    /// Why it is not the next one; the one that holds stays.
    pub async fn publish_trust(
        &mut self,
        offered: &SignedTrust,
    ) -> Result<(Followed, TrustPublished), AdoptError> {
        let followed = self.follow(offered).await?;
        let release_trusted = self.adopted.is_some().then(|| self.untrusted.is_none());
        let version = self.parts.trust.chain().version();
        Ok((followed, TrustPublished { version, release_trusted }))
    }

    /// Takes the next versions that the source holds.
    pub(super) async fn follow_source(&mut self, source: &Source) -> Result<(), AdoptError> {
        for _ in 0..MAX_TRUST_STEPS {
            let next = self.parts.trust.chain().version().saturating_add(1);
            let Some(offered) = from_source(source, next).await? else { return Ok(()) };
            self.follow(&offered).await?;
        }
        Ok(())
    }

    async fn follow(&mut self, offered: &SignedTrust) -> Result<Followed, AdoptError> {
        let followed = self.parts.trust.follow(offered)?;
        if followed == Followed::New {
            let chain = self.parts.trust.chain();
            tracing::info!(version = chain.version(), "the trust file has been rotated");
            self.untrusted = self.judge_adopted().await?;
            self.tell_trust(true).await?;
        }
        Ok(followed)
    }

    /// Whether the adopted release verifies under the version that holds now: read from its folder, as at
    /// a start.
    async fn judge_adopted(&self) -> Result<Option<Violation>, AdoptError> {
        if self.adopted.is_none() {
            return Ok(None);
        }
        let source = Source::Folder(self.folder.current());
        let files = source.files(source.fleet().await?).await?;
        match self.verify(files, Freshness::Ignored).await {
            Ok(_) => Ok(None),
            Err(AdoptError::Violation(violation)) => {
                tracing::error!(%violation, "the adopted release is not trusted any more: sign and publish it again");
                Ok(Some(violation))
            }
            Err(error) => Err(error),
        }
    }

    /// Tells the reducer which version holds, and whether the adopted release verifies under it.
    pub(super) async fn tell_trust(&self, rotated: bool) -> Result<(), AdoptError> {
        let chain = self.parts.trust.chain();
        let trust = chain.trust();
        let holds = TrustHolds {
            version: trust.version,
            threshold: trust.release.threshold,
            keys: trust.release.keys.iter().map(|key| key.key_id.clone()).collect(),
            reject_signed_before: trust.reject_signed_before,
            untrusted: self.untrusted.clone(),
            rotated,
        };
        self.call(|reply| Input::TrustHolds { holds: Box::new(holds), reply }).await.map(drop)
    }
}

async fn from_source(source: &Source, version: u64) -> Result<Option<SignedTrust>, AdoptError> {
    let path = release_dir::trust(version);
    let bytes = match source.read(&path, MAX_TRUST_BYTES).await {
        Ok(bytes) => bytes,
        Err(SourceError::Absent(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let SignatureFile { signatures, .. } = source.signatures(&path).await?;
    Ok(Some(SignedTrust::new(&bytes, signatures)))
}
