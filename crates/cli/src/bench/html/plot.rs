//! Plots as SVG within the page, in the page's colours: lines over two axes, and bars of shares.

use std::fmt::Write as _;

use super::escape;
use crate::figures::rounded;

const WIDTH: f64 = 980.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 52.0;
/// Lines of the grid, about.
const TICKS: f64 = 5.0;
/// Colours of the style.
const COLOURS: usize = 6;
/// Above so many points, single ones are not marked.
const MARKED: usize = 40;

/// An axis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Axis {
    pub(crate) title: String,
    /// Where marks stand and what they say; made from the values when empty.
    pub(crate) marks: Vec<(f64, String)>,
    /// Begins at 0 rather than at the smallest value.
    pub(crate) from_zero: bool,
}

/// A line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Thin and dashed: for orientation.
    pub(crate) is_guide: bool,
}

/// Lines over two axes.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

impl Chart {
    /// The plot.
    pub(crate) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Scale::new(points().map(|(x, _)| *x), &self.x, LEFT, WIDTH - RIGHT);
        let y = Scale::new(points().map(|(_, y)| *y), &self.y, HEIGHT - BOTTOM, TOP);
        let mut svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escape(&self.y.title));
        for (at, label) in &y.marks {
            let at = y.at(*at);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"dim\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.5,
                escape(label)
            );
        }
        let base = HEIGHT - BOTTOM;
        for (at, label) in &x.marks {
            let at = x.at(*at);
            let _ = write!(
                svg,
                "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{base}\" y2=\"{}\"/>\
                 <text class=\"dim\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                base + 5.0,
                base + 20.0,
                escape(label)
            );
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{base}\" y2=\"{base}\"/>\
             <text x=\"{LEFT}\" y=\"16\">{}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            escape(&self.y.title),
            WIDTH - RIGHT,
            HEIGHT - 8.0,
            escape(&self.x.title)
        );
        for (number, series) in self.series.iter().enumerate() {
            line(&mut svg, series, number % COLOURS, &x, &y);
        }
        if self.series.len() > 1 {
            legend(&mut svg, &self.series);
        }
        svg.push_str("</svg>");
        svg
    }
}

fn line(svg: &mut String, series: &Series, colour: usize, x: &Scale, y: &Scale) {
    let mut path = String::new();
    for (number, (px, py)) in series.points.iter().enumerate() {
        let _ = write!(path, "{}{:.1} {:.1}", if number == 0 { "M" } else { "L" }, x.at(*px), y.at(*py));
    }
    let dash = if series.is_guide { " stroke-dasharray=\"5 5\" opacity=\"0.6\"" } else { "" };
    let _ = write!(svg, "<path class=\"path\" stroke=\"var(--c{colour})\"{dash} d=\"{path}\"/>");
    if !series.is_guide && series.points.len() <= MARKED {
        for (px, py) in &series.points {
            let (cx, cy) = (x.at(*px), y.at(*py));
            let _ = write!(
                svg,
                "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.5\" fill=\"var(--c{colour})\"><title>{}: {}</title></circle>",
                escape(&series.name),
                short(*py)
            );
        }
    }
}

/// From the right end of the top line to the left.
fn legend(svg: &mut String, all: &[Series]) {
    let mut right = WIDTH - RIGHT;
    for (number, series) in all.iter().enumerate().rev() {
        let width = 7.2 * series.name.chars().count() as f64;
        let (text, colour) = (right - width, number % COLOURS);
        let dash = if series.is_guide { " stroke-dasharray=\"5 5\"" } else { "" };
        let _ = write!(
            svg,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"12\" y2=\"12\" stroke=\"var(--c{colour})\" stroke-width=\"3\"{dash}/>\
             <text x=\"{text:.1}\" y=\"16\">{}</text>",
            text - 26.0,
            text - 6.0,
            escape(&series.name)
        );
        right = text - 42.0;
    }
}

