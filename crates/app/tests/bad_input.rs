//! Whatever is wrong with files, folders or flags: one clear sentence, exit code 1 (2 for flags that make no sense), nothing half-written,
//! and never a cell of the data.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod workplace;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use assay_simulator::CreditcardRow;
use assay_trainer::table::{Column, Table, Values, parquet};
use workplace::{QUICK, Workplace, cells, csv, csv_of, history, with_column};

/// Stands in for what must not be repeated.
const CANARY: &str = "4929123456781234";

/// The sentence says all of `expected`, and nothing of what was in the cells.
fn check(sentence: &str, expected: &[&str]) {
    for expected in expected {
        assert!(sentence.contains(expected), "{expected:?} is not in: {sentence}");
    }
    assert!(!sentence.contains(CANARY), "a cell is repeated in: {sentence}");
}

/// Every command with DATA refuses this file.
fn refused_by_all(name: &str, content: impl AsRef<[u8]>, expected: &[&str]) {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &["--learner", "logistic"]);
    place.write(name, content);
    for words in [
        &["train", name, "--out", "x.model", "--report", "history.csv.report"][..],
        &["evaluate", "trained.model", name],
        &["score", "trained.model", name, "-o", "scores.csv"],
        &["score", "trained.model", name, "-o", "scores.parquet"],
    ] {
        fs::create_dir_all(place.path("history.csv.report")).unwrap();
        check(&place.refused(words), &[&[name], expected].concat());
    }
}

/// A history with a cell replaced; row and column count from 1, the header is row 0.
fn with_cell(row: usize, column: usize, cell: &str) -> String {
    let mut lines: Vec<Vec<String>> = history(2_000, 1).iter().map(cells).collect();
    cell.clone_into(&mut lines[row - 1][column - 1]);
    csv_of(&CreditcardRow::COLUMNS, &lines)
}

/// A history with a line added as row `row`.
fn with_line(row: usize, line: &str) -> String {
    let text = csv(&history(2_000, 1));
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(row, line);
    lines.join("\n") + "\n"
}

fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(content).unwrap();
    zip.finish().unwrap().into_inner()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn a_truncated_zip_is_refused_wherever_it_was_cut() {
    let whole = zip("history.csv", csv(&history(2_000, 1)).as_bytes());
    let place = Workplace::new();
    for length in [4, 30, 100, whole.len() / 2, whole.len() - 100, whole.len() - 22, whole.len() - 1] {
        place.write("cut.zip", &whole[..length]);
        check(&place.refused(&["train", "cut.zip", "--out", "x.model"]), &["cut.zip", "zip", "fetch it again"]);
    }
}

#[test]
fn other_truncated_files_are_refused_wherever_they_were_cut() {
    let text = csv(&history(2_000, 1));
    let table = Table { columns: vec![Column { name: "Class".into(), values: Values::Numbers(vec![0.0; 1_000]) }] };
    let mut columnar = Vec::new();
    parquet::write(&mut columnar, &table).unwrap();
    let place = Workplace::new();
    for (name, whole) in
        [("cut.gz", gzip(text.as_bytes())), ("cut.zst", zstd::encode_all(text.as_bytes(), 1).unwrap()), ("cut.parquet", columnar)]
    {
        for length in [5, 20, whole.len() / 2, whole.len() - 1] {
            place.write(name, &whole[..length]);
            check(&place.refused(&["train", name, "--out", "x.model"]), &[name]);
        }
    }
}

#[test]
fn a_damaged_zip_is_refused() {
    let mut damaged = zip("history.csv", csv(&history(2_000, 1)).as_bytes());
    for byte in &mut damaged[5_000..5_100] {
        *byte ^= 0x55;
    }
    refused_by_all("damaged.zip", damaged, &["fetch it again"]);
}

#[test]
fn a_zip_must_hold_one_table() {
    refused_by_all("notes.zip", zip("notes.txt", b"nothing"), &["0 CSV or Parquet files", "exactly one"]);
}

