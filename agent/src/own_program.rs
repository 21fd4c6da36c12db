//! The agent's own program, where a supervisor starts it: replaced by a closure, taken into use, or taken back.
//!
//! A closure may bring the agent itself, as a file or in a package. Such an activation is not over when everything is in
//! its place: the agent ends without saying so, the supervisor starts what is there now, and that one goes on
//! with the activation, as after any other restart. It ends it when it has reached the control plane, which is what proves it. One that
//! cannot be started is taken back by the supervisor, and the agent that is back says why the activation failed.
//! Not here: starting programs and putting one back (`packaging/systemd/wavegate-agent-supervise`, which also says which
//! files there are).

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// The program the supervisor starts.
const PROGRAM_VARIABLE: &str = "WAVEGATE_PROGRAM";

/// Where the supervisor and the agent keep what they know of it.
const FOLDER_VARIABLE: &str = "WAVEGATE_UPDATE_DIR";

const PROVEN: &str = "proven";
const CANDIDATE: &str = "candidate";
const FELL_BACK: &str = "fell-back";

/// What is known of the last end of a program is not longer than this.
const MAX_REASON_BYTES: u64 = 1024;

/// A supervisor that starts the agent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervised {
    /// What it starts.
    pub program: PathBuf,
    /// The folder `update`.
    pub folder: PathBuf,
}

impl Supervised {
    /// What the supervisor has put into the environment; `None`: there is none.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let of = |name| std::env::var_os(name).map(PathBuf::from);
        Some(Self { program: of(PROGRAM_VARIABLE)?, folder: of(FOLDER_VARIABLE)? })
    }
}

/// Whether the program that runs has shown that it can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    /// Not yet, and there is one to go back to.
    Open,
    /// It has, or there is no other.
    Over,
}

/// What tells one file from another that took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

fn identity(program: &Path) -> io::Result<Identity> {
    let meta = fs::metadata(program)?;
    Ok(Identity {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        changed: (meta.mtime(), meta.mtime_nsec()),
    })
}

/// The program that runs, and what the supervisor knows of it.
#[derive(Debug)]
pub struct OwnProgram {
    supervised: Supervised,
    started: Option<Identity>,
    trial: watch::Sender<Trial>,
    /// Why another program was taken back.
    fell_back: Mutex<Option<String>>,
}

impl OwnProgram {
    /// To be asked at the start, while what was started is still in its place.
    #[must_use]
    pub fn new(supervised: Supervised) -> Self {
        let is_there = |name: &str| supervised.folder.join(name).exists();
        let on_trial = is_there(PROVEN) && is_there(CANDIDATE);
        let trial = if on_trial { Trial::Open } else { Trial::Over };
        let started = identity(&supervised.program).ok();
        let fell_back = Mutex::new(read_reason(&supervised.folder.join(FELL_BACK)));
        Self { supervised, started, trial: watch::Sender::new(trial), fell_back }
    }

    /// Why the program that was to take this one's place was taken back; said once. Cut off before that is reported,
    /// the agent tries that program again and comes to the same end.
    pub(crate) fn take_fall_back(&self) -> Option<String> {
        let why = self.fell_back.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let marker = self.file(FELL_BACK);
        if let Err(error) = fs::remove_file(&marker) {
            tracing::warn!(%error, "{} not removed: it is told once more", marker.display());
        }
        Some(why)
    }

    /// The control plane has been reached: this program is the one to go back to from now on.
    pub(crate) fn prove(&self) {
        let candidate = self.file(CANDIDATE);
        if candidate.exists() {
            let kept = fs::rename(&candidate, self.file(PROVEN))
                .and_then(|()| File::open(&self.supervised.folder)?.sync_all());
            match kept {
                Ok(()) => tracing::info!("this program is the one to go back to from now on"),
                Err(error) => tracing::error!(%error, "degraded: this program is not kept"),
            }
        }
        self.trial.send_replace(Trial::Over);
    }

