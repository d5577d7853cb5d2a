//! The file of a file sink: read line by line, and written anew without what is gone.
//!
//! INVARIANT: a changed file has every line that stays, byte for byte and in its order. It takes the place of the old one
//! at once and is on the disk before; and nobody else has the sink's lock meanwhile.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use super::letter::Letter;
use super::ndjson;
use crate::exit::Failure;

/// Where a line is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    start: u64,
    /// Bytes, with its line break.
    len: u64,
}

/// See the module's description.
pub(super) struct DeadFile {
    path: PathBuf,
    file: File,
}

impl DeadFile {
    /// Opens it to look at it; a worker may go on writing.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn look(path: &Path) -> Result<Self, Failure> {
        // Links followed: what is put in the place of the file must not take that of a link.
        let path = fs::canonicalize(path).map_err(|error| failed("open", path, &error))?;
        if !fs::metadata(&path).is_ok_and(|found| found.is_file()) {
            return Err(Failure::Run(format!(
                "{} is not a regular file: name the file of a file sink",
                path.display()
            )));
        }
        let file = File::open(&path).map_err(|error| failed("open", &path, &error))?;
        Ok(Self { path, file })
    }

    /// Opens it to change it, with the lock of the sink that writes it.
    ///
    /// # Errors
    /// It cannot be read, or a worker writes it.
    pub(super) fn change(path: &Path) -> Result<Self, Failure> {
        let mut opened = Self::look(path)?;
        let shown = opened.path.display();
        opened.file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&opened.path)
            .map_err(|error| failed("open to change", &opened.path, &error))?;
        let in_use = || {
            Failure::Run(format!(
                "{shown} is being written by a worker: stop it, or choose a file that it has rotated away"
            ))
        };
        match opened.file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                let text =
                    "its file system knows no locks, so a worker could write it meanwhile; copy it to another one";
                return Err(Failure::Run(format!("{shown} cannot be changed: {text}")));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &opened.path, &error)),
        }
        // Renamed between opening and locking: it is another file now.
        let is_ours = |found: &fs::Metadata| {
            opened.file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (found.dev(), found.ino()))
        };
        if !fs::metadata(&opened.path).is_ok_and(|found| is_ours(&found)) {
            return Err(in_use());
        }
        Ok(opened)
    }

    /// Goes through all lines that are not empty. What is not a letter comes with the reason.
    ///
    /// # Errors
    /// It cannot be read, or `each` fails.
    pub(super) fn scan(
        &mut self,
        mut each: impl FnMut(Line, Result<Letter, String>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.file.seek(SeekFrom::Start(0)).map_err(|error| failed("read", &self.path, &error))?;
        let mut reader = BufReader::new(&self.file);
        let (mut bytes, mut start, mut number) = (Vec::new(), 0, 0);
        loop {
            bytes.clear();
            let len = reader.read_until(b'\n', &mut bytes).map_err(|error| failed("read", &self.path, &error))?;
            if len == 0 {
                return Ok(());
            }
            let text = bytes.trim_ascii();
            if !text.is_empty() {
                number += 1;
                let letter = match bytes.ends_with(b"\n") {
                    true => ndjson::parse(text),
                    false => {
                        Err("the line is not finished: a worker is writing it, or was ended while it did".to_owned())
                    }
                };
                each(Line { number, start, len: len as u64 }, letter)?;
            }
            start += len as u64;
        }
    }

    /// Reads a letter that `scan` found once more.
    ///
    /// # Errors
    /// It cannot be read, or is another one now.
    pub(super) fn read(&mut self, line: Line) -> Result<Letter, Failure> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(line.start))
            .and_then(|_| Read::by_ref(&mut self.file).take(line.len).read_to_end(&mut bytes))
            .map_err(|error| failed("read", &self.path, &error))?;
        ndjson::parse(bytes.trim_ascii()).map_err(|why| {
            Failure::Run(format!("{} was changed meanwhile, at letter {}: {why}", self.path.display(), line.number))
        })
    }

    /// Writes the file anew without the lines that are gone, which come in their order. Afterwards this is the old file.
    ///
    /// # Errors
    /// It cannot be written; then it is as it was.
    pub(super) fn save(&mut self, gone: &[Line]) -> Result<(), Failure> {
        if gone.is_empty() {
            return Ok(());
        }
        self.replace(gone).map_err(|error| {
            Failure::Run(format!(
                "write {} anew: {error}; it is as it was, so what was replayed is in it still; run this as its owner, \
                 with room for a second copy beside it",
                self.path.display()
            ))
        })
    }

    fn replace(&mut self, gone: &[Line]) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let old = self.file.metadata()?;
        let mut new = tempfile::Builder::new().prefix(".tidemill-dead-").tempfile_in(folder)?;
        let mut at = 0;
        for line in gone {
            copy(&mut self.file, at, line.start, new.as_file_mut())?;
            at = line.start + line.len;
        }
        copy(&mut self.file, at, old.len(), new.as_file_mut())?;
        // The worker must be able to go on with it.
        let made = new.as_file().metadata()?;
        if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
            chown(new.path(), Some(old.uid()), Some(old.gid()))?;
        }
        new.as_file().set_permissions(old.permissions())?;
        new.as_file().sync_all()?;
        // Whoever locks the new file first must find all of it in its place.
        new.persist(&self.path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }
}