#[test]
fn a_short_row_is_refused_with_its_line() {
    refused_by_all("history2.csv", with_line(17, &format!("1,{CANARY}")), &["row 17", "line 18", "2 cells", "header has 31"]);
}

#[test]
fn a_long_row_is_refused_with_its_line() {
    let line = vec![CANARY; 32].join(",");
    refused_by_all("history2.csv", with_line(17, &line), &["row 17", "line 18", "32 cells", "header has 31"]);
}

#[test]
fn a_word_in_a_number_column_is_refused_with_row_and_column() {
    for (row, line) in [("row 1500", "line 1501"), ("row 5", "line 6")] {
        let table = with_cell(row[4..].parse().unwrap(), 3, &format!("card {CANARY}"));
        refused_by_all("history2.csv", table, &[row, line, "column \"V2\"", "not a number", "correct the cell"]);
    }
}

#[test]
fn a_second_header_line_is_refused() {
    let header = CreditcardRow::COLUMNS.join(",");
    refused_by_all("history2.csv", with_line(1, &header), &["row 1", "line 2", "second header"]);
    refused_by_all("history2.csv", with_line(900, &header), &["row 900", "line 901", "second header"]);
}

#[test]
fn an_empty_file_is_refused() {
    refused_by_all("history2.csv", "", &["empty", "header line"]);
    refused_by_all("history2.csv", "\n\n", &["empty", "header line"]);
}

#[test]
fn a_header_without_rows_is_refused() {
    refused_by_all("history2.csv", CreditcardRow::COLUMNS.join(",") + "\n", &["no rows"]);
}

#[test]
fn rows_without_a_header_are_refused() {
    let text = csv(&history(2_000, 1));
    refused_by_all("history2.csv", text.split_once('\n').unwrap().1, &["header line"]);
}

#[test]
fn infinite_numbers_are_refused_with_row_and_column() {
    for cell in ["inf", "-Infinity", "1e999"] {
        refused_by_all("history2.csv", with_cell(1_200, 4, cell), &["row 1200", "column \"V3\"", "infinite or too large"]);
    }
}

/// `NaN` in a file means what an empty cell means.
#[test]
fn nan_is_an_empty_cell() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &["--learner", "logistic"]);
    place.write("next.csv", with_cell(1_200, 4, "NaN"));
    let sentence = place.refused(&["score", "trained.model", "next.csv", "-o", "scores.csv"]);
    check(&sentence, &["row 1200", "`V3`", "is empty"]);
    let with_nan = place.train(&["next.csv"], &[]);
    place.write("next.csv", with_cell(1_200, 4, ""));
    assert!(place.train(&["next.csv"], &[]) == with_nan);
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let text = csv(&history(2_000, 1)).replacen("V7", "V6", 1);
    refused_by_all("history2.csv", text, &["line 1", "\"V6\"", "its own name"]);
}

#[test]
fn text_that_is_no_utf8_is_refused_with_row_and_column() {
    let table = with_column(&history(2_000, 1), "Country", |row| if row.amount_minor % 2 == 0 { "DE" } else { "FR" }.into());
    let mut bytes = table.clone().into_bytes();
    let row = table.lines().take(1_000).map(|line| line.len() + 1).sum::<usize>();
    let cell = row + table[row..].find("DE").unwrap();
    bytes[cell] = 0xe9;
    let place = Workplace::new();
    place.write("history.csv", bytes);
    check(
        &place.refused(&["train", "history.csv", "--out", "x.model"]),
        &["history.csv", "row 1", "column \"Country\"", "UTF-8"],
    );
}