/// From values to places.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    marks: Vec<(f64, String)>,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>, axis: &Axis, from: f64, to: f64) -> Self {
        let start = if axis.from_zero { (0.0, 0.0) } else { (f64::INFINITY, f64::NEG_INFINITY) };
        let values = values.filter(|value| value.is_finite()).chain(axis.marks.iter().map(|(at, _)| *at));
        let (low, mut high) = values.fold(start, |(low, high), value| (low.min(value), high.max(value)));
        let low = if low.is_finite() { low } else { 0.0 };
        if high <= low {
            high = low + 1.0;
        }
        let mut marks = axis.marks.clone();
        if marks.is_empty() {
            let step = step((high - low) / TICKS);
            let first = (low / step).ceil();
            marks = (0..)
                .map(|n| (first + f64::from(n)) * step)
                .take_while(|at| *at <= high + step * 0.001)
                .map(|at| (at, short(at)))
                .collect();
            // Room for the last mark above the highest value.
            if axis.from_zero
                && let Some((last, _)) = marks.last().cloned()
                && last < high
            {
                high = last + step;
                marks.push((high, short(high)));
            }
        }
        Self { low, high, from, to, marks }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// The next round number: 1, 2 or 5 and zeros.
fn step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let parts = [1.0, 2.0, 5.0, 10.0];
    power * parts.into_iter().find(|part| *part * power >= rough).unwrap_or(10.0)
}

/// A number as an axis shows it.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 1e6 => format!("{}M", rounded(number / 1e6, 2)),
        size if size >= 1e4 => format!("{}k", rounded(number / 1e3, 1)),
        size if size >= 100.0 => format!("{}", rounded(number, 0)),
        _ => format!("{}", rounded(number, 3)),
    }
}

/// Bars of shares: name, part of the whole from 0 to 1, and what to write behind it. The longest bar fills the width.
pub(crate) fn bars(rows: &[(String, f64, String)]) -> String {
    const ROW: f64 = 26.0;
    let names = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0) as f64 * 7.4 + 14.0;
    let texts = rows.iter().map(|(.., text)| text.chars().count()).max().unwrap_or(0) as f64 * 7.4 + 14.0;
    let most = rows.iter().map(|(_, part, _)| *part).fold(f64::MIN_POSITIVE, f64::max);
    let room = (WIDTH - names - texts).max(100.0);
    let height = ROW * rows.len() as f64;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"shares\">");
    for (number, (name, part, text)) in rows.iter().enumerate() {
        let top = ROW * number as f64;
        let long = part / most * room;
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{0:.1}\">{1}</text><rect class=\"rest\" x=\"{names:.1}\" y=\"{2:.1}\" width=\"{room:.1}\" height=\"16\" rx=\"3\"/>\
             <rect x=\"{names:.1}\" y=\"{2:.1}\" width=\"{long:.1}\" height=\"16\" rx=\"3\" fill=\"var(--c0)\"/>\
             <text x=\"{3:.1}\" y=\"{0:.1}\">{4}</text>",
            top + 17.0,
            escape(name),
            top + 4.0,
            names + room + 10.0,
            escape(text)
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_point_lies_within_the_plot(points in proptest::collection::vec((-1e6_f64..1e6, 0.0_f64..1e7), 0..30), from_zero: bool) {
            let y = Axis { from_zero, ..Axis::default() };
            let scale = Scale::new(points.iter().map(|(_, y)| *y), &y, HEIGHT - BOTTOM, TOP);
            for (_, y) in &points {
                let at = scale.at(*y);
                prop_assert!((TOP - 0.1..=HEIGHT - BOTTOM + 0.1).contains(&at), "{}", at);
            }
            prop_assert!(scale.marks.len() <= 14, "{:?}", scale.marks);
        }
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.3, 1.0, 3.0, 60.0, 1234.0].map(step), [0.5, 1.0, 5.0, 100.0, 2000.0]);
        assert_eq!([1_500_000.0, 20_000.0, 2500.0, 0.25].map(short), ["1.5M", "20k", "2500", "0.25"]);
    }
}
