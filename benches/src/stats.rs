//! What several runs come to. Pure.

/// The median; the mean of the middle two when their number is even. `None` of nothing.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

/// The smallest and the largest; `None` of nothing.
#[must_use]
pub fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let whole = |range: Option<(f64, f64)>, value: f64| {
        Some(range.map_or((value, value), |(low, high)| (value.min(low), value.max(high))))
    };
    values.into_iter().fold(None, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle_whatever_the_order() {
        assert_eq!(median([4.0, 1.0, 9.0]), Some(4.0));
        assert_eq!(median([4.0, 1.0, 9.0, 5.0]), Some(4.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn the_range_is_from_the_smallest_to_the_largest() {
        assert_eq!(range([4.0, 1.0, 9.0]), Some((1.0, 9.0)));
        assert_eq!(range([]), None);
    }
}
