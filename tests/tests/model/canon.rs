//! The canonical form of a value: its `Debug` text with everything in relative terms, digested.
//!
//! The text is derived, so a field that is added to the engine tomorrow tells states apart tomorrow: what
//! is *not* told apart is listed here, and nowhere else, with the reason why no decision can see it.
//!
//! - Readings of the monotonic clock become distances from now. Further back than every duration of the
//!   policy is one and the same; no rule asks for more.
//! - Wall-clock times become "there is one". Nothing decides by them but leases and retries that are read
//!   back from disk: these become distances from now as well.
//! - Numbers of log rows, and the hashes chained over them, are left out. A core compares them only in
//!   checkpoints; how each host's checkpoint relates to each log is digested beside (see `state`).
//! - Names of requests (tokens) are left out: who waits is in the text.
//! - When an entry was written is left out but for the end of an activation, from which soak goes on.
//! - The numbers by which journals take turns are left out: with two journals a host, the one that was
//!   sent last says it all, and is digested beside.
//! - The index of when silence is looked at next is left out: a plan comes out the same without it (see
//!   the reconciler's `settling_silence_never_changes_a_plan`).
//! - How often a request failed counts up to where the back-off is at its longest.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};

use wavegate_proto::time::Now;

/// Further back than any duration that is ever asked for: the longest is how long a host may be silent
/// before it is left out (120 s in these runs).
const LONG_AGO_MILLIS: u64 = 150_000;

/// Later than any deadline but the one that never comes.
const NEVER_MILLIS: u64 = 3_600_000;

/// The back-off of a sending journal is at its longest from here on.
const MANY_FAILURES: u64 = 6;

/// Fields that no decision reads, and those that are digested in another way.
const LEFT_OUT: [&str; 10] = [
    "chain",
    "mac",
    "clock_skew_secs",
    "flushed_at",
    "unflushed",
    "last_seen_at",
    "posts",
    "turn",
    "quiet",
    "silence_due",
];

/// Fields whose wall-clock time is read back after a start.
const READ_BACK: [&str; 2] = ["expires_at", "retry_at"];

/// The digest of `value`, as of `now`.
pub(crate) fn digest(value: &impl fmt::Debug, now: Now) -> u64 {
    let mut text = Canon::new(now);
    write!(text, "{value:?}").unwrap();
    let mut hasher = DefaultHasher::new();
    hasher.write(&text.kept);
    hasher.finish()
}

/// Takes the pieces of a derived `Debug` text as they are written.
struct Canon {
    /// What tells states apart.
    kept: Vec<u8>,
    now: Now,
    /// The piece before.
    last: String,
    /// The field whose value is being written, and the one around it.
    field: String,
    outer: String,
    /// The tuple struct whose content is being written.
    tuple: String,
    depth: usize,
    in_string: bool,
    /// Everything is left out until the field at this depth ends.
    skip: Option<usize>,
    /// The event that was named last is the end of an activation.
    completes: bool,
}

impl Canon {
    fn new(now: Now) -> Self {
        Self {
            kept: Vec::with_capacity(8192),
            now,
            last: String::new(),
            field: String::new(),
            outer: String::new(),
            tuple: String::new(),
            depth: 0,
            in_string: false,
            skip: None,
            completes: false,
        }
    }

    fn take(&mut self, piece: &str) {
        self.kept.extend_from_slice(piece.as_bytes());
        self.kept.push(0xff);
    }

    fn begin_field(&mut self) {
        std::mem::swap(&mut self.outer, &mut self.field);
        self.field.clear();
        self.field.push_str(&self.last);
        let left_out =
            LEFT_OUT.contains(&self.field.as_str()) || (self.field == "written" && !self.completes);
        if left_out && self.skip.is_none() {
            self.skip = Some(self.depth);
        }
    }

    /// A number, in relative terms where it is a time.
    fn number(&mut self, digits: &str) {
        if matches!(self.tuple.as_str(), "LogSeq" | "Token") && self.last == "(" {
            return;
        }
        match self.field.as_str() {
            "millis" => self.distance(digits, self.now.mono.millis()),
            "unix_millis" if READ_BACK.contains(&self.outer.as_str()) => {
                self.distance(digits, u64::try_from(self.now.wall.unix_millis()).unwrap());
            }
            "unix_millis" => {}
            "failures" => {
                let failures: u64 = digits.parse().unwrap();
                self.kept.extend(failures.min(MANY_FAILURES).to_le_bytes());
            }
            _ => self.take(digits),
        }
    }

    fn distance(&mut self, digits: &str, now: u64) {
        let at: u64 = digits.parse().unwrap();
        let ahead = at.saturating_sub(now).min(NEVER_MILLIS);
        let back = now.saturating_sub(at).min(LONG_AGO_MILLIS);
        self.kept.extend(ahead.to_le_bytes());
        self.kept.extend(back.to_le_bytes());
    }
}

impl fmt::Write for Canon {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if piece.is_empty() {
            return Ok(());
        }
        if piece == "\"" {
            self.in_string = !self.in_string;
        }
        if self.in_string {
            if self.skip.is_none() {
                self.take(piece);
            }
            return Ok(());
        }
        let closes = piece.bytes().filter(|b| matches!(b, b'}' | b')' | b']')).count();
        let opens = piece.bytes().filter(|b| matches!(b, b'{' | b'(' | b'[')).count();
        let ends = piece == ", " || closes > 0;
        if ends && self.skip == Some(self.depth) {
            self.skip = None;
        }
        self.depth = self.depth + opens - closes;
        if self.skip.is_none() {
            if piece == ": " {
                self.begin_field();
            } else if piece.bytes().all(|b| b.is_ascii_digit()) {
                self.number(piece);
            } else {
                self.take(piece);
            }
        }
        match piece {
            "(" => std::mem::swap(&mut self.tuple, &mut self.last),
            "ActivationComplete" => self.completes = true,
            "StoredEntry" => self.completes = false,
            _ => {}
        }
        self.last.clear();
        self.last.push_str(piece);
        Ok(())
    }
}
