//! How far throughput grows with the instances, and how straight the line is. Pure.
//!
//! The linear part ends at the last point whose instances still bring at least 85 % each of what the first point's bring.
//! A point below that before it is a disturbance: what has come to its limit does not come back. It counts for R2,
//! that of the least-squares line through all of the part; two points are always on a line, so it takes three.

use serde::Serialize;

use super::super::bound::Point;
use crate::figures::rounded;

const LINEAR: f64 = 0.85;

/// The curve of one window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Scaling {
    pub(super) window: u16,
    pub(super) concurrency: u32,
    /// Throughput grows linearly up to so many instances.
    pub(super) linear_to: u32,
    /// Points of the linear part.
    pub(super) linear_points: usize,
    /// What one instance brings there: the slope of the line.
    pub(super) per_instance: f64,
    /// How well the line fits, 0 to 1; `None` below three points.
    pub(super) r2: Option<f64>,
}

/// The curves, one for each window and concurrency.
pub(super) fn scaling(points: &[Point]) -> Vec<Scaling> {
    let mut curves: Vec<(u32, u16)> = points.iter().map(|point| (point.concurrency, point.window)).collect();
    curves.sort_unstable();
    curves.dedup();
    curves
        .into_iter()
        .filter_map(|(concurrency, window)| {
            let of_curve = points.iter().filter(|point| (point.concurrency, point.window) == (concurrency, window));
            let mut curve: Vec<(f64, f64)> =
                of_curve.map(|point| (f64::from(point.instances), point.events_per_s)).collect();
            curve.sort_by(|one, other| one.0.total_cmp(&other.0));
            let (first, per_first) = curve.first().map(|(n, rate)| (*n, rate / n))?;
            let part = curve.iter().rposition(|(n, rate)| rate / n >= LINEAR * per_first).map_or(0, |last| last + 1);
            let line = &curve[..part];
            let (slope, r2) = fit(line);
            let to = line.last().map_or(first, |(n, _)| *n);
            Some(Scaling {
                window,
                concurrency,
                linear_to: u32::try_from(crate::figures::whole(to)).unwrap_or(u32::MAX),
                linear_points: part,
                per_instance: rounded(if part < 2 { per_first } else { slope }, 1),
                r2: (part >= 3).then(|| rounded(r2, 5)),
            })
        })
        .collect()
}

/// Slope and R2 of the least-squares line.
fn fit(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len().max(1) as f64;
    let mean = |values: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(values).sum::<f64>() / count;
    let (mx, my) = (mean(&|p| p.0), mean(&|p| p.1));
    let sum = |value: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>();
    let (xx, xy, yy) = (sum(&|p| (p.0 - mx).powi(2)), sum(&|p| (p.0 - mx) * (p.1 - my)), sum(&|p| (p.1 - my).powi(2)));
    if xx == 0.0 || yy == 0.0 {
        return (0.0, 1.0);
    }
    (xy / xx, xy * xy / (xx * yy))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curve(rates: &[(u32, f64)]) -> Vec<Point> {
        rates
            .iter()
            .map(|(instances, rate)| Point {
                instances: *instances,
                window: 16,
                events_per_s: *rate,
                ..Point::default()
            })
            .collect()
    }

    #[test]
    fn a_straight_line_has_its_slope_and_fits_wholly() {
        let scaling = &scaling(&curve(&[(1, 3200.0), (2, 6400.0), (4, 12_800.0), (8, 25_600.0)]))[0];
        assert_eq!(
            (scaling.linear_to, scaling.linear_points, scaling.per_instance, scaling.r2),
            (8, 4, 3200.0, Some(1.0))
        );
    }

    #[test]
    fn the_linear_part_ends_where_an_instance_brings_less() {
        let scaling = &scaling(&curve(&[(1, 1000.0), (2, 1900.0), (4, 3700.0), (8, 4000.0), (16, 4000.0)]))[0];
        assert_eq!((scaling.linear_to, scaling.linear_points), (4, 3));
        assert!(scaling.r2.unwrap() > 0.99);
    }

    #[test]
    fn a_point_that_was_disturbed_does_not_end_it_and_shows() {
        let scaling = &scaling(&curve(&[(1, 1000.0), (2, 2000.0), (4, 3200.0), (8, 7900.0), (16, 9000.0)]))[0];
        assert_eq!((scaling.linear_to, scaling.linear_points), (8, 4));
        assert!(scaling.r2.unwrap() < 0.99);
    }

    #[test]
    fn what_is_called_linear_fits_a_line_however_the_last_point_bends() {
        for factor in [LINEAR, 0.9, 0.95, 1.0] {
            let scaling = &scaling(&curve(&[(1, 1000.0), (2, 2000.0), (4, 4000.0), (8, 8000.0 * factor)]))[0];
            assert_eq!(scaling.linear_to, 8);
            assert!(scaling.r2.unwrap() >= 0.98, "{scaling:?}");
        }
    }

    #[test]
    fn two_points_are_no_evidence_of_a_line() {
        assert_eq!(scaling(&curve(&[(1, 1.0), (2, 2.0)]))[0].r2, None);
        assert!(scaling(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn r2_is_a_part_of_one(rates in proptest::collection::vec(1.0_f64..1e6, 3..8)) {
            let points: Vec<(f64, f64)> = (1_u32..).zip(rates).map(|(n, rate)| (f64::from(n), rate)).collect();
            let (_, r2) = fit(&points);
            prop_assert!((0.0..=1.0 + 1e-9).contains(&r2), "{}", r2);
        }
    }
}