#[test]
fn a_file_of_another_kind_is_refused() {
    refused_by_all("page.csv", "<!DOCTYPE html><html>404</html>", &["HTML", "not a CSV or Parquet file"]);
    refused_by_all("picture.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &["not a CSV or Parquet file"]);
    refused_by_all("history.parquet", csv(&history(20, 1)), &["plain text"]);
    refused_by_all("semicolons.csv", "a;b;Class\n1;2;0\n", &["semicolons", "commas"]);
    refused_by_all("quoted.csv", "\"a\";\"b\";\"Class\"\n1;2;0\n", &["semicolons", "commas"]);
    refused_by_all("tabs.csv", "\"a\"\t\"b\"\t\"Class\"\n1\t2\t0\n", &["tabs", "commas"]);
    let wide: Vec<u8> = csv(&history(20, 1)).encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused_by_all("wide.csv", [&b"\xff\xfe"[..], &wide].concat(), &["UTF-16", "save it as UTF-8"]);
    refused_by_all("sheet.xlsx", zip("xl/workbook.xml", b"<workbook/>"), &["spreadsheet", "save it as CSV"]);
}

#[test]
fn a_file_or_folder_that_is_not_there_is_refused() {
    let place = Workplace::with_history();
    fs::create_dir(place.path("data")).unwrap();
    check(&place.refused(&["train", "nothing.csv", "--out", "x.model"]), &["nothing.csv", "cannot be read", "check the path"]);
    check(&place.refused(&["train", "data", "--out", "x.model"]), &["data: is a folder", "name the files in it"]);
}

#[test]
fn one_class_only_is_refused() {
    let rows: Vec<CreditcardRow> = history(2_000, 1).into_iter().filter(|row| !row.fraud).collect();
    let place = Workplace::with_history();
    place.write("genuine.csv", csv(&rows));
    place.train(&["history.csv"], &["--learner", "logistic"]);
    for words in [&["train", "genuine.csv", "--out", "x.model"][..], &["evaluate", "trained.model", "genuine.csv"]] {
        check(&place.refused(words), &["genuine.csv", "`Class` is constant", "no frauds", "--label"]);
    }
}

#[test]
fn too_few_frauds_are_refused() {
    let mut frauds = 0;
    let rows = history(2_000, 1).into_iter().filter(|row| {
        frauds += usize::from(row.fraud);
        !row.fraud || frauds <= 9
    });
    let place = Workplace::new();
    place.write("history.csv", csv(&rows.collect::<Vec<_>>()));
    check(&place.refused(&["train", "history.csv", "--out", "x.model"]), &["only 9 frauds", "at least 10"]);
}

#[test]
fn frauds_on_one_side_of_the_split_only_are_refused() {
    let rows: Vec<CreditcardRow> = history(4_000, 1)
        .into_iter()
        .enumerate()
        .filter(|(place, row)| !row.fraud || *place < 2_500)
        .map(|(_, row)| row)
        .collect();
    let place = Workplace::new();
    place.write("history.csv", csv(&rows));
    let sentence = place.refused(&["train", "history.csv", "--out", "x.model"]);
    check(&sentence, &["held back", "both classes are needed", "--split random"]);
    let sentence = place.refused(&["train", "history.csv", "--out", "x.model", "--gap", "30d", "--split", "time"]);
    check(&sentence, &["both classes are needed", "shorter --gap"]);
}

/// Before all of it was read.
#[test]
fn a_table_larger_than_the_memory_is_refused() {
    let place = Workplace::new();
    place.write("history.csv", csv(&history(10_000, 1)));
    let text = place.read("history.csv");
    place.write("history.csv.gz", gzip(&text));
    for name in ["history.csv", "history.csv.gz"] {
        let sentence = place.refused(&["train", name, "--out", "x.model", "--memory-limit", "1"]);
        check(&sentence, &[name, "memory", "more than the limit of 1.0 MB", "--memory-limit"]);
    }
}

#[test]
fn no_model_file_is_refused() {
    let place = Workplace::with_history();
    fs::create_dir(place.path("folder")).unwrap();
    for words in [&["evaluate", "no.model", "history.csv"][..], &["score", "no.model", "history.csv", "-o", "scores.csv"]] {
        check(&place.refused(words), &["no.model", "no such file", "assay train"]);
    }
    check(&place.refused(&["evaluate", "folder", "history.csv"]), &["folder", "name the model file in it"]);
}

#[test]
fn a_damaged_model_is_refused_wherever_it_is_damaged() {
    let place = Workplace::with_history();
    let whole = place.train(&["history.csv"], &[]);
    for length in [0, 10, 100, whole.len() / 2, whole.len() - 1] {
        place.write("cut.model", &whole[..length]);
        check(&place.refused(&["evaluate", "cut.model", "history.csv"]), &["cut.model", "train a new one"]);
    }
    for position in [3, 40, 200, whole.len() / 2, whole.len() - 30] {
        let mut damaged = whole.clone();
        damaged[position] ^= 1;
        place.write("damaged.model", damaged);
        check(&place.refused(&["score", "damaged.model", "history.csv", "-o", "scores.csv"]), &["damaged.model", "train"]);
    }
}

#[test]
fn a_model_is_no_data_and_data_is_no_model() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &[]);
    check(&place.refused(&["train", "trained.model", "--out", "x.model"]), &["trained.model", "model"]);
    check(&place.refused(&["evaluate", "history.csv", "history.csv"]), &["history.csv", "not a whole Assay model"]);
    check(&place.refused(&["score", "history.csv", "trained.model", "-o", "s.csv"]), &["history.csv", "not a whole Assay model"]);
}

