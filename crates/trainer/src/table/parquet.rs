//! Parquet files to tables and back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray,
    types::{
        Date32Type, Date64Type, Float64Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt64Type,
    },
};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema, TimeUnit};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    file::reader::ChunkReader,
};

use super::{
    Column, Kind, MAX_COLUMNS, MISSING_CODE, MISSING_TIME, Place, Problem, ReadOptions, Table, TableError, cells::Cells, header,
    time,
};

mod write;

pub use write::{Writer, write};

/// Rows decoded together, and of a batch.
const BATCH_ROWS: usize = 65_536;
/// Beyond this not every whole number is a 64-bit float.
const EXACT_WHOLE: u64 = 1 << 53;

/// Reads a whole Parquet file. `name` is its name in errors; `progress` is told about how many bytes have been read.
pub fn read(
    file: impl ChunkReader + 'static,
    name: &str,
    options: &ReadOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Table, TableError> {
    let mut batches = batches(file, name, options, progress)?;
    let mut cells = batches.new_cells();
    let needed_bytes = Cells::bytes_of_all(&cells, batches.expected_rows);
    let of_file = |problem| TableError::of_file(name, problem);
    options.check_memory(needed_bytes).map_err(of_file)?;
    let expected_rows = usize::try_from(batches.expected_rows).unwrap_or(0);
    for cells in &mut cells {
        cells.reserve(expected_rows);
    }
    while batches.add_next(&mut cells)? {
        let bytes = Cells::bytes_of_all(&cells, batches.rows);
        options.check_memory(bytes).map_err(of_file)?;
    }
    Ok(batches.table(cells))
}

/// Reads a Parquet file of any size batch by batch, each with the same columns.
pub fn batches<'a>(
    file: impl ChunkReader + 'static,
    name: &str,
    options: &ReadOptions,
    progress: &'a (dyn Fn(u64) + Sync),
) -> Result<Batches<'a>, TableError> {
    let of_file = |problem| TableError::of_file(name, problem);
    let file_bytes = file.len();
    if file_bytes == 0 {
        return Err(of_file(Problem::Empty));
    }
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(of_file)?;
    let fields = fields(builder.schema(), name, options)?;
    let expected_rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    if expected_rows == 0 {
        return Err(of_file(Problem::NoRows));
    }
    let chosen = ProjectionMask::roots(builder.parquet_schema(), fields.iter().map(|field| field.position));
    let builder = builder.with_projection(chosen).with_batch_size(BATCH_ROWS);
    let reader = guarded(|| builder.build()).map_err(of_file)?;
    Ok(Batches { reader: Some(reader), fields, name: name.to_owned(), rows: 0, expected_rows, file_bytes, progress })
}

/// The batches of a file, in its order; ends after the first error.
pub struct Batches<'a> {
    reader: Option<ParquetRecordBatchReader>,
    fields: Vec<Field>,
    name: String,
    rows: u64,
    expected_rows: u64,
    file_bytes: u64,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Iterator for Batches<'_> {
    type Item = Result<Table, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut cells = self.new_cells();
        match self.add_next(&mut cells) {
            Ok(true) => Some(Ok(self.table(cells))),
            Ok(false) => None,
            Err(error) => {
                self.reader = None;
                Some(Err(error))
            }
        }
    }
}

/// A column that is read.
struct Field {
    position: usize,
    name: String,
    kind: Kind,
}

