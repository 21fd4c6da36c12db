//! A state: the real cores, the disks behind them, what is on its way, and what may still go wrong.
//!
//! Hosts' wall clocks stand still: `at` is never a reason to decide anything (the simulator runs with
//! clocks that are days wrong), and journals that differ in nothing else would be told apart by their
//! heads. The control plane's wall clock runs, since it reads leases back by it.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use wavegate_control_plane::core::LogEnd;
use wavegate_proto::event::ProbeOutcome;
use wavegate_proto::ids::{ChannelName, ClosureId, HostName, LogSeq, RolloutId};
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::agent::{Checkpoint, Dispatch, EventsRequest, Heartbeat};
use wavegate_state_machine::agent::{AgentCore, MemoryDisk};
use wavegate_tests::sim::{ControlPlane, Disk, Work};

use crate::bounds::Bounds;
use crate::canon::digest;
use crate::judge::Violation;
use crate::setup::{BEGIN_UNIX_MILLIS, HOSTS};

/// A host, by its place.
pub(crate) type At = usize;

/// One state.
#[derive(Clone)]
pub(crate) struct State {
    /// Milliseconds since the beginning; only distances from it are told apart.
    pub(crate) clock_millis: u64,
    pub(crate) control: Arc<Control>,
    pub(crate) hosts: [Arc<Host>; HOSTS],
    /// Copies of requests that may still arrive.
    pub(crate) late: Vec<(At, Late)>,
    /// An older copy of the database.
    pub(crate) backup: Option<Arc<Disk>>,
    /// How many releases have been published.
    pub(crate) released: usize,
    pub(crate) left: Bounds,
    pub(crate) ghosts: Ghosts,
    digests: Digests,
}

/// The control plane: its process, if it runs, and its disk.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) process: Option<ControlPlane>,
    pub(crate) disk: Arc<Disk>,
    /// The end of the log that the process found.
    pub(crate) found: LogSeq,
    /// Databases made so far.
    pub(crate) databases: u64,
}

/// A host: its agent, if it runs, its disk, and what it really does.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) name: HostName,
    pub(crate) disk: MemoryDisk,
    pub(crate) agent: Option<AgentCore>,
    pub(crate) work: Option<Work>,
    /// What runs after the next reboot, if that is another closure than now.
    pub(crate) staged: Option<ClosureId>,
    /// Reboots so far.
    pub(crate) boots: u64,
    /// Whose probes run, and what they last said to this process.
    pub(crate) probing: Option<(RolloutId, Option<ProbeOutcome>)>,
    pub(crate) poll: Poll,
    /// It owes a heartbeat before time passes.
    pub(crate) owes_heartbeat: bool,
    /// It has events to send, and may send them now.
    pub(crate) has_events: bool,
    /// The journal it sent from last.
    pub(crate) last_posted: Option<RolloutId>,
    /// What it runs fails its probe.
    pub(crate) sick: bool,
    /// Journals opened so far.
    pub(crate) journals: u64,
    pub(crate) truth: Truth,
}

/// What has really happened on a host, for the judge; the engine does not see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Truth {
    /// The rollouts in which it has converged, been carried, or waits for a reboot.
    pub(crate) done: BTreeSet<RolloutId>,
    /// Whether its probe has passed since the last activation began.
    pub(crate) passed: bool,
}

/// Where a host's question for a dispatch is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Poll {
    /// Not asked.
    Idle,
    /// Parked at the control plane.
    Parked { polled_at: Mono },
    /// On its way back.
    Answered { polled_at: Mono, dispatch: Box<Dispatch> },
}

/// A copy of a request that may still arrive.
#[derive(Debug, Clone)]
pub(crate) enum Late {
    Heartbeat(Box<Heartbeat>),
    Events(EventsRequest),
}

/// What is remembered across wipes, for the judge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ghosts {
    /// Every quarantine ever committed.
    pub(crate) quarantined: BTreeSet<(ChannelName, ClosureId)>,
    /// Hosts that were left out for their silence: what they do counts again from their first word on.
    pub(crate) left_out: BTreeSet<HostName>,
    /// Hosts that a person has left out of a rollout.
    pub(crate) skipped: BTreeSet<(RolloutId, HostName)>,
    /// Whether a database was deleted or set back.
    pub(crate) forgot: bool,
    pub(crate) violation: Option<Violation>,
}

/// Digests of the parts, so that a step digests again only what it touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Digests {
    process: u64,
    disk: u64,
    hosts: [u64; HOSTS],
    backup: u64,
    whole: u64,
}

impl State {
    pub(crate) fn new(control: Control, hosts: [Arc<Host>; HOSTS], left: Bounds) -> Self {
        Self {
            clock_millis: 0,
            control: Arc::new(control),
            hosts,
            late: Vec::new(),
            backup: None,
            released: 1,
            left,
            ghosts: Ghosts::default(),
            digests: Digests::default(),
        }
    }

