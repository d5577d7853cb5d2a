//! How much memory a large Parquet object takes while it is made and uploaded. In a process of its own, since it looks at
//! all of the process.
#![cfg(all(feature = "parquet", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod measured {
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

    #[tokio::test]
    async fn an_object_of_64_mib_takes_at_most_three_times_that_with_its_batch() {
        let before = status("VmRSS");
        // Noise does not compress: the object is as large as the batch.
        let mut state = 1_u64;
        let mut noise = || {
            let bytes = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 32).to_le_bytes()
            });
            Bytes::from(bytes.take(PAYLOAD / 8).flatten().collect::<Vec<u8>>())
        };
        let batch: Vec<Record> = (0..BATCH / PAYLOAD).map(|_| Record::new(noise())).collect();
        let folder = tempfile::tempdir().unwrap();
        let config = ObjectStoreConfig::new(folder.path().to_str().unwrap()).format(ParquetConfig::default());
        let sink = ObjectStore::new(config);
        // Makes the highest value of the past the current one.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        sink.write(&batch).await.unwrap();
        let held = status("VmHWM") - before;
        println!("batch {} MiB, held at most {} MiB", BATCH / MIB, held / MIB);
        assert!(held < 3 * BATCH, "{} MiB", held / MIB);
    }
}
