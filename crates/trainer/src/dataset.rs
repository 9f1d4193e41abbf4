//! A table becomes labelled rows: which column is the label, the weight, the time, the amount, and which are features.

use assay_model::{Feature, FeatureKind};
use thiserror::Error;

use crate::table::{Column, MISSING_CODE, MISSING_TIME, Table, Values};

/// Fewer frauds, or fewer genuine rows, than this cannot train and judge a model.
pub const FEWEST_OF_A_CLASS: usize = 10;

/// What the columns of a history are for. `None` means the usual choice, which [`Dataset::new`] describes.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// The label: 1 or true for fraud. Usual: the last column that has no other role.
    pub label: Option<String>,
    /// How many rows each row counts as. Usual: every row counts once.
    pub weight: Option<String>,
    /// When each row happened. Usual: a column called `Time`, else the only column of timestamps.
    pub time: Option<String>,
    /// The amount of money. Usual: a column called `Amount` or `TX_AMOUNT`, in any case of letters.
    pub amount: Option<String>,
    /// Columns to leave out.
    pub drop: Vec<String>,
}

/// Labelled rows, column by column, in the order of the file.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What the columns are.
    pub features: Vec<Feature>,
    /// A column per feature; `NaN` is a missing value, a category is its place among the levels.
    pub columns: Vec<Vec<f64>>,
    /// Name of the label's column.
    pub label: String,
    /// Whether each row is a fraud.
    pub fraud: Vec<bool>,
    /// How many rows each row counts as, when a column says so.
    pub weight: Option<Vec<f64>>,
    /// Name of that column.
    pub weight_column: Option<String>,
    /// When each row happened.
    pub time: Option<EventTime>,
    /// The amounts.
    pub amount: Option<Amount>,
}

/// The event-time column.
#[derive(Clone, Debug)]
pub struct EventTime {
    /// Its name.
    pub column: String,
    /// Its values as given; a timestamp is microseconds since 1970, UTC.
    pub values: Vec<f64>,
    /// How many of its units make a second: 1 for a number, 1,000,000 for a timestamp.
    pub units_per_second: f64,
    /// Whether it was taken because of its name rather than asked for.
    pub taken_by_default: bool,
}

/// The amount column.
#[derive(Clone, Debug)]
pub struct Amount {
    /// Its name.
    pub column: String,
    /// Its values; a missing amount counts as 0.
    pub values: Vec<f64>,
}

/// Some rows of a dataset, gathered for a learner.
#[derive(Clone, Debug)]
pub struct Sample {
    /// A column per feature.
    pub columns: Vec<Vec<f64>>,
    /// Whether each row is a fraud.
    pub fraud: Vec<bool>,
    /// How many rows each row counts as.
    pub weight: Vec<f64>,
}

