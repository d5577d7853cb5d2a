//! Compression of rotated files: what is there at the end, and what a crash leaves on the way.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tidemill_core::Sink;
use tidemill_testkit::sink_conformance::{Capabilities, Payloads, Seen, Target};
use tokio::time::{Instant, sleep};

use super::super::pack::{Told, pack_all};
use super::super::rotated::Names;
use super::super::{Compression, File, RotateConfig};
use super::{names, plain, read, records};

const ALL: [(Compression, &str); 2] = [(Compression::Gzip, ".gz"), (Compression::Zstd, ".zst")];

fn by_size(max_bytes: u64, compress: Compression) -> RotateConfig {
    RotateConfig::default().max_bytes(max_bytes).compress(compress)
}

/// What a rotated file holds, compressed or not.
fn unpack(path: &Path) -> String {
    let file = fs::File::open(path).unwrap();
    let mut text = String::new();
    match path.extension().and_then(|it| it.to_str()) {
        Some("gz") => flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap(),
        Some("zst") => zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap(),
        _ => return read(path),
    };
    text
}

/// Waits until the packer has done its work.
async fn until(what: &str, mut is_done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_done() {
        assert!(Instant::now() < end, "not in time: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

fn pass(path: &Path, compression: Compression) {
    pack_all(&Names::of(path).unwrap(), compression, &AtomicBool::new(false), &Told::default());
}

#[tokio::test]
async fn rotated_files_are_compressed_and_the_plain_ones_go() {
    for (compression, suffix) in ALL {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("out.txt");
        let sink = File::new(plain(&path).rotate(by_size(1, compression)));
        for payload in ["one", "two", "three"] {
            sink.write(&records(&[payload])).await.unwrap();
        }
        let packed = || names(dir.path()).iter().filter(|name| name.ends_with(suffix)).count();
        until("two compressed files", || packed() == 2 && names(dir.path()).len() == 3).await;
        let stamps = Names::of(&path).unwrap();
        let text = |stamp| unpack(Path::new(&format!("{}{suffix}", stamps.path(stamp).display())));
        let found: Vec<String> = stamps.list().unwrap().into_iter().map(text).collect();
        assert_eq!(found, ["one\n", "two\n"]);
        assert_eq!(read(&path), "three\n");
    }
}

#[tokio::test]
async fn what_a_crash_left_at_any_point_is_readable_and_finished_at_the_next_start() {
    for (compression, suffix) in ALL {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("out.txt");
        let rotated = dir.path().join("out.20260301T102030Z.txt");
        let packed = PathBuf::from(format!("{}{suffix}", rotated.display()));
        let temporary = PathBuf::from(format!("{}.tmp", packed.display()));
        let text = "one\n".repeat(5000);
        fs::write(&rotated, &text).unwrap();
        pass(&path, compression);
        let whole = fs::read(&packed).unwrap();
        assert!(whole.len() < text.len() / 10);
        let cuts = [0, 1, whole.len() / 2, whole.len()];
        // While it was written, when it was whole but not yet renamed, and before the plain file was deleted.
        let states = cuts.map(|cut| (&temporary, cut)).into_iter().chain([(&packed, whole.len())]);
        for (left, cut) in states {
            fs::remove_file(&packed).ok();
            fs::write(&rotated, &text).unwrap();
            fs::write(left, &whole[..cut]).unwrap();
            // A reader that takes a plain file first has every record once.
            assert_eq!(unpack(&rotated), text);
            let sink = File::new(plain(&path).rotate(by_size(0, compression)));
            sink.open().await.unwrap();
            let wanted = [packed.file_name().unwrap().to_str().unwrap().to_owned(), "out.txt".to_owned()];
            until("the file to be compressed", || names(dir.path()) == wanted).await;
            assert_eq!(unpack(&packed), text);
        }
    }
}

#[tokio::test]
async fn compressed_files_are_kept_as_many_as_told_whatever_compressed_them() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    for old in ["out.20200101T000000Z.txt.gz", "out.20200101T000001Z.txt.zst", "out.20200101T000002Z.txt"] {
        fs::write(dir.path().join(old), "").unwrap();
    }
    let temporary = "out.20200101T000000Z.txt.gz.tmp";
    fs::write(dir.path().join(temporary), "").unwrap();
    let others = ["out.20200101T000000Z.txt.bz2", "out.txt.gz"];
    for other in others {
        fs::write(dir.path().join(other), "").unwrap();
    }
    let sink = File::new(plain(&path).rotate(by_size(1, Compression::None).keep(3)));
    sink.write(&records(&["one"])).await.unwrap();
    sink.write(&records(&["two"])).await.unwrap();
    let left = names(dir.path());
    assert!(!left.iter().any(|name| name.starts_with("out.20200101T000000Z.txt.gz")), "{left:?}");
    assert!(left.contains(&"out.20200101T000001Z.txt.zst".to_owned()), "{left:?}");
    assert!(others.iter().all(|other| left.contains(&(*other).to_owned())), "{left:?}");
    sink.write(&records(&["three"])).await.unwrap();
    assert_eq!(Names::of(&path).unwrap().list().unwrap().len(), 3);
    assert_eq!(names(dir.path()).len(), 3 + 1 + others.len());
}

#[tokio::test]
async fn a_file_that_cannot_be_compressed_stays_and_the_sink_goes_on() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let rotated = dir.path().join("out.20260301T102030Z.txt");
    fs::write(&rotated, "one\n").unwrap();
    // Nothing can be written under the name of the unfinished file.
    let obstacle = format!("{}.gz.tmp", rotated.display());
    fs::create_dir(&obstacle).unwrap();
    pass(&path, Compression::Gzip);
    assert_eq!(read(&rotated), "one\n");
    let sink = File::new(plain(&path).rotate(by_size(1, Compression::Gzip)));
    sink.write(&records(&["two"])).await.unwrap();
    fs::remove_dir(&obstacle).unwrap();
    pass(&path, Compression::Gzip);
    assert_eq!(unpack(Path::new(&format!("{}.gz", rotated.display()))), "one\n");
    assert!(!rotated.exists());
}

/// What is logged meanwhile by this thread.
fn logged(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap()
}

#[test]
fn what_is_wrong_with_a_rotated_file_is_logged_once_until_it_changes() {
    let dir = TempDir::new().unwrap();
    let names = Names::of(&dir.path().join("out.txt")).unwrap();
    let (first, second) = ("out.20260301T102030Z.txt", "out.20260301T102031Z.txt");
    let obstacle = |rotated: &str| dir.path().join(format!("{rotated}.gz.tmp"));
    let mut told = Told::default();
    let mut pass = || logged(|| told = pack_all(&names, Compression::Gzip, &AtomicBool::new(false), &told));
    fs::write(dir.path().join(first), "one\n").unwrap();
    fs::create_dir(obstacle(first)).unwrap();
    let said = pass();
    assert!(said.contains("WARN") && said.contains(first), "{said}");
    for _ in 0..3 {
        assert_eq!(pass(), "");
    }
    // Another file is news, the first one is not.
    fs::write(dir.path().join(second), "two\n").unwrap();
    fs::create_dir(obstacle(second)).unwrap();
    let said = pass();
    assert!(said.contains(second) && !said.contains(first), "{said}");
    // So is another reason. This one holds for administrators, too.
    fs::remove_dir(obstacle(first)).unwrap();
    fs::create_dir(dir.path().join(format!("{first}.gz"))).unwrap();
    let said = pass();
    assert!(said.contains(first) && !said.contains(second), "{said}");
    assert_eq!(pass(), "");
    // A folder that cannot be read.
    fs::remove_dir_all(dir.path()).unwrap();
    assert!(pass().contains("could not list rotated files"));
    assert_eq!(pass(), "");
}

#[test]
fn a_file_that_another_worker_compresses_is_left_to_it() {
    let dir = TempDir::new().unwrap();
    let rotated = dir.path().join("out.20260301T102030Z.txt");
    fs::write(&rotated, "one\n").unwrap();
    let other = fs::File::open(&rotated).unwrap();
    other.lock().unwrap();
    assert_eq!(logged(|| pass(&dir.path().join("out.txt"), Compression::Zstd)), "", "that is nothing unusual");
    assert_eq!(names(dir.path()), ["out.20260301T102030Z.txt"]);
}

#[test]
fn a_pass_that_is_stopped_leaves_the_plain_file_alone() {
    let dir = TempDir::new().unwrap();
    let rotated = dir.path().join("out.20260301T102030Z.txt");
    fs::write(&rotated, "one\n").unwrap();
    let names_of = Names::of(&dir.path().join("out.txt")).unwrap();
    pack_all(&names_of, Compression::Gzip, &AtomicBool::new(true), &Told::default());
    assert_eq!(names(dir.path()), ["out.20260301T102030Z.txt"]);
}

#[test]
fn a_compressed_file_is_no_more_readable_than_the_plain_one() {
    let dir = TempDir::new().unwrap();
    let rotated = dir.path().join("out.20260301T102030Z.txt");
    fs::write(&rotated, "one\n").unwrap();
    fs::set_permissions(&rotated, fs::Permissions::from_mode(0o600)).unwrap();
    pass(&dir.path().join("out.txt"), Compression::Gzip);
    let packed = fs::metadata(dir.path().join("out.20260301T102030Z.txt.gz")).unwrap();
    assert_eq!(packed.permissions().mode() & 0o777, 0o600);
}

/// A folder whose file is rotated and compressed all the time.
struct Packed {
    dir: TempDir,
    compression: Compression,
}

impl Packed {
    fn new(compression: Compression) -> Option<Self> {
        Some(Self { dir: TempDir::new().unwrap(), compression })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("out.txt")
    }
}

#[async_trait]
impl Target for Packed {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(File::new(plain(self.path()).rotate(by_size(200, self.compression))))
    }

    async fn read_all(&self) -> Vec<Seen> {
        let stamps = Names::of(&self.path()).unwrap();
        let listed = || stamps.list_plain().unwrap().len();
        // What is compressed just then stands under two names.
        until("everything to be compressed", || {
            pass(&self.path(), self.compression);
            listed() == 0 && names(self.dir.path()).iter().all(|name| !name.ends_with(".tmp"))
        })
        .await;
        let packed = |stamp| stamps.all_paths(stamp).find(|path| path.exists()).unwrap();
        let mut text: String = stamps.list().unwrap().into_iter().map(|stamp| unpack(&packed(stamp))).collect();
        text.push_str(&fs::read_to_string(self.path()).unwrap_or_default());
        text.lines().map(|line| Seen::new(line.to_owned())).collect()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().no_outage().payloads(Payloads::Selected)
    }
}

mod gzip {
    use super::{Compression, Packed};

    tidemill_testkit::conformance! { async || Packed::new(Compression::Gzip);
        what_was_confirmed_can_be_read
        records_of_a_key_stay_in_order
        a_dropped_write_that_is_repeated_loses_nothing
        a_new_sink_goes_on_where_the_last_one_ended
    }
}

mod zstd_format {
    use super::{Compression, Packed};

    tidemill_testkit::conformance! { async || Packed::new(Compression::Zstd);
        what_was_confirmed_can_be_read
        records_of_a_key_stay_in_order
        a_dropped_write_that_is_repeated_loses_nothing
        a_new_sink_goes_on_where_the_last_one_ended
    }
}
