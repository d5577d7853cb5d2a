//! Rotation by size and age, the names that it gives, and what it keeps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;
use tidemill_core::{Sink, SinkErrorKind};
use tokio::time::{self, Duration, Instant};

use super::super::disk::Disk;
use super::super::rotated::{Names, Stamp};
use super::super::{File, FileConfig, RotateConfig};
use super::{assert_error, names, plain, read, records};

/// A wall clock that tests set.
#[derive(Clone)]
struct Clock(Arc<Mutex<Timestamp>>);

impl Clock {
    fn at(time: &str) -> Self {
        Self(Arc::new(Mutex::new(time.parse().unwrap())))
    }

    fn set(&self, time: &str) {
        *self.0.lock().unwrap() = time.parse().unwrap();
    }

    fn disk(&self) -> Disk {
        let clock = self.clone();
        Disk { now: Arc::new(move || *clock.0.lock().unwrap()), ..Disk::real() }
    }
}

fn by_size(max_bytes: u64) -> RotateConfig {
    RotateConfig::default().max_bytes(max_bytes)
}

fn by_age(seconds: u64) -> RotateConfig {
    RotateConfig::default().max_age(Duration::from_secs(seconds))
}

#[tokio::test]
async fn rotates_before_the_batch_that_does_not_fit() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let clock = Clock::at("2026-03-01T10:20:30.9Z");
    let sink = File::on(plain(&path).rotate(by_size(8)), clock.disk());
    sink.write(&records(&["one"])).await.unwrap();
    sink.write(&records(&["two"])).await.unwrap();
    assert_eq!(names(dir.path()), ["out.txt"]);
    sink.write(&records(&["3"])).await.unwrap();
    clock.set("2026-03-01T10:20:31Z");
    // A batch is not split, even one that is too long by itself.
    sink.write(&records(&["four", "five", "six"])).await.unwrap();
    sink.write(&records(&["7"])).await.unwrap();
    let rotated = ["out.20260301T102030Z.txt", "out.20260301T102031Z.txt", "out.20260301T102031Z-1.txt"];
    let found: BTreeSet<String> = names(dir.path()).into_iter().collect();
    assert_eq!(found, rotated.iter().chain(&["out.txt"]).map(ToString::to_string).collect());
    assert_eq!(rotated.map(|name| read(&dir.path().join(name))), ["one\ntwo\n", "3\n", "four\nfive\nsix\n"]);
    assert_eq!(read(&path), "7\n");
}

#[tokio::test]
async fn a_restart_counts_what_is_there() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out");
    fs::write(&path, "before\n").unwrap();
    let sink = File::on(plain(&path).rotate(by_size(8)), Clock::at("2026-03-01T10:20:30Z").disk());
    sink.write(&records(&["one"])).await.unwrap();
    assert_eq!(names(dir.path()), ["out", "out.20260301T102030Z"]);
    assert_eq!(read(&path), "one\n");
}

#[tokio::test(start_paused = true)]
async fn rotates_by_age_though_nothing_more_is_written() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let sink = File::on(plain(&path).rotate(by_age(60)), Clock::at("2026-03-01T10:20:30Z").disk());
    sink.open().await.unwrap();
    // An empty file does not age.
    time::advance(Duration::from_secs(1000)).await;
    let began = Instant::now();
    sink.write(&records(&["one"])).await.unwrap();
    time::advance(Duration::from_secs(50)).await;
    sink.write(&records(&["two"])).await.unwrap();
    assert_eq!(names(dir.path()), ["out.txt"]);
    sink.due().wait_for(Option::is_none).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(61), "{:?}", began.elapsed());
    assert_eq!(names(dir.path()), ["out.20260301T102030Z.txt", "out.txt"]);
    assert_eq!(read(&dir.path().join("out.20260301T102030Z.txt")), "one\ntwo\n");
    assert_eq!(read(&path), "");
    // The path stays ours in between.
    let error = File::new(plain(&path)).open().await.unwrap_err();
    assert_error(&error, SinkErrorKind::Misconfigured, &["out.txt"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_found_at_start_is_as_old_as_its_creation() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    fs::write(&path, "before\n").unwrap();
    if fs::metadata(&path).unwrap().created().is_err() {
        eprintln!("SKIPPED: this file system tells no creation times");
        return;
    }
    let hour_later = Disk { now: Arc::new(|| Timestamp::now() + Duration::from_secs(3600)), ..Disk::real() };
    let old = File::on(plain(&path).rotate(by_age(3599)), hour_later.clone());
    old.write(&records(&["one"])).await.unwrap();
    assert_eq!(read(&path), "one\n");
    old.close().await.unwrap();

    fs::write(&path, "before\n").unwrap();
    let young = File::on(plain(&path).rotate(by_age(7200)), hour_later);
    let began = Instant::now();
    young.open().await.unwrap();
    young.due().wait_for(Option::is_none).await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(3500) && began.elapsed() < Duration::from_secs(3601));
    assert_eq!(read(&path), "");
}

