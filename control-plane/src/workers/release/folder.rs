//! The adopted release as a plain folder in the state folder: `release/`. It is written before it is
//! adopted, so that a wiped database finds it.
//!
//! The change of it, crash-safe at each step:
//!
//! ```text
//! write release.new/ ──> release/ becomes release.old/ ──> release.new/ becomes release/
//!                                    ──> adopted: release.old/ goes
//! ```
//!
//! Not here: verifying what is read from it (see [`super::adopt`]).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use wavegate_proto::artifact::release::ReleaseFiles;
use wavegate_proto::artifact::release_dir;
use wavegate_proto::ids::RolloutId;
use wavegate_proto::signing::SignatureFile;

/// The three folders.
#[derive(Debug, Clone)]
pub struct ReleaseFolder {
    state_dir: PathBuf,
}

impl ReleaseFolder {
    /// Those of this state folder.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned() }
    }

    /// The adopted release.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.state_dir.join("release")
    }

    fn old(&self) -> PathBuf {
        self.state_dir.join("release.old")
    }

    fn new_one(&self) -> PathBuf {
        self.state_dir.join("release.new")
    }

    /// Brings a change to an end that was interrupted. What was half written goes; what was moved away
    /// comes back when nothing took its place.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn recover(&self) -> io::Result<()> {
        remove(&self.new_one())?;
        if !self.current().exists() && self.old().exists() {
            fs::rename(self.old(), self.current())?;
            sync_folder(&self.state_dir)?;
        }
        Ok(())
    }

    /// Whether an earlier release waits to be put back or forgotten.
    #[must_use]
    pub fn has_old(&self) -> bool {
        self.old().exists()
    }

    /// Writes the release and puts it in place of the current one, which is kept as the old one.
    ///
    /// # Errors
    /// When the file system refuses; the current one is in place then, or comes back by
    /// [`ReleaseFolder::recover`].
    pub fn replace(&self, files: &ReleaseFiles, rollouts: &[RolloutId]) -> io::Result<()> {
        let new = self.new_one();
        remove(&new)?;
        write(&new, files, rollouts)?;
        sync_folder(&self.state_dir)?;
        if self.current().exists() {
            remove(&self.old())?;
            fs::rename(self.current(), self.old())?;
        }
        fs::rename(&new, self.current())?;
        sync_folder(&self.state_dir)
    }

    /// Puts the old one back in place: the new one was not adopted after all.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn put_back(&self) -> io::Result<()> {
        remove(&self.current())?;
        if self.has_old() {
            fs::rename(self.old(), self.current())?;
        }
        sync_folder(&self.state_dir)
    }

    /// Forgets the old one: the new one has been adopted.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn forget_old(&self) -> io::Result<()> {
        remove(&self.old())
    }
}

fn write(folder: &Path, files: &ReleaseFiles, rollouts: &[RolloutId]) -> io::Result<()> {
    fs::create_dir_all(folder.join(release_dir::ROLLOUTS))?;
    let signed = |path: &str, bytes: &[u8], sig: &SignatureFile| -> io::Result<()> {
        write_file(&folder.join(path), bytes)?;
        write_file(&folder.join(release_dir::signature_of(path)), &sig.to_bytes())
    };
    signed(release_dir::FLEET, &files.fleet, &files.fleet_sig)?;
    for (id, rollout) in rollouts.iter().zip(&files.rollouts) {
        signed(&release_dir::header(id), &rollout.header, &rollout.sig)?;
        write_file(&folder.join(release_dir::hosts(id)), &rollout.hosts)?;
    }
    sync_folder(&folder.join(release_dir::ROLLOUTS))?;
    sync_folder(folder)
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(fleet: &str) -> ReleaseFiles {
        let fleet_sig = SignatureFile::new(Vec::new());
        ReleaseFiles { fleet: fleet.as_bytes().to_vec(), fleet_sig, rollouts: Vec::new() }
    }

    fn current(folder: &ReleaseFolder) -> String {
        fs::read_to_string(folder.current().join("fleet.json")).unwrap_or_default()
    }

    #[test]
    fn a_change_that_is_cut_anywhere_leaves_one_whole_release() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ReleaseFolder::new(dir.path());
        folder.replace(&release("1"), &[]).unwrap();
        folder.forget_old().unwrap();

        // Cut while writing.
        fs::create_dir(folder.new_one()).unwrap();
        folder.recover().unwrap();
        assert_eq!(current(&folder), "1");
        assert!(!folder.new_one().exists());

        // Cut between the two renames.
        fs::rename(folder.current(), folder.old()).unwrap();
        folder.recover().unwrap();
        assert_eq!((current(&folder).as_str(), folder.has_old()), ("1", false));

        // Cut after the swap: the new one is in place, the old one at hand.
        folder.replace(&release("2"), &[]).unwrap();
        folder.recover().unwrap();
        assert_eq!((current(&folder).as_str(), folder.has_old()), ("2", true));
        folder.put_back().unwrap();
        assert_eq!(current(&folder), "1");
    }
}
