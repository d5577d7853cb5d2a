//! Whether what is written may stay with the kernel while the peer has not confirmed what was written before: Nagle's
//! algorithm (RFC 896), wished for by who writes, done by the socket, past layers between them that know nothing of it.
//!
//! INVARIANT: the wish holds for one call, on the thread that makes it.

use std::cell::Cell;

thread_local! {
    static WANTED: Cell<bool> = const { Cell::new(false) };
}

/// Takes the wish back, whatever happens meanwhile.
struct Wish;

impl Drop for Wish {
    fn drop(&mut self) {
        WANTED.set(false);
    }
}

/// Does what `write` does, with Nagle's algorithm.
pub(in crate::session) fn with<R>(write: impl FnOnce() -> R) -> R {
    WANTED.set(true);
    let _wish = Wish;
    write()
}

/// Whether what is written now may stay with the kernel.
pub(super) fn is_wanted() -> bool {
    WANTED.get()
}
