//! The steps of adopting a release: verify, fetch what it names, ask whether it could be adopted, write
//! it down, adopt it, publish what it revokes. Each can be repeated after a crash.
//!
//! Not here: where the files come from (see [`super::source`]).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use wavegate_proto::artifact::release::{Release, ReleaseFiles, verify_release};
use wavegate_proto::artifact::release_dir;
use wavegate_proto::artifact::rules::{Freshness, SerialFloor, VerifyContext, Violation};
use wavegate_proto::artifact::verified::Verified;
use wavegate_proto::ids::{BlobId, RolloutId, Sha256Hash};
use wavegate_proto::time::Now;
use wavegate_proto::trust::TrustFile;
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_proto::wire::publish::PublishAnswer;

use super::artifacts;
use super::folder::ReleaseFolder;
use super::source::{Source, SourceError};
use crate::blobs::{BlobError, BlobStore, MAX_CLOSURE_BYTES, named_assets};
use crate::clock::Clock;
use crate::core::{Answer, Core, Input};
use crate::heap;
use crate::server::{Readiness, Revocations, Scopes};
use crate::service::Handle;
use crate::trust::{FollowError, TrustStore};

/// The source of a release that an operator has sent.
const PUBLISHED: &str = "published";

/// How many missing blobs a problem names.
const MAX_MISSING_NAMED: usize = 1000;

/// How many distinct refusals are remembered, so that each is noted once.
const MAX_NOTED: usize = 1000;

/// Whether the release was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has been adopted now.
    Adopted,
    /// It was the adopted one already.
    Known,
}

