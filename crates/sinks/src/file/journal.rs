//! The file that is being written: opened when needed, rotated when full or old, synced by policy.
//!
//! Invariant: [`Journal::write`] is all or nothing, and `due` always tells the next time that needs
//! [`Journal::tend`]: it is published before the journal's lock is given back.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use tidemill_core::report;
use tokio::sync::watch;
use tokio::time::Instant;

use super::config::{FileConfig, Fsync};
use super::disk::Disk;
use super::error::FileError;
use super::open::{self, Place};
use super::rotated::{Names, Stamp};
use super::segment::Segment;

/// The least time between two tries of a rotation that fails on the timer.
const ROTATE_AGAIN: Duration = Duration::from_secs(10);

/// All calls block and belong on a blocking thread. After a failed or panicked call the journal is usable.
pub(super) struct Journal {
    config: FileConfig,
    disk: Disk,
    place: Option<Place>,
    segment: Option<Segment>,
    last_rotated: Option<Stamp>,
    due: watch::Sender<Option<Instant>>,
    rotated: watch::Sender<Option<Names>>,
}

impl Journal {
    pub(super) fn new(config: FileConfig, disk: Disk) -> Self {
        let (due, rotated) = (watch::Sender::default(), watch::Sender::default());
        Self { config, disk, place: None, segment: None, last_rotated: None, due, rotated }
    }

    /// Follows the next time that needs [`Journal::tend`].
    pub(super) fn due(&self) -> watch::Receiver<Option<Instant>> {
        self.due.subscribe()
    }

    /// Changes whenever there may be new rotated files: at a rotation, and when the file is opened.
    pub(super) fn rotated(&self) -> watch::Receiver<Option<Names>> {
        self.rotated.subscribe()
    }

    /// Opens the file, as a first write would.
    pub(super) fn open(&mut self, now: Instant) -> Result<(), FileError> {
        let result = self.ready(now).map(drop);
        self.publish_due();
        result
    }

    /// Writes a batch of lines.
    pub(super) fn write(&mut self, lines: &[u8], now: Instant) -> Result<(), FileError> {
        let result = self.append(lines, now);
        self.publish_due();
        result
    }

    /// Does what is due though nothing is written. A failure is due again later.
    pub(super) fn tend(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Some(segment) = self.segment.as_mut().filter(|it| is_due(it.sync_at)) {
            segment.sync_at = None;
            if let Err(error) = segment.sync() {
                tracing::error!(error = %report(&error), "sync failed: a power failure now loses acknowledged events");
                segment.sync_at = self.config.fsync.interval().and_then(|interval| now.checked_add(interval));
            }
        }
        if self.segment.as_ref().is_some_and(|it| is_due(it.rotate_at))
            && let Err(error) = self.rotate(now)
        {
            tracing::warn!(error = %report(&error), "rotation failed");
            if let Some(segment) = &mut self.segment {
                segment.rotate_at = now.checked_add(ROTATE_AGAIN);
            }
        }
        self.publish_due();
    }

    /// Brings everything to the disk as the policy says, and gives the file and its lock back.
    pub(super) fn close(&mut self) -> Result<(), FileError> {
        let result = self.finish_segment();
        self.segment = None;
        self.publish_due();
        result
    }

    fn append(&mut self, lines: &[u8], now: Instant) -> Result<(), FileError> {
        self.let_go_if_moved();
        let segment = self.ready(now)?;
        let len = segment.len.saturating_add(lines.len() as u64);
        let is_old = segment.rotate_at.is_some_and(|at| at <= now);
        let is_full = segment.len > 0 && self.max_bytes().is_some_and(|max| len > max);
        if is_old || is_full {
            self.rotate(now)?;
        }
        let (fsync, max_age) = (self.config.fsync, self.max_age());
        let segment = self.ready(now)?;
        segment.append(lines, fsync.is_batch())?;
        if let Some(interval) = fsync.interval() {
            segment.sync_at = segment.sync_at.or_else(|| now.checked_add(interval));
        }
        if let Some(max_age) = max_age {
            segment.rotate_at = segment.rotate_at.or_else(|| now.checked_add(max_age));
        }
        Ok(())
    }