impl Batches<'_> {
    fn new_cells(&self) -> Vec<Cells> {
        self.fields.iter().map(|field| Cells::new(Some(field.kind))).collect()
    }

    /// Decodes the next rows and adds them; false when there are none.
    fn add_next(&mut self, cells: &mut [Cells]) -> Result<bool, TableError> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let batch = guarded(|| reader.next().transpose());
        let Some(batch) = batch.map_err(|problem| TableError::of_file(&self.name, problem))? else { return Ok(false) };
        for ((field, cells), array) in self.fields.iter().zip(cells).zip(batch.columns()) {
            add(cells, array, &field.name).map_err(|fault| self.error(field, fault))?;
        }
        self.rows += batch.num_rows() as u64;
        let share = (self.rows as f64 / self.expected_rows as f64).min(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the file's size")]
        (self.progress)((self.file_bytes as f64 * share) as u64);
        Ok(true)
    }

    fn error(&self, field: &Field, fault: Fault) -> TableError {
        let place = Place { row: fault.row.map(|row| self.rows + row as u64 + 1), line: None, column: Some(field.name.clone()) };
        TableError::at(&self.name, place, fault.problem)
    }

    fn table(&self, cells: Vec<Cells>) -> Table {
        let named = self.fields.iter().zip(cells);
        let column = |(field, cells): (&Field, Cells)| {
            let values = cells.finish()?;
            Some(Column { name: field.name.clone(), values })
        };
        Table { columns: named.filter_map(column).collect() }
    }
}

/// The columns to read, each of a type that can be read.
fn fields(schema: &Schema, file: &str, options: &ReadOptions) -> Result<Vec<Field>, TableError> {
    let of_file = |problem| TableError::of_file(file, problem);
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    if names.len() > MAX_COLUMNS {
        return Err(of_file(Problem::TooManyColumns));
    }
    header::check_names(&names).map_err(of_file)?;
    options.check_names(&names).map_err(of_file)?;
    let read = schema.fields().iter().enumerate().filter(|(_, field)| options.reads(field.name()));
    let field = |(position, field): (usize, &arrow_schema::FieldRef)| {
        let kind = kind(field.data_type(), options.known_kind(field.name())).map_err(|problem| {
            let column = Some(field.name().clone());
            TableError::at(file, Place { column, ..Place::default() }, problem)
        })?;
        Ok(Field { position, name: field.name().clone(), kind })
    };
    read.map(field).collect()
}

/// What a column of that type is read as. Numbers may be read as categories, by their text.
fn kind(data_type: &DataType, wanted: Option<Kind>) -> Result<Kind, Problem> {
    let natural = natural_kind(data_type);
    match (natural, wanted) {
        (Some(natural), None) => Ok(natural),
        (Some(natural), Some(wanted)) if natural == wanted => Ok(natural),
        (Some(_), Some(Kind::Categories)) => Ok(Kind::Categories),
        (_, wanted) => Err(Problem::UnreadableType {
            found: data_type.to_string(),
            expected: match wanted {
                Some(Kind::Numbers) => "numbers",
                Some(Kind::Times) => "times",
                Some(Kind::Categories) => "categories",
                None => "numbers, times or categories",
            },
        }),
    }
}

fn natural_kind(data_type: &DataType) -> Option<Kind> {
    match data_type {
        DataType::Null | DataType::Boolean => Some(Kind::Numbers),
        number if number.is_numeric() => Some(Kind::Numbers),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Kind::Categories),
        DataType::Dictionary(_, values) => natural_kind(values),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Some(Kind::Times),
        _ => None,
    }
}

/// What is wrong with a cell of a batch, or with all of them.
struct Fault {
    row: Option<usize>,
    problem: Problem,
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self { row: None, problem }
    }
}

fn add(cells: &mut Cells, array: &ArrayRef, name: &str) -> Result<(), Fault> {
    match cells {
        Cells::Numbers(numbers) => add_numbers(numbers, array, name),
        Cells::Times(times) => add_times(times, array),
        Cells::Categories(codes, levels) => {
            let texts = as_type(array, &DataType::Utf8View)?;
            for (row, text) in texts.as_string_view().iter().enumerate() {
                let filled = text.filter(|text| !super::is_missing(text.as_bytes()));
                let code = filled.map_or(Ok(MISSING_CODE), |text| levels.code(text.as_bytes()));
                codes.push(code.map_err(|refused| Fault { row: Some(row), problem: refused.into() })?);
            }
            Ok(())
        }
        Cells::Skipped => Ok(()),
    }
}