/// Root may write anywhere but in the kernel's own folders, so they stand in for a folder that is read-only.
#[test]
fn a_place_that_cannot_be_written_is_refused_before_any_work() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &[]);
    fs::create_dir(place.path("folder.csv")).unwrap();
    for (output, expected) in [
        ("missing/x.csv", "its folder does not exist"),
        ("history.csv/x.csv", "x.csv"),
        ("/proc/x.csv", "/proc/x.csv"),
        ("/sys/x.csv", "/sys/x.csv"),
        ("folder.csv", "it is a folder"),
    ] {
        for words in [
            &["train", "no-data.csv", "--out", output][..],
            &["score", "trained.model", "no-data.csv", "-o", output],
            &["simulate", "--out", output],
        ] {
            check(&place.refused(words), &["cannot write", output, expected]);
        }
    }
    for folder in ["history.csv/report", "/proc/report", "history.csv"] {
        check(&place.refused(&["train", "no-data.csv", "--out", "x.model", "--report", folder]), &["cannot write", folder]);
        let words = ["evaluate", "trained.model", "history.csv", "--resamples", "10", "--report", folder];
        check(&place.refused(&words), &["cannot write", folder]);
    }
}

#[test]
fn an_ending_that_says_nothing_is_refused() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &[]);
    for output in ["scores", "scores.txt", "scores.csv.gz"] {
        check(&place.refused(&["score", "trained.model", "history.csv", "-o", output]), &[output, ".csv or .parquet"]);
        check(&place.refused(&["simulate", "--out", output]), &[output, ".csv or .parquet"]);
    }
}

/// A limit on the size of files stands in for a disk that is full.
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &["--learner", "logistic"]);
    place.write("scores.csv", "what was there");
    for (words, output) in [
        ("simulate --shape creditcard --rows 2000 --out next.csv", "next.csv"),
        ("simulate --shape creditcard --rows 2000 --out next.parquet", "next.parquet"),
        ("score trained.model history.csv -o scores.csv", "scores.csv"),
        ("score trained.model history.csv -o scores.parquet", "scores.parquet"),
        ("train history.csv --out x.model --learner logistic --resamples 10", "x.model"),
    ] {
        check(&place.refuses(&mut with_disk_of(8, words, &place), words), &["cannot write", output, "nothing was changed"]);
    }
}

/// Small enough for a buffer, which must not be where it ends. (Once it was, and the error with it.)
#[test]
fn a_full_disk_takes_no_small_model_either() {
    let place = Workplace::new();
    let line = |row: &CreditcardRow| vec![row.components[0].to_string(), u8::from(row.fraud).to_string()];
    place.write("history.csv", csv_of(&["V1", "Class"], &history(2_000, 1).iter().map(line).collect::<Vec<_>>()));
    let words = "train history.csv --out x.model --learner logistic --resamples 10";
    check(&place.refuses(&mut with_disk_of(1, words, &place), words), &["cannot write x.model"]);
}