#[tokio::test]
async fn keeps_as_many_as_told_and_touches_no_other_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let others = ["out.20260301T102030Z.bak", "out.2026.txt", "out.20260301T102030Z-01.txt", "outer.txt"];
    for other in others {
        fs::write(dir.path().join(other), "").unwrap();
    }
    fs::write(dir.path().join("out.20200101T000000Z.txt"), "old\n").unwrap();
    let sink = File::on(plain(&path).rotate(by_size(1).keep(2)), Clock::at("2026-03-01T10:20:30Z").disk());
    for number in 0..13 {
        sink.write(&records(&[&number.to_string()])).await.unwrap();
    }
    let ours = ["out.20260301T102030Z-10.txt", "out.20260301T102030Z-11.txt", "out.txt"];
    let found: BTreeSet<String> = names(dir.path()).into_iter().collect();
    assert_eq!(found, others.iter().chain(&ours).map(ToString::to_string).collect());
    assert_eq!(ours.map(|name| read(&dir.path().join(name))), ["10\n", "11\n", "12\n"]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_overwrites_nothing_and_keeps_the_order() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let clock = Clock::at("2026-03-01T10:20:30Z");
    let sink = File::on(plain(&path).rotate(by_size(1)), clock.disk());
    sink.write(&records(&["one"])).await.unwrap();
    sink.write(&records(&["two"])).await.unwrap();
    clock.set("2026-03-01T09:00:00Z");
    sink.write(&records(&["three"])).await.unwrap();
    assert_eq!(read(&dir.path().join("out.20260301T102030Z.txt")), "one\n");
    assert_eq!(read(&dir.path().join("out.20260301T102030Z-1.txt")), "two\n");
    // Nor does a name come again when its file was collected meanwhile.
    fs::remove_file(dir.path().join("out.20260301T102030Z.txt")).unwrap();
    fs::remove_file(dir.path().join("out.20260301T102030Z-1.txt")).unwrap();
    sink.write(&records(&["four"])).await.unwrap();
    assert_eq!(names(dir.path()), ["out.20260301T102030Z-2.txt", "out.txt"]);
}

#[tokio::test]
async fn rotates_the_file_and_not_a_link_to_it() {
    let dir = TempDir::new().unwrap();
    let (real, link) = (dir.path().join("real/out.txt"), dir.path().join("link.txt"));
    fs::create_dir(dir.path().join("real")).unwrap();
    fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let sink = File::on(plain(&link).rotate(by_size(1)), Clock::at("2026-03-01T10:20:30Z").disk());
    sink.write(&records(&["one"])).await.unwrap();
    sink.write(&records(&["two"])).await.unwrap();
    assert_eq!(names(dir.path()), ["link.txt", "real"]);
    assert_eq!(names(&dir.path().join("real")), ["out.20260301T102030Z.txt", "out.txt"]);
    assert_eq!(read(&link), "two\n");
}

#[tokio::test]
async fn rotated_ndjson_holds_every_record_once_and_in_order() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.ndjson");
    let config = FileConfig::new(&path).rotate(by_size(100));
    let sink = File::on(config, Clock::at("2026-03-01T10:20:30Z").disk());
    let wanted: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    for batch in wanted.chunks(7) {
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        sink.write(&records(&batch)).await.unwrap();
    }
    let rotated = Names::of(&path).unwrap();
    let files = rotated.list().unwrap().into_iter().map(|stamp| rotated.path(stamp)).chain([path]);
    let text: String = files.map(|path| read(&path)).collect();
    let payload = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["payload"].clone();
    assert_eq!(text.lines().map(payload).collect::<Vec<_>>(), wanted);
}

proptest! {
    #[test]
    fn every_new_stamp_is_later_and_reads_back(times in proptest::collection::vec(0..4_000_000_000_i64, 1..20)) {
        let names = Names::of(Path::new("/data/a.b.txt")).unwrap();
        let mut latest: Option<Stamp> = None;
        for time in times {
            let stamp = Stamp::after(latest, Timestamp::from_second(time).unwrap());
            prop_assert!(latest.is_none_or(|latest| latest < stamp));
            let path = names.path(stamp);
            prop_assert_eq!(names.stamp(path.file_name().unwrap().to_str().unwrap()), Some(stamp));
            latest = Some(stamp);
        }
    }
}
