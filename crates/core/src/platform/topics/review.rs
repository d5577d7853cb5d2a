//! What is allowed but probably not meant: filters of one application that receive the same events twice, and
//! monitoring where its retained state never arrives.

use std::fmt;

use super::{Address, PlatformFilter};
use crate::platform::ClientId;

/// Something about a client's filters to think about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterWarning {
    /// Two filters share topics. Each filter of a scalable application is a share of its own, so an event that matches
    /// both is handed out once for each.
    Overlap {
        /// One filter.
        first: PlatformFilter,
        /// The other.
        second: PlatformFilter,
    },
    /// A monitoring filter under `A:org:app:instance`: retained connection states are not sent to it.
    NoRetainedState {
        /// The filter.
        filter: PlatformFilter,
    },
    /// A monitoring filter under any scalable form: each member sees a part of the messages, so none can track states.
    SplitMonitoring {
        /// The filter.
        filter: PlatformFilter,
    },
}

impl fmt::Display for FilterWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { first, second } => write!(
                f,
                "'{first}' and '{second}' overlap; each filter is its own share, so events that match both are \
                 delivered once for each"
            ),
            Self::NoRetainedState { filter } => write!(
                f,
                "'{filter}': the platform sends no retained connection states to 'A:org:app:instance' clients; use an \
                 'a:org:app' client to track connections"
            ),
            Self::SplitMonitoring { filter } => write!(
                f,
                "'{filter}': members of a scalable application split monitoring messages, so none sees them all; use \
                 an 'a:org:app' client to track connections"
            ),
        }
    }
}

/// Looks through the filters of one client. Equal filters are one subscription and no overlap.
#[must_use]
pub fn review_filters(client: &ClientId, filters: &[PlatformFilter]) -> Vec<FilterWarning> {
    if !client.shares() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    for (at, first) in filters.iter().enumerate() {
        let repeated = filters[..at].contains(first);
        if repeated {
            continue;
        }
        for (place, second) in filters.iter().enumerate().skip(at + 1) {
            if first != second && !filters[..place].contains(second) && first.overlaps(second) {
                warnings.push(FilterWarning::Overlap { first: first.clone(), second: second.clone() });
            }
        }
        if matches!(first, Address::DeviceMonitor { .. } | Address::AppMonitor { .. }) {
            let filter = first.clone();
            warnings.push(if client.instance().is_some() {
                FilterWarning::NoRetainedState { filter }
            } else {
                FilterWarning::SplitMonitoring { filter }
            });
        }
    }
    warnings
}

impl PlatformFilter {
    /// Whether some topic matches both filters.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        // Filters of the platform have no `#`, so they overlap when each level does.
        let (mine, theirs) = (self.to_string(), other.to_string());
        let (mut mine, mut theirs) = (mine.split('/'), theirs.split('/'));
        loop {
            match (mine.next(), theirs.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
                _ => return false,
            }
        }
    }
}
