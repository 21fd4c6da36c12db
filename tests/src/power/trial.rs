//! One trial: a store lives through faults and power cuts, and after each of them holds exactly what it
//! acknowledged, or that and the one batch that was being committed; never a part of one.
//!
//! What is expected is what a second store holds, on a disk that nothing happens to, after the same
//! batches. A commit that failed is never tried again: the process ends, as the real ones do.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use wavegate_proto::ids::Sha256Hash;

use super::disk::{Disk, Fault, Syncs};
use super::machine::{self, Machine};
use super::tally::{Met, Tally};
use super::vfs;

/// A store that is put to the test.
pub trait Subject: Sized {
    /// The name of its file.
    const FILE: &'static str;
    /// What is written in one transaction.
    type Batch;
    /// Makes batches, each to follow the one before.
    type Batches: Clone + Default;

    /// Opens it as its program does, and reads everything back. Returns what must never change.
    fn open(folder: &Path) -> Result<(Self, String), String>;
    fn next(batches: &mut Self::Batches, rng: &mut Rng) -> Self::Batch;
    fn commit(&mut self, batch: &Self::Batch) -> Result<(), String>;
    /// Moves the write-ahead log into the database.
    fn checkpoint(&mut self) -> Result<(), String>;
    /// What its own check finds wrong.
    fn check(folder: &Path) -> Result<Vec<String>, String>;
    /// Queries whose answers say everything that it holds.
    fn queries(connection: &Connection) -> rusqlite::Result<Vec<String>>;
}

/// Batches of one life, if nothing ends it before.
const BATCHES_OF_A_LIFE: u32 = 12;

/// Most lives end within so many operations of the disk.
const OPERATIONS_OF_A_LIFE: u64 = 150;

/// What a trial does.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// After how many lives the store is thrown away, so that it stays small.
    pub lives: u32,
    pub syncs: Syncs,
    /// With which probability in percent what goes wrong is a power cut at once.
    pub cuts_percent: u8,
}

impl Default for Plan {
    fn default() -> Self {
        Self { lives: 12, syncs: Syncs::Honest, cuts_percent: 70 }
    }
}

/// Runs trials until `cuts` power cuts have happened.
///
/// # Errors
/// With what was lost or torn, and the seed that shows it.
pub fn run<S: Subject>(seed: u64, cuts: u64, plan: Plan) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for seed in seed.. {
        if tally.cuts >= cuts {
            break;
        }
        let of_trial = trial::<S>(seed, plan).map_err(|lost| format!("seed {seed}: {lost}"))?;
        tally.add(&of_trial);
    }
    Ok(tally)
}

/// The trial of one seed.
///
/// # Errors
/// With what was lost or torn.
pub fn trial<S: Subject>(seed: u64, plan: Plan) -> Result<Tally, String> {
    let mut trial = Trial::<S>::new(seed, plan)?;
    for _ in 0..plan.lives {
        trial.life()?;
        trial.end_of_life();
        if trial.rng.u8(..3) == 0 {
            trial.recovery_is_cut_too()?;
        }
        trial.judge().map_err(|lost| format!("{lost}; before: {}", trial.story.join(", ")))?;
        trial.story.clear();
    }
    trial.tally.sectors = with_disk(|disk| disk.sectors);
    Ok(trial.tally)
}

/// How a first start went on which something was to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstStart {
    pub opened: bool,
    /// `None`: it was over before.
    pub happened: Option<Fault>,
}

/// Starts for the first time, with `fault` after so many operations; then the power fails and the store
/// is started again.
///
/// # Errors
/// When the second start fails.
pub fn first_start<S: Subject>(seed: u64, fault: Fault, after: u64) -> Result<FirstStart, String> {
    let mut trial = Trial::<S>::new(seed, Plan::default())?;
    with_disk(|disk| disk.plan(fault, after));
    let store = trial.open();
    let happened = with_disk(|disk| disk.happened());
    let opened = store.is_ok();
    with_disk(Disk::die);
    drop(store);
    // Nothing was acknowledged: another database may take its place.
    trial.identity = None;
    trial.cut();
    trial.judge()?;
    Ok(FirstStart { opened, happened })
}

fn with_disk<T>(use_it: impl FnOnce(&mut Disk) -> T) -> T {
    machine::with(|machine| use_it(&mut machine.disk))
}

