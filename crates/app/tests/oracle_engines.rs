//! Our features, held against DuckDB and DataFusion running the same SELECT over the same transactions.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod oracles;
mod workplace;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use assay_domain::time;
use oracles::{ask, number};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use workplace::Workplace;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cards")
}

/// Engines, and how far from ours their numbers may be: their sums round at every step, ours once.
const ENGINES: [(&str, f64); 2] = [("duckdb", 1e-9), ("datafusion", 1e-9)];
/// DataFusion adds what enters a window to its sum and takes away what leaves it, each time rounded: what is left of large amounts that have
/// gone stays in it, and is more than 1e-9 of a small sum. What it works out anew is held as near as everything else.
const SLIDING_IN_DATAFUSION: f64 = 1e-6;

/// The history without payments that share a customer, a terminal or another key and an instant with an earlier one.
fn untied(place: &Workplace, history: &Path, other_keys: &[&str]) -> u64 {
    let out = place.path("untied.parquet");
    let keys = ["customer_id", "terminal_id"].iter().chain(other_keys).map(Path::new);
    let words: Vec<&Path> = [Path::new("untie"), history, &out].into_iter().chain(keys).collect();
    ask("features.py", &words)["rows"].as_u64().unwrap()
}

/// Our features of the history without ties, against those of engines.
fn check(place: &Workplace, definition: &Path, rows: u64, engines: &[(&str, f64)]) {
    place.run(&["features", definition.to_str().unwrap(), "untied.parquet", "-o", "features.parquet"]);
    compare(place, definition, "untied.parquet", rows, engines);
}

/// Whole numbers, truths, least and greatest values are the same; other numbers as near as the engine comes.
fn compare(place: &Workplace, definition: &Path, history: &str, rows: u64, engines: &[(&str, f64)]) {
    for (engine, apart) in engines {
        let words = [Path::new("compare"), Path::new(engine), definition, &place.path(history)];
        let report = ask("features.py", &[&words[..], &[&place.path("features.parquet")]].concat());
        let columns = report["columns"].as_array().unwrap();
        assert!(columns.len() > 10);
        for column in columns {
            assert_eq!(column["rows"].as_u64(), Some(rows), "{engine}: {column}");
            let slides = *engine == "datafusion" && column["sliding"] == true;
            let apart = if slides { SLIDING_IN_DATAFUSION } else { *apart };
            assert!(number(&column["worst"]) <= apart, "{engine}: {column}");
            assert!(column["exact"] != true || column["differing"] == 0, "{engine}: {column}");
        }
    }
}

#[test]
fn all_that_a_definition_may_say_is_what_duckdb_says() {
    let place = Workplace::new();
    place.run(&["simulate", "--customers", "300", "--days", "45", "--out", "cards.parquet"]);
    let wide = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/wide.sql");
    let rows = untied(&place, &place.path("cards.parquet"), &[]);
    // DataFusion takes frames in one unit alone; `make scale` respells them for it.
    check(&place, &wide, rows, &ENGINES[..1]);
}

/// Where engines agree on it; docs/features.md says where they do not.
#[test]
fn texts_and_seconds_are_what_engines_say() {
    let place = Workplace::new();
    place.write("random.csv", Random(Xoshiro256PlusPlus::seed_from_u64(40)).history(4_000));
    let rows = untied(&place, &place.path("random.csv"), &[]);
    assert!(rows > 2_000, "{rows} rows are left");
    check(&place, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/texts.sql"), rows, &ENGINES);
}

/// Zones whose clocks went on and back in every way: by half an hour, at midnight, across the date line, all of their days late.
const ZONES: [&str; 8] = [
    "Europe/Brussels",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Pacific/Kiritimati",
];

fn moment(seconds: i64) -> String {
    let mut text = Vec::new();
    time::write(&mut text, seconds * time::SECOND).unwrap();
    String::from_utf8(text).unwrap().replace('Z', "")
}

#[test]
fn clocks_of_zones_say_what_duckdbs_say() {
    let place = Workplace::new();
    let mut history = "transaction_id,tx_datetime,customer_id,tx_amount,tx_fraud\n".to_owned();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(11);
    let (quarter, since_1970) = (900, 2_145_916_800);
    let mut row = |number: i64, seconds: i64| writeln!(history, "{number},{},{},1.5,0", moment(seconds), number % 50).unwrap();
    // Every quarter of an hour of 2011, when Apia left a day out, and moments until 2037.
    (0..35_040).for_each(|number| row(number, 1_293_840_000 + number * quarter));
    (35_040..50_000).for_each(|number| row(number, i64::from(random.next_u32()) % since_1970));
    place.write("moments.csv", &history);
    // Neither hours, of which DuckDB says the second beginning when clocks go through one twice, nor quarters, whose it says in the offset
    // of a later month.
    let units = ["year", "month", "week", "day"];
    let parts = ["year", "quarter", "month", "day", "hour", "minute", "dow", "isodow", "doy", "epoch"];
    let features: Vec<String> = parts
        .iter()
        .map(|part| format!("extract({part} FROM tx_datetime) AS p_{part}"))
        .chain(units.iter().map(|unit| format!("extract(epoch FROM date_trunc('{unit}', tx_datetime)) AS t_{unit}")))
        .collect();
    for zone in ZONES {
        let definition = format!(
            "CREATE TABLE transactions (transaction_id BIGINT PRIMARY KEY, tx_datetime TIMESTAMP NOT NULL, customer_id BIGINT NOT NULL,
  tx_amount DOUBLE NOT NULL, tx_fraud BOOLEAN) WITH (event_time = 'tx_datetime', label = 'tx_fraud', zone = '{zone}');
CREATE VIEW features AS SELECT\n{}\nFROM transactions;\n",
            features.join(",\n")
        );
        place.write("zoned.sql", &definition);
        place.run(&["features", "zoned.sql", "moments.csv", "-o", "features.parquet"]);
        compare(&place, &place.path("zoned.sql"), "moments.csv", 50_000, &[("duckdb", 0.0)]);
    }
}

