//! A disk in memory that can lose what was not synced.
//!
//! Every file has what a reader sees now and what is on the platter; a write moves from one to the other
//! with the next sync; a name is there for good when its folder was synced. When the power fails, each sector of each write in between survives or not, whole
//! or torn, in any order. Syncs, writes and reads can be made to fail.
//!
//! Not here: how SQLite reaches it (see `vfs`), and who has which file open (see `machine`).

use std::collections::BTreeMap;

use fastrand::Rng;

/// Power fails between these: smaller than SQLite's pages, so that pages tear.
pub const SECTOR: usize = 512;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Everything that was not synced is at risk, and nothing answers any more.
    PowerCut,
    /// A read fails.
    ReadError,
    /// A write fails and leaves nothing behind.
    WriteError,
    /// A write fails half-way.
    ShortWrite,
    /// No space is left, from now on.
    DiskFull,
    /// A sync fails; what it was to make durable is dropped from the list of what is to be written, as
    /// Linux does: a later sync does not make up for it.
    SyncError,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::PowerCut,
        Self::ReadError,
        Self::WriteError,
        Self::ShortWrite,
        Self::DiskFull,
        Self::SyncError,
    ];

    fn hits(self, operation: Operation) -> bool {
        match self {
            Self::PowerCut => operation != Operation::Read,
            Self::ReadError => operation == Operation::Read,
            Self::WriteError | Self::ShortWrite | Self::DiskFull => operation == Operation::Write,
            Self::SyncError => operation == Operation::Sync,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Read,
    Write,
    Sync,
    /// Anything else that changes the disk.
    Other,
}

/// Whether a sync does what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    Honest,
    /// It answers at once and does nothing: the control that shows that losses are found.
    Ignored,
}

/// An operation that failed, and with which fault.
pub type Failed = Fault;

/// How much of what was not synced a power cut leaves.
#[derive(Debug, Clone, Copy)]
enum Luck {
    Nothing,
    Everything,
    /// The earlier writes, up to one of them.
    InOrder,
    /// Any sectors, each with this probability.
    Percent(u8),
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Debug, Clone, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Whether its name is on the platter: its folder was synced since it was made.
    named: bool,
    pending: Vec<Change>,
}

/// What happened to the sectors of the disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sectors {
    pub kept: u64,
    pub lost: u64,
    pub torn: u64,
    /// Files that were deleted and are back.
    pub back: u64,
}

/// The disk.
#[derive(Debug, Clone)]
pub struct Disk {
    files: BTreeMap<String, File>,
    /// Removed, which is not yet on the platter.
    removed: BTreeMap<String, Vec<u8>>,
    syncs: Syncs,
    /// What goes wrong next, and how many operations that it could hit before it does.
    planned: Option<(Fault, u64)>,
    happened: Option<Fault>,
    rng: Rng,
    pub sectors: Sectors,
}

impl Disk {
    pub fn new(syncs: Syncs, rng: Rng) -> Self {
        Self {
            files: BTreeMap::new(),
            removed: BTreeMap::new(),
            syncs,
            planned: None,
            happened: None,
            rng,
            sectors: Sectors::default(),
        }
    }

    /// `fault` happens at the operation after `after` more that it could hit.
    pub fn plan(&mut self, fault: Fault, after: u64) {
        self.planned = Some((fault, after));
    }

    /// What has gone wrong since the last [`Disk::mend`].
    pub fn happened(&self) -> Option<Fault> {
        self.happened
    }

    /// Nothing answers any more, as after a power cut: what is still open cannot change the disk.
    pub fn die(&mut self) {
        self.happened = Some(Fault::PowerCut);
    }

    /// The disk works again; nothing was lost.
    pub fn mend(&mut self) {
        self.planned = None;
        self.happened = None;
    }

    /// The power is back after a cut, and what was not synced is lost or not.
    pub fn power_cut(&mut self) {
        self.mend();
        let luck = match self.rng.u8(..10) {
            0..2 => Luck::Nothing,
            2 => Luck::Everything,
            3..5 => Luck::InOrder,
            _ => Luck::Percent(self.rng.u8(1..100)),
        };
        for (name, file) in std::mem::take(&mut self.files) {
            if file.named || self.keeps(luck) {
                let content = self.survives(&file, luck);
                self.files.insert(name, on_the_platter(content));
            }
        }
        for (name, content) in std::mem::take(&mut self.removed) {
            if self.rng.bool() && !self.files.contains_key(&name) {
                self.sectors.back += 1;
                self.files.insert(name, on_the_platter(content));
            }
        }
    }