/// Why a table is no labelled history.
#[derive(Debug, Error, PartialEq)]
pub enum DatasetError {
    /// A column that was asked for is not there.
    #[error("there is no column `{name}` to take as {role}; the columns are: {columns}")]
    NoColumn {
        /// What was asked for.
        name: String,
        /// What for.
        role: &'static str,
        /// What there is.
        columns: String,
    },
    /// A column cannot have the role it was given.
    #[error("row {row}, column `{column}`: {problem}")]
    Cell {
        /// Row, from 1.
        row: usize,
        /// The column's name.
        column: String,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// The whole of a column cannot have its role.
    #[error("column `{column}` {problem}")]
    Column {
        /// The column's name.
        column: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// There is nothing to learn from.
    #[error("{0}")]
    TooLittle(String),
}

impl Dataset {
    /// Gives every column of `table` its role. Columns without another are features when they hold numbers or texts; a numeric event
    /// time is a feature too, a timestamp is not.
    pub fn new(table: Table, roles: &Roles) -> Result<Self, DatasetError> {
        let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        let named = |name: &Option<String>, role| match name {
            Some(name) => place(&names, name, role).map(Some),
            None => Ok(None),
        };
        let dropped = roles.drop.iter().map(|name| place(&names, name, "one to drop")).collect::<Result<Vec<_>, _>>()?;
        let weight = named(&roles.weight, "the weight")?;
        let asked_time = named(&roles.time, "the event time")?;
        let kept = |place: &usize| !dropped.contains(place);
        let time = asked_time.or_else(|| usual_time(&table, kept));
        let label = match named(&roles.label, "the label")? {
            Some(label) => label,
            None => (0..names.len())
                .rev()
                .find(|place| kept(place) && Some(*place) != weight && Some(*place) != time)
                .ok_or_else(|| DatasetError::TooLittle("no column is left to be the label".into()))?,
        };
        let usual_amount = || {
            let is_amount = |name: &String| ["amount", "tx_amount"].contains(&name.to_ascii_lowercase().as_str());
            names
                .iter()
                .position(is_amount)
                .filter(|place| kept(place) && matches!(table.columns[*place].values, Values::Numbers(_)))
        };
        let amount = named(&roles.amount, "the amount")?.or_else(usual_amount);

        let fraud = read_label(&table.columns[label])?;
        let weight_values = weight.map(|place| read_weight(&table.columns[place])).transpose()?;
        let event_time = time.map(|place| read_time(&table.columns[place], asked_time.is_none())).transpose()?;
        let amount = amount.map(|place| read_amount(&table.columns[place])).transpose()?;
        let (mut features, mut columns) = (Vec::new(), Vec::new());
        for (place, column) in table.columns.into_iter().enumerate() {
            let is_feature = place != label && Some(place) != weight && !dropped.contains(&place);
            if let Some((feature, values)) = is_feature.then(|| feature(column)).flatten() {
                features.push(feature);
                columns.push(values);
            }
        }
        let dataset = Self {
            features,
            columns,
            label: names[label].clone(),
            fraud,
            weight: weight_values,
            weight_column: roles.weight.clone(),
            time: event_time,
            amount,
        };
        dataset.check_both_classes()?;
        Ok(dataset)
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.fraud.len()
    }

    /// How many of `rows` are frauds.
    pub fn frauds(&self, rows: &[usize]) -> usize {
        rows.iter().filter(|&&row| self.fraud[row]).count()
    }

    /// How many rows `row` counts as.
    pub fn weight_of(&self, row: usize) -> f64 {
        self.weight.as_ref().map_or(1.0, |weight| weight[row])
    }

    /// Gathers `rows`, in their order.
    pub fn sample(&self, rows: &[usize]) -> Sample {
        Sample {
            columns: self.columns.iter().map(|column| rows.iter().map(|&row| column[row]).collect()).collect(),
            fraud: rows.iter().map(|&row| self.fraud[row]).collect(),
            weight: rows.iter().map(|&row| self.weight_of(row)).collect(),
        }
    }

    /// One row, as a scorer takes it.
    pub fn row(&self, row: usize) -> Vec<f64> {
        self.columns.iter().map(|column| column[row]).collect()
    }

    /// Several rows, one after another, as a scorer takes them.
    pub fn row_major(&self, rows: &[usize]) -> Vec<f64> {
        rows.iter().flat_map(|&row| self.columns.iter().map(move |column| column[row])).collect()
    }

    /// Whether there is enough of both classes to train and to judge a model.
    pub fn check_enough(&self) -> Result<(), DatasetError> {
        match self.rarer_class() {
            (count, class) if count < FEWEST_OF_A_CLASS => Err(DatasetError::TooLittle(format!(
                "the history holds only {count} {class}; at least {FEWEST_OF_A_CLASS} are needed to train and to judge a model"
            ))),
            _ => Ok(()),
        }
    }

    fn check_both_classes(&self) -> Result<(), DatasetError> {
        if self.features.is_empty() {
            return Err(DatasetError::TooLittle("no column is left to learn from".into()));
        }
        match self.rarer_class() {
            (0, class) => Err(DatasetError::TooLittle(format!(
                "the label `{}` is constant: there are no {class} among {} rows, so there is nothing to tell apart; name the label's column \
                 with --label, or use a history with both classes",
                self.label,
                self.rows()
            ))),
            _ => Ok(()),
        }
    }

    fn rarer_class(&self) -> (usize, &'static str) {
        let frauds = self.fraud.iter().filter(|&&fraud| fraud).count();
        let genuine = self.rows() - frauds;
        if frauds <= genuine { (frauds, "frauds") } else { (genuine, "genuine transactions") }
    }
}

fn usual_time(table: &Table, kept: impl Fn(&usize) -> bool) -> Option<usize> {
    let is_time = |place: &usize| matches!(table.columns[*place].values, Values::Times(_));
    let mut timestamps = (0..table.columns.len()).filter(|place| kept(place) && is_time(place));
    let only_timestamp = timestamps.next().filter(|_| timestamps.next().is_none());
    table.columns.iter().position(|column| column.name == "Time").filter(|place| kept(place)).or(only_timestamp)
}

fn place(names: &[String], name: &str, role: &'static str) -> Result<usize, DatasetError> {
    let no_column = || DatasetError::NoColumn { name: name.into(), role, columns: names.join(", ") };
    names.iter().position(|known| known == name).ok_or_else(no_column)
}

fn read_label(column: &Column) -> Result<Vec<bool>, DatasetError> {
    let cell = |row: usize, problem| DatasetError::Cell { row: row + 1, column: column.name.clone(), problem };
    match &column.values {
        Values::Numbers(numbers) => numbers
            .iter()
            .enumerate()
            .map(|(row, &number)| match number {
                0.0 => Ok(false),
                1.0 => Ok(true),
                _ if number.is_nan() => Err(cell(row, "the label is empty; remove the row or fill it in")),
                _ => Err(cell(row, "the label is neither 0 nor 1; name the label's column with --label")),
            })
            .collect(),
        Values::Categories { codes, levels } => {
            let meaning: Vec<Option<bool>> = levels.iter().map(|level| truth(level)).collect();
            let known = |row: usize, code: u32| match meaning.get(code as usize) {
                Some(Some(fraud)) => Ok(*fraud),
                Some(None) => {
                    Err(cell(row, "the label is none of 0, 1, true, false, fraud and genuine; name its column with --label"))
                }
                None => Err(cell(row, "the label is empty; remove the row or fill it in")),
            };
            codes.iter().enumerate().map(|(row, &code)| known(row, code)).collect()
        }
        Values::Times(_) => Err(DatasetError::Column {
            column: column.name.clone(),
            problem: "holds times; name the label's column with --label".into(),
        }),
    }
}

fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "fraud" => Some(true),
        "0" | "false" | "f" | "no" | "genuine" | "legit" => Some(false),
        _ => None,
    }
}

