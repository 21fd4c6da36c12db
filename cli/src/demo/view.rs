//! What is seen of the demo: a bar for each wave on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal as _, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::{RolloutDocument, WaveDocument};

use crate::exit::Failure;

/// What is seen of the demo.
pub(super) struct View<'a> {
    out: &'a mut dyn Write,
    /// Bars go to stderr; without a terminal there, lines go to stdout.
    live: bool,
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    last: Vec<String>,
}

impl<'a> View<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        let live = io::stdout().is_terminal() && io::stderr().is_terminal();
        Self { out, live, bars: None, last: Vec::new() }
    }

    /// A sentence of the story.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.close();
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    /// Shows a rollout as it stands now.
    pub(super) fn rollout(&mut self, rollout: &RolloutDocument) -> Result<(), Failure> {
        let lines: Vec<String> = rollout.waves.iter().map(line).collect();
        if self.live {
            self.draw(rollout, &lines);
            return Ok(());
        }
        let changed: Vec<&String> = lines.iter().filter(|line| !self.last.contains(line)).collect();
        for line in changed {
            writeln!(self.out, "   {line}")?;
        }
        self.out.flush()?;
        self.last = lines;
        Ok(())
    }

    fn draw(&mut self, rollout: &RolloutDocument, lines: &[String]) {
        let (_, bars) = self.bars.get_or_insert_with(|| {
            let all = MultiProgress::new();
            let bar = |wave: &WaveDocument| {
                let style = ProgressStyle::with_template("   {bar:24.green/dim} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                all.add(ProgressBar::new(wave.hosts).with_style(style))
            };
            let bars = rollout.waves.iter().map(bar).collect();
            (all, bars)
        });
        for ((bar, wave), line) in bars.iter().zip(&rollout.waves).zip(lines) {
            bar.set_position(wave.by_state.get(&HostState::Converged).copied().unwrap_or(0));
            bar.set_message(line.clone());
        }
    }

    /// Leaves what is shown as it is; the next rollout is drawn below.
    fn close(&mut self) {
        self.last.clear();
        if let Some((_, bars)) = self.bars.take() {
            for bar in bars {
                bar.abandon();
            }
        }
    }
}

/// `wave canary: 1 soaking`
fn line(wave: &WaveDocument) -> String {
    let states: Vec<String> =
        wave.by_state.iter().map(|(state, count)| format!("{count} {state}")).collect();
    format!("wave {}: {}", wave.name, states.join(", "))
}
