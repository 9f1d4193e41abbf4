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

    /// Cardholders (shape `cards`) [default: 5000].
    #[arg(long)]
    pub customers: Option<u64>,

    /// Terminals (shape `cards`) [default: two per cardholder].
    #[arg(long)]
    pub terminals: Option<u64>,

    /// Days from 2018-04-01 on (shape `cards`) [default: 183].
    #[arg(long)]
    pub days: Option<u64>,

    /// Rows (shape `creditcard`), over two days [default: 284807].
    #[arg(long)]
    pub rows: Option<u64>,
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
    refuse_the_other_shapes_flags(arguments)?;
    let mut file = TableFile::begin(&arguments.out)?;
    let rows = match arguments.shape {
        Shape::Cards => simulate_cards(arguments, &mut file)?,
        Shape::Creditcard => simulate_creditcard(arguments, &mut file)?,
    };
    file.finish()?;
    say(format_args!("Simulated {rows} transactions: {}", arguments.out.display()))?;
    Ok(())
}

/// A flag that changes nothing is a misunderstanding.
fn refuse_the_other_shapes_flags(arguments: &Simulate) -> Result<(), Failure> {
    let cards = [("--customers", arguments.customers), ("--terminals", arguments.terminals), ("--days", arguments.days)];
    let creditcard = [("--rows", arguments.rows)];
    let (others, own) = match arguments.shape {
        Shape::Cards => (&creditcard[..], "the shape `cards` is sized by --customers, --terminals and --days"),
        Shape::Creditcard => (&cards[..], "the shape `creditcard` is sized by --rows"),
    };
    match others.iter().find(|(_, value)| value.is_some()) {
        Some((flag, _)) => Err(format!("{flag} belongs to the other --shape; {own}").into()),
        None => Ok(()),
    }
}

fn simulate_cards(arguments: &Simulate, file: &mut TableFile) -> Result<u64, Failure> {
    let usual = CardsSettings::default();
    let customers = arguments.customers.unwrap_or(usual.customers);
    let terminals = arguments.terminals.unwrap_or(customers.saturating_mul(2));
    let settings = CardsSettings { customers, terminals, days: arguments.days.unwrap_or(usual.days), ..usual };
    let mut cards = Cards::new(&settings, arguments.seed)?;
    let bar = bar("simulating days", settings.days);
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
    let usual = CreditcardSettings::default();
    let rows = arguments.rows.unwrap_or(usual.rows);
    let settings = CreditcardSettings { rows, rows_per_day: rows.div_ceil(2), ..usual };
    let mut history = Creditcard::new(&settings, arguments.seed)?;
    let bar = bar("simulating transactions", rows);
    loop {
        let piece: Vec<CreditcardRow> = history.by_ref().take(PIECE_ROWS).collect();
        if piece.is_empty() {
            break;
        }
        file.write(&creditcard_table(&piece))?;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    Ok(rows)
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
