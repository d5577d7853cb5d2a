//! What only the operating system can show: a user without rights, and a disk that is really full. Each test runs
//! itself again as a child process in the surroundings it needs, because root may write anywhere and a file system
//! that fills up has to be mounted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tidemill_core::{Sink, SinkErrorKind};

use super::super::File;
use super::{assert_error, plain, read, records};

/// Says to a test that it is the child, and where it may work.
const CHILD_DIR: &str = "TIDEMILL_SINKS_TEST_DIR";

fn child_dir() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD_DIR).map(Into::into)
}

/// Runs one test of this binary again through `command`.
fn run_child(mut command: Command, test: &str, dir: &Path) {
    let test = format!("file::tests::host::{test}");
    let output = command.args(["--exact", &test, "--nocapture"]).env(CHILD_DIR, dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_directory_without_rights_is_named_with_the_way_out() {
    const NOBODY: u32 = 65_534;
    if let Some(dir) = child_dir() {
        let error = File::new(plain(dir.join("out.txt"))).open().await.unwrap_err();
        assert_error(&error, SinkErrorKind::Misconfigured, &["out.txt", "let the worker's user write there"]);
        let error = File::new(plain(dir.join("sub/out.txt"))).open().await.unwrap_err();
        assert_error(&error, SinkErrorKind::Misconfigured, &["sub", "let the worker's user write there"]);
        return;
    }
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // A copy, since a build directory need not be open to everybody.
    let open_to_all = TempDir::new().unwrap();
    fs::set_permissions(open_to_all.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = open_to_all.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let mut command = Command::new(binary);
    command.current_dir("/");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    run_child(command, "a_directory_without_rights_is_named_with_the_way_out", dir.path());
}

#[tokio::test]
async fn a_disk_that_fills_up_loses_nothing_that_was_confirmed() {
    if let Some(dir) = child_dir() {
        let path = dir.join("out.txt");
        let sink = File::new(plain(&path));
        let batch = ["x".repeat(4000), "y".repeat(4000)];
        let batch = records(&[&batch[0], &batch[1]]);
        let mut confirmed = 0;
        let error = loop {
            match sink.write(&batch).await {
                Ok(()) => confirmed += 1,
                Err(error) => break error,
            }
            assert!(confirmed < 100, "the disk should be full by now");
        };
        assert_error(&error, SinkErrorKind::Unavailable, &["out.txt", "free some space"]);
        assert!(confirmed > 0);
        assert_eq!(read(&path).lines().count(), 2 * confirmed);
        sink.write(&batch).await.unwrap_err();
        fs::remove_file(dir.join("ballast")).unwrap();
        sink.write(&batch).await.unwrap();
        assert_eq!(read(&path).lines().count(), 2 * confirmed + 2);
        assert!(read(&path).lines().all(|line| line.len() == 4000));
        return;
    }
    let dir = TempDir::new().unwrap();
    let mount = "mount -t tmpfs -o size=64k none \"$1\" && head -c 16384 /dev/zero > \"$1/ballast\"";
    let namespace = |script: String| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]).arg(script).arg("sh").arg(dir.path());
        command
    };
    // Asked first, so that a test that fails inside is not taken for a host that allows no mounts.
    if !namespace(mount.to_owned()).output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this host lets no user mount a file system of their own");
        return;
    }
    let mut command = namespace(format!("{mount} && shift && exec \"$@\""));
    command.arg(std::env::current_exe().unwrap());
    run_child(command, "a_disk_that_fills_up_loses_nothing_that_was_confirmed", dir.path());
}
