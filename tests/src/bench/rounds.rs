//! Comparing: both sides by turns, the ratio of each pair, the median of the ratios. On a machine that
//! is shared, figures of different minutes cannot be compared; those of neighbouring seconds can.

use anyhow::{Result, ensure};

use super::load::{Round, Sides, Work};
use super::options::{Role, Size};

/// The rounds of a comparison, in pairs.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pairs: Vec<(Round, Round)>,
}

impl Comparison {
    /// Measures both sides by turns; every other pair begins with the other side, and a first round of
    /// each is thrown away.
    pub(super) async fn measure(sides: &mut Sides, work: Work, size: &Size) -> Result<Self> {
        for role in [Role::Ours, Role::Reference] {
            sides.side(role).round(work, size.round / 3).await?;
        }
        let mut comparison = Self::default();
        for number in 0..size.rounds {
            let (ours, reference) = if number % 2 == 0 {
                let ours = sides.ours.round(work, size.round).await?;
                (ours, sides.reference.round(work, size.round).await?)
            } else {
                let reference = sides.reference.round(work, size.round).await?;
                (sides.ours.round(work, size.round).await?, reference)
            };
            for (role, round) in [(Role::Ours, ours), (Role::Reference, reference)] {
                ensure!(round.accepted > 0, "{} accepted nothing", role.as_str());
            }
            eprintln!("    {:9.0} {:9.0} a second", ours.rate(), reference.rate());
            comparison.pairs.push((ours, reference));
        }
        Ok(comparison)
    }

    /// How many requests the control plane accepted.
    pub(super) fn refused(&self) -> u64 {
        self.pairs.iter().map(|(ours, reference)| ours.refused + reference.refused).sum()
    }

    /// One line: the median of the ratios, the medians of both sides, how far the ratios spread, and
    /// what each server spent on a request.
    pub(super) fn line(&self, target: &str) -> String {
        let of = |figure: fn(&(Round, Round)) -> f64| self.pairs.iter().map(figure).collect();
        let ratios: Vec<f64> = of(|(ours, reference)| ours.rate() / reference.rate());
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = ratios.iter().copied().fold(0.0, f64::max);
        let micros = |of: fn(&(Round, Round)) -> &Round| {
            let known = self.pairs.iter().filter_map(|pair| of(pair).cpu_micros());
            known.collect::<Vec<f64>>()
        };
        format!(
            "{target} ratio={:.2} ours={:.0}/s reference={:.0}/s rounds={} spread={lowest:.2}..{highest:.2} \
             refused={} cpu_us={:.1}/{:.1}",
            median(ratios),
            median(of(|(ours, _)| ours.rate())),
            median(of(|(_, reference)| reference.rate())),
            self.pairs.len(),
            self.refused(),
            median(micros(|(ours, _)| ours)),
            median(micros(|(_, reference)| reference)),
        )
    }
}

/// The middle one; of an even count the upper of the two; 0 of none.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn round(accepted: u64) -> Round {
        let elapsed = Duration::from_secs(1);
        Round { accepted, elapsed, ..Round::default() }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_pairs() {
        let pairs = [(10, 20), (90, 100), (3, 1)];
        let pairs = pairs.map(|(ours, reference)| (round(ours), round(reference))).to_vec();
        let line = Comparison { pairs }.line("P9");
        assert!(line.starts_with("P9 ratio=0.90 ours=10/s reference=20/s rounds=3 "), "{line}");
        assert!(line.contains("spread=0.50..3.00"), "{line}");
    }
}
