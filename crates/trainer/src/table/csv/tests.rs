//! The reader against a plain one that walks the file byte by byte, and every refusal with its sentence.

use proptest::prelude::*;

use super::*;
use crate::table::{Column, Kind, MISSING_CODE, MISSING_TIME, Values, is_missing, levels::code_of_position, time};

fn read_text(text: &[u8], options: &ReadOptions) -> Result<Table, TableError> {
    read(text, "a.csv", options, &|_| ())
}

fn read_in_blocks(text: &[u8], block_bytes: usize) -> Result<Table, TableError> {
    Reader::open(text, "a.csv", &ReadOptions::default(), block_bytes)?.read_all(&|_| ())
}

// The oracle.

/// The cells of a row, and its raw bytes.
type OracleRow = (Vec<Vec<u8>>, Vec<u8>);

/// All rows of a file; `None` when the quotes are wrong.
fn oracle_rows(text: &[u8]) -> Option<Vec<OracleRow>> {
    #[derive(PartialEq)]
    enum State {
        CellStart,
        Plain,
        Quoted,
        AfterQuote,
        AfterQuoteAndReturn,
    }
    let mut rows = Vec::new();
    let (mut row, mut cell, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    let mut state = State::CellStart;
    let end_row = |rows: &mut Vec<_>, row: &mut Vec<Vec<u8>>, cell: &mut Vec<u8>, raw: &mut Vec<u8>, plain: bool| {
        if plain && cell.last() == Some(&b'\r') {
            cell.pop();
        }
        if raw.last() == Some(&b'\r') {
            raw.pop();
        }
        row.push(std::mem::take(cell));
        rows.push((std::mem::take(row), std::mem::take(raw)));
    };
    for &byte in text {
        let plain = matches!(state, State::CellStart | State::Plain);
        state = match (state, byte) {
            (State::Quoted, b'"') => State::AfterQuote,
            (State::Quoted, _) => {
                cell.push(byte);
                State::Quoted
            }
            (State::CellStart, b'"') => State::Quoted,
            (State::AfterQuote, b'"') => {
                cell.push(b'"');
                State::Quoted
            }
            (State::AfterQuote, b'\r') => State::AfterQuoteAndReturn,
            (_, b'\n') => {
                end_row(&mut rows, &mut row, &mut cell, &mut raw, plain);
                state = State::CellStart;
                continue;
            }
            (State::CellStart | State::Plain | State::AfterQuote, b',') => {
                row.push(std::mem::take(&mut cell));
                State::CellStart
            }
            (State::Plain, b'"') | (State::AfterQuote | State::AfterQuoteAndReturn, _) => return None,
            (State::CellStart | State::Plain, _) => {
                cell.push(byte);
                State::Plain
            }
        };
        raw.push(byte);
    }
    match state {
        State::Quoted => return None,
        _ if raw.is_empty() => {}
        state => end_row(&mut rows, &mut row, &mut cell, &mut raw, matches!(state, State::CellStart | State::Plain)),
    }
    Some(rows)
}

fn oracle_number(cell: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(cell).ok()?.trim_matches([' ', '\t', '\r', '\n', '\x0c']).parse().ok()?;
    (!number.is_nan()).then_some(number)
}

fn oracle_kind<'a>(cells: impl Iterator<Item = &'a Vec<u8>> + Clone) -> Kind {
    let mut filled = cells.filter(|cell| !is_missing(cell));
    let (numbers, words): (Vec<_>, Vec<_>) = filled.clone().partition(|cell| oracle_number(cell).is_some());
    if words.is_empty() || numbers.len() >= 100 * words.len() {
        Kind::Numbers
    } else if filled.all(|cell| oracle_number(cell).is_none() && time::parse(cell).is_some()) {
        Kind::Times
    } else {
        Kind::Categories
    }
}

fn oracle_values<'a>(cells: impl Iterator<Item = &'a Vec<u8>> + Clone) -> Option<Values> {
    match oracle_kind(cells.clone().take(layout::SAMPLE_ROWS)) {
        Kind::Numbers => {
            let number = |cell: &Vec<u8>| {
                if is_missing(cell) { Some(f64::NAN) } else { oracle_number(cell).filter(|number| number.is_finite()) }
            };
            cells.map(number).collect::<Option<_>>().map(Values::Numbers)
        }
        Kind::Times => {
            let moment = |cell: &Vec<u8>| {
                if is_missing(cell) { Some(MISSING_TIME) } else { time::parse(cell) }
            };
            cells.map(moment).collect::<Option<_>>().map(Values::Times)
        }
        Kind::Categories => {
            let texts: Vec<String> = cells.map(|cell| String::from_utf8(cell.clone()).ok()).collect::<Option<_>>()?;
            Some(categories(&texts))
        }
    }
}

