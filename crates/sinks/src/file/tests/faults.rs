//! A disk that fails on demand and counts: partial writes, failed syncs, files that cannot be cut.

use std::fs;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use tempfile::TempDir;
use tidemill_core::{Sink, SinkErrorKind};
use tokio::time::{self, Duration, Instant};

use super::super::disk::{Disk, Medium};
use super::super::{File, FileConfig, Fsync, RotateConfig};
use super::{assert_error, names, plain, read, records};

/// What the next calls do. Shared by all files of a disk.
#[derive(Default)]
pub(super) struct Plan {
    /// Appends stop after this many bytes.
    pub(super) room: Option<usize>,
    pub(super) failing_syncs: u32,
    pub(super) failing_truncates: u32,
    /// Syncs that succeeded, and the bytes appended since the last one.
    pub(super) syncs: u32,
    pub(super) unsynced_bytes: usize,
}

#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Mutex<Plan>>);

impl Faults {
    pub(super) fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap()
    }

    /// Syncs so far, and bytes that none of them covers.
    fn synced(&self) -> (u32, usize) {
        let plan = self.plan();
        (plan.syncs, plan.unsynced_bytes)
    }

    pub(super) fn disk(&self) -> Disk {
        let faults = self.clone();
        let medium = move |file| -> Box<dyn Medium> { Box::new(Faulty { file, faults: faults.clone() }) };
        Disk { medium: Arc::new(medium), ..Disk::real() }
    }
}

struct Faulty {
    file: fs::File,
    faults: Faults,
}

fn fails(left: &mut u32) -> io::Result<()> {
    if *left == 0 {
        return Ok(());
    }
    *left -= 1;
    Err(io::Error::other("the disk says no"))
}

impl Medium for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut plan = self.faults.plan();
        let count = plan.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        self.file.append(&bytes[..count])?;
        plan.unsynced_bytes += count;
        if count < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        fails(&mut self.faults.plan().failing_truncates)?;
        self.file.truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut plan = self.faults.plan();
        fails(&mut plan.failing_syncs)?;
        plan.syncs += 1;
        plan.unsynced_bytes = 0;
        self.file.sync()
    }

    fn unlock(&mut self) -> io::Result<()> {
        self.file.unlock()
    }
}

