//! Rows to a file. Row groups are bounded, so that what the writer holds beside the finished bytes is, too.

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tidemill_core::{BoxError, Record, Rejection};

use super::super::body::Body;
use super::super::encode::Object;
use super::super::name::Name;
use super::super::partition::Partition;
use super::columns::Columns;
use super::config::{ParquetCompression, ParquetConfig};
use super::datum::{Datum, datum};
use crate::Fields;

/// A row group ends when its encoded bytes are more than this.
const ROW_GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Encodes a partition of a batch.
///
/// # Errors
/// The writer failed, which is not the fault of a record.
pub(in super::super) fn object(
    config: &ParquetConfig,
    batch: &[Record],
    partition: &Partition,
) -> Result<Object, BoxError> {
    let mut columns = Columns::new(&config.columns);
    let mut writer = ArrowWriter::try_new(Body::default(), columns.schema(), Some(properties(config.compression)))?;
    let mut name = Name::new();
    let mut rejections = Vec::new();
    for &index in &partition.records {
        let fields = Fields::new(&batch[index]);
        match row(config, &fields) {
            Ok(mut row) => {
                columns.push(&mut row);
                name.add(&batch[index]);
            }
            Err(reason) => rejections.push(Rejection { index, reason }),
        }
        if columns.is_full() {
            writer.write(&columns.take()?)?;
        }
    }
    if !columns.is_empty() {
        writer.write(&columns.take()?)?;
    }
    Ok(Object {
        name: format!("{}.parquet", name.finish()),
        body: writer.into_inner()?,
        records: partition.records.len() - rejections.len(),
        rejections,
    })
}

fn row<'a>(config: &'a ParquetConfig, fields: &'a Fields<'_>) -> Result<Vec<Datum<'a>>, String> {
    config.columns.iter().map(|column| datum(column, fields, config.mismatch_as_null)).collect()
}

fn properties(compression: ParquetCompression) -> WriterProperties {
    let compression = match compression {
        ParquetCompression::None => Compression::UNCOMPRESSED,
        ParquetCompression::Snappy => Compression::SNAPPY,
        ParquetCompression::Zstd => Compression::ZSTD(ZstdLevel::default()),
    };
    WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_created_by("tidemill".to_owned())
        .build()
}
