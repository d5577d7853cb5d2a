//! Placeholder; filled by property tests.
