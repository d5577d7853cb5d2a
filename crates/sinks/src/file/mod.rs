//! Records as lines in a file, with rotation, an fsync policy and repair after a crash.
//!
//! | file | owns |
//! |---|---|
//! | `sink` | the sink: encodes, and carries work to a blocking thread |
//! | `journal` | the file that is being written: when it rotates, when it is synced |
//! | `segment` | one open file: all of a batch or nothing of it |
//! | `open` | finding, locking and repairing the file |
//! | `ending` | where the last whole line ends |
//! | `rotated` | names of rotated files, in order |
//! | `pack` | compression of rotated files in the background |
//! | `keeper` | the timer that syncs and rotates while nothing is written |

mod config;
mod disk;
mod ending;
mod error;
mod journal;
mod keeper;
mod open;
mod pack;
mod rotated;
mod segment;
mod sink;
#[cfg(test)]
mod tests;

pub use config::{Compression, FileConfig, FileFormat, Fsync, RotateConfig};
pub use sink::File;
