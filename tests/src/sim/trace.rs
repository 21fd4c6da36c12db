//! What happened, line by line, for a person who looks for what went wrong. Off unless it is asked for: a
//! seed that fails is run once more with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use wavegate_control_plane::core::Write;

/// The last so many lines are kept.
const MOST_LINES: usize = 1_000_000;

/// A trace; its clones write to the same one.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    lines: Option<Arc<Mutex<VecDeque<String>>>>,
    at_millis: u64,
}

impl Trace {
    pub fn on() -> Self {
        Self { lines: Some(Arc::default()), at_millis: 0 }
    }

    /// From now on it is this late, in milliseconds.
    pub fn at(&mut self, millis: u64) {
        self.at_millis = millis;
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        let Some(lines) = &self.lines else { return };
        let mut lines = lines.lock().unwrap();
        if lines.len() == MOST_LINES {
            lines.pop_front();
        }
        let (secs, millis) = (self.at_millis / 1000, self.at_millis % 1000);
        lines.push_back(format!("{secs:>6}.{millis:03} {}", line()));
    }

    /// The rows of the log that a batch commits.
    pub fn committed(&self, batch: &[Write]) {
        for write in batch {
            let Write::Log(row) = write else { continue };
            self.note(|| {
                let host = row.host.as_ref().map(ToString::to_string).unwrap_or_default();
                let rollout = row.rollout_id.as_ref().map(ToString::to_string).unwrap_or_default();
                let payload: String = row.payload.to_string().chars().take(160).collect();
                format!("  log {} {} {rollout} {host} {payload}", row.seq, row.kind)
            });
        }
    }

    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.as_ref().map(|lines| lines.lock().unwrap().clone());
        lines.unwrap_or_default().into()
    }
}