    /// The open file, opened if need be.
    fn ready(&mut self, now: Instant) -> Result<&mut Segment, FileError> {
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.open_segment(now)?,
        };
        Ok(self.segment.insert(segment))
    }

    fn open_segment(&mut self, now: Instant) -> Result<Segment, FileError> {
        let path = self.place.as_ref().map_or(&self.config.path, |place| &place.path);
        let (place, changed_dirs) = Place::find(path, self.config.create_dirs)?;
        let opened = open::open(&place.path, &self.config.format, changed_dirs)?;
        let rotate_at = match self.max_age() {
            Some(max_age) if opened.len > 0 => now.checked_add(max_age.saturating_sub(self.age(&opened.file))),
            _ => None,
        };
        let path = place.path.clone();
        self.rotated.send_replace(Some(place.names.clone()));
        self.place = Some(place);
        Ok(Segment {
            path,
            medium: (self.disk.medium)(opened.file),
            identity: opened.identity,
            header: self.config.format.header(),
            len: opened.len,
            torn: false,
            unsynced: false,
            unsynced_dirs: opened.changed_dirs,
            sync_at: None,
            rotate_at,
        })
    }

    /// Who renames or deletes the file wants a new one in its place; writing on would be writing into nowhere.
    fn let_go_if_moved(&mut self) {
        let Some(segment) = &mut self.segment else { return };
        if segment.is_in_place() {
            return;
        }
        tracing::warn!(path = %segment.path.display(), "file was moved or deleted by someone else, begins a new one");
        if let Err(error) = self.finish_segment() {
            tracing::warn!(error = %report(&error), "could not finish the moved file");
        }
        self.segment = None;
    }

    /// Leaves whole batches in the file, on the disk unless the policy is never.
    fn finish_segment(&mut self) -> Result<(), FileError> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        segment.mend()?;
        if self.config.fsync != Fsync::Never {
            segment.sync()?;
        }
        segment.sync_at = None;
        Ok(())
    }

    /// Sets the file aside and opens a new one.
    fn rotate(&mut self, now: Instant) -> Result<(), FileError> {
        self.finish_segment()?;
        let Some(place) = &self.place else { return Ok(()) };
        let rotated = place.names.list().map_err(FileError::io("list rotated files of", &place.path))?;
        let latest = rotated.last().copied().max(self.last_rotated);
        let stamp = Stamp::after(latest, (self.disk.now)());
        let target = place.names.path(stamp);
        match fs::rename(&place.path, &target) {
            Ok(()) => {
                tracing::debug!(path = %place.path.display(), rotated = %target.display(), "rotated file");
                self.last_rotated = Some(stamp);
                self.prune(rotated, stamp);
            }
            // Someone took it away in this very moment: set aside all the same.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::io("rotate", &place.path)(error)),
        }
        // The new file is opened at once, and not by the next write: it holds the lock for this path.
        self.segment = None;
        self.ready(now)?;
        self.finish_segment()
    }

    /// Deletes the oldest rotated files. A file that cannot be deleted costs space, but no records.
    fn prune(&self, mut rotated: Vec<Stamp>, newest: Stamp) {
        let keep = usize::try_from(self.config.rotate.keep).unwrap_or(usize::MAX);
        let Some(place) = self.place.as_ref().filter(|_| keep > 0) else { return };
        rotated.push(newest);
        let too_old = &rotated[..rotated.len().saturating_sub(keep)];
        for path in too_old.iter().flat_map(|stamp| place.names.all_paths(*stamp)) {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "could not delete a rotated file");
            }
        }
    }

    /// How long ago the file was created; nothing where the file system does not tell.
    fn age(&self, file: &fs::File) -> Duration {
        let created = file.metadata().and_then(|found| found.created()).ok();
        let created = created.and_then(|created| jiff::Timestamp::try_from(created).ok());
        let age = created.map(|created| (self.disk.now)().duration_since(created));
        age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default()
    }

    fn max_bytes(&self) -> Option<u64> {
        Some(self.config.rotate.max_bytes).filter(|max| *max > 0)
    }

    fn max_age(&self) -> Option<Duration> {
        Some(self.config.rotate.max_age).filter(|max| !max.is_zero())
    }

    fn publish_due(&self) {
        let due = self.segment.as_ref().and_then(|it| it.sync_at.into_iter().chain(it.rotate_at).min());
        self.due.send_if_modified(|published| std::mem::replace(published, due) != due);
    }
}

impl Fsync {
    /// After every batch, which is also what an interval of nothing means.
    fn is_batch(self) -> bool {
        matches!(self, Self::Batch | Self::Interval(Duration::ZERO))
    }

    fn interval(self) -> Option<Duration> {
        match self {
            Self::Interval(interval) if !interval.is_zero() => Some(interval),
            Self::Batch | Self::Interval(_) | Self::Never => None,
        }
    }
}