/// `assay` where no file can grow beyond so many blocks of 1,024 bytes; without the trap a signal would end it.
fn with_disk_of(blocks: usize, words: &str, place: &Workplace) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {words}"), env!("CARGO_BIN_EXE_assay")]);
    command.current_dir(place.path("."));
    command
}

#[test]
fn a_column_that_is_not_there_is_refused_beside_those_that_are() {
    let place = Workplace::with_history();
    for flag in ["--label", "--weight", "--time", "--amount", "--drop", "--category"] {
        let sentence = place.refused(&["train", "history.csv", "--out", "x.model", flag, "Klass"]);
        check(&sentence, &["history.csv", "Klass", "V1", "the columns are"]);
    }
    place.train(&["history.csv"], &[]);
    for flag in ["--label", "--weight"] {
        check(&place.refused(&["evaluate", "trained.model", "history.csv", flag, "Klass"]), &["history.csv", "Klass", "V1"]);
    }
    let words = ["score", "trained.model", "history.csv", "-o", "s.csv", "--keep", "Klass"];
    check(&place.refused(&words), &["history.csv", "Klass", "V1"]);
}

#[test]
fn data_without_a_column_of_the_model_is_refused() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &[]);
    place.write("next.csv", csv(&history(50, 2)).replacen("V9", "W9", 1));
    for words in [&["evaluate", "trained.model", "next.csv"][..], &["score", "trained.model", "next.csv", "-o", "s.csv"]] {
        check(&place.refused(words), &["next.csv", "V9", "W9"]);
    }
}

#[test]
fn a_column_of_another_kind_is_refused() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &[]);
    place.write("next.csv", with_cell(1, 3, CANARY.replace('4', "x").as_str()));
    let sentence = place.refused(&["score", "trained.model", "next.csv", "-o", "s.csv"]);
    check(&sentence, &["next.csv", "row 1", "V2", "not a number"]);
    assert!(!sentence.contains("x929"));
}

#[test]
fn weights_that_are_none_are_refused_with_row_and_column() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &[]);
    for weight in ["-1", "0", "", "heavy"] {
        let mut row = 0;
        let cell = move |_: &CreditcardRow| {
            row += 1;
            if row == 700 { weight.to_owned() } else { "2".to_owned() }
        };
        let cell = std::cell::RefCell::new(cell);
        place.write("weighted.csv", with_column(&history(1_500, 2), "Weight", |row| (cell.borrow_mut())(row)));
        for words in [&["train", "weighted.csv", "--out", "x.model"][..], &["evaluate", "trained.model", "weighted.csv"]] {
            let sentence = place.refused(&[words, &["--weight", "Weight"]].concat());
            check(&sentence, &["weighted.csv", "Weight"]);
            assert!(weight == "heavy" || sentence.contains("row 700"), "{sentence}");
        }
    }
}

#[test]
fn labels_that_are_none_are_refused_with_row_and_column() {
    let place = Workplace::new();
    for (cell, expected) in [("2", "neither 0 nor 1"), ("", "the label is empty"), (CANARY, "neither 0 nor 1")] {
        place.write("history.csv", with_cell(40, 31, cell));
        check(&place.refused(&["train", "history.csv", "--out", "x.model"]), &["history.csv", "row 40", "`Class`", expected]);
    }
    place.write("history.csv", with_column(&history(2_000, 1), "Verdict", |row| format!("{CANARY}-{}", row.fraud)));
    let sentence = place.refused(&["train", "history.csv", "--out", "x.model", "--label", "Verdict"]);
    check(&sentence, &["row 1", "`Verdict`", "none of 0, 1, true, false"]);
}

