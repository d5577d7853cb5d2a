//! Values gathered per column, until there are enough for a write.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use super::config::{ParquetColumn, ParquetType};
use super::datum::Datum;

enum Values {
    Text(StringBuilder),
    Int(Int64Builder),
    Double(Float64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
}

const UTC: &str = "UTC";

impl Values {
    fn new(kind: ParquetType) -> Self {
        match kind {
            ParquetType::String => Self::Text(StringBuilder::new()),
            ParquetType::Int64 => Self::Int(Int64Builder::new()),
            ParquetType::Double => Self::Double(Float64Builder::new()),
            ParquetType::Bool => Self::Bool(BooleanBuilder::new()),
            ParquetType::Timestamp | ParquetType::TimestampMillis => {
                Self::Time(TimestampMicrosecondBuilder::new().with_timezone(UTC))
            }
            ParquetType::Binary => Self::Bytes(BinaryBuilder::new()),
        }
    }

    /// Appends a value; one of another type than the column's is null. `datum` makes none.
    fn push(&mut self, datum: Datum<'_>) {
        match (self, datum) {
            (Self::Text(values), Datum::Text(text)) => values.append_value(text),
            (Self::Text(values), _) => values.append_null(),
            (Self::Int(values), Datum::Int(number)) => values.append_value(number),
            (Self::Int(values), _) => values.append_null(),
            (Self::Double(values), Datum::Double(number)) => values.append_value(number),
            (Self::Double(values), _) => values.append_null(),
            (Self::Bool(values), Datum::Bool(truth)) => values.append_value(truth),
            (Self::Bool(values), _) => values.append_null(),
            (Self::Time(values), Datum::Micros(micros)) => values.append_value(micros),
            (Self::Time(values), _) => values.append_null(),
            (Self::Bytes(values), Datum::Bytes(bytes)) => values.append_value(bytes),
            (Self::Bytes(values), _) => values.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(values) => Arc::new(values.finish()),
            Self::Int(values) => Arc::new(values.finish()),
            Self::Double(values) => Arc::new(values.finish()),
            Self::Bool(values) => Arc::new(values.finish()),
            Self::Time(values) => Arc::new(values.finish()),
            Self::Bytes(values) => Arc::new(values.finish()),
        }
    }
}

/// Rows that wait to be written.
pub(super) struct Columns {
    schema: SchemaRef,
    values: Vec<Values>,
    rows: usize,
    bytes: usize,
}

impl Columns {
    /// A write has about this much: enough that a write's own cost does not count, little beside an object.
    const FULL_ROWS: usize = 4096;
    const FULL_BYTES: usize = 2 * 1024 * 1024;

    pub(super) fn new(columns: &[ParquetColumn]) -> Self {
        let field = |column: &ParquetColumn| {
            let kind = match column.kind {
                ParquetType::String => DataType::Utf8,
                ParquetType::Int64 => DataType::Int64,
                ParquetType::Double => DataType::Float64,
                ParquetType::Bool => DataType::Boolean,
                ParquetType::Timestamp | ParquetType::TimestampMillis => {
                    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
                }
                ParquetType::Binary => DataType::Binary,
            };
            Field::new(&column.name, kind, true)
        };
        Self {
            schema: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
            values: columns.iter().map(|column| Values::new(column.kind)).collect(),
            rows: 0,
            bytes: 0,
        }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Appends a row, a value for each column.
    pub(super) fn push(&mut self, row: &mut Vec<Datum<'_>>) {
        for (values, datum) in self.values.iter_mut().zip(row.drain(..)) {
            self.bytes += match &datum {
                Datum::Text(text) => text.len(),
                Datum::Bytes(bytes) => bytes.len(),
                _ => size_of::<i64>(),
            };
            values.push(datum);
        }
        self.rows += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows >= Self::FULL_ROWS || self.bytes >= Self::FULL_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes the rows out.
    pub(super) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.bytes) = (0, 0);
        let arrays = self.values.iter_mut().map(Values::finish).collect();
        RecordBatch::try_new(self.schema(), arrays)
    }
}
