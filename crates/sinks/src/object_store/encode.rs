//! The records of one object to its bytes. Invariant: a refused record leaves no trace in the object nor in its name.

use std::io::Write;

use tidemill_core::{BoxError, Record, Rejection};

use super::body::Body;
use super::config::ObjectFormat;
use super::name::Name;
use super::partition::Partition;
use crate::compress::{Codec, Encoder};
use crate::encode::push_envelope;

/// Bytes of lines that are compressed together: every call has its price, however little it is given.
const COMPRESSED_AT_ONCE: usize = 64 * 1024;

/// An object that is ready to be uploaded.
pub(super) struct Object {
    /// Its name in its folder.
    pub(super) name: String,
    pub(super) body: Body,
    /// How many records are in it. An object of none is not written.
    pub(super) records: usize,
    pub(super) rejections: Vec<Rejection>,
}

/// Encodes a partition of a batch. Takes time: not for the async threads.
///
/// # Errors
/// The encoder failed, which is not the fault of a record.
pub(super) fn object(format: &ObjectFormat, batch: &[Record], partition: &Partition) -> Result<Object, BoxError> {
    match format {
        ObjectFormat::Ndjson { compression } => ndjson(Codec::from(*compression), batch, partition),
        #[cfg(feature = "parquet")]
        ObjectFormat::Parquet(config) => super::parquet::object(config, batch, partition),
    }
}

fn ndjson(codec: Codec, batch: &[Record], partition: &Partition) -> Result<Object, BoxError> {
    let mut encoder = Encoder::new(codec, Body::default())?;
    let mut name = Name::new();
    let mut rejections = Vec::new();
    let mut lines = Vec::new();
    for &index in &partition.records {
        let whole = lines.len();
        match push_envelope(&mut lines, &batch[index]) {
            Ok(()) => {
                lines.push(b'\n');
                name.add(&batch[index]);
            }
            Err(reason) => {
                lines.truncate(whole);
                rejections.push(Rejection { index, reason });
            }
        }
        if lines.len() >= COMPRESSED_AT_ONCE {
            encoder.write_all(&lines)?;
            lines.clear();
        }
    }
    encoder.write_all(&lines)?;
    Ok(Object {
        name: format!("{}.ndjson{}", name.finish(), codec.suffix()),
        body: encoder.finish()?,
        records: partition.records.len() - rejections.len(),
        rejections,
    })
}
