//! How much memory a large Parquet object takes while it is made and uploaded. In a process of its own, since it looks at
//! all of the process.
#![cfg(all(feature = "parquet", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod measured {
    use std::fs::DirEntry;
    use std::path::Path;

    use bytes::Bytes;
    use tidemill_core::{Record, Sink};
    use tidemill_sinks::{ObjectStore, ObjectStoreConfig, ParquetConfig};

    const MIB: usize = 1024 * 1024;
    const BATCH: usize = 64 * MIB;
    const PAYLOAD: usize = 1024;

    /// A line of the process's status, in bytes.
    fn status(name: &str) -> usize {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    fn size_of_files(folder: &Path) -> u64 {
        let size = |entry: DirEntry| match entry.metadata().unwrap() {
            found if found.is_dir() => size_of_files(&entry.path()),
            found => found.len(),
        };
        std::fs::read_dir(folder).unwrap().map(|entry| size(entry.unwrap())).sum()
    }

    #[tokio::test]
    async fn an_object_of_64_mib_takes_at_most_three_times_that_with_its_batch() {
        let before = status("VmRSS");
        // Noise does not compress: the object is as large as the batch.
        let mut random = fastrand::Rng::with_seed(1);
        let mut noise = || {
            let mut bytes = vec![0; PAYLOAD];
            random.fill(&mut bytes);
            Bytes::from(bytes)
        };
        let batch: Vec<Record> = (0..BATCH / PAYLOAD).map(|_| Record::new(noise())).collect();
        let folder = tempfile::tempdir().unwrap();
        let config = ObjectStoreConfig::new(folder.path().to_str().unwrap()).format(ParquetConfig::default());
        let sink = ObjectStore::new(config);
        // Makes the highest value of the past the current one.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        sink.write(&batch).await.unwrap();
        let held = status("VmHWM") - before;
        let written = size_of_files(folder.path());
        assert!(written >= BATCH as u64, "an object of {written} bytes");
        println!("batch {} MiB, held at most {} MiB", BATCH / MIB, held / MIB);
        assert!(held < 3 * BATCH, "{} MiB", held / MIB);
    }
}