fn add_numbers(numbers: &mut Vec<f64>, array: &ArrayRef, name: &str) -> Result<(), Fault> {
    let array = match array.data_type() {
        DataType::Dictionary(_, values) => &as_type(array, values)?,
        _ => array,
    };
    let magnitudes: Option<Vec<u64>> = match array.data_type() {
        DataType::Int64 => {
            Some(array.as_primitive::<Int64Type>().iter().map(|value| value.map_or(0, i64::unsigned_abs)).collect())
        }
        DataType::UInt64 => Some(array.as_primitive::<UInt64Type>().iter().map(Option::unwrap_or_default).collect()),
        _ => None,
    };
    if let Some(row) = magnitudes.and_then(|magnitudes| magnitudes.iter().position(|&magnitude| magnitude > EXACT_WHOLE)) {
        let problem = Problem::WholeNumberTooLarge { name: name.to_owned() };
        return Err(Fault { row: Some(row), problem });
    }
    let floats = as_type(array, &DataType::Float64)?;
    for (row, value) in floats.as_primitive::<Float64Type>().iter().enumerate() {
        let value = value.unwrap_or(f64::NAN);
        if value.is_infinite() {
            return Err(Fault { row: Some(row), problem: Problem::NotFinite });
        }
        numbers.push(value);
    }
    Ok(())
}

fn add_times(times: &mut Vec<i64>, array: &ArrayRef) -> Result<(), Fault> {
    const DAY_SECONDS: i64 = 86_400;
    let array = match array.data_type() {
        DataType::Dictionary(_, values) => &as_type(array, values)?,
        _ => array,
    };
    match array.data_type() {
        DataType::Date32 => {
            let seconds = array.as_primitive::<Date32Type>().iter().map(|day| day.map(|day| i64::from(day) * DAY_SECONDS));
            add_scaled_times(times, seconds, |seconds| seconds.checked_mul(1_000_000))
        }
        DataType::Date64 => {
            add_scaled_times(times, array.as_primitive::<Date64Type>().iter(), |milliseconds| milliseconds.checked_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            add_scaled_times(times, array.as_primitive::<TimestampSecondType>().iter(), |seconds| seconds.checked_mul(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let milliseconds = array.as_primitive::<TimestampMillisecondType>().iter();
            add_scaled_times(times, milliseconds, |milliseconds| milliseconds.checked_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            add_scaled_times(times, array.as_primitive::<TimestampMicrosecondType>().iter(), Some)
        }
        _ => {
            let nanoseconds = array.as_primitive::<TimestampNanosecondType>().iter();
            add_scaled_times(times, nanoseconds, |nanoseconds| Some(nanoseconds.div_euclid(1_000)))
        }
    }
}

fn add_scaled_times(
    times: &mut Vec<i64>,
    values: impl Iterator<Item = Option<i64>>,
    to_microseconds: impl Fn(i64) -> Option<i64>,
) -> Result<(), Fault> {
    for (row, value) in values.enumerate() {
        let time = match value {
            None => MISSING_TIME,
            Some(value) => to_microseconds(value)
                .filter(|time| (time::FIRST..=time::LAST).contains(time))
                .ok_or(Fault { row: Some(row), problem: Problem::TimeOutOfRange })?,
        };
        times.push(time);
    }
    Ok(())
}

fn as_type(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, Problem> {
    cast(array, data_type).map_err(|error| unreadable(&error))
}

/// Calls the library, which asserts some things about a file that a damaged one breaks.
fn guarded<T, E: ToString>(decode: impl FnOnce() -> Result<T, E>) -> Result<T, Problem> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(|error| unreadable(&error)),
        Err(_) => Err(Problem::Parquet("it contradicts itself".to_owned())),
    }
}

/// The library's own words, which speak of the file's structure and not of its cells.
fn unreadable(error: &impl ToString) -> Problem {
    Problem::Parquet(error.to_string())
}

#[cfg(test)]
mod tests;
