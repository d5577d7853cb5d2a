//! A client that is measured: a process of its own, which prints what it measured as one line of JSON. Whatever fails,
//! the process is gone when its run is over.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::feed::rusage::Measured;
use crate::feed::{Error, Serving};

/// How often the state of the process is looked at.
const TICK: Duration = Duration::from_millis(5);

/// Runs this program once more, with other words, as a client. `wrapper` is a program with its arguments that it runs
/// under. While `feed` is not over, that knows when to give up; otherwise the client has `patience` to end.
pub(crate) fn run(
    name: &str,
    wrapper: &[OsString],
    words: &[String],
    mut feed: Option<&mut Serving>,
    patience: Duration,
) -> Result<Measured, Error> {
    let program = std::env::current_exe().map_err(|source| Error::because("find this program", source))?;
    let mut front = wrapper.iter().cloned().chain([program.into_os_string()]);
    let mut command = Command::new(front.next().unwrap_or_default());
    command.args(front).args(words).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = Guard(command.spawn().map_err(|source| Error::because(format!("start {name}"), source))?);
    let mut waited = Duration::ZERO;
    let status = loop {
        let status = child.0.try_wait().map_err(|source| Error::because(format!("wait for {name}"), source))?;
        if let Some(status) = status {
            break status;
        }
        if let Some(feed) = &mut feed
            && !feed.is_over(TICK).map_err(|source| Error::because(format!("run {name}"), source))?
        {
            continue;
        }
        thread::park_timeout(TICK);
        waited += TICK;
        if waited > patience {
            return Err(Error::new(format!("run {name}: it does not end within {} s", patience.as_secs())));
        }
    };
    if !status.success() {
        return Err(Error::new(format!("run {name}: {status}; its last words stand above")));
    }
    let mut line = String::new();
    if let Some(mut stdout) = child.0.stdout.take() {
        stdout.read_to_string(&mut line).map_err(|source| Error::because(format!("read from {name}"), source))?;
    }
    serde_json::from_str(line.trim()).map_err(|source| Error::because(format!("read the result of {name}"), source))
}

/// Ends the process when it goes out of scope.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
