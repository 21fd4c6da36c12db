//! What grows how with the fleet, as a picture: both axes logarithmic, so that what grows with the fleet goes up
//! by the same angle everywhere, and what does not stays level.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

const WIDTH: u32 = 860;
const HEIGHT: u32 = 300;

/// One diagram.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
}

/// One line of it: numbers of hosts, and what was measured with them.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Writes the panels as an SVG file, one below the other.
pub(super) fn write(path: &Path, panels: &[Panel]) -> Result<()> {
    let rows = u32::try_from(panels.len()).context("so many panels")?;
    let page = SVGBackend::new(path, (WIDTH, HEIGHT * rows)).into_drawing_area();
    page.fill(&WHITE)?;
    for (area, panel) in page.split_evenly((panels.len(), 1)).iter().zip(panels) {
        panel.draw(area)?;
    }
    page.present().with_context(|| format!("write {}", path.display()))
}

impl Panel {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = bounds(points().map(|point| point.0), 2.0);
        // Room above the lines for their names.
        let y = bounds(points().map(|point| point.1), 6.0);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(x.log_scale(), y.log_scale())?;
        chart
            .configure_mesh()
            .x_desc("hosts")
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&label)
            .y_label_formatter(&label)
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.15))
            .draw()?;
        for (index, line) in self.lines.iter().enumerate() {
            let style = Palette99::pick(index).stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style).point_size(3))?
                .label(line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    }
}

/// From half of the smallest to so many times the greatest.
fn bounds(values: impl Iterator<Item = f64>, above: f64) -> Range<f64> {
    let (low, high) =
        values.fold((f64::MAX, 0.0), |(low, high): (f64, f64), v| (low.min(v), high.max(v)));
    low.max(0.0001) / 2.0..high.max(0.0001) * above
}

fn label(value: &f64) -> String {
    // What the scale's steps add up to, without what floating point adds to that.
    format!("{}", (value * 10_000.0).round() / 10_000.0)
}

/// A number to draw.
pub(super) fn number<N: TryInto<u32>>(number: N) -> f64 {
    f64::from(number.try_into().unwrap_or(u32::MAX))
}