    /// What is on the platter after a cut.
    fn survives(&mut self, file: &File, luck: Luck) -> Vec<u8> {
        let mut content = file.durable.clone();
        let last = self.rng.usize(..=file.pending.len());
        for (index, change) in file.pending.iter().enumerate() {
            let luck = match luck {
                Luck::InOrder if index < last => Luck::Everything,
                Luck::InOrder => Luck::Nothing,
                Luck::Nothing | Luck::Everything | Luck::Percent(_) => luck,
            };
            self.half_apply(&mut content, change, luck);
        }
        content
    }

    fn half_apply(&mut self, content: &mut Vec<u8>, change: &Change, luck: Luck) {
        match change {
            Change::Truncate(_) if !self.keeps(luck) => {}
            Change::Truncate(_) => apply(content, change),
            Change::Write { at, bytes } => {
                let mut from = 0;
                while from < bytes.len() {
                    let to = bytes.len().min(from + SECTOR - (at + from) % SECTOR);
                    self.half_write(content, at + from, &bytes[from..to], luck);
                    from = to;
                }
            }
        }
    }

    /// One sector: new, old, or torn. Bytes that were not written are never touched.
    fn half_write(&mut self, content: &mut Vec<u8>, at: usize, bytes: &[u8], luck: Luck) {
        if !self.keeps(luck) {
            self.sectors.lost += 1;
            return;
        }
        let mut bytes = bytes.to_vec();
        if matches!(luck, Luck::Percent(_)) && self.rng.u8(..16) == 0 {
            self.sectors.torn += 1;
            if self.rng.bool() {
                bytes.truncate(self.rng.usize(..=bytes.len()));
            } else {
                self.rng.fill(&mut bytes);
            }
        } else {
            self.sectors.kept += 1;
        }
        apply(content, &Change::Write { at, bytes });
    }

    fn keeps(&mut self, luck: Luck) -> bool {
        match luck {
            Luck::Nothing => false,
            Luck::Everything => true,
            Luck::InOrder => self.rng.bool(),
            Luck::Percent(percent) => self.rng.u8(..100) < percent,
        }
    }

    /// After a power cut nothing does, and nothing changes any more.
    fn answers(&self) -> Result<(), Failed> {
        if self.happened == Some(Fault::PowerCut) { Err(Fault::PowerCut) } else { Ok(()) }
    }

    /// Whether something goes wrong at this operation.
    fn meets(&mut self, operation: Operation) -> Result<(), Failed> {
        self.answers()?;
        if self.happened == Some(Fault::DiskFull) && operation == Operation::Write {
            return Err(Fault::DiskFull);
        }
        let Some((fault, after)) = self.planned.filter(|(fault, _)| fault.hits(operation)) else {
            return Ok(());
        };
        if after > 0 {
            self.planned = Some((fault, after - 1));
            return Ok(());
        }
        self.planned = None;
        self.happened = Some(fault);
        Err(fault)
    }

