//! Signals to a server that was started here.

use std::io;

/// What a server is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Kill,
    Terminate,
    Stop,
    Continue,
}

/// Sends it to the process, or to its whole group. Never to the caller's own, which is what the number 0 means to the
/// system.
#[cfg(unix)]
pub(super) fn send(pid: u32, group: bool, signal: Signal) -> io::Result<()> {
    use nix::sys::signal::{self, Signal as Unix};
    if pid == 0 {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the server does not run"));
    }
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let pid = nix::unistd::Pid::from_raw(pid);
    let signal = match signal {
        Signal::Kill => Unix::SIGKILL,
        Signal::Terminate => Unix::SIGTERM,
        Signal::Stop => Unix::SIGSTOP,
        Signal::Continue => Unix::SIGCONT,
    };
    let sent = if group { signal::killpg(pid, signal) } else { signal::kill(pid, signal) };
    Ok(sent?)
}

/// Kills what is left of a group, which may be nothing.
#[cfg(unix)]
pub(super) fn kill_group(group: u32) -> io::Result<()> {
    match send(group, true, Signal::Kill) {
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) => Ok(()),
        result => result,
    }
}

#[cfg(not(unix))]
pub(super) fn kill_group(_: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
pub(super) fn send(_: u32, _: bool, _: Signal) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
