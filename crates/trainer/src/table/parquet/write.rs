//! Tables as Parquet files, compressed by zstd; the columns of a row group are encoded on all cores.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, LargeStringArray, RecordBatch, TimestampMicrosecondArray,
};
use arrow_schema::Field;
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves},
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::ColumnPath,
};
use rayon::prelude::*;

use crate::table::{MISSING_CODE, MISSING_TIME, Table, Values};

/// Rows of a row group, at least: what is written in small pieces is gathered.
const GROUP_ROWS: usize = 65_536;

/// Writes tables of the same columns one after the other into one file.
pub struct Writer<W: Write + Send> {
    state: State<W>,
    /// Rows that are not yet a row group.
    gathered: Option<Table>,
}

enum State<W: Write + Send> {
    /// The first table tells the columns.
    Waiting(W),
    Writing(Box<Groups<W>>),
    Failed,
}

/// A file to which row groups are added.
struct Groups<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: ArrowRowGroupWriterFactory,
    written: usize,
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
        Self { state: State::Waiting(out), gathered: None }
    }

    /// Writes the rows of `table`. After an error nothing more can be written.
    pub fn write(&mut self, table: &Table) -> io::Result<()> {
        match &mut self.gathered {
            None if table.rows() >= GROUP_ROWS => return self.write_group(table),
            None => self.gathered = Some(table.clone()),
            Some(gathered) => gathered.append(table.clone()).map_err(io::Error::other)?,
        }
        if self.gathered.as_ref().is_some_and(|gathered| gathered.rows() >= GROUP_ROWS) { self.flush() } else { Ok(()) }
    }

    /// Writes what makes it a whole file and gives the output back; without a table there is no file.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        match self.state {
            State::Waiting(out) => Ok(out),
            State::Writing(groups) => Ok(groups.file.into_inner()?),
            State::Failed => Err(io::Error::other("a part of the Parquet file could not be written")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.gathered.take().map_or(Ok(()), |gathered| self.write_group(&gathered))
    }

    fn write_group(&mut self, table: &Table) -> io::Result<()> {
        let batch = record_batch(table)?;
        let mut groups = match std::mem::replace(&mut self.state, State::Failed) {
            State::Waiting(out) => {
                let compression = Compression::ZSTD(ZstdLevel::default());
                let mut properties = WriterProperties::builder().set_compression(compression);
                for column in table.columns.iter().filter(|column| !repeats(&column.values)) {
                    properties = properties.set_column_dictionary_enabled(ColumnPath::from(column.name.as_str()), false);
                }
                let writer = ArrowWriter::try_new(out, batch.schema(), Some(properties.build()))?;
                let (file, columns) = writer.into_serialized_writer()?;
                Box::new(Groups { file, columns, written: 0 })
            }
            State::Writing(groups) => groups,
            State::Failed => {
                return Err(io::Error::other("an earlier part of the Parquet file could not be written"));
            }
        };
        groups.write(&batch)?;
        self.state = State::Writing(groups);
        Ok(())
    }
}

impl<W: Write + Send> Groups<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let schema = batch.schema();
        let writers = self.columns.create_column_writers(self.written)?;
        let columns = writers.into_par_iter().zip(schema.fields().par_iter().zip(batch.columns()));
        let chunks: Vec<ArrowColumnChunk> =
            columns.map(|(writer, (field, array))| encode(writer, field, array)).collect::<Result<_, _>>()?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        self.written += 1;
        Ok(())
    }
}

/// A column has one leaf, since none of ours is nested.
fn encode(mut writer: ArrowColumnWriter, field: &Field, array: &ArrayRef) -> Result<ArrowColumnChunk, ParquetError> {
    for leaf in compute_leaves(field, array)? {
        writer.write(&leaf)?;
    }
    writer.close()
}

/// Values that are looked at to tell whether a column repeats itself.
const SAMPLED: usize = 4_096;

/// Whether a dictionary of its values would be worth it: it is not for numbers of which nearly each is another.
fn repeats(values: &Values) -> bool {
    let Values::Numbers(numbers) = values else { return true };
    let sampled = &numbers[..numbers.len().min(SAMPLED)];
    let mut distinct: Vec<u64> = sampled.iter().map(|number| number.to_bits()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.len() * 2 <= sampled.len()
}

fn record_batch(table: &Table) -> io::Result<RecordBatch> {
    let columns = table.columns.par_iter().map(|column| Ok((column.name.as_str(), array(&column.values)?, true)));
    let columns: Vec<(&str, ArrayRef, bool)> = columns.collect::<io::Result<_>>()?;
    RecordBatch::try_from_iter_with_nullable(columns).map_err(io::Error::other)
}

fn array(values: &Values) -> io::Result<ArrayRef> {
    Ok(match values {
        Values::Numbers(numbers) if numbers.iter().all(|number| !number.is_nan()) => {
            Arc::new(Float64Array::from(numbers.clone()))
        }
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