#[test]
fn the_example_definitions_make_of_simulated_cards_what_engines_say() {
    let place = Workplace::new();
    place.run(&["simulate", "--customers", "200", "--days", "90", "--out", "cards.parquet"]);
    let rows = untied(&place, &place.path("cards.parquet"), &[]);
    for definition in ["handbook.sql", "cards.sql"] {
        check(&place, &examples().join(definition), rows, &ENGINES);
    }
}

#[test]
fn the_handbooks_features_of_its_own_history_are_what_engines_say() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let history = std::env::var_os("ASSAY_SHARED").map_or_else(beside, PathBuf::from).join("data/handbook-transactions.parquet");
    if history.is_file() {
        let place = Workplace::new();
        let rows = untied(&place, &history, &[]);
        // In five months DataFusion's means drift away by more than a ten-thousandth: what leaves a window takes its rounding with it.
        check(&place, &examples().join("handbook.sql"), rows, &ENGINES[..1]);
    } else {
        println!("absent, so not compared on it: {}", history.display());
    }
}

/// Histories and definitions made at random, each of many features; the seed is the number of both.
#[test]
fn definitions_made_at_random_are_what_engines_say() {
    let place = Workplace::new();
    for seed in 0..6 {
        let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(seed));
        place.write("random.csv", random.history(2_500));
        let rows = untied(&place, &place.path("random.csv"), &["merchant"]);
        assert!(rows > 1_000, "{rows} rows are left");
        let name = format!("random-{seed}.sql");
        place.write(&name, random.definition());
        check(&place, &place.path(&name), rows, &ENGINES);
    }
}

/// Texts that every engine makes large and small letters of in the same way.
const MERCHANTS: [&str; 14] =
    ["Café", "CAFÉ", "café", "ÉCOLE", "école", "Ñandú", "ñandú", "Ωmega", "kΩ", "Zürich", "Łódź", "kava", "Été à la mer", "a_b"];