#[test]
fn columns_in_a_role_they_cannot_have_are_refused() {
    let place = Workplace::new();
    place.write("history.csv", with_column(&history(2_000, 1), "Country", |_| CANARY.replace('4', "x")));
    for flag in ["--time", "--amount", "--weight"] {
        let sentence = place.refused(&["train", "history.csv", "--out", "x.model", flag, "Country"]);
        check(&sentence, &["`Country` does not hold numbers"]);
    }
    place.write("history.csv", with_cell(300, 1, ""));
    check(&place.refused(&["train", "history.csv", "--out", "x.model"]), &["row 300", "`Time`", "event time is empty", "--time"]);
    let sentence = place.refused(&["train", "history.csv", "--out", "x.model", "--label", "Class", "--weight", "Class"]);
    check(&sentence, &["`Class`"]);
}

#[test]
fn settings_that_lightgbm_would_pass_over_are_refused() {
    let place = Workplace::with_history();
    for (setting, expected) in [
        ("num_leafs=7", "no setting `num_leafs`"),
        ("objective=regression", "`objective` cannot be given"),
        ("application=regression", "`application` cannot be given"),
        ("n_estimators=5", "use --rounds"),
        ("nthread=4", "use --threads"),
        ("random_state=1", "use --seed"),
    ] {
        check(&place.refused(&["train", "history.csv", "--out", "x.model", "--set", setting]), &[expected]);
    }
}

/// LightGBM itself writes a line to standard error before it gives up; ours comes after it.
#[test]
fn a_setting_out_of_bounds_is_refused_in_lightgbms_words() {
    let place = Workplace::with_history();
    let before = place.files();
    let output = place.assay(&["train", "history.csv", "--out", "x.model", "--set", "num_leaves=-5"]).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let sentence = complaint.lines().last().unwrap();
    assert_eq!(sentence, "error: LightGBM could not take the rows and settings: Check failed: (num_leaves) > (1)");
    assert!(place.files() == before);
}

#[test]
fn flags_that_make_no_sense_are_refused_with_their_names() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &[]);
    for [flag, value] in [
        ["--gap", "a week"],
        ["--gap", "-1d"],
        ["--gap", "NaN"],
        ["--seed", "-1"],
        ["--review-cost", "0"],
        ["--review-cost", "NaN"],
        ["--fraud-cost", "inf"],
        ["--genuine-kept", "0"],
        ["--genuine-kept", "1.5"],
        ["--set", "num_leaves"],
        ["--set", "num_leaves=7 verbosity=2"],
        ["--rounds", "0"],
        ["--resamples", "0"],
        ["--threads", "0"],
        ["--learner", "forest"],
        ["--split", "backwards"],
    ] {
        let complaint = place.misused(&["train", "history.csv", "--out", "x.model", &format!("{flag}={value}")]);
        assert!(complaint.contains(flag), "{complaint}");
    }
    for [flag, value] in [
        ["--threshold", "1.5"],
        ["--threshold", "NaN"],
        ["--threshold", "-0.1"],
        ["--review-cost", "-1"],
        ["--review-cost", "NaN"],
        ["--fraud-cost", "inf"],
        ["--resamples", "0"],
    ] {
        let complaint = place.misused(&["evaluate", "trained.model", "history.csv", &format!("{flag}={value}")]);
        assert!(complaint.contains(flag), "{complaint}");
    }
    for bind in ["5000", "localhost:5000", "127.0.0.1"] {
        let complaint = place.misused(&["serve", "--model", "trained.model", "--bind", bind]);
        assert!(complaint.contains("--bind") && complaint.contains("as in 127.0.0.1:5000"), "{complaint}");
    }
    place.misused(&["train", "--out", "x.model"]);
    place.misused(&["score", "trained.model", "history.csv"]);
}

#[test]
fn sizes_that_no_simulator_makes_are_refused() {
    let place = Workplace::new();
    for words in [
        &["simulate", "--shape", "creditcard", "--out", "h.csv", "--rows", "0"][..],
        &["simulate", "--out", "h.csv", "--customers", "0"],
        &["simulate", "--out", "h.csv", "--customers", "99999999999999"],
        &["simulate", "--out", "h.csv", "--days", "0"],
        &["simulate", "--out", "h.csv", "--terminals", "0"],
    ] {
        place.refused(words);
    }
}