/// Why a release was not adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It broke a rule.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// Blobs it names are not there.
    #[error("{} blobs are missing", .0.len())]
    Missing(BTreeSet<BlobId>),
    /// A closure document is none.
    #[error("closure {id}: {reason}")]
    Closure {
        /// The document.
        id: BlobId,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A blob cannot be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The reducer refuses.
    #[error("{}: {}", .0.title, .0.detail)]
    Refused(Box<Problem>),
    /// A version of the trust file is not the next one.
    #[error(transparent)]
    Trust(#[from] FollowError),
    /// The release folder cannot be written.
    #[error("write the release folder: {0}")]
    Folder(#[from] std::io::Error),
}

impl AdoptError {
    /// Whether the release may have been adopted all the same.
    fn is_undecided(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.code() == ProblemCode::ShuttingDown.as_str())
    }
}

impl From<AdoptError> for Problem {
    fn from(error: AdoptError) -> Self {
        let detail = error.to_string();
        match error {
            AdoptError::Violation(violation) => {
                Self::new(ProblemCode::Rule(violation.code), violation.detail)
            }
            AdoptError::Missing(missing) => Self {
                missing: Some(missing.into_iter().take(MAX_MISSING_NAMED).collect()),
                ..Self::new(ProblemCode::MissingBlobs, detail)
            },
            AdoptError::Refused(problem) => *problem,
            AdoptError::Closure { .. } => Self::new(ProblemCode::BadRequest, detail),
            AdoptError::Source(_) => Self::new(ProblemCode::Internal, detail),
            AdoptError::Blob(BlobError::NoSpace) => Self::new(ProblemCode::Overloaded, detail),
            AdoptError::Folder(error) => {
                tracing::error!(%error, "the release folder cannot be written");
                Self::new(ProblemCode::Overloaded, detail)
            }
            AdoptError::Blob(_) => Self::new(ProblemCode::Internal, detail),
            AdoptError::Trust(FollowError::Rotation(error)) => Self::new(error.code(), detail),
            AdoptError::Trust(FollowError::Io(error)) => {
                tracing::error!(%error, "the trust file cannot be kept");
                Self::new(ProblemCode::Overloaded, detail)
            }
        }
    }
}

/// A release, and the model of the fleet to try it out on.
#[derive(Debug)]
pub struct TryOut {
    /// A core that is nobody's.
    pub core: Box<Core>,
    /// The release.
    pub release: Arc<Verified<Release>>,
    /// When the core stood so.
    pub now: Now,
}

fn unexpected_answer() -> AdoptError {
    let problem = Problem::new(ProblemCode::Internal, "an answer of another kind");
    AdoptError::Refused(Box::new(problem))
}

/// What an adopter is made of.
#[derive(Debug)]
pub struct AdopterParts {
    /// To the reducer.
    pub handle: Handle,
    /// The blobs.
    pub blobs: BlobStore,
    /// The process's clocks.
    pub clock: Clock,
    /// Whom this machine believes.
    pub trust: Arc<TrustStore>,
    /// What the adopted release revokes.
    pub revocations: Arc<Revocations>,
    /// Which operators may act on some channels only.
    pub scopes: Arc<Scopes>,
    /// What keeps the process from being ready.
    pub readiness: Arc<Readiness>,
    /// The highest release that the database knows.
    pub floor: SerialFloor,
    /// The most bytes of an asset.
    pub max_blob_bytes: u64,
}

/// Adopts releases, one after the other.
#[derive(Debug)]
pub struct Adopter {
    pub(super) parts: AdopterParts,
    pub(super) folder: ReleaseFolder,
    /// The raw bytes of the adopted fleet document, hashed.
    pub(super) adopted: Option<Sha256Hash>,
    /// Why the adopted release does not verify under the trust file that holds now; `None`: it does.
    pub(super) untrusted: Option<Violation>,
    noted: BTreeSet<String>,
}

impl Adopter {
    /// An adopter that keeps the release in `state_dir`.
    #[must_use]
    pub fn new(parts: AdopterParts, state_dir: &Path) -> Self {
        let folder = ReleaseFolder::new(state_dir);
        Self { parts, folder, adopted: None, untrusted: None, noted: BTreeSet::new() }
    }

    /// Loads the release that was adopted before, verified again. A stale one is loaded too, so that
    /// the fleet is visible; the freshness gate holds its dispatches. One that cannot be loaded gives
    /// way to the one before, and is said so.
    ///
    /// # Errors
    /// When the state folder cannot be used.
    pub async fn load(&mut self) -> std::io::Result<()> {
        self.folder.recover()?;
        self.tell_trust(false).await.map_err(std::io::Error::other)?;
        let loaded = self.load_current().await;
        match loaded {
            Ok(()) => {
                self.folder.forget_old()?;
                return Ok(());
            }
            Err(AdoptError::Source(SourceError::Absent(_))) if !self.folder.current().exists() => {
                tracing::info!("no release yet: none has been adopted here");
                return Ok(());
            }
            Err(error) => tracing::error!(%error, "the release folder cannot be loaded"),
        }
        if self.folder.has_old() {
            self.folder.put_back()?;
            if let Err(error) = self.load_current().await {
                tracing::error!(%error, "nor the release before it");
            }
        }
        Ok(())
    }

    async fn load_current(&mut self) -> Result<(), AdoptError> {
        let source = Source::Folder(self.folder.current());
        let files = source.files(source.fleet().await?).await?;
        let release = Arc::new(self.verify_adopted(files).await?);
        match self.require_blobs(&release, None).await {
            Ok(()) => self.parts.readiness.set_blobs_missing(false),
            Err(error) => {
                tracing::error!(%error, "the adopted release is not complete: publish it again");
                self.parts.readiness.set_blobs_missing(true);
            }
        }
        // Without them the fleet is served all the same; only a rebuild would miss them.
        if let Err(error) = artifacts::keep(&self.parts.blobs, &release).await {
            tracing::warn!(%error, "the signed files of the release cannot be kept");
        }
        self.adopt_in_core(&release).await.map(|_| ())
    }

    /// Adopts a release that was published.
    ///
    /// # Errors
    /// Why not; the one before stays.
    pub async fn publish(
        &mut self,
        files: ReleaseFiles,
    ) -> Result<(Outcome, PublishAnswer), AdoptError> {
        let id = Sha256Hash::of(&files.fleet);
        let adopted = self.adopt(files, None).await;
        if let Err(error) = &adopted {
            self.note(PUBLISHED, id, error);
        }
        adopted
    }

    /// What it takes to try a release out that is not adopted. Refusals are not noted.
    ///
    /// # Errors
    /// Why it could not be adopted.
    pub async fn try_out(&self, files: ReleaseFiles) -> Result<TryOut, AdoptError> {
        let release = Arc::new(self.verify(files, Freshness::Enforced).await?);
        self.require_blobs(&release, None).await?;
        let tried = Arc::clone(&release);
        let answer = self.call(|reply| Input::Preview { release: tried, reply }).await?;
        let Answer::Fork { core, now } = answer else { return Err(unexpected_answer()) };
        Ok(TryOut { core, release, now })
    }

    /// Adopts what the source holds, when it holds another fleet document than the adopted one.
    pub async fn poll(&mut self, source: &Source) {
        if let Err(error) = self.follow_source(source).await {
            let holds = Sha256Hash::of(&self.parts.trust.chain().version().to_be_bytes());
            self.note(&source.name(), holds, &error);
        }
        let fleet = match source.fleet().await {
            Ok(fleet) => fleet,
            Err(SourceError::Absent(path)) => {
                tracing::debug!(path, "the release source is empty");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the release source cannot be read");
                return;
            }
        };
        let id = Sha256Hash::of(&fleet);
        let complete = !self.parts.readiness.blobs_missing() && self.untrusted.is_none();
        if self.adopted == Some(id) && complete {
            return;
        }
        let adopted = match source.files(fleet).await {
            Ok(files) => self.adopt(files, Some(source)).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = adopted {
            self.note(&source.name(), id, &error);
        }
    }

    async fn adopt(
        &mut self,
        files: ReleaseFiles,
        source: Option<&Source>,
    ) -> Result<(Outcome, PublishAnswer), AdoptError> {
        let release = Arc::new(self.verify(files, Freshness::Enforced).await?);
        self.parts.clock.signed(release.fleet.signed_at);
        self.require_blobs(&release, source).await?;
        let known = self.adopted == Some(Sha256Hash::of(&release.fleet_bytes));
        let resigned = known && self.untrusted.is_some();
        let checked = Arc::clone(&release);
        self.call(|reply| Input::CheckRelease { release: checked, reply }).await?;
        artifacts::keep(&self.parts.blobs, &release).await?;
        if known && !resigned {
            let answer = self.adopt_in_core(&release).await?;
            self.parts.readiness.set_blobs_missing(false);
            return Ok((Outcome::Known, answer));
        }
        self.write_down(&release).await?;
        match self.adopt_in_core(&release).await {
            Ok(answer) => {
                self.folder.forget_old()?;
                self.parts.readiness.set_blobs_missing(false);
                self.trusted_again().await?;
                Ok((if known { Outcome::Known } else { Outcome::Adopted }, answer))
            }
            // It may have been adopted: the next start takes the new one, whether or not it was. The one
            // before could be refused then, as older than what the log knows.
            Err(error) if error.is_undecided() => Err(error),
            Err(error) => {
                self.folder.put_back()?;
                Err(error)
            }
        }
    }

    /// The release that was adopted before: by the trust file of its time, if not by the one that holds now.
    /// Then nothing of it is dispatched, which the reducer is told before it has the release.
    async fn verify_adopted(
        &mut self,
        files: ReleaseFiles,
    ) -> Result<Verified<Release>, AdoptError> {
        let chain = self.parts.trust.chain();
        let (floor, now) = (self.parts.floor, self.parts.clock.wall());
        let verified = tokio::task::spawn_blocking(move || {
            let freshness = Freshness::Ignored;
            let verify = |trust: &TrustFile| {
                verify_release(files.clone(), &VerifyContext { trust, now, floor, freshness })
            };
            match verify(chain.trust()) {
                Ok(release) => Ok((release, None)),
                Err(refused) => {
                    chain.verify_history(verify).map(|release| (release, Some(refused)))
                }
            }
        });
        let (release, refused) = verified.await.map_err(std::io::Error::other)??;
        if let Some(violation) = &refused {
            tracing::error!(%violation, "the adopted release is not trusted any more: sign and publish it again");
        }
        self.untrusted = refused;
        self.tell_trust(false).await?;
        Ok(release)
    }

    /// What was adopted now has been verified under the trust file that holds.
    async fn trusted_again(&mut self) -> Result<(), AdoptError> {
        match self.untrusted.take() {
            Some(_) => self.tell_trust(false).await,
            None => Ok(()),
        }
    }

    /// Verifying a large fleet takes seconds: it has a thread of its own.
    pub(super) async fn verify(
        &self,
        files: ReleaseFiles,
        freshness: Freshness,
    ) -> Result<Verified<Release>, AdoptError> {
        let (chain, floor) = (self.parts.trust.chain(), self.parts.floor);
        let now = self.parts.clock.wall();
        let verified = tokio::task::spawn_blocking(move || {
            let trust = chain.trust();
            verify_release(files, &VerifyContext { trust, now, floor, freshness })
        });
        Ok(verified.await.map_err(std::io::Error::other)??)
    }

    /// Every closure, and every asset that a closure names, is in the blob folder: fetched from the
    /// source where it is not yet.
    async fn require_blobs(
        &self,
        release: &Release,
        source: Option<&Source>,
    ) -> Result<(), AdoptError> {
        let mut missing = BTreeSet::new();
        let mut assets = BTreeSet::new();
        for id in release.blobs() {
            self.require(id, source, &release_dir::closure(id), MAX_CLOSURE_BYTES, &mut missing)
                .await?;
            if let Some(document) = self.parts.blobs.read(id, MAX_CLOSURE_BYTES).await? {
                let named = named_assets(&document);
                let malformed = |reason: String| AdoptError::Closure { id, reason };
                assets.extend(named.map_err(|error| malformed(error.to_string()))?);
            }
        }
        let max = self.parts.max_blob_bytes;
        for id in assets {
            self.require(id, source, &release_dir::asset(id), max, &mut missing).await?;
        }
        if missing.is_empty() { Ok(()) } else { Err(AdoptError::Missing(missing)) }
    }

    async fn require(
        &self,
        id: BlobId,
        source: Option<&Source>,
        path: &str,
        max: u64,
        missing: &mut BTreeSet<BlobId>,
    ) -> Result<(), AdoptError> {
        if self.parts.blobs.has(id) {
            return Ok(());
        }
        let Some(source) = source else {
            missing.insert(id);
            return Ok(());
        };
        match source.stream(path).await {
            Ok(content) => {
                self.parts.blobs.put(id, content, max).await?;
            }
            Err(SourceError::Absent(_)) => {
                missing.insert(id);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn write_down(&self, release: &Arc<Verified<Release>>) -> Result<(), AdoptError> {
        let (folder, release) = (self.folder.clone(), release.clone());
        let written = tokio::task::spawn_blocking(move || {
            let rollouts: Vec<RolloutId> =
                release.rollouts.values().map(|rollout| rollout.header.rollout_id()).collect();
            folder.replace(&release.files(), &rollouts).inspect_err(|_| {
                // The current one stays, or comes back.
                if let Err(error) = folder.recover() {
                    tracing::error!(%error, "the release folder cannot be put in order");
                }
            })
        });
        Ok(written.await.map_err(std::io::Error::other)??)
    }

    async fn adopt_in_core(
        &mut self,
        release: &Arc<Verified<Release>>,
    ) -> Result<PublishAnswer, AdoptError> {
        let adopted = Arc::clone(release);
        let input = |reply| Input::AdoptRelease { release: adopted, reply };
        let answer = self.parts.handle.call_to_the_end(input).await;
        let answer = answer.map_err(|problem| AdoptError::Refused(Box::new(problem)))?;
        let Answer::Adopted(answer) = answer else { return Err(unexpected_answer()) };
        self.parts.revocations.publish(&release.fleet.revoked);
        self.parts.scopes.publish(&release.fleet);
        self.parts.floor =
            SerialFloor { serial: release.fleet.serial, fleet_sha256: Some(release.fleet_sha256) };
        self.adopted = Some(Sha256Hash::of(&release.fleet_bytes));
        tracing::info!(serial = %answer.serial, opened = ?answer.rollouts_opened, "release loaded");
        let _given_back = tokio::task::spawn_blocking(heap::give_back).await;
        Ok(answer)
    }

    pub(super) async fn call(
        &self,
        input: impl FnOnce(crate::core::Token) -> Input,
    ) -> Result<Answer, AdoptError> {
        let answer = self.parts.handle.call(input).await;
        answer.map_err(|problem| AdoptError::Refused(Box::new(problem)))
    }

    /// Says once what was wrong with a release from somewhere, to the operator and, for a broken rule,
    /// to the log.
    fn note(&mut self, source: &str, fleet: Sha256Hash, error: &AdoptError) {
        let code = match error {
            AdoptError::Violation(violation) => violation.code.to_string(),
            AdoptError::Refused(problem) => problem.code().to_owned(),
            AdoptError::Missing(_)
            | AdoptError::Closure { .. }
            | AdoptError::Source(_)
            | AdoptError::Blob(_)
            | AdoptError::Trust(_)
            | AdoptError::Folder(_) => error.to_string(),
        };
        if self.noted.len() >= MAX_NOTED {
            self.noted.clear();
        }
        if !self.noted.insert(format!("{source} {fleet} {code}")) {
            return;
        }
        // Whoever publishes asks what is missing first, and then sends it.
        if source == PUBLISHED && matches!(error, AdoptError::Missing(_)) {
            tracing::info!(%error, "a release is offered, its files come next");
            return;
        }
        tracing::warn!(source, %error, "what is offered is refused; what was adopted before stays");
        if let AdoptError::Violation(violation) = error {
            let input =
                Input::ReleaseRefused { source: source.to_owned(), violation: violation.clone() };
            // With a full queue it is said on stderr only.
            let _full = self.parts.handle.notice(input);
        }
    }
}
