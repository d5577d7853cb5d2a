//! Which records of a batch go into one object.
//!
//! Invariant: a record is in exactly one partition, or refused; within a partition records keep their order.

use std::collections::HashMap;

use object_store::path::Path;
use tidemill_core::{Record, Rejection};

use crate::{Escape, Fields, Template};

/// The longest name of an object that all stores take, in bytes.
const LONGEST_PATH_BYTES: usize = 1024;
/// The longest name of a file or folder, in bytes.
const LONGEST_SEGMENT_BYTES: usize = 255;
/// What the object's own name may take.
const RESERVED_BYTES: usize = 64;

/// Records that share an object.
#[derive(Debug)]
pub(super) struct Partition {
    /// The object's folder.
    pub(super) folder: Path,
    /// Places in the batch, rising.
    pub(super) records: Vec<usize>,
}

/// Groups a batch by where its records go. Partitions come in the order of their first records.
pub(super) fn partitions(
    prefix: &Path,
    template: &Template,
    batch: &[Record],
    rejections: &mut Vec<Rejection>,
) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut rendered = String::new();
    let mut last: Option<(&Record, usize)> = None;
    for (index, record) in batch.iter().enumerate() {
        // Events that came together have one time, and often nothing else counts.
        if let Some((like, place)) = last
            && template.is_same_for(like, record)
        {
            partitions[place].records.push(index);
            continue;
        }
        rendered.clear();
        if let Err(error) = template.render_into(&mut rendered, &Fields::new(record), Escape::ObjectSegment) {
            rejections.push(Rejection { index, reason: error.to_string() });
            continue;
        }
        if let Some(place) = known.get(&rendered) {
            partitions[*place].records.push(index);
            last = Some((record, *place));
            continue;
        }
        match folder(prefix, &rendered) {
            Ok(folder) => {
                known.insert(rendered.clone(), partitions.len());
                last = Some((record, partitions.len()));
                partitions.push(Partition { folder, records: vec![index] });
            }
            Err(reason) => rejections.push(Rejection { index, reason: reason.to_owned() }),
        }
    }
    partitions
}

fn folder(prefix: &Path, rendered: &str) -> Result<Path, &'static str> {
    let mut path = prefix.to_string();
    // What the author wrote may begin or end with a slash, or have two of them where nothing is meant between.
    for segment in rendered.split('/').filter(|segment| !segment.is_empty()) {
        if segment.len() > LONGEST_SEGMENT_BYTES {
            return Err("a part of the partition's path is longer than 255 bytes: partition by something shorter");
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(segment);
    }
    if path.len() > LONGEST_PATH_BYTES - RESERVED_BYTES {
        return Err("the partition's path is longer than 960 bytes: partition by something shorter");
    }
    Path::parse(path).map_err(|_| "the partition's path has a control character: take it out of the template")
}