fn read_weight(column: &Column) -> Result<Vec<f64>, DatasetError> {
    let weights = numbers(column, "a weight")?;
    match weights.iter().position(|weight| !(*weight > 0.0 && weight.is_finite())) {
        Some(row) => {
            Err(DatasetError::Cell { row: row + 1, column: column.name.clone(), problem: "a weight is a number above 0" })
        }
        None => Ok(weights),
    }
}

fn read_time(column: &Column, taken_by_default: bool) -> Result<EventTime, DatasetError> {
    let (values, units_per_second) = match &column.values {
        Values::Times(times) => (times.iter().map(|&time| timestamp(time)).collect(), 1e6),
        _ => (numbers(column, "an event time")?, 1.0),
    };
    if let Some(row) = values.iter().position(|time: &f64| time.is_nan()) {
        let problem = "the event time is empty; fill it in, or choose another column with --time";
        return Err(DatasetError::Cell { row: row + 1, column: column.name.clone(), problem });
    }
    Ok(EventTime { column: column.name.clone(), values, units_per_second, taken_by_default })
}

fn timestamp(time: i64) -> f64 {
    if time == MISSING_TIME { f64::NAN } else { time as f64 }
}

fn read_amount(column: &Column) -> Result<Amount, DatasetError> {
    let values = numbers(column, "an amount")?.into_iter().map(|amount| if amount.is_nan() { 0.0 } else { amount }).collect();
    Ok(Amount { column: column.name.clone(), values })
}

fn numbers(column: &Column, role: &str) -> Result<Vec<f64>, DatasetError> {
    match &column.values {
        Values::Numbers(numbers) => Ok(numbers.clone()),
        _ => Err(DatasetError::Column {
            column: column.name.clone(),
            problem: format!("does not hold numbers, so it cannot be {role}"),
        }),
    }
}

/// A column as a feature; a timestamp is none.
fn feature(column: Column) -> Option<(Feature, Vec<f64>)> {
    let (kind, values) = match column.values {
        Values::Numbers(numbers) => (FeatureKind::Number, numbers),
        Values::Categories { codes, levels } => {
            let values = codes.iter().map(|&code| if code == MISSING_CODE { f64::NAN } else { f64::from(code) }).collect();
            (FeatureKind::Category { levels }, values)
        }
        Values::Times(_) => return None,
    };
    let missing_seen = values.iter().any(|value: &f64| value.is_nan());
    Some((Feature { name: column.name, kind, missing_seen }, values))
}
