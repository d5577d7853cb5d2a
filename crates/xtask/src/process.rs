//! Running other programs: how they are found, started and watched.
//!
//! Cargo is started without the variables that `cargo run` gave to this program: build scripts such as ring's rebuild
//! when `CARGO_PKG_NAME` and its like change, so each switch between `cargo build` and `cargo xtask` would cost a
//! rebuild of everything above them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use crate::checkout::Checkout;
use crate::failure::Failure;

/// Where servers are installed; not on the search path of an ordinary user.
const SERVER_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Whether this runs in continuous integration: `CI` is set to anything but nothing, `0` or `false`.
pub(crate) fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// The folders in which programs are looked for: the search path and what it lacks of [`SERVER_FOLDERS`].
pub(crate) fn search_path() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    for folder in SERVER_FOLDERS.map(PathBuf::from) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// Whether a program of this name can be started.
pub(crate) fn has_program(name: &str) -> bool {
    search_path().iter().any(|folder| folder.join(name).is_file())
}

/// Whether Python can make environments: Debian has that part in a package of its own.
pub(crate) fn makes_python_environments() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import venv, ensurepip"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A cargo command in the root of the checkout, with the lock file as it stands when in continuous integration.
pub(crate) fn cargo(checkout: &Checkout, arguments: &[&str]) -> Command {
    let mut command = clean(checkout, &env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(arguments);
    command
}

/// A command in the root of the checkout, without what `cargo run` gave to this program.
pub(crate) fn clean(checkout: &Checkout, program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.current_dir(checkout.root()).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(comes_from_cargo_run) {
            command.env_remove(name);
        }
    }
    if let Ok(path) = env::join_paths(search_path()) {
        command.env("PATH", path);
    }
    command
}

fn comes_from_cargo_run(name: &str) -> bool {
    const EXACT: [&str; 5] =
        ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PRIMARY_PACKAGE"];
    name.starts_with("CARGO_PKG_") || EXACT.contains(&name)
}

/// Runs a command to its end, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus, Failure> {
    command.status().map_err(|e| cannot_start(command, e))
}

/// What a watched command left behind.
#[derive(Debug)]
pub(crate) struct Watched {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// The lines that were asked for, without colours; those of standard output first.
    pub(crate) lines: Vec<String>,
}

/// Runs a command to its end, passes its output on line by line, and keeps the lines for which `wanted` holds.
pub(crate) fn watch(command: &mut Command, wanted: fn(&str) -> bool) -> Result<Watched, Failure> {
    if io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none() && env::var_os("CARGO_TERM_COLOR").is_none() {
        // The command sees a pipe, the person behind it a terminal.
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| cannot_start(command, e))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (kept_out, kept_err) = thread::scope(|scope| {
        let reader = scope.spawn(move || pass_on(err, io::stderr(), wanted));
        (pass_on(out, io::stdout(), wanted), reader.join())
    });
    let status = child.wait().map_err(|e| cannot_start(command, e))?;
    let reading = |e: io::Error| Failure::because("read what the command printed", e);
    let mut lines = kept_out.map_err(reading)?;
    lines.extend(kept_err.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(reading)?);
    Ok(Watched { status, lines })
}

fn cannot_start(command: &Command, cause: io::Error) -> Failure {
    Failure::because(format!("run {}", command.get_program().to_string_lossy()), cause)
}

/// Copies `from` to `to` up to its end and returns the wanted lines. A closed `to` does not stop the reading: the
/// command would end on a broken pipe in the middle of its work.
fn pass_on(from: Option<impl Read>, mut to: impl Write, wanted: fn(&str) -> bool) -> io::Result<Vec<String>> {
    let mut kept = Vec::new();
    let Some(from) = from else { return Ok(kept) };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        let _ = to.write_all(&line);
        let text = without_colours(String::from_utf8_lossy(&line).trim_end());
        if wanted(&text) {
            kept.push(text);
        }
        line.clear();
    }
    let _ = to.flush();
    Ok(kept)
}

/// The text without terminal control sequences (`ESC [ ... letter`).
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(without_colours("\u{1b}[32;1m     Summary\u{1b}[0m [ 1s]"), "     Summary [ 1s]");
    }

    #[test]
    fn a_watched_command_keeps_wanted_lines_of_both_streams_and_its_status() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo keep one; echo drop; echo keep two >&2; exit 3"]);
        let watched = watch(&mut command, |line| line.starts_with("keep")).unwrap();
        assert_eq!(watched.lines, ["keep one", "keep two"]);
        assert_eq!(watched.status.code(), Some(3));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failure = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(failure.chain().starts_with("run no-such-program-here: "), "{}", failure.chain());
    }

    #[test]
    fn variables_of_cargo_run_do_not_reach_an_inner_cargo() {
        assert!(comes_from_cargo_run("CARGO_PKG_NAME"));
        assert!(comes_from_cargo_run("CARGO_MANIFEST_DIR"));
        assert!(!comes_from_cargo_run("CARGO_TERM_COLOR"));
        assert!(!comes_from_cargo_run("CARGO_INCREMENTAL"));
    }
}