    /// Whether another program has taken the place of the one that runs.
    pub(crate) fn is_replaced(&self) -> bool {
        let Ok(found) = identity(&self.supervised.program) else { return false };
        if self.started == Some(found) {
            return false;
        }
        // Put there again as it was.
        let copies = [CANDIDATE, PROVEN].map(|name| self.file(name));
        let Some(own) = copies.iter().find(|copy| copy.exists()) else { return true };
        !is_same(&self.supervised.program, own).unwrap_or(false)
    }

    /// Waits until this program has proved itself, or until `deadline`.
    pub(crate) async fn is_proven_by(&self, deadline: Instant) -> bool {
        let mut trial = self.trial.subscribe();
        let over = trial.wait_for(|trial| *trial == Trial::Over);
        tokio::time::timeout_at(deadline, over).await.is_ok()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.supervised.folder.join(name)
    }
}

fn read_reason(marker: &Path) -> Option<String> {
    let file = File::open(marker).ok()?;
    let mut words = Vec::new();
    // What cannot be read was there all the same.
    let _unread = file.take(MAX_REASON_BYTES).read_to_end(&mut words);
    Some(String::from_utf8_lossy(&words).trim().to_owned())
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut pairs = BufReader::new(one).bytes().zip(BufReader::new(other).bytes());
    pairs.try_fold(true, |same, (a, b)| Ok(same && a? == b?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that was started, and the files beside it.
    fn world(files: &[(&str, &str)]) -> (tempfile::TempDir, Supervised) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_owned();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        (dir, Supervised { program: folder.join("agent"), folder })
    }

    fn put(supervised: &Supervised, content: &str) {
        let new = supervised.folder.join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, &supervised.program).unwrap();
    }

    #[test]
    fn a4_only_another_program_in_its_place_ends_the_agent() {
        let (_dir, supervised) = world(&[("agent", "one"), ("proven", "one")]);
        let own = OwnProgram::new(supervised.clone());
        assert!(!own.is_replaced(), "as it was started");
        put(&supervised, "one");
        assert!(!own.is_replaced(), "put there again as it was");
        put(&supervised, "two");
        assert!(own.is_replaced());
        put(&supervised, "1ne");
        assert!(own.is_replaced(), "of the same length");
        fs::remove_file(&supervised.program).unwrap();
        assert!(!own.is_replaced(), "there is nothing to start");
    }

    #[tokio::test]
    async fn a4_a_program_on_trial_is_proven_when_it_has_reached_the_control_plane() {
        let (_dir, supervised) =
            world(&[("agent", "two"), ("proven", "one"), ("candidate", "two")]);
        let own = OwnProgram::new(supervised.clone());
        assert!(!own.is_proven_by(Instant::now()).await);
        own.prove();
        assert!(own.is_proven_by(Instant::now()).await);
        assert_eq!(fs::read_to_string(supervised.folder.join(PROVEN)).unwrap(), "two");
        assert!(!supervised.folder.join(CANDIDATE).exists());
    }

    #[tokio::test]
    async fn the_first_program_is_not_on_trial_there_is_none_to_go_back_to() {
        let (_dir, supervised) = world(&[("agent", "one"), ("candidate", "one")]);
        let own = OwnProgram::new(supervised.clone());
        assert!(own.is_proven_by(Instant::now()).await);
        own.prove();
        assert!(supervised.folder.join(PROVEN).exists());
    }

    #[test]
    fn a_fall_back_is_told_once() {
        let (_dir, supervised) =
            world(&[("agent", "one"), ("proven", "one"), (FELL_BACK, "why\n")]);
        let own = OwnProgram::new(supervised.clone());
        assert_eq!(own.take_fall_back().as_deref(), Some("why"));
        assert_eq!(own.take_fall_back(), None);
        assert_eq!(OwnProgram::new(supervised).take_fall_back(), None);
    }
}