fn copy(from: &mut File, start: u64, end: u64, to: &mut File) -> io::Result<()> {
    from.seek(SeekFrom::Start(start))?;
    let copied = io::copy(&mut Read::by_ref(from).take(end - start), to)?;
    match copied == end - start {
        true => to.flush(),
        false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter meanwhile")),
    }
}

fn failed(action: &str, path: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; check --file",
        io::ErrorKind::PermissionDenied => "; run this as a user who may",
        _ => "",
    };
    Failure::Run(format!("{action} {}: {error}{hint}", path.display()))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn letter(text: &str) -> String {
        format!(r#"{{"headers":[["tidemill-reason","permanent"],["tidemill-topic","t"]],"payload":"{text}"}}"#)
    }

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn lines(file: &mut DeadFile) -> Vec<(Line, bool)> {
        let mut lines = Vec::new();
        file.scan(|line, letter| {
            lines.push((line, letter.is_ok()));
            Ok(())
        })
        .unwrap();
        lines
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_stays_is_the_same_byte_for_byte(
            content in vec(("[a-z]{0,9}|\\{\"[a-z:]{0,5}", any::<bool>(), 0_u8..3), 0..12),
            torn in "[a-z{]{0,4}",
        ) {
            let line = |text: &str, kind: u8| match kind { 0 => letter(text), 1 => text.to_owned(), _ => String::new() };
            let all: Vec<String> = content.iter().map(|(text, _, kind)| line(text, *kind) + "\n").collect();
            let (_folder, path) = written(&(all.concat() + &torn));
            let mut file = DeadFile::change(&path).unwrap();
            let (mut expected, mut gone) = (String::new(), Vec::new());
            let mut found = lines(&mut file).into_iter();
            for (text, (_, drop, _)) in all.iter().zip(&content) {
                let line = (text != "\n").then(|| found.next().unwrap().0);
                match line {
                    Some(line) if *drop => gone.push(line),
                    _ => expected.push_str(text),
                }
            }
            file.save(&gone).unwrap();
            prop_assert_eq!(fs::read_to_string(&path).unwrap(), expected + &torn);
        }
    }

    #[test]
    fn a_file_that_a_sink_holds_can_be_looked_at_and_not_changed() {
        let (_folder, path) = written(&(letter("x") + "\n{\"unfini"));
        let sink = OpenOptions::new().append(true).open(&path).unwrap();
        sink.try_lock().unwrap();
        assert_eq!(
            lines(&mut DeadFile::look(&path).unwrap()).iter().map(|line| line.1).collect::<Vec<_>>(),
            [true, false]
        );
        let Err(Failure::Run(why)) = DeadFile::change(&path).map(drop) else { panic!("it was locked") };
        assert!(why.contains("being written by a worker"), "{why}");
        drop(sink);
        assert!(DeadFile::change(&path).is_ok());
    }

    #[test]
    fn a_new_file_has_the_permissions_of_the_old_one_and_a_link_stays_a_link() {
        let (folder, path) = written(&(letter("x") + "\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = DeadFile::change(&link).unwrap();
        let gone: Vec<Line> = lines(&mut file).into_iter().map(|line| line.0).collect();
        file.save(&gone).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn what_is_missing_or_no_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        for (path, why) in [(folder.path().join("no"), "--file"), (folder.path().to_owned(), "not a regular file")] {
            let Err(Failure::Run(text)) = DeadFile::look(&path).map(drop) else { panic!("it was opened") };
            assert!(text.contains(why), "{text}");
        }
    }
}