fn categories(texts: &[String]) -> Values {
    let mut levels: Vec<String> = texts.iter().filter(|text| !is_missing(text.as_bytes())).cloned().collect();
    levels.sort();
    levels.dedup();
    let code = |text| levels.iter().position(|level| level == text).map_or(MISSING_CODE, code_of_position);
    let codes = texts.iter().map(code).collect();
    Values::Categories { codes, levels }
}

/// The whole table, or `None` when the file is to be refused.
fn oracle(text: &[u8]) -> Option<Table> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut rows = oracle_rows(text)?.into_iter();
    let (names, header) = rows.next()?;
    let names: Vec<String> = names.into_iter().map(|name| String::from_utf8(name).ok()).collect::<Option<_>>()?;
    let wrong_separator = names.len() == 1 && names[0].contains([';', '\t']);
    let distinct = names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len();
    let unnamed = names.iter().any(|name| name.trim().is_empty());
    if wrong_separator || !distinct || unnamed || names.iter().all(|name| oracle_number(name.as_bytes()).is_some()) {
        return None;
    }
    let rows: Vec<_> = rows.filter(|(_, raw)| names.len() == 1 || !raw.is_empty()).collect();
    if rows.is_empty() || rows.iter().any(|(cells, raw)| cells.len() != names.len() || *raw == header) {
        return None;
    }
    let column = |position: usize| rows.iter().map(move |(cells, _)| &cells[position]);
    let text_first = (0..names.len()).all(|position| {
        let first = column(position).take(1);
        let later = column(position).take(layout::SAMPLE_ROWS).skip(1);
        let is_filled = later.clone().any(|cell| !is_missing(cell));
        oracle_kind(first) == Kind::Categories && is_filled && oracle_kind(later) == Kind::Numbers
    });
    if text_first {
        return None;
    }
    let columns = names.into_iter().enumerate().map(|(position, name)| {
        let values = oracle_values(column(position))?;
        Some(Column { name, values })
    });
    columns.collect::<Option<Vec<_>>>().map(|columns| Table { columns })
}

/// Equality that takes two missing numbers for the same.
fn assert_same(found: Option<&Table>, expected: Option<&Table>) {
    let comparable = |table: &Table| {
        let bits = |values: &Values| match values {
            Values::Numbers(numbers) => format!("{:?}", numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>()),
            other => format!("{other:?}"),
        };
        table.columns.iter().map(|column| (column.name.clone(), bits(&column.values))).collect::<Vec<_>>()
    };
    assert_eq!(found.map(comparable), expected.map(comparable));
}

fn any_cell() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?[0-9]{1,2}\\.[0-9]{1,18}",
        2 => "[0-9]{1,20}",
        1 => "\"[0-9]{1,3}\"",
        1 => Just(String::new()),
        1 => "NA|nan|null|1e5|-2\\.5E-3|\\+1| 7 |\\.5|5\\.|1e999|inf",
        1 => "2024-0[1-3]-[0-3][0-9]( 1[0-9]:30)?",
        1 => "[a-c]{1,2}",
        1 => "\"[a,\n\r]{0,3}(\"\")?[a,\n]{0,2}\"",
    ]
}

