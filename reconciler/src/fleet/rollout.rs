//! One rollout: its signed header, its hosts, and where it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use wavegate_proto::artifact::header::RolloutHeader;
use wavegate_proto::artifact::policy::Policy;
use wavegate_proto::ids::{HostName, RolloutId, Serial, Sha256Hash, WaveIndex};
use wavegate_proto::signing::Signature;
use wavegate_proto::time::{Mono, Timestamp};
use wavegate_proto::wire::operator::{Halt, MarkBy, Outcome, RolloutMark, RolloutState};
use wavegate_state_machine::rollout::RolloutTally;

use super::by_name::ByName;
use super::by_wave::HostsByWave;
use super::placement::{HeldSince, HostClass, Placement};
use super::tally::WaveTally;

/// One rollout.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Its id.
    pub id: RolloutId,
    /// Its place in the order of opening: the serial of the release that opened it.
    pub order: u64,
    /// The signed header it was opened with.
    pub manifest: Arc<Manifest>,
    /// Where it is.
    pub state: RolloutState,
    /// Why it halted.
    pub halt: Option<Halt>,
    /// Whether too many infrastructure failures stand.
    pub frozen: bool,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When it became terminal, reverted or superseded.
    pub finished_at: Option<Timestamp>,
    /// What took its place.
    pub superseded_by: Option<RolloutId>,
    /// The wave being worked on. It never goes back (G16).
    pub current_wave: WaveIndex,
    /// An operator's mark on it.
    pub mark: Option<Mark>,
    /// The version of the operators' marks in which that changed last.
    pub mark_version: u64,
    /// The waves that a person has approved.
    pub approvals: BTreeMap<WaveIndex, MarkBy>,
    /// When its last dispatches were issued, as far back as the ramp looks.
    pub recent_dispatches: VecDeque<Mono>,
    /// Gates that hold a whole wave.
    pub held: BTreeMap<WaveIndex, HeldSince>,
    /// Its hosts. Change them through [`super::Fleet::change`] only.
    pub placements: ByName<Placement>,
    /// Its waves, by index.
    pub(super) waves: Vec<WaveTally>,
    /// Hosts that may be dispatched, by wave.
    pub(super) candidates: HostsByWave,
    /// Hosts to which silence matters, by the time before which it has no consequence.
    pub(super) quiet: BTreeSet<(Mono, HostName)>,
    /// Candidates that do not wait for their wave: nothing changes for them, or they are broken.
    pub(super) express: HostsByWave,
}

/// An operator's mark on a rollout.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// What it says.
    pub mark: RolloutMark,
    /// By whom and why.
    pub by: MarkBy,
}

/// What a rollout was opened with: verified bytes and what they say.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    /// The header.
    pub header: RolloutHeader,
    /// Its exact bytes.
    pub header_bytes: Vec<u8>,
    /// Its signatures.
    pub signatures: Vec<Signature>,
    /// What identifies its content.
    pub content_id: Sha256Hash,
}

/// Without its bytes: the content id stands for them.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("rollout_id", &self.header.rollout_id())
            .field("serial", &self.header.serial)
            .field("content_id", &self.content_id)
            .finish_non_exhaustive()
    }
}

impl Rollout {
    /// A rollout that has just opened, without hosts.
    #[must_use]
    pub fn open(manifest: Arc<Manifest>, order: u64, opened_at: Timestamp) -> Self {
        Self {
            id: manifest.header.rollout_id(),
            order,
            state: RolloutState::Opening,
            halt: None,
            frozen: false,
            opened_at,
            finished_at: None,
            superseded_by: None,
            current_wave: WaveIndex(0),
            mark: None,
            mark_version: 0,
            approvals: BTreeMap::new(),
            recent_dispatches: VecDeque::new(),
            held: BTreeMap::new(),
            placements: ByName::default(),
            waves: vec![WaveTally::default(); manifest.header.policy.waves.len()],
            candidates: HostsByWave::default(),
            quiet: BTreeSet::new(),
            express: HostsByWave::default(),
            manifest,
        }
    }

