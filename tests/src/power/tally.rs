//! What the trials came to, and which situations they have really met: a trial that never cuts at the
//! wrong moment would find nothing and say so happily.

use std::collections::BTreeMap;
use std::fmt;

use super::disk::{Fault, Sectors};

/// A situation that many trials must meet at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// Something went wrong while the store was being made or opened.
    Opening,
    /// Something went wrong in a commit.
    Committing,
    /// Something went wrong while the write-ahead log was moved into the database.
    Checkpointing,
    /// The power failed again during the recovery.
    RecoveryCut,
    /// The batch that was being committed was there afterwards.
    DoubtfulKept,
    /// The batch that was being committed was gone afterwards.
    DoubtfulLost,
    /// The power failed while nothing was going on.
    CutAtRest,
    /// A process went on after a fault without a power cut.
    WentOn,
}

impl Met {
    pub const ALL: [Self; 8] = [
        Self::Opening,
        Self::Committing,
        Self::Checkpointing,
        Self::RecoveryCut,
        Self::DoubtfulKept,
        Self::DoubtfulLost,
        Self::CutAtRest,
        Self::WentOn,
    ];
}

/// What one trial, or several of them, came to.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub cuts: u64,
    /// Batches that were acknowledged.
    pub acknowledged: u64,
    pub sectors: Sectors,
    met: BTreeMap<Met, u64>,
    faults: BTreeMap<Fault, u64>,
}

impl Tally {
    pub fn meet(&mut self, met: Met) {
        *self.met.entry(met).or_default() += 1;
    }

    pub fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Adds what another trial came to.
    pub fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.acknowledged += other.acknowledged;
        self.sectors.kept += other.sectors.kept;
        self.sectors.lost += other.sectors.lost;
        self.sectors.torn += other.sectors.torn;
        self.sectors.back += other.sectors.back;
        for (met, times) in &other.met {
            *self.met.entry(*met).or_default() += times;
        }
        for (fault, times) in &other.faults {
            *self.faults.entry(*fault).or_default() += times;
        }
    }

    /// The situations and faults that never came about.
    pub fn never_met(&self) -> Vec<String> {
        let met = Met::ALL.iter().filter(|met| !self.met.contains_key(met));
        let faults = Fault::ALL.iter().filter(|fault| !self.faults.contains_key(fault));
        let mut never: Vec<String> = met.map(|met| format!("{met:?}")).collect();
        never.extend(faults.map(|fault| format!("{fault:?}")));
        never
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sectors { kept, lost, torn, back } = self.sectors;
        writeln!(
            f,
            "cuts={} acknowledged={} sectors: kept={kept} lost={lost} torn={torn} files_back={back}",
            self.cuts, self.acknowledged
        )?;
        writeln!(f, "    met: {:?}", self.met)?;
        write!(f, "    faults: {:?}", self.faults)
    }
}
