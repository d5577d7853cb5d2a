//! What a program costs under valgrind's callgrind: instructions in user space, and calls of the allocator. Unlike time
//! both hardly move with the machine. Two runs of different lengths tell what one unit of work costs: the difference
//! leaves out start and end.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::feed::Error;

/// What asks the C library for memory; each call is counted once, whatever these do among themselves.
const ALLOCATORS: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

/// What one run of a program cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Instructions in user space.
    pub instructions: u64,
    /// Allocations and reallocations on the heap.
    pub allocations: u64,
}

impl Cost {
    /// What one of so many more units of work costs: instructions, and allocations.
    #[must_use]
    pub fn per_unit(self, shorter: Self, units: u64) -> (f64, f64) {
        let each = |longer: u64, shorter: u64| longer.saturating_sub(shorter) as f64 / units as f64;
        (each(self.instructions, shorter.instructions), each(self.allocations, shorter.allocations))
    }
}

/// The words in front of a command that make it leave a profile there.
pub(crate) fn wrapper(profile: &Path) -> [OsString; 4] {
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(profile);
    ["valgrind".into(), "--quiet".into(), "--tool=callgrind".into(), out]
}

/// Reads a profile.
pub(crate) fn read(profile: &Path) -> Result<Cost, Error> {
    let text =
        fs::read_to_string(profile).map_err(|source| Error::because(format!("read {}", profile.display()), source))?;
    let instructions =
        instructions(&text).ok_or_else(|| Error::new(format!("read {}: no total in it", profile.display())))?;
    Ok(Cost { instructions, allocations: allocations(&text) })
}

/// Where profiles are kept: `target/feed`, beside the folder of the build's profile.
pub(crate) fn folder(program: &Path) -> Result<PathBuf, Error> {
    let folder = beside(program);
    fs::create_dir_all(&folder).map_err(|source| Error::because(format!("create {}", folder.display()), source))?;
    Ok(folder)
}

fn beside(program: &Path) -> PathBuf {
    program.ancestors().nth(2).unwrap_or(Path::new("target")).join("feed")
}

/// The total of a callgrind profile. A profile may have several parts, each with a `summary:` or `totals:` line.
fn instructions(profile: &str) -> Option<u64> {
    let of = |key: &str| -> Option<u64> {
        let lines = profile.lines().filter_map(|line| line.strip_prefix(key));
        lines.map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).sum()
    };
    of("totals:").filter(|&total| total > 0).or_else(|| of("summary:").filter(|&total| total > 0))
}

/// How often an allocator was called from elsewhere. A function's name stands only where it first occurs, as
/// `fn=(number) name`; later on the number stands for it. A `'2` behind a name is a deeper level of a recursion.
fn allocations(profile: &str) -> u64 {
    let mut known: HashMap<&str, bool> = HashMap::new();
    let (mut from_allocator, mut to_allocator, mut calls) = (false, false, 0);
    for line in profile.lines() {
        let caller = line.strip_prefix("fn=");
        if let Some(text) = caller.or_else(|| line.strip_prefix("cfn=")) {
            let (number, name) = text.split_once(' ').unwrap_or((text, ""));
            if !name.is_empty() {
                known.insert(number, name.split('\'').next().is_some_and(|name| ALLOCATORS.contains(&name)));
            }
            let place = if caller.is_some() { &mut from_allocator } else { &mut to_allocator };
            *place = known.get(number).copied().unwrap_or(false);
        } else if let Some(rest) = line.strip_prefix("calls=")
            && to_allocator
            && !from_allocator
        {
            calls += rest.split_whitespace().next().and_then(|count| count.parse().ok()).unwrap_or(0_u64);
        }
    }
    calls
}

/// Makes sure that valgrind is there.
pub(crate) fn require() -> Result<(), Error> {
    let found = Command::new("valgrind").arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::new(format!("run valgrind --version: {status}"))),
        Err(source) if source.kind() == ErrorKind::NotFound => Err(Error::new(
            "count instructions: valgrind is not installed; install it with `apt-get install valgrind` \
             (Debian, Ubuntu) or `dnf install valgrind` (Fedora)",
        )),
        Err(source) => Err(Error::because("run valgrind", source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_a_profile_are_read() {
        assert_eq!(instructions("version: 1\nsummary: 12 3\nfn=(1) x\n1 5\ntotals: 12\n"), Some(12));
        assert_eq!(instructions("summary: 7\n"), Some(7));
        assert_eq!(instructions("fn=(1) x\n"), None);
    }

    #[test]
    fn calls_of_allocators_are_counted_by_name_and_by_number_but_not_those_among_themselves() {
        let profile = "\
fn=(1) main
cfn=(2) malloc
calls=3 0
1 30
cfn=(3) malloc_usable_size
calls=50 0
1 5
fn=(4) other
cfn=(2)
calls=4 0
1 40
cob=(2) libc
cfn=(5) realloc'2
calls=2 0
1 20
fn=(5)
cfn=(2)
calls=100 0
1 1
totals: 96
";
        assert_eq!(allocations(profile), 9);
    }

    #[test]
    fn the_difference_of_two_lengths_is_what_a_unit_costs() {
        let (short, long) =
            (Cost { instructions: 900, allocations: 50 }, Cost { instructions: 2900, allocations: 150 });
        assert_eq!(long.per_unit(short, 100), (20.0, 1.0));
    }

    #[test]
    fn profiles_are_kept_beside_the_build() {
        assert_eq!(beside(Path::new("/w/target/release/feed")), Path::new("/w/target/feed"));
    }
}