    /// The policy it goes out under.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.manifest.header.policy
    }

    /// The serial of the release that opened it.
    #[must_use]
    pub fn serial(&self) -> Serial {
        self.manifest.header.serial
    }

    /// How long a host of `wave` soaks, in seconds.
    #[must_use]
    pub fn soak_secs(&self, wave: WaveIndex) -> u64 {
        self.wave_of(&self.policy().waves, wave).map_or(0, |w| w.soak_secs)
    }

    /// Its waves, by index.
    #[must_use]
    pub fn waves(&self) -> &[WaveTally] {
        &self.waves
    }

    /// One of its waves.
    #[must_use]
    pub fn wave(&self, wave: WaveIndex) -> Option<&WaveTally> {
        self.wave_of(&self.waves, wave)
    }

    fn wave_of<'a, T>(&self, waves: &'a [T], wave: WaveIndex) -> Option<&'a T> {
        waves.get(usize::try_from(wave.0).ok()?)
    }

    /// Whether the planner may still dispatch in it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.state {
            RolloutState::Opening
            | RolloutState::Active
            | RolloutState::Converging
            | RolloutState::Terminal => true,
            RolloutState::Failed
            | RolloutState::Reverted
            | RolloutState::Superseded
            | RolloutState::Pruned => false,
        }
    }

    /// Whether every host is done.
    #[must_use]
    pub fn all_done(&self) -> bool {
        self.waves.iter().all(|wave| wave.is_done(self.policy()))
    }

    /// Whether a wave is done. One without evidence is, once a person has approved the next
    /// (G24).
    #[must_use]
    pub fn is_wave_done(&self, index: WaveIndex) -> bool {
        let Some(wave) = self.wave(index) else { return false };
        wave.is_done(self.policy())
            || (wave.done(self.policy()) == wave.hosts
                && self.approvals.contains_key(&index.next()))
    }

    /// Whether a wave is done for good: nobody in it is deferred any more.
    #[must_use]
    pub fn is_wave_over(&self, index: WaveIndex) -> bool {
        let deferred = self.wave(index).map_or(0, |wave| wave.count(HostClass::Deferred));
        self.is_wave_done(index) && deferred == 0
    }

    /// Whether every host converged, or how else it ended.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        (self.state == RolloutState::Terminal).then(|| {
            let converged = |wave: &WaveTally| wave.count(HostClass::Converged) == wave.hosts;
            if self.waves.iter().all(converged) {
                Outcome::Complete
            } else {
                Outcome::WithExceptions
            }
        })
    }

    /// A wave whose failures of the closure's own fault exceed what the policy tolerates.
    #[must_use]
    pub fn wave_over_limit(&self) -> Option<WaveIndex> {
        let over = |wave: &WaveTally| wave.halting_failures() > wave.max_failures(self.policy());
        let index = self.waves.iter().position(over)?;
        u32::try_from(index).ok().map(WaveIndex)
    }

    /// Whether more other failures stand in a wave than the policy tolerates.
    #[must_use]
    pub fn should_freeze(&self) -> bool {
        self.waves.iter().any(|w| w.standing_infra_failures() > w.max_infra_failures(self.policy()))
    }

    /// What the rollout machine needs to know.
    #[must_use]
    pub fn tally(&self) -> RolloutTally {
        let sum = |class| self.waves.iter().map(|w| w.count(class)).sum::<u64>();
        let index = usize::try_from(self.current_wave.0).unwrap_or(usize::MAX);
        let current_wave_done = self.is_wave_done(self.current_wave);
        let later_wave_remains = index.saturating_add(1) < self.waves.len();
        RolloutTally {
            begun: current_wave_done || self.waves.iter().any(WaveTally::has_started),
            current_wave_done,
            later_wave_remains,
            deferred_remain: sum(HostClass::Deferred) > 0,
            all_done: (0_u32..)
                .zip(&self.waves)
                .all(|(index, _)| self.is_wave_over(WaveIndex(index))),
            artifact_failures_exceed: self.wave_over_limit().is_some(),
            failed_hosts_awaiting_rollback: sum(HostClass::FailedArtifact),
            failed_hosts: sum(HostClass::FailedArtifact) + sum(HostClass::RevertedArtifact),
            // A wave starts as soon as the one before it is done: its gates hold it from then on.
            next_wave_started: current_wave_done && later_wave_remains,
        }
    }

    /// The waves in which the planner looks for candidates, in order: those that have been reached, and
    /// later ones in which somebody does not wait for the wave.
    pub fn waves_with_candidates(&self) -> impl Iterator<Item = WaveIndex> {
        let reached = self.candidates.waves().take_while(|wave| *wave <= self.current_wave);
        let ahead = self.express.waves().skip_while(|wave| *wave <= self.current_wave);
        reached.chain(ahead)
    }

    /// The candidates the planner looks at in `wave`, by name: every one in a wave that has been
    /// reached, in a later one those that do not wait for it.
    pub fn candidates(&self, wave: WaveIndex) -> impl Iterator<Item = &HostName> {
        let reached = wave <= self.current_wave;
        if reached { self.candidates.of(wave) } else { self.express.of(wave) }
    }

    /// Every candidate the planner looks at, by wave and name.
    pub fn all_candidates(&self) -> impl Iterator<Item = &HostName> {
        self.waves_with_candidates().flat_map(|wave| self.candidates(wave))
    }

    /// What was noted to hold a host, or its whole wave, when it was last looked at.
    #[must_use]
    pub fn noted_hold<'a>(&'a self, placement: &'a Placement) -> Option<&'a HeldSince> {
        placement.held.as_deref().or_else(|| self.held.get(&placement.entry.wave))
    }

    /// The candidates of `wave` that do not wait for what holds the wave as a whole, by name.
    pub fn express_candidates(&self, wave: WaveIndex) -> impl Iterator<Item = &HostName> {
        self.express.of(wave)
    }

    /// When the silence of each host is looked at next, in order of that.
    pub fn silences(&self) -> impl Iterator<Item = (Mono, &HostName)> {
        self.quiet.iter().map(|(due, host)| (*due, host))
    }

    /// Hosts whose silence may have a consequence at `now`: of those that wait, those in flight, those
    /// left out for it.
    pub fn quiet_hosts(&self, now: Mono) -> impl Iterator<Item = &HostName> {
        self.quiet.iter().take_while(move |(due, _)| *due <= now).map(|(_, host)| host)
    }
}
