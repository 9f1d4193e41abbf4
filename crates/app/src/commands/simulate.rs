//! `assay simulate`: card histories to try things out with.

use std::path::PathBuf;

use assay_simulator::{CardTransaction, Cards, CardsSettings, Creditcard, CreditcardRow, CreditcardSettings};
use assay_trainer::table::{Column, Table, Values};
use clap::{Args, ValueEnum};

use super::{Failure, say};
use crate::output::TableFile;
use crate::progress::bar;

/// Rows that are written together.
const PIECE_ROWS: usize = 65_536;

/// Simulate a card history: seeded cardholders, terminals and fraudsters.
#[derive(Args, Clone, Debug)]
pub struct Simulate {
    /// What to simulate.
    #[arg(long, value_enum, default_value_t = Shape::Cards)]
    pub shape: Shape,

    /// File to write: .csv or .parquet.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// The same seed gives the same history.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,

    /// Cardholders (shape `cards`).
    #[arg(long, default_value_t = 5_000)]
    pub customers: u64,

    /// Terminals (shape `cards`) [default: two per cardholder].
    #[arg(long)]
    pub terminals: Option<u64>,

    /// Days from 2018-04-01 on (shape `cards`).
    #[arg(long, default_value_t = 183)]
    pub days: u64,

    /// Rows (shape `creditcard`), over two days.
    #[arg(long, default_value_t = 284_807)]
    pub rows: u64,
}

/// Kinds of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Raw transactions in the manner of the Fraud-Detection-Handbook: customer, terminal, amount, time, three fraud scenarios.
    Cards,
    /// A table shaped like ULB's creditcard.csv: Time, V1 to V28, Amount, Class.
    Creditcard,
}

/// Writes the history; it appears when all of it is there.
pub fn run(arguments: &Simulate) -> Result<(), Failure> {
    let mut file = TableFile::begin(&arguments.out)?;
    let rows = match arguments.shape {
        Shape::Cards => simulate_cards(arguments, &mut file)?,
        Shape::Creditcard => simulate_creditcard(arguments, &mut file)?,
    };
    file.finish()?;
    say(format_args!("Simulated {rows} transactions: {}", arguments.out.display()))?;
    Ok(())
}

fn simulate_cards(arguments: &Simulate, file: &mut TableFile) -> Result<u64, Failure> {
    let terminals = arguments.terminals.unwrap_or(arguments.customers.saturating_mul(2));
    let settings = CardsSettings { customers: arguments.customers, terminals, days: arguments.days, ..CardsSettings::default() };
    let mut cards = Cards::new(&settings, arguments.seed)?;
    let bar = bar("simulating days", arguments.days);
    let mut rows = 0;
    while let Some(day) = cards.next_day() {
        rows += day.len() as u64;
        file.write(&cards_table(&day))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(rows)
}

fn simulate_creditcard(arguments: &Simulate, file: &mut TableFile) -> Result<u64, Failure> {
    let settings =
        CreditcardSettings { rows: arguments.rows, rows_per_day: arguments.rows.div_ceil(2), ..CreditcardSettings::default() };
    let mut history = Creditcard::new(&settings, arguments.seed)?;
    let bar = bar("simulating transactions", arguments.rows);
    loop {
        let piece: Vec<CreditcardRow> = history.by_ref().take(PIECE_ROWS).collect();
        if piece.is_empty() {
            break;
        }
        file.write(&creditcard_table(&piece))?;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    Ok(arguments.rows)
}

fn cards_table(day: &[CardTransaction]) -> Table {
    let numbers = |of: &dyn Fn(&CardTransaction) -> f64| Values::Numbers(day.iter().map(of).collect());
    let values = [
        numbers(&|transaction| transaction.transaction_id as f64),
        Values::Times(day.iter().map(|transaction| transaction.time_us).collect()),
        numbers(&|transaction| f64::from(transaction.customer_id)),
        numbers(&|transaction| f64::from(transaction.terminal_id)),
        numbers(&|transaction| transaction.amount_minor as f64 / 100.0),
        numbers(&|transaction| f64::from(u8::from(transaction.fraud.is_some()))),
        numbers(&|transaction| f64::from(transaction.fraud_scenario())),
    ];
    named(&CardTransaction::COLUMNS, values)
}

fn creditcard_table(rows: &[CreditcardRow]) -> Table {
    let numbers = |of: &dyn Fn(&CreditcardRow) -> f64| Values::Numbers(rows.iter().map(of).collect());
    let components = (0..assay_simulator::COMPONENTS).map(|component| numbers(&|row| row.components[component]));
    let amount = numbers(&|row| row.amount_minor as f64 / 100.0);
    let class = numbers(&|row| f64::from(u8::from(row.fraud)));
    let values = std::iter::once(numbers(&|row| row.time_seconds as f64)).chain(components).chain([amount, class]);
    named(&CreditcardRow::COLUMNS, values)
}

fn named(names: &[&str], values: impl IntoIterator<Item = Values>) -> Table {
    let columns = names.iter().zip(values).map(|(name, values)| Column { name: (*name).to_owned(), values });
    Table { columns: columns.collect() }
}
