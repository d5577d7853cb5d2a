//! The cryptography of client libraries that take the process's default.

use rustls::crypto::{CryptoProvider, ring};

/// Makes ring the default of the process, if it has none.
pub(crate) fn install() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster.
        drop(ring::default_provider().install_default());
    }
}
