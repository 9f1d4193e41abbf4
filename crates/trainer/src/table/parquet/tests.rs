//! Every column type, every refusal, and files damaged anywhere.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow_array::{
    BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StringViewArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt64Array,
    types::Int32Type,
};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::table::Values;

fn file_of(array: ArrayRef) -> Bytes {
    let batch = RecordBatch::try_from_iter([("x", array)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap().into()
}

fn read_file(file: Bytes, options: &ReadOptions) -> Result<Table, TableError> {
    read(file, "a.parquet", options, &|_| ())
}

#[track_caller]
fn check_numbers(array: ArrayRef, expected: &[f64]) {
    let table = read_file(file_of(array), &ReadOptions::default()).unwrap();
    let Values::Numbers(numbers) = &table.columns[0].values else { panic!("these are numbers") };
    assert_eq!(format!("{numbers:?}"), format!("{expected:?}"));
}

#[track_caller]
fn check_times(array: ArrayRef, expected: &[i64]) {
    let table = read_file(file_of(array), &ReadOptions::default()).unwrap();
    assert_eq!(table.columns[0].values, Values::Times(expected.to_vec()));
}

#[track_caller]
fn check_categories(array: ArrayRef, options: &ReadOptions, codes: &[u32], levels: &[&str]) {
    let table = read_file(file_of(array), options).unwrap();
    let levels = levels.iter().map(ToString::to_string).collect();
    assert_eq!(table.columns[0].values, Values::Categories { codes: codes.to_vec(), levels });
}

#[track_caller]
fn check_refused(array: ArrayRef, expected: &str) {
    let error = read_file(file_of(array), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("a.parquet{expected}")), "{error}");
}

#[test]
fn numbers_of_every_type_are_numbers() {
    check_numbers(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), &[1.0, f64::NAN, 0.0]);
    check_numbers(Arc::new(UInt8Array::from(vec![255])), &[255.0]);
    check_numbers(Arc::new(Int64Array::from(vec![Some(-(1 << 53)), None])), &[-9_007_199_254_740_992.0, f64::NAN]);
    check_numbers(Arc::new(Float32Array::from(vec![0.1, f32::NAN])), &[f64::from(0.1_f32), f64::NAN]);
    let decimals = Decimal128Array::from(vec![1_234]).with_precision_and_scale(10, 2).unwrap();
    check_numbers(Arc::new(decimals), &[12.34]);
}

#[test]
fn times_of_every_unit_are_microseconds() {
    check_times(Arc::new(TimestampSecondArray::from(vec![Some(-1), None])), &[-1_000_000, MISSING_TIME]);
    check_times(Arc::new(TimestampMillisecondArray::from(vec![1]).with_timezone("UTC")), &[1_000]);
    check_times(Arc::new(TimestampNanosecondArray::from(vec![-1, 1_999])), &[-1, 1]);
    check_times(Arc::new(Date32Array::from(vec![1])), &[86_400_000_000]);
}

#[test]
fn texts_of_every_type_are_categories() {
    let cells = vec![Some("b"), None, Some("a"), Some("NA")];
    let codes = [1, MISSING_CODE, 0, MISSING_CODE];
    let options = ReadOptions::default();
    check_categories(Arc::new(StringArray::from(cells.clone())), &options, &codes, &["a", "b"]);
    check_categories(Arc::new(StringViewArray::from(cells.clone())), &options, &codes, &["a", "b"]);
    let dictionary: DictionaryArray<Int32Type> = cells.into_iter().collect();
    check_categories(Arc::new(dictionary), &options, &codes, &["a", "b"]);
}

#[test]
fn whole_numbers_can_be_read_as_categories() {
    let options = ReadOptions { categories: vec!["x".into()], ..ReadOptions::default() };
    check_categories(Arc::new(Int64Array::from(vec![i64::MAX, 7])), &options, &[1, 0], &["7", "9223372036854775807"]);
}

#[test]
fn values_that_do_not_fit_are_refused_with_their_row() {
    let beyond = ", row 2, column \"x\": this whole number is beyond 2^53";
    check_refused(Arc::new(Int64Array::from(vec![1, (1 << 53) + 1])), beyond);
    check_refused(Arc::new(Int64Array::from(vec![1, i64::MIN])), beyond);
    check_refused(Arc::new(UInt64Array::from(vec![1, u64::MAX])), beyond);
    check_refused(Arc::new(Float32Array::from(vec![1.0, f32::INFINITY])), ", row 2, column \"x\": this number is infinite");
    check_refused(Arc::new(TimestampSecondArray::from(vec![1, i64::MAX])), ", row 2, column \"x\": this time is before");
}

fn lists() -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None]))
}

#[test]
fn nested_columns_are_refused_unless_they_are_left_out() {
    check_refused(lists(), ", column \"x\": the column holds List(");
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let batch = RecordBatch::try_from_iter([("x", lists()), ("y", numbers)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let options = ReadOptions { columns: Some(vec!["y".into()]), ..ReadOptions::default() };
    let table = read_file(writer.into_inner().unwrap().into(), &options).unwrap();
    assert_eq!(table.columns, [Column { name: "y".into(), values: Values::Numbers(vec![1.0, 2.0]) }]);
}

#[test]
fn empty_files_and_tables_are_refused() {
    check_refused(Arc::new(Int64Array::from(Vec::<i64>::new())), ": has a header but no rows");
    let error = read_file(Bytes::new(), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with("a.parquet: is empty"), "{error}");
}

#[test]
fn a_table_beyond_the_memory_limit_is_refused_before_it_is_read() {
    let options = ReadOptions { memory_limit_bytes: 79, ..ReadOptions::default() };
    let error = read_file(file_of(Arc::new(UInt8Array::from(vec![1; 10]))), &options).unwrap_err().to_string();
    assert!(error.contains("of memory, more than the limit of"), "{error}");
}

fn small_table(rows: usize) -> Table {
    let number = |row: usize| if row.is_multiple_of(7) { f64::NAN } else { row as f64 / 3.0 };
    let code = |row: usize| [0, 1, MISSING_CODE][row % 3];
    let time = |row: usize| if row.is_multiple_of(5) { MISSING_TIME } else { -i64::try_from(row).unwrap() };
    let levels = vec!["Bern".into(), "Rome".into()];
    let column = |name: &str, values| Column { name: name.into(), values };
    Table {
        columns: vec![
            column("number", Values::Numbers((0..rows).map(number).collect())),
            column("city", Values::Categories { codes: (0..rows).map(code).collect(), levels }),
            column("time", Values::Times((0..rows).map(time).collect())),
        ],
    }
}

#[test]
fn what_is_written_is_read_back_whole_and_in_batches() {
    let part = small_table(50_000);
    let mut writer = Writer::new(Vec::new());
    writer.write(&part).unwrap();
    writer.write(&part).unwrap();
    let file = Bytes::from(writer.finish().unwrap());
    let mut expected = part.clone();
    expected.append(part).unwrap();
    let whole = read_file(file.clone(), &ReadOptions::default()).unwrap();
    assert_eq!(format!("{whole:?}"), format!("{expected:?}"));
    let batches: Vec<Table> = batches(file, "a.parquet", &ReadOptions::default(), &|_| ()).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(Table::rows).collect::<Vec<_>>(), [65_536, 34_464]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_files_are_refused_or_read_but_never_crash(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = Vec::new();
        write(&mut file, &small_table(20)).unwrap();
        for (position, byte) in damage {
            let position = position.index(file.len());
            file[position] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let _ = read_file(file.into(), &ReadOptions { memory_limit_bytes: 1 << 20, ..ReadOptions::default() });
    }
}