    /// The control plane's clocks; its process sees the monotonic one from its own start.
    pub(crate) fn now(&self) -> Now {
        let wall = BEGIN_UNIX_MILLIS + i64::try_from(self.clock_millis).unwrap();
        let mono = Mono::from_millis(self.clock_millis);
        Now { wall: Timestamp::from_unix_millis(wall), mono }
    }

    /// A host's clocks.
    pub(crate) fn host_now(&self) -> Now {
        Now { wall: Timestamp::from_unix_millis(BEGIN_UNIX_MILLIS), mono: self.now().mono }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digests.whole
    }

    /// Digests again what is not `before`'s; call it when a step is over.
    pub(crate) fn seal(&mut self, before: Option<&Self>) {
        let before = before.filter(|before| before.clock_millis == self.clock_millis);
        let known = before.filter(|before| Arc::ptr_eq(&before.control, &self.control));
        self.digests.process = known.map_or_else(|| self.digest_process(), |b| b.digests.process);
        let known = before.filter(|b| Arc::ptr_eq(&b.control.disk, &self.control.disk));
        let fresh = || digest(&DiskText(&self.control.disk), self.now());
        self.digests.disk = known.map_or_else(fresh, |b| b.digests.disk);
        for at in 0..HOSTS {
            let known = before.filter(|before| Arc::ptr_eq(&before.hosts[at], &self.hosts[at]));
            let fresh = || digest(&self.hosts[at], self.host_now());
            self.digests.hosts[at] = known.map_or_else(fresh, |b| b.digests.hosts[at]);
        }
        self.digests.backup =
            self.backup.as_ref().map_or(0, |disk| digest(&DiskText(disk), self.now()));
        self.digests.whole = 0;
        let late = digest(&self.late, self.host_now());
        let mut hasher = std::hash::DefaultHasher::new();
        (self.digests, late).hash(&mut hasher);
        (self.control.databases, self.released, self.left).hash(&mut hasher);
        self.hash_checkpoints(&mut hasher);
        digest(&self.ghosts, self.now()).hash(&mut hasher);
        self.digests.whole = hasher.finish();
    }

    fn digest_process(&self) -> u64 {
        let process = self.control.process.as_ref();
        process.map_or(0, |process| digest(&process.core, process.now(self.now())))
    }

    /// How what each host was shown relates to each log: this is all that a core ever asks of it.
    fn hash_checkpoints(&self, hasher: &mut impl Hasher) {
        let relation = |shown: &Checkpoint| {
            let end = LogEnd { seq: shown.seq, chain: shown.chain };
            let to = |disk: &Disk| (disk.has(end), shown.seq > disk.last_seq());
            let backup = self.backup.as_ref().map(|disk| to(disk));
            (to(&self.control.disk), backup, shown.seq > self.control.found)
        };
        for host in &self.hosts {
            host.disk.meta.checkpoint.as_ref().map(relation).hash(hasher);
        }
        for (_, late) in &self.late {
            if let Late::Heartbeat(heartbeat) = late {
                heartbeat.checkpoint.as_ref().map(relation).hash(hasher);
            }
        }
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.digests == other.digests
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digests.whole);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} s, left {:?}", self.clock_millis / 1000, self.left)?;
        if let Some(process) = &self.control.process {
            for rollout in process.core.fleet().rollouts.values() {
                writeln!(f, "  {} {} wave {}", rollout.id, rollout.state, rollout.current_wave)?;
                for (host, p) in &rollout.placements {
                    let held = p.held.as_ref().map(|held| held.hold.code());
                    let (state, seq, lease) =
                        (p.record.state, p.record.last_seq, p.lease.is_some());
                    writeln!(f, "    {host} {state} seq {seq} lease {lease} {held:?}")?;
                }
            }
        } else {
            writeln!(f, "  no control plane")?;
        }
        for host in &self.hosts {
            let records = host.agent.iter().flat_map(AgentCore::records);
            let records: Vec<String> = records
                .map(|r| format!("{} {} seq {}", r.rollout_id, r.state, r.last_seq))
                .collect();
            let (up, work, probing) = (host.agent.is_some(), &host.work, &host.probing);
            writeln!(f, "  {} up {up} {records:?} {work:?} {probing:?}", host.name)?;
        }
        write!(f, "  {:?}", self.ghosts)
    }
}

/// The rows a start reads back. The log itself is not read; its end is digested with the checkpoints.
struct DiskText<'a>(&'a Disk);

impl fmt::Debug for DiskText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stored = self.0.rows();
        let rollouts: Vec<_> = stored
            .rollouts
            .iter()
            .map(|row| {
                (
                    &row.rollout_id,
                    row.state,
                    row.frozen,
                    row.current_wave,
                    &row.halt,
                    &row.superseded_by,
                )
            })
            .collect();
        f.debug_struct("Disk")
            .field("epoch", &self.0.epoch)
            .field("release", &stored.release)
            .field("rollouts", &rollouts)
            .field("host_rollouts", &stored.host_rollouts)
            .field("quarantines", &stored.quarantines)
            .field("dispatches", &stored.dispatches)
            .field("marks", &stored.marks)
            .field("marks_version", &stored.marks_version)
            .finish()
    }
}