struct Trial<S: Subject> {
    plan: Plan,
    /// Removed with the trial.
    _dir: TempDir,
    folder: PathBuf,
    calm: PathBuf,
    /// Holds what was acknowledged, and nothing else.
    reference: S,
    batches: S::Batches,
    /// The batch whose commit failed, and where its making began.
    in_doubt: Option<(S::Batch, S::Batches)>,
    identity: Option<String>,
    /// What happened since the store was last judged, for whoever reads of a loss.
    story: Vec<String>,
    rng: Rng,
    tally: Tally,
}

impl<S: Subject> Trial<S> {
    fn new(seed: u64, plan: Plan) -> Result<Self, String> {
        vfs::install();
        let mut rng = Rng::with_seed(seed);
        machine::with(|machine| *machine = Machine::new(plan.syncs, rng.fork()));
        // Only what asks for the file by its path looks there; in memory where that is possible.
        let memory = Path::new("/dev/shm");
        let here = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::tempdir_in(here).map_err(|error| error.to_string())?;
        let (folder, calm) = (dir.path().join("tried"), dir.path().join("calm"));
        for folder in [&folder, &calm] {
            fs::create_dir(folder).map_err(|error| error.to_string())?;
        }
        let (reference, _) = S::open(&calm)?;
        Ok(Self {
            plan,
            _dir: dir,
            folder,
            calm,
            reference,
            batches: S::Batches::default(),
            in_doubt: None,
            identity: None,
            story: Vec::new(),
            rng,
            tally: Tally::default(),
        })
    }

    /// Opens the store and writes until something goes wrong, or for long enough.
    fn life(&mut self) -> Result<(), String> {
        let fault = self.fault();
        let after = match (fault, self.rng.u8(..4)) {
            (_, 0) => self.rng.u64(..12),
            (Fault::SyncError, _) => self.rng.u64(..OPERATIONS_OF_A_LIFE / 10),
            _ => self.rng.u64(..OPERATIONS_OF_A_LIFE),
        };
        with_disk(|disk| disk.plan(fault, after));
        let mut store = match self.open() {
            Ok(store) => store,
            Err(error) => return self.expected(Met::Opening, &error),
        };
        for _ in 0..BATCHES_OF_A_LIFE {
            match self.rng.u8(..16) {
                0 => {
                    self.story.push("checkpoint".to_owned());
                    if let Err(error) = store.checkpoint() {
                        return self.expected(Met::Checkpointing, &error);
                    }
                }
                1 => {
                    self.story.push("reopened".to_owned());
                    drop(store);
                    store = match self.open() {
                        Ok(store) => store,
                        Err(error) => return self.expected(Met::Opening, &error),
                    };
                }
                _ => {
                    let before = self.batches.clone();
                    let batch = S::next(&mut self.batches, &mut self.rng);
                    if let Err(error) = store.commit(&batch) {
                        self.in_doubt = Some((batch, before));
                        return self.expected(Met::Committing, &error);
                    }
                    self.tally.acknowledged += 1;
                    self.story.push("committed".to_owned());
                    self.reference.commit(&batch)?;
                }
            }
        }
        if let Some(unnoticed) = with_disk(|disk| disk.happened()) {
            self.story.push(format!("{unnoticed:?} was not noticed"));
        }
        self.tally.meet(Met::CutAtRest);
        with_disk(Disk::die);
        Ok(())
    }

    fn fault(&mut self) -> Fault {
        if self.rng.u8(..100) < self.plan.cuts_percent {
            return Fault::PowerCut;
        }
        self.rng.choice(Fault::ALL).unwrap_or(Fault::PowerCut)
    }

    /// Something failed: it must be the disk's doing.
    fn expected(&mut self, met: Met, error: &str) -> Result<(), String> {
        let Some(fault) = with_disk(|disk| disk.happened()) else {
            return Err(format!("{met:?} failed on a disk that works: {error}"));
        };
        self.story.push(format!("{met:?} met {fault:?}"));
        self.tally.meet(met);
        self.tally.fault(fault);
        Ok(())
    }