/// Files whose columns are mostly of one kind each.
fn any_file() -> impl Strategy<Value = String> {
    let kinds = prop_oneof![
        Just("-?[0-9]{1,2}\\.[0-9]{1,18}|\"[01]\"|"),
        Just("2024-0[1-3]-[12][0-9]( 1[0-9]:30)?|"),
        Just("[a-c]{1,2}|\"[a,\n]{0,4}\"|\"a\"\"b\"|"),
    ];
    let shape = (prop::collection::vec(kinds, 1..5), 1_usize..12, prop_oneof![Just("\n"), Just("\r\n")], any::<bool>());
    shape.prop_flat_map(|(kinds, rows, line_end, ended)| {
        let header = (0..kinds.len()).map(|position| format!("n{position}")).collect::<Vec<_>>().join(",");
        prop::collection::vec(kinds, rows).prop_map(move |rows| {
            let lines = std::iter::once(header.clone()).chain(rows.into_iter().map(|cells| cells.join(",")));
            let text = lines.collect::<Vec<_>>().join(line_end);
            if ended { text + line_end } else { text }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_file_reads_as_the_plain_reader_reads_it(text in any_file(), block_bytes in 1_usize..80) {
        let expected = oracle(text.as_bytes());
        assert_same(read_in_blocks(text.as_bytes(), block_bytes).ok().as_ref(), expected.as_ref());
        assert_same(read_text(text.as_bytes(), &ReadOptions::default()).ok().as_ref(), expected.as_ref());
    }

    #[test]
    fn any_mixture_of_cells_reads_as_the_plain_reader_reads_it(
        cells in prop::collection::vec((any_cell(), any_cell()), 0..8), block_bytes in 1_usize..80,
    ) {
        let rows = cells.iter().map(|(left, right)| format!("{left},{right}\n"));
        let text = format!("a,b\n{}", rows.collect::<String>());
        assert_same(read_in_blocks(text.as_bytes(), block_bytes).ok().as_ref(), oracle(text.as_bytes()).as_ref());
    }

    #[test]
    fn any_text_reads_or_is_refused_as_the_plain_reader_does(text in "[ab1;,\".\r\n-]{0,30}", block_bytes in 1_usize..20) {
        assert_same(read_in_blocks(text.as_bytes(), block_bytes).ok().as_ref(), oracle(text.as_bytes()).as_ref());
    }

    #[test]
    fn any_bytes_read_or_are_refused_as_the_plain_reader_does(bytes: Vec<u8>, header: bool, block_bytes in 1_usize..20) {
        let bytes = if header { [b"a,b\n".as_slice(), &bytes].concat() } else { bytes };
        assert_same(read_in_blocks(&bytes, block_bytes).ok().as_ref(), oracle(&bytes).as_ref());
    }

    #[test]
    fn the_place_of_an_error_does_not_depend_on_the_blocks(text in any_file(), cut in 0.0..1.0, block_bytes in 1_usize..80) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a short text")]
        let (start, end) = text.split_at((text.len() as f64 * cut) as usize);
        let text = format!("{start}\"x,{end}");
        let expected = read_text(text.as_bytes(), &ReadOptions::default()).err().map(|error| error.to_string());
        let found = read_in_blocks(text.as_bytes(), block_bytes).err().map(|error| error.to_string());
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_is_written_is_read_back(rows in prop::collection::vec((any::<f64>(), "[a-c,\"\n\r 1é]{0,4}", prop::option::of(time::FIRST..=time::LAST)), 1..20)) {
        let finite = |number: f64| if number.is_finite() { number } else { f64::NAN };
        let texts: Vec<String> = rows.iter().map(|row| row.1.clone()).collect();
        let column = |name: &str, values| Column { name: name.into(), values };
        let table = Table { columns: vec![
            column("number", Values::Numbers(rows.iter().map(|row| finite(row.0)).collect())),
            column("a \"text\", quoted", categories(&texts)),
            column("time", Values::Times(rows.iter().map(|row| row.2.unwrap_or(MISSING_TIME)).collect())),
        ] };
        let kinds: BTreeMap<String, Kind> = table.columns.iter().map(|column| (column.name.clone(), column.values.kind())).collect();
        for columns in 1..=3 {
            for first in 0..=3 - columns {
                let part = Table { columns: table.columns[first..first + columns].to_vec() };
                let mut text = Vec::new();
                write(&mut text, &part).unwrap();
                let options = ReadOptions { kinds: kinds.clone(), ..ReadOptions::default() };
                assert_same(Some(&read_text(&text, &options).unwrap()), Some(&part));
            }
        }
    }
}

// Larger files.

/// More rows than a block, a batch and a wave hold.
fn long_file(rows: usize) -> String {
    let row = |row: usize| format!("{row},{}.{row:06},\"word{}\",2024-01-01T00:{:02}:00Z\n", row % 7, row % 13, row % 60);
    std::iter::once("id,number,text,time\n".to_owned()).chain((0..rows).map(row)).collect()
}

#[test]
fn a_file_of_many_blocks_reads_as_the_plain_reader_reads_it() {
    let text = long_file(30_000);
    let expected = oracle(text.as_bytes());
    assert!(expected.is_some());
    for block_bytes in [100, 4_000, 1 << 20] {
        assert_same(read_in_blocks(text.as_bytes(), block_bytes).ok().as_ref(), expected.as_ref());
    }
}

#[test]
fn batches_are_the_table_in_pieces() {
    let text = long_file(30_000);
    let whole = read_text(text.as_bytes(), &ReadOptions::default()).unwrap();
    let reader = Reader::open(text.as_bytes(), "a.csv", &ReadOptions::default(), 10_000).unwrap();
    let batches: Vec<Table> = Batches { reader, progress: &|_| (), failed: false }.map(Result::unwrap).collect();
    assert!(batches.len() > 3);
    let mut joined = batches[0].clone();
    for batch in &batches[1..] {
        joined.append(batch.clone()).unwrap();
    }
    assert_eq!(joined, whole);
}

#[test]
fn batches_end_after_the_first_error() {
    let text = long_file(5_000) + "x,1,a,2024-01-01\n";
    let mut batches = batches(text.as_bytes(), "a.csv", &ReadOptions::default(), &|_| ()).unwrap();
    let error = batches.next().unwrap().unwrap_err();
    assert_eq!(error.place.row, Some(5_001));
    assert!(batches.next().is_none());
}

#[test]
fn progress_ends_at_the_size_of_the_file() {
    let text = long_file(1_000);
    let last = std::sync::atomic::AtomicU64::new(0);
    let progress = |bytes| last.store(bytes, std::sync::atomic::Ordering::Relaxed);
    read(text.as_bytes(), "a.csv", &ReadOptions::default(), &progress).unwrap();
    assert_eq!(last.into_inner(), text.len() as u64);
}

#[test]
fn a_table_beyond_the_memory_limit_is_refused_after_its_first_rows() {
    let text = long_file(30_000);
    let mut read = text.as_bytes();
    let options = ReadOptions { memory_limit_bytes: 200_000, input_bytes: Some(text.len() as u64), ..ReadOptions::default() };
    let reader = Reader::open(&mut read, "a.csv", &options, 10_000).unwrap();
    let error = reader.read_all(&|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("a.csv: the table needs about 0."), "{error}");
    assert!(error.contains("MB of memory, more than the limit of 0.2 MB"), "{error}");
    let options = ReadOptions { input_bytes: None, ..options };
    assert!(read_text(text.as_bytes(), &options).is_err());
}

#[test]
fn a_wrong_size_of_the_input_changes_nothing() {
    for input_bytes in [0, u64::MAX] {
        let options = ReadOptions { input_bytes: Some(input_bytes), ..ReadOptions::default() };
        let table = read_text(b"a,b,t\n1,x,2024-01-01\n", &options).unwrap();
        assert_eq!(table, read_text(b"a,b,t\n1,x,2024-01-01\n", &ReadOptions::default()).unwrap());
    }
}

#[test]
fn a_read_that_fails_half_way_says_so() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let text = long_file(300_000);
    let error = read(text.as_bytes().chain(Broken), "a.csv", &ReadOptions::default(), &|_| ()).unwrap_err();
    assert!(error.to_string().ends_with("cannot be read: the disk is gone"), "{error}");
}

// Refusals.

#[track_caller]
fn check_refused(text: &[u8], expected: &str) {
    let error = read_text(text, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("a.csv{expected}")), "{error}");
}

#[test]
fn an_empty_file_is_refused() {
    check_refused(b"", ": is empty");
    check_refused(b"\xef\xbb\xbf\r\n", ": is empty");
}

#[test]
fn a_file_without_rows_is_refused() {
    check_refused(b"a,b", ": has a header but no rows");
    check_refused(b"a,b\r\n\r\n", ": has a header but no rows");
}

#[test]
fn a_short_row_is_refused_with_its_line() {
    check_refused(b"a,b\n\"1\",\"x\ny\"\n\n2\n", ", row 2 (line 5): this row has 1 cells, but the header has 2");
}

#[test]
fn a_long_row_is_refused_with_its_line() {
    check_refused(b"a,b\n1,2\n1,2,3,4\n", ", row 2 (line 3): this row has 4 cells, but the header has 2");
}

#[test]
fn a_word_in_a_number_column_is_refused_after_the_sample() {
    let text = format!("a,b\n{}1,secret\n", "1,2\n".repeat(layout::SAMPLE_ROWS));
    check_refused(text.as_bytes(), ", row 1001 (line 1002), column \"b\": this is not a number");
    let error = read_text(text.as_bytes(), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("`--category b`") && !error.contains("secret"), "{error}");
    let options = ReadOptions { categories: vec!["b".into()], ..ReadOptions::default() };
    let table = read_text(text.as_bytes(), &options).unwrap();
    assert_eq!(table.column("b").unwrap().values.kind(), Kind::Categories);
}

/// One typo in row 5 of 22,841 once made a category of 22,633 levels out of a column of numbers, and nobody was told.
#[test]
fn a_word_among_a_hundred_numbers_is_a_typo_and_refused_within_the_sample_too() {
    let text = |numbers: usize| format!("v,w\n1,2\noops,3\n{}", "4,5\n".repeat(numbers - 1));
    let refusal = read_text(text(100).as_bytes(), &ReadOptions::default()).unwrap_err().to_string();
    assert!(refusal.contains("row 2") && refusal.contains("column \"v\"") && !refusal.contains("oops"), "{refusal}");
    let table = read_text(text(99).as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!(table.column("v").unwrap().values.kind(), Kind::Categories);
}

#[test]
fn a_word_in_a_time_column_is_refused_after_the_sample() {
    let text = format!("t\n{}soon\n", "2024-01-01\n".repeat(layout::SAMPLE_ROWS));
    check_refused(text.as_bytes(), ", row 1001 (line 1002), column \"t\": this is not a time");
}

#[test]
fn infinite_numbers_are_refused() {
    check_refused(b"a,b\n1,1e999\n", ", row 1 (line 2), column \"b\": this number is infinite");
    check_refused(b"a,b\n1,-inf\n", ", row 1 (line 2), column \"b\": this number is infinite");
}

#[test]
fn a_second_header_line_is_refused() {
    check_refused(b"a,b\na,b\n1,2\n", ", row 1 (line 2): this row repeats the header");
    check_refused(b"a,b\n1,x\na,b\n", ", row 2 (line 3): this row repeats the header");
    check_refused(b"a,b\neuro,days\n1,2\n", ", row 1 (line 2): this row is all text");
}

#[test]
fn a_file_without_a_header_is_refused() {
    check_refused(b"1,2\n3,4\n", ", line 1: the first line is all numbers");
}

#[test]
fn columns_without_their_own_name_are_refused() {
    check_refused(b"a,\n1,2\n", ", line 1: column 2 has no name");
    check_refused(b"a,b,a\n1,2,3\n", ", line 1: two columns are called \"a\"");
    check_refused([b"a,", [b'b'; 1_001].as_slice(), b"\n1,2\n"].concat().as_slice(), ", line 1: the name of column 2 is longer");
}

#[test]
fn another_separator_is_recognised() {
    check_refused(b"a;b\n1;2\n", ", line 1: the cells of the first line are separated by semicolons");
    check_refused(b"a\tb\n1\t2\n", ", line 1: the cells of the first line are separated by tabs");
}

#[test]
fn invalid_utf8_is_refused_with_its_column() {
    check_refused(b"a,b\n1,x\xff\n", ", row 1 (line 2), column \"b\": this is not valid UTF-8");
    check_refused(b"a,\xff\n1,2\n", ", line 1: this is not valid UTF-8");
}

#[test]
fn wrong_quotes_are_refused() {
    check_refused(b"a,b\n1,\"x\n2,y\n", ", row 1 (line 2), column \"b\": a quote opens here and is never closed");
    check_refused(b"a,b\n1,x\"y\n", ", row 1 (line 2), column \"b\": there is a quote inside an unquoted cell");
    check_refused(b"a,b\n1,\"x\"y\n", ", row 1 (line 2), column \"b\": there is text after a closing quote");
}

#[test]
fn rows_and_headers_beyond_the_limits_are_refused() {
    let long = "x".repeat(MAX_ROW_BYTES);
    check_refused(format!("a,b\n1,{long}\n").as_bytes(), ", row 1 (line 2): this is longer than 1048576 bytes");
    check_refused(format!("a,b\n1,\"{}", long.repeat(3)).as_bytes(), ", row 1 (line 2), column \"b\": this is longer than");
    check_refused(long.repeat(5).as_bytes(), ", line 1: ");
    let wide: Vec<String> = (0..=crate::table::MAX_COLUMNS).map(|column| format!("c{column}")).collect();
    check_refused(wide.join(",").as_bytes(), ", line 1: there are more than 10000 columns");
}

#[test]
fn too_many_categories_are_refused() {
    let rows = (0..=crate::table::MAX_CATEGORIES).map(|row| format!("x{row}\n")).collect::<Vec<_>>().concat();
    check_refused(format!("city\n{rows}").as_bytes(), ", column \"city\": the column has more than 1000000 distinct categories");
}

#[test]
fn columns_that_do_not_exist_are_refused() {
    let options = ReadOptions { categories: vec!["c".into()], ..ReadOptions::default() };
    let error = read_text(b"a,b\n1,2\n", &options).unwrap_err().to_string();
    assert_eq!(error, "a.csv: there is no column \"c\"; the columns are \"a\", \"b\"");
}

#[test]
fn only_the_named_columns_are_read() {
    let options = ReadOptions { columns: Some(vec!["b".into()]), ..ReadOptions::default() };
    let table = read_text(b"a,b,c\n\xff,2,\n\"x\ny\",3,\n", &options).unwrap();
    let expected = Column { name: "b".into(), values: Values::Numbers(vec![2.0, 3.0]) };
    assert_eq!(table.columns, [expected]);
}
