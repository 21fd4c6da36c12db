//! The machine of this thread: two disks, the files that are open on them, and their locks.
//!
//! Each thread has its own, so that tests run beside each other. Files below a folder `calm` are on a
//! disk of their own that nothing happens to.
//!
//! Not here: the memory that connections share (see `vfs`).

use std::cell::RefCell;
use std::collections::BTreeMap;

use fastrand::Rng;

use super::disk::{Disk, Failed, Fault, Syncs};

/// SQLite's five levels of a file lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Level {
    #[default]
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// Somebody else holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

#[derive(Debug, Default)]
struct Handle {
    name: String,
    /// A file without a name is gone with its handle.
    scratch: Option<Vec<u8>>,
    read_only: bool,
    /// A journal syncs its folder with its own first sync, as SQLite's file system for Unix does.
    folder_synced: bool,
    level: Level,
    /// Bits of the shared-memory locks held.
    shared: u8,
    exclusive: u8,
}

/// Disks and open files.
#[derive(Debug)]
pub struct Machine {
    pub disk: Disk,
    pub calm: Disk,
    handles: BTreeMap<u64, Handle>,
    last_handle: u64,
    rng: Rng,
}

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::new(Machine::new(Syncs::Honest, Rng::with_seed(0)));
}

/// Uses the machine of this thread.
pub fn with<T>(use_it: impl FnOnce(&mut Machine) -> T) -> T {
    MACHINE.with_borrow_mut(use_it)
}

impl Machine {
    pub fn new(syncs: Syncs, mut rng: Rng) -> Self {
        Self {
            disk: Disk::new(syncs, rng.fork()),
            calm: Disk::new(Syncs::Honest, rng.fork()),
            handles: BTreeMap::new(),
            last_handle: 0,
            rng,
        }
    }

    /// How many files are open.
    pub fn open_files(&self) -> usize {
        self.handles.len()
    }

    pub(super) fn disk_of(&mut self, name: &str) -> &mut Disk {
        if name.contains("/calm/") { &mut self.calm } else { &mut self.disk }
    }

    pub(super) fn fill_randomly(&mut self, bytes: &mut [u8]) {
        self.rng.fill(bytes);
    }

    /// Opens a file; `None` for one without a name.
    pub(super) fn open(&mut self, name: Option<&str>, read_only: bool) -> u64 {
        let name_of = name.unwrap_or_default().to_owned();
        let scratch = name.is_none().then(Vec::new);
        self.last_handle += 1;
        let handle = Handle { name: name_of, scratch, read_only, ..Handle::default() };
        self.handles.insert(self.last_handle, handle);
        self.last_handle
    }

    pub(super) fn close(&mut self, handle: u64) {
        self.handles.remove(&handle);
    }

    pub(super) fn name(&self, handle: u64) -> String {
        self.handles.get(&handle).map(|handle| handle.name.clone()).unwrap_or_default()
    }

    /// As on Unix, whoever opened a file to read may neither write nor lock others out.
    pub(super) fn is_read_only(&self, handle: u64) -> bool {
        self.handles.get(&handle).is_some_and(|own| own.read_only)
    }

    fn scratch(&mut self, handle: u64) -> Option<&mut Vec<u8>> {
        self.handles.get_mut(&handle)?.scratch.as_mut()
    }

    pub(super) fn read(
        &mut self,
        handle: u64,
        at: usize,
        buffer: &mut [u8],
    ) -> Result<usize, Failed> {
        if let Some(scratch) = self.scratch(handle) {
            let there = scratch.get(at..).unwrap_or_default();
            let length = there.len().min(buffer.len());
            buffer[..length].copy_from_slice(&there[..length]);
            return Ok(length);
        }
        let name = self.name(handle);
        self.disk_of(&name).read(&name, at, buffer)
    }

    pub(super) fn write(&mut self, handle: u64, at: usize, bytes: &[u8]) -> Result<(), Failed> {
        if let Some(scratch) = self.scratch(handle) {
            let end = at + bytes.len();
            if scratch.len() < end {
                scratch.resize(end, 0);
            }
            scratch[at..end].copy_from_slice(bytes);
            return Ok(());
        }
        let name = self.name(handle);
        if self.is_read_only(handle) {
            return Err(Fault::WriteError);
        }
        self.disk_of(&name).write(&name, at, bytes)
    }

    pub(super) fn truncate(&mut self, handle: u64, length: usize) -> Result<(), Failed> {
        if let Some(scratch) = self.scratch(handle) {
            scratch.truncate(length);
            return Ok(());
        }
        let name = self.name(handle);
        self.disk_of(&name).truncate(&name, length)
    }

    pub(super) fn sync(&mut self, handle: u64) -> Result<(), Failed> {
        if self.scratch(handle).is_some() {
            return Ok(());
        }
        let name = self.name(handle);
        let is_journal = name.ends_with("-wal") || name.ends_with("-journal");
        let first = self.handles.get(&handle).is_some_and(|own| !own.folder_synced);
        self.disk_of(&name).sync(&name, is_journal && first)?;
        if let Some(own) = self.handles.get_mut(&handle) {
            own.folder_synced = true;
        }
        Ok(())
    }

    pub(super) fn len(&mut self, handle: u64) -> usize {
        if let Some(scratch) = self.scratch(handle) {
            return scratch.len();
        }
        let name = self.name(handle);
        self.disk_of(&name).len(&name)
    }

    fn others(&self, handle: u64) -> impl Iterator<Item = &Handle> {
        let name = self.name(handle);
        let other = move |(number, other): &(&u64, &Handle)| {
            **number != handle && other.scratch.is_none() && other.name == name
        };
        self.handles.iter().filter(other).map(|(_, other)| other)
    }

    pub(super) fn lock(&mut self, handle: u64, wanted: Level) -> Result<(), Busy> {
        let highest = self.others(handle).map(|other| other.level).max().unwrap_or_default();
        let free = match wanted {
            Level::None => true,
            Level::Shared => highest < Level::Pending,
            Level::Reserved | Level::Pending => highest < Level::Reserved,
            Level::Exclusive => highest == Level::None,
        };
        if !free {
            return Err(Busy);
        }
        if let Some(own) = self.handles.get_mut(&handle) {
            own.level = own.level.max(wanted);
        }
        Ok(())
    }

    pub(super) fn unlock(&mut self, handle: u64, to: Level) {
        if let Some(own) = self.handles.get_mut(&handle) {
            own.level = own.level.min(to);
        }
    }

    pub(super) fn is_reserved(&self, handle: u64) -> bool {
        let own = self.handles.get(&handle).map(|own| own.level);
        let others = self.others(handle).map(|other| other.level);
        others.chain(own).any(|level| level >= Level::Reserved)
    }

    /// Takes the locks of shared memory whose bits are set.
    pub(super) fn lock_memory(
        &mut self,
        handle: u64,
        bits: u8,
        exclusively: bool,
    ) -> Result<(), Busy> {
        let taken = self.others(handle).fold(0, |bits, other| {
            bits | other.exclusive | if exclusively { other.shared } else { 0 }
        });
        if taken & bits != 0 {
            return Err(Busy);
        }
        if let Some(own) = self.handles.get_mut(&handle) {
            *(if exclusively { &mut own.exclusive } else { &mut own.shared }) |= bits;
        }
        Ok(())
    }

    pub(super) fn unlock_memory(&mut self, handle: u64, bits: u8) {
        if let Some(own) = self.handles.get_mut(&handle) {
            own.exclusive &= !bits;
            own.shared &= !bits;
        }
    }
}