/// A sink over a disk with faults, on a fresh file.
fn faulty(config: impl FnOnce(FileConfig) -> FileConfig) -> (TempDir, Faults, File, std::path::PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let faults = Faults::default();
    let sink = File::on(config(plain(&path)), faults.disk());
    (dir, faults, sink, path)
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_of_the_batch() {
    let (_dir, faults, sink, path) = faulty(|config| config);
    sink.write(&records(&["one"])).await.unwrap();
    for room in 0..8 {
        faults.plan().room = Some(room);
        let error = sink.write(&records(&["two", "three"])).await.unwrap_err();
        assert_error(&error, SinkErrorKind::Unavailable, &["out.txt", "free some space"]);
        assert_eq!(read(&path), "one\n");
    }
    faults.plan().room = None;
    sink.write(&records(&["two", "three"])).await.unwrap();
    assert_eq!(read(&path), "one\ntwo\nthree\n");
}

#[tokio::test]
async fn what_could_not_be_taken_back_at_once_is_taken_back_before_the_next_batch() {
    let (_dir, faults, sink, path) = faulty(|config| config);
    sink.write(&records(&["one"])).await.unwrap();
    *faults.plan() = Plan { room: Some(6), failing_truncates: 2, ..Plan::default() };
    sink.write(&records(&["two", "three"])).await.unwrap_err();
    assert_eq!(read(&path), "one\ntwo\nth");
    faults.plan().room = None;
    let error = sink.write(&records(&["two", "three"])).await.unwrap_err();
    assert_error(&error, SinkErrorKind::Unavailable, &["take back a failed write", "out.txt", "the disk says no"]);
    sink.write(&records(&["two", "three"])).await.unwrap();
    assert_eq!(read(&path), "one\ntwo\nthree\n");
}

#[tokio::test]
async fn a_failed_write_to_a_file_that_others_emptied_does_not_fill_it_with_zeros() {
    let (_dir, faults, sink, path) = faulty(|config| config);
    sink.write(&records(&["one"])).await.unwrap();
    fs::write(&path, "").unwrap();
    faults.plan().room = Some(2);
    sink.write(&records(&["two"])).await.unwrap_err();
    assert_eq!(read(&path), "");
    faults.plan().room = None;
    sink.write(&records(&["two"])).await.unwrap();
    assert_eq!(read(&path), "two\n");
}

#[tokio::test]
async fn closing_takes_a_failed_write_back() {
    let (_dir, faults, sink, path) = faulty(|config| config);
    *faults.plan() = Plan { room: Some(6), failing_truncates: 1, ..Plan::default() };
    sink.write(&records(&["one", "two"])).await.unwrap_err();
    assert_eq!(read(&path), "one\ntw");
    sink.close().await.unwrap();
    assert_eq!(read(&path), "");
}

#[tokio::test]
async fn a_batch_whose_sync_failed_is_taken_back_and_not_confirmed() {
    let (_dir, faults, sink, path) = faulty(|config| config);
    sink.write(&records(&["one"])).await.unwrap();
    faults.plan().failing_syncs = 1;
    let error = sink.write(&records(&["two"])).await.unwrap_err();
    assert_error(&error, SinkErrorKind::Unavailable, &["sync", "out.txt"]);
    assert_eq!(read(&path), "one\n");
    sink.write(&records(&["two"])).await.unwrap();
    assert_eq!(read(&path), "one\ntwo\n");
}

#[tokio::test]
async fn policy_batch_has_every_batch_on_the_disk_when_write_returns() {
    for policy in [Fsync::Batch, Fsync::Interval(Duration::ZERO)] {
        let (_dir, faults, sink, _) = faulty(|config| config.fsync(policy));
        for batch in 1..=3 {
            sink.write(&records(&["one", "two"])).await.unwrap();
            assert_eq!(faults.synced(), (batch, 0));
        }
    }
}

#[tokio::test]
async fn policy_never_never_syncs() {
    let (_dir, faults, sink, path) = faulty(|config| config.fsync(Fsync::Never));
    sink.write(&records(&["one"])).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(faults.plan().syncs, 0);
    assert_eq!(read(&path), "one\n");
}

#[tokio::test(start_paused = true)]
async fn policy_interval_syncs_in_time_though_nothing_more_is_written() {
    let interval = Duration::from_secs(5);
    let (_dir, faults, sink, _) = faulty(|config| config.fsync(Fsync::Interval(interval)));
    sink.open().await.unwrap();
    let mut due = sink.due();
    let began = Instant::now();
    sink.write(&records(&["one"])).await.unwrap();
    time::advance(Duration::from_secs(3)).await;
    // The second batch does not put the sync of the first one off.
    sink.write(&records(&["two"])).await.unwrap();
    assert_eq!(faults.plan().syncs, 0);
    due.wait_for(Option::is_none).await.unwrap();
    assert_eq!(faults.synced(), (1, 0));
    assert!(began.elapsed() < interval + Duration::from_millis(10), "{:?}", began.elapsed());
    // Nothing written, nothing synced.
    time::advance(Duration::from_secs(60)).await;
    sink.close().await.unwrap();
    assert_eq!(faults.plan().syncs, 1);
}

#[tokio::test(start_paused = true)]
async fn policy_interval_syncs_again_after_a_failed_sync_and_when_closed() {
    let (_dir, faults, sink, _) = faulty(|config| config.fsync(Fsync::Interval(Duration::from_secs(5))));
    faults.plan().failing_syncs = 2;
    let began = Instant::now();
    sink.write(&records(&["one"])).await.unwrap();
    sink.due().wait_for(Option::is_none).await.unwrap();
    assert_eq!(faults.plan().syncs, 1);
    assert!(began.elapsed() >= Duration::from_secs(15));
    sink.write(&records(&["two"])).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(faults.synced(), (2, 0));
}

#[tokio::test]
async fn rotation_syncs_the_file_that_it_sets_aside() {
    let rotate = RotateConfig::default().max_bytes(1);
    for (policy, syncs) in [(Fsync::Interval(Duration::from_secs(3600)), 1), (Fsync::Never, 0)] {
        let (_dir, faults, sink, _) = faulty(|config| config.fsync(policy).rotate(rotate.clone()));
        sink.write(&records(&["one"])).await.unwrap();
        assert_eq!(faults.synced(), (0, 4));
        sink.write(&records(&["two"])).await.unwrap();
        assert_eq!(faults.plan().syncs, syncs);
    }
}

#[tokio::test]
async fn a_rotation_that_fails_leaves_the_file_as_it_is() {
    let (dir, faults, sink, path) = faulty(|config| config.rotate(RotateConfig::default().max_bytes(1)));
    sink.write(&records(&["one"])).await.unwrap();
    *faults.plan() = Plan { room: Some(2), failing_truncates: 2, ..Plan::default() };
    // The second truncate that fails is the one before the rotation.
    sink.write(&records(&["two"])).await.unwrap_err();
    assert_eq!(names(dir.path()).len(), 2);
    sink.write(&records(&["two"])).await.unwrap_err();
    assert_eq!(names(dir.path()).len(), 2);
    faults.plan().room = None;
    sink.write(&records(&["two"])).await.unwrap();
    assert_eq!(
        read(&path),
        "two
"
    );
}

#[tokio::test]
async fn a_panicking_disk_is_unavailable_and_the_sink_goes_on() {
    struct Panics(fs::File, Faults);
    impl Medium for Panics {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.append(&bytes[..2])?;
            assert!(self.1.plan().room.take().is_none(), "scripted");
            self.0.append(&bytes[2..])
        }
        fn truncate(&mut self, len: u64) -> io::Result<()> {
            self.0.truncate(len)
        }
        fn sync(&mut self) -> io::Result<()> {
            self.0.sync()
        }
        fn unlock(&mut self) -> io::Result<()> {
            self.0.unlock()
        }
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let faults = Faults::default();
    let script = faults.clone();
    let medium = move |file| -> Box<dyn Medium> { Box::new(Panics(file, script.clone())) };
    let sink = File::on(plain(&path), Disk { medium: Arc::new(medium), ..Disk::real() });
    faults.plan().room = Some(0);
    let error = sink.write(&records(&["one"])).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Unavailable);
    sink.write(&records(&["one"])).await.unwrap();
    assert_eq!(read(&path), "one\n");
}