    /// The process has ended. After a failed sync the machine goes down too: what its memory still shows
    /// of the file is not what is on the platter.
    fn end_of_life(&mut self) {
        let happened = with_disk(|disk| disk.happened());
        let goes_on = match happened {
            Some(Fault::PowerCut | Fault::SyncError) => false,
            Some(Fault::ReadError | Fault::WriteError | Fault::ShortWrite | Fault::DiskFull)
            | None => self.rng.bool(),
        };
        if goes_on {
            self.tally.meet(Met::WentOn);
            self.story.push("started again".to_owned());
            with_disk(Disk::mend);
        } else {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.tally.cuts += 1;
        self.story.push("power cut".to_owned());
        with_disk(Disk::power_cut);
    }

    fn recovery_is_cut_too(&mut self) -> Result<(), String> {
        let after = self.rng.u64(..20);
        with_disk(|disk| disk.plan(Fault::PowerCut, after));
        match self.open() {
            Err(error) => self.expected(Met::RecoveryCut, &error)?,
            Ok(store) => {
                with_disk(Disk::die);
                drop(store);
            }
        }
        self.cut();
        Ok(())
    }

    /// Opens the store as its program does, which asks the folder whether there is one.
    fn open(&mut self) -> Result<S, String> {
        let path = self.folder.join(S::FILE);
        let there = path.to_str().is_some_and(|name| with_disk(|disk| disk.exists(name)));
        if there && !path.exists() {
            fs::write(&path, b"in memory").map_err(|error| error.to_string())?;
        } else if !there && path.exists() {
            fs::remove_file(&path).map_err(|error| error.to_string())?;
        }
        let (store, identity) = S::open(&self.folder)?;
        match &self.identity {
            Some(known) if *known != identity => {
                Err(format!("it is another store: {identity}, it was {known}"))
            }
            Some(_) => Ok(store),
            None => {
                self.identity = Some(identity);
                Ok(store)
            }
        }
    }

    /// Opens the store on a disk that works, and compares.
    fn judge(&mut self) -> Result<(), String> {
        let store = self.open().map_err(|error| format!("it does not open: {error}"))?;
        let found = content::<S>(&self.folder)?;
        let in_doubt = self.in_doubt.take();
        let mut expected = content::<S>(&self.calm)?;
        if let Some((batch, before)) = in_doubt {
            if found == expected {
                self.tally.meet(Met::DoubtfulLost);
                self.batches = before;
            } else {
                self.tally.meet(Met::DoubtfulKept);
                self.reference.commit(&batch)?;
                expected = content::<S>(&self.calm)?;
            }
        }
        if found != expected {
            return Err(difference(&found, &expected));
        }
        let findings = S::check(&self.folder)?;
        if !findings.is_empty() {
            return Err(findings.join("; "));
        }
        if self.rng.bool() {
            // Killed: the write-ahead log stays for the next life.
            with_disk(Disk::die);
        }
        drop(store);
        with_disk(Disk::mend);
        Ok(())
    }
}

/// Everything a store holds, a line a row.
fn content<S: Subject>(folder: &Path) -> Result<Vec<String>, String> {
    read(&folder.join(S::FILE), S::queries).map_err(|error| format!("it cannot be read: {error}"))
}

fn read(
    path: &Path,
    queries: impl Fn(&Connection) -> rusqlite::Result<Vec<String>>,
) -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut content = Vec::new();
    for query in queries(&connection)? {
        let mut statement = connection.prepare(&query)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|column| row.get_ref(column).map(shown));
            let values: Vec<String> = values.collect::<Result<_, _>>()?;
            content.push(format!("{query}: {}", values.join(", ")));
        }
    }
    Ok(content)
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{} bytes, {}", bytes.len(), Sha256Hash::of(bytes)),
    }
}

fn difference(found: &[String], expected: &[String]) -> String {
    let lost = expected.iter().find(|row| !found.contains(row));
    let extra = found.iter().find(|row| !expected.contains(row));
    format!("acknowledged and not there: {lost:.300?}; there and never acknowledged: {extra:.300?}")
}

/// Every table but these, whole.
pub(super) fn tables_except(
    connection: &Connection,
    except: &[&str],
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
             AND name <> 'refinery_schema_history' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    let names = names.iter().filter(|name| !except.contains(&name.as_str()));
    Ok(names.map(|name| format!("SELECT * FROM {name}")).collect())
}

/// What SQLite's own check finds wrong.
pub(super) fn integrity(path: &Path) -> Result<Vec<String>, String> {
    let queries = |_: &Connection| {
        Ok(vec!["PRAGMA integrity_check".into(), "PRAGMA foreign_key_check".into()])
    };
    let lines = read(path, queries).map_err(|error| error.to_string())?;
    Ok(lines.into_iter().filter(|line| !line.ends_with(": ok")).collect())
}