/// SQL by chance. Standard deviations are not in it: DataFusion's are what is left of large squares.
struct Random(Xoshiro256PlusPlus);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// Transactions in bursts and after pauses, of few or many keys; whatever may be NULL sometimes is.
    fn history(&mut self, rows: u64) -> String {
        let mut text = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,MERCHANT,TX_FRAUD\n".to_owned();
        let (customers, terminals, missing) = (4 + self.below(60), 2 + self.below(40), 3 + self.below(20));
        let mut seconds = 1_522_540_800;
        for id in 0..rows {
            let longest = self.one_of(&[5, 5, 5, 900, 900, 900, 900, 40_000]);
            seconds += i64::try_from(self.below(longest)).unwrap();
            let terminal = if self.known(missing) { self.below(terminals).to_string() } else { String::new() };
            let most = self.one_of(&[20_000, 20_000, 20_000, 1_000_000]);
            let amount = if self.known(missing) { (self.below(most) as f64 / 100.0).to_string() } else { String::new() };
            let merchant = if self.known(missing) { self.one_of(&MERCHANTS) } else { "" };
            let (customer, fraud) = (self.below(customers), u8::from(self.below(12) == 0));
            writeln!(text, "{id},{},{customer},{terminal},{amount},{merchant},{fraud}", moment(seconds)).unwrap();
        }
        text
    }

    /// Whether a value is known, of which one in `missing` is not.
    fn known(&mut self, missing: u64) -> bool {
        self.below(missing) > 0
    }

    fn definition(&mut self) -> String {
        let features: Vec<String> = (0..30).map(|number| format!("  {} AS f{number}", self.feature())).collect();
        format!(
            "CREATE TABLE transactions (transaction_id BIGINT PRIMARY KEY, tx_datetime TIMESTAMP NOT NULL, customer_id BIGINT NOT NULL,
  terminal_id BIGINT, tx_amount DOUBLE, merchant TEXT, tx_fraud BOOLEAN)
  WITH (event_time = 'tx_datetime', label = 'tx_fraud', label_delay = '2 days');
CREATE VIEW features AS SELECT
{}
FROM transactions;
",
            features.join(",\n")
        )
    }

    fn feature(&mut self) -> String {
        if self.below(6) == 0 {
            return self.of_text();
        }
        let aggregate = self.aggregate();
        match self.below(6) {
            0 => format!("coalesce({aggregate}, 0)"),
            1 => format!("CASE WHEN {aggregate} > {} THEN 1 ELSE 0 END", self.below(60)),
            2 => format!("{aggregate} + tx_amount"),
            3 => format!("({aggregate} IS NULL)"),
            _ => aggregate,
        }
    }

    fn of_text(&mut self) -> String {
        let text = self.text();
        let keys = self.one_of(&["customer_id", "terminal_id", "merchant", "customer_id, merchant"]);
        let partition = format!("PARTITION BY {keys} ORDER BY tx_datetime");
        let week = "RANGE BETWEEN INTERVAL '604800 seconds' PRECEDING AND CURRENT ROW";
        match self.below(6) {
            0 => text,
            1 => format!("lag({text}, {}) OVER ({partition})", 1 + self.below(3)),
            2 => format!("first_value({text}) OVER ({partition} {week})"),
            3 => format!("count(DISTINCT {text}) OVER ({partition} {week})"),
            4 => format!("CASE WHEN {} THEN {text} ELSE 'none' END", self.condition()),
            _ => format!("({text} < '{}')", self.one_of(&MERCHANTS)),
        }
    }

    fn text(&mut self) -> String {
        match self.below(4) {
            0 => "upper(merchant)".into(),
            1 => "lower(merchant)".into(),
            2 => format!("nullif(merchant, '{}')", self.one_of(&MERCHANTS)),
            _ => "merchant".into(),
        }
    }

    fn aggregate(&mut self) -> String {
        let keys = self.one_of(&["customer_id", "terminal_id", "customer_id, terminal_id", "terminal_id, customer_id"]);
        let partition = format!("PARTITION BY {keys} ORDER BY tx_datetime");
        if self.below(8) == 0 {
            return format!("lag({}, {}) OVER ({partition})", self.argument(), 1 + self.below(3));
        }
        let (of_label, start) = (self.below(5) == 0, 3_600 * (1 + self.below(240)));
        let late = 172_800 + self.below(100_000);
        let (start, end) = match self.below(3) {
            _ if of_label => (late + start, format!("INTERVAL '{late} seconds' PRECEDING")),
            0 => (start, format!("INTERVAL '{} seconds' PRECEDING", self.below(start))),
            _ => (start, "CURRENT ROW".into()),
        };
        let window = format!("({partition} RANGE BETWEEN INTERVAL '{start} seconds' PRECEDING AND {end})");
        let argument = if of_label {
            self.one_of(&["CAST(tx_fraud AS INT)", "CASE WHEN tx_fraud THEN tx_amount END"]).to_owned()
        } else {
            self.argument()
        };
        let call = match self.below(8) {
            0 if !of_label => format!("count(DISTINCT terminal_id % {})", 2 + self.below(9)),
            1 if !of_label => return format!("first_value({argument}) OVER {window}"),
            2 => "count(*)".into(),
            _ => format!("{}({argument})", self.one_of(&["count", "sum", "avg", "min", "max"])),
        };
        // DataFusion knows no FILTER beside DISTINCT.
        let filter = match self.below(3) {
            0 if !call.contains("DISTINCT") => format!(" FILTER (WHERE {})", self.condition()),
            _ => String::new(),
        };
        format!("{call}{filter} OVER {window}")
    }

    fn argument(&mut self) -> String {
        match self.below(6) {
            0 => format!("nullif(terminal_id % {}, 0)", 2 + self.below(5)),
            1 => format!("CASE WHEN {} THEN tx_amount END", self.condition()),
            2 => format!("tx_amount * {} - 7.5", 1 + self.below(9)),
            3 => format!("extract({} FROM tx_datetime)", self.one_of(&["hour", "minute", "second", "day"])),
            4 => format!("length({})", self.text()),
            _ => "tx_amount".into(),
        }
    }

    fn condition(&mut self) -> String {
        match self.below(7) {
            0 => format!("tx_amount > {}", self.below(120)),
            1 => format!("tx_amount BETWEEN {} AND {}", self.below(40), 40 + self.below(80)),
            2 => format!("terminal_id % 3 IN ({}, 2)", self.below(2)),
            3 => format!("{} LIKE '{}'", self.text(), self.one_of(&["%a%", "Ca%", "_a%", "%É", "kΩ", "%ó%"])),
            4 => format!("merchant ILIKE '{}'", self.one_of(&["é%", "%ÑAND%", "_ω%", "____", "%Ź"])),
            5 => format!("coalesce(terminal_id, {}) IS DISTINCT FROM 3", self.below(5)),
            _ => format!("NOT extract(hour FROM tx_datetime) < {}", self.below(24)),
        }
    }
}