#[test]
fn a_size_of_the_other_shape_is_refused() {
    let place = Workplace::new();
    check(&place.refused(&["simulate", "--out", "h.csv", "--rows", "9"]), &["--rows", "--shape", "--customers"]);
    for flag in ["--customers", "--terminals", "--days"] {
        check(&place.refused(&["simulate", "--shape", "creditcard", "--out", "h.csv", flag, "9"]), &[flag, "--shape", "--rows"]);
    }
}

#[test]
fn files_of_different_columns_are_refused() {
    let place = Workplace::with_history();
    place.write("other.csv", csv(&history(50, 2)).replacen("V9", "W9", 1));
    let sentence = place.refused(&["train", "history.csv", "other.csv", "--out", "x.model"]);
    check(&sentence, &["other.csv", "\"W9\"", "\"V9\"", "the same columns"]);
}

#[test]
fn a_wrong_checksum_is_refused() {
    let place = Workplace::with_history();
    let sum = "0".repeat(64);
    check(
        &place.refused(&["train", "history.csv", "--out", "x.model", "--sha256", &sum]),
        &["history.csv", "SHA-256", "--sha256"],
    );
    check(&place.refused(&["train", "history.csv", "--out", "x.model", "--sha256", "abc"]), &["64 hexadecimal digits"]);
}

#[test]
fn an_interrupted_command_leaves_nothing_behind() {
    let place = Workplace::new();
    place.write("history.csv", csv(&history(30_000, 1)));
    let before = place.files();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for words in [
            &["simulate", "--customers", "100000", "--out", "cards.csv"][..],
            &["simulate", "--shape", "creditcard", "--rows", "100000000", "--out", "cards.parquet"],
            &["train", "history.csv", "--out", "fraud.model"],
        ] {
            let mut running = place.assay(words).stdout(Stdio::null()).spawn().unwrap();
            while fs::read_dir(place.path(".")).unwrap().count() == before.len() {
                assert_eq!(running.try_wait().unwrap(), None, "{words:?} ended by itself");
                std::thread::yield_now();
            }
            Command::new("kill").args([format!("-{signal}"), running.id().to_string()]).status().unwrap();
            let status = running.wait().unwrap();
            assert_eq!(status.code(), Some(code), "{words:?}: {status}");
            assert!(place.files() == before, "{words:?} left {:?}", place.files().keys());
        }
    }
}

#[test]
fn a_standard_output_that_cannot_be_written_is_a_failure() {
    let place = Workplace::with_history();
    place.train(&["history.csv"], &[]);
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for words in [&["evaluate", "trained.model", "history.csv", "--json"][..], &["train", "history.csv", "--out", "x.model"]] {
        let sentence = place.refuses(place.assay(words).stdout(full()), &words.join(" "));
        check(&sentence, &["cannot write to standard output"]);
    }
}

#[test]
fn numbers_too_large_to_be_squared_are_refused_with_their_column() {
    let place = Workplace::new();
    place.write("history.csv", with_column(&history(2_000, 1), "Balance", |row| format!("{:e}", row.components[0] * 1e300)));
    let sentence = place.refused(&["train", "history.csv", "--out", "x.model", "--learner", "logistic"]);
    check(&sentence, &["`Balance`", "too large", "--drop Balance"]);
    place.train(&["history.csv"], &[]);
}

/// A reader that has seen enough, as `head` does, is no failure.
#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let place = Workplace::with_history();
    let words = [&["train", "history.csv", "--out", "fraud.model"], &QUICK[..]].concat().join(" ");
    let mut command = Command::new("bash");
    command.args(["-c", &format!("\"$0\" {words} | true; exit ${{PIPESTATUS[0]}}"), env!("CARGO_BIN_EXE_assay")]);
    let output = command.current_dir(place.path(".")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    place.model("fraud.model");
}