    pub fn exists(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub fn create(&mut self, name: &str) -> Result<(), Failed> {
        if !self.exists(name) {
            self.meets(Operation::Other)?;
            self.files.insert(name.to_owned(), File::default());
        }
        Ok(())
    }

    /// `durably`: the folder is synced as well, and with it every name.
    pub fn remove(&mut self, name: &str, durably: bool) -> Result<(), Failed> {
        self.meets(Operation::Other)?;
        let Some(file) = self.files.remove(name) else { return Ok(()) };
        if file.named {
            self.removed.insert(name.to_owned(), file.durable);
        }
        if durably {
            self.sync_folder();
        }
        Ok(())
    }

    pub fn len(&self, name: &str) -> usize {
        self.files.get(name).map_or(0, |file| file.live.len())
    }

    /// Fills `buffer` from `at` on; returns how much there was.
    pub fn read(&mut self, name: &str, at: usize, buffer: &mut [u8]) -> Result<usize, Failed> {
        self.meets(Operation::Read)?;
        let live = self.files.get(name).map_or(&[][..], |file| &file.live);
        let there = live.get(at..).unwrap_or_default();
        let length = there.len().min(buffer.len());
        buffer[..length].copy_from_slice(&there[..length]);
        Ok(length)
    }

    pub fn write(&mut self, name: &str, at: usize, bytes: &[u8]) -> Result<(), Failed> {
        self.answers()?;
        let met = self.meets(Operation::Write);
        let part = match met {
            // The power failed while it was being written: any part of it may be there.
            Ok(()) | Err(Fault::PowerCut) => bytes.len(),
            Err(Fault::ShortWrite | Fault::DiskFull) => self.rng.usize(..=bytes.len()),
            Err(Fault::ReadError | Fault::WriteError | Fault::SyncError) => 0,
        };
        self.change(name, Change::Write { at, bytes: bytes[..part].to_vec() });
        met
    }

    pub fn truncate(&mut self, name: &str, length: usize) -> Result<(), Failed> {
        self.answers()?;
        let met = self.meets(Operation::Other);
        self.change(name, Change::Truncate(length));
        met
    }

    fn change(&mut self, name: &str, change: Change) {
        if let Some(file) = self.files.get_mut(name) {
            apply(&mut file.live, &change);
            file.pending.push(change);
        }
    }

    /// `with_folder`: the folder is synced as well, and with it every name that was made or removed.
    pub fn sync(&mut self, name: &str, with_folder: bool) -> Result<(), Failed> {
        let met = self.meets(Operation::Sync);
        if met == Err(Fault::SyncError) {
            self.drop_what_is_dirty(name);
        }
        met?;
        if self.syncs == Syncs::Honest
            && let Some(file) = self.files.get_mut(name)
        {
            let File { durable, pending, .. } = file;
            pending.drain(..).for_each(|change| apply(durable, &change));
        }
        if with_folder {
            self.sync_folder();
        }
        Ok(())
    }

    fn sync_folder(&mut self) {
        if self.syncs == Syncs::Honest {
            self.removed.clear();
            self.files.values_mut().for_each(|file| file.named = true);
        }
    }

    fn drop_what_is_dirty(&mut self, name: &str) {
        let Some(mut file) = self.files.remove(name) else { return };
        let luck = Luck::Percent(self.rng.u8(..100));
        file.durable = self.survives(&file, luck);
        file.pending.clear();
        self.files.insert(name.to_owned(), file);
    }
}

fn on_the_platter(content: Vec<u8>) -> File {
    File { live: content.clone(), durable: content, named: true, pending: Vec::new() }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(length) => content.resize(*length, 0),
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*at..end].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::{Disk, Fault, Syncs};

    fn disk(seed: u64) -> Disk {
        let mut disk = Disk::new(Syncs::Honest, Rng::with_seed(seed));
        disk.create("a").unwrap();
        disk.write("a", 0, &[1; 2000]).unwrap();
        disk.sync("a", true).unwrap();
        disk
    }

    fn content(disk: &mut Disk) -> Vec<u8> {
        let mut content = vec![0; disk.len("a")];
        disk.read("a", 0, &mut content).unwrap();
        content
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_is_lost_now_and_then() {
        let (mut lost, mut kept) = (0, 0);
        for seed in 0..100 {
            let mut disk = disk(seed);
            disk.write("a", 1000, &[2; 600]).unwrap();
            disk.power_cut();
            let content = content(&mut disk);
            assert_eq!((&content[..1000], &content[1600..]), (&[1; 1000][..], &[1; 400][..]));
            lost += usize::from(content[1000..1600] == [1; 600]);
            kept += usize::from(content[1000..1600] == [2; 600]);
        }
        assert!(lost > 10 && kept > 5, "{lost} {kept}");
        assert!(lost + kept < 95, "some are there in part");
    }

    #[test]
    fn a_failed_sync_is_not_made_up_for_by_the_next() {
        let lost = |seed: &u64| {
            let mut disk = disk(*seed);
            disk.write("a", 0, &[2; 2000]).unwrap();
            disk.plan(Fault::SyncError, 0);
            assert_eq!(disk.sync("a", false), Err(Fault::SyncError));
            disk.sync("a", false).unwrap();
            assert_eq!(content(&mut disk), [2; 2000], "readers see it");
            disk.power_cut();
            content(&mut disk) != [2; 2000]
        };
        assert!((0..100).filter(lost).count() > 50);
    }

    #[test]
    fn after_a_cut_nothing_changes_any_more() {
        let mut disk = disk(1);
        disk.die();
        assert_eq!(disk.write("a", 0, &[2; 10]), Err(Fault::PowerCut));
        assert_eq!(disk.truncate("a", 0), Err(Fault::PowerCut));
        assert_eq!(disk.remove("a", true), Err(Fault::PowerCut));
        disk.power_cut();
        assert_eq!(content(&mut disk), [1; 2000]);
    }

    #[test]
    fn a_name_that_was_removed_may_be_back_until_its_folder_is_synced() {
        let back = |durably: bool| {
            let back = |seed: &u64| {
                let mut disk = disk(*seed);
                disk.remove("a", durably).unwrap();
                disk.power_cut();
                disk.exists("a")
            };
            (0..100).filter(back).count()
        };
        assert!(back(false) > 20);
        assert_eq!(back(true), 0);
    }
}
