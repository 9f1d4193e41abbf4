//! Tables as Parquet files, compressed by zstd.

use std::{
    io::{self, Write},
    sync::Arc,
};

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, LargeStringArray, RecordBatch, TimestampMicrosecondArray,
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use crate::table::{MISSING_CODE, MISSING_TIME, Table, Values};

/// Writes tables of the same columns one after the other into one file.
pub struct Writer<W: Write + Send>(State<W>);

enum State<W: Write + Send> {
    /// The first table tells the columns.
    Waiting(W),
    Writing(Box<ArrowWriter<W>>),
    Failed,
}

/// Writes one table.
pub fn write(out: impl Write + Send, table: &Table) -> io::Result<()> {
    let mut writer = Writer::new(out);
    writer.write(table)?;
    writer.finish().map(drop)
}

impl<W: Write + Send> Writer<W> {
    /// Nothing written yet.
    pub fn new(out: W) -> Self {
        Self(State::Waiting(out))
    }

    /// Writes the rows of `table`. After an error nothing more can be written.
    pub fn write(&mut self, table: &Table) -> io::Result<()> {
        let batch = record_batch(table)?;
        let mut writer = match std::mem::replace(&mut self.0, State::Failed) {
            State::Waiting(out) => {
                let compression = Compression::ZSTD(ZstdLevel::default());
                let properties = WriterProperties::builder().set_compression(compression).build();
                Box::new(ArrowWriter::try_new(out, batch.schema(), Some(properties))?)
            }
            State::Writing(writer) => writer,
            State::Failed => {
                return Err(io::Error::other("an earlier part of the Parquet file could not be written"));
            }
        };
        writer.write(&batch)?;
        self.0 = State::Writing(writer);
        Ok(())
    }

    /// Writes what makes it a whole file and gives the output back; without a table there is no file.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            State::Waiting(out) => Ok(out),
            State::Writing(writer) => Ok(writer.into_inner()?),
            State::Failed => Err(io::Error::other("a part of the Parquet file could not be written")),
        }
    }
}

fn record_batch(table: &Table) -> io::Result<RecordBatch> {
    let columns = table.columns.iter().map(|column| Ok((column.name.as_str(), array(&column.values)?, true)));
    let columns: Vec<(&str, ArrayRef, bool)> = columns.collect::<io::Result<_>>()?;
    RecordBatch::try_from_iter_with_nullable(columns).map_err(io::Error::other)
}

fn array(values: &Values) -> io::Result<ArrayRef> {
    Ok(match values {
        Values::Numbers(numbers) => {
            Arc::new(numbers.iter().map(|number| (!number.is_nan()).then_some(*number)).collect::<Float64Array>())
        }
        Values::Times(times) => {
            let times = times.iter().map(|time| (*time != MISSING_TIME).then_some(*time));
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        Values::Categories { codes, levels } => {
            let key = |code: &u32| (*code != MISSING_CODE).then(|| i32::try_from(*code).expect("far fewer levels than 2^31"));
            let keys: Int32Array = codes.iter().map(key).collect();
            let levels = LargeStringArray::from_iter_values(levels);
            Arc::new(DictionaryArray::try_new(keys, Arc::new(levels)).map_err(io::Error::other)?)
        }
    })
}
