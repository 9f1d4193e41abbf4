//! The fold of a history: every transaction next to its past, key by key on all cores, to the bits that [`crate::Features`] gives.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use assay_domain::columns::{NULL_CODE, NULL_INTEGER};
use assay_domain::{Column, Schema, Type, Value};
use rayon::prelude::*;
use thiserror::Error;

use crate::expression::{Expression, Row};
use crate::history::{Event, History, Layout};
use crate::lookup::Lookup;
use crate::plan::{Argument, Feature, NULL, Plan, integer, value, word};
use crate::texts::Texts;

/// Transactions whose keys are gone through together, at least.
const PIECE_ROWS: usize = 16_384;
/// Transactions whose answers are copied together.
const COPIED_ROWS: usize = 1_024;

/// A history next to its past: what its windows tell, from which its features are made piece by piece.
pub struct Folded<'a> {
    plan: &'a Plan,
    history: Transactions<'a>,
    answers: Vec<Answers>,
}

/// Why a history is not gone through; its text is one sentence.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FoldError {
    /// Rows are numbered in 32 bits.
    #[error(
        "there are {rows} transactions, and at most {most} can be gone through at once; leave out the oldest, which no window reaches, or \
         have Spark run the same SELECT (docs/scale.md)",
        most = u32::MAX
    )]
    TooManyRows {
        /// How many there are.
        rows: usize,
    },
}

/// Goes through a history with a column per column of the schema. `step` is told how many rows of all are done.
pub fn fold<'a>(plan: &'a Plan, columns: &'a [Column], step: &(dyn Fn(u64, u64) + Sync)) -> Result<Folded<'a>, FoldError> {
    let Column::Timestamp(times) = &columns[plan.schema.event_time] else { unreachable!("the event time is a timestamp") };
    let rows = numbered(times.len())?;
    let mut order: Vec<u32> = (0..rows).collect();
    if !times.is_sorted() {
        order.par_sort_by_key(|&row| times[row as usize]);
    }
    let history = Transactions { columns, schema: &plan.schema, order, times };
    let done = AtomicU64::new(0);
    let total = u64::from(rows) * plan.partitions.len() as u64;
    let tell = |rows: u32| step(done.fetch_add(rows.into(), Ordering::Relaxed) + u64::from(rows), total);
    let answers = (0..plan.partitions.len()).into_par_iter().map(|partition| history.answers(plan, partition, &tell)).collect();
    Ok(Folded { plan, history, answers })
}

fn numbered(rows: usize) -> Result<u32, FoldError> {
    u32::try_from(rows).map_err(|_| FoldError::TooManyRows { rows })
}

/// Bytes that [`fold`] needs per transaction beside its columns: its place in the order and, for each partition, its place among the events of
/// keys, its event, and what windows tell of it. What is kept per key comes on top.
pub fn bytes_per_row(plan: &Plan) -> usize {
    let of_partition = |partition: usize| {
        let layout = layout(plan, partition, &aggregates_of(plan, partition));
        let words = |argument: &Argument| labels(argument).count() * if argument.kind == Type::Text { 2 } else { 1 };
        let event = EVENT_HEAD + layout.brought().map(words).sum::<usize>();
        // What tells keys apart is gone before there are events.
        let words = layout.answers() + event.max(plan.partitions[partition].columns.len());
        size_of::<u32>() + words * size_of::<u64>()
    };
    size_of::<u32>() + (0..plan.partitions.len()).map(of_partition).sum::<usize>()
}

/// Places of the aggregates that look at a partition.
fn aggregates_of(plan: &Plan, partition: usize) -> Vec<usize> {
    (0..plan.aggregates.len()).filter(|&place| plan.aggregates[place].partition == partition).collect()
}

fn layout(plan: &Plan, partition: usize, mine: &[usize]) -> Layout {
    let asked: Vec<_> = mine.iter().map(|&place| plan.aggregates[place].clone()).collect();
    Layout::new(&plan.partitions[partition], &asked, plan.schema.label, plan.schema.max_lateness)
}

/// A history in the order of its events.
struct Transactions<'a> {
    columns: &'a [Column],
    schema: &'a Schema,
    order: Vec<u32>,
    times: &'a [i64],
}

/// What the windows of a partition tell of every transaction.
struct Answers {
    /// Per transaction, where its answers lie.
    places: Vec<u32>,
    /// The answers, `width` words each.
    words: Vec<u64>,
    width: usize,
    /// Place of each aggregate of the plan among the answers, if it is one of these.
    of_aggregate: Vec<usize>,
    texts: Texts,
}

impl Transactions<'_> {
    fn answers(&self, plan: &Plan, partition: usize, tell: &(impl Fn(u32) + Sync)) -> Answers {
        let mine = aggregates_of(plan, partition);
        let layout = layout(plan, partition, &mine);
        let mut texts = Texts::new();
        let arguments: Vec<(&Argument, Known)> =
            layout.brought().map(|argument| (argument, self.known(argument, &mut texts))).collect();
        let keys = self.by_key(&plan.partitions[partition].columns, &arguments);
        let width = layout.answers();
        let mut words = vec![NULL; width * self.order.len()];
        // Pieces of whole keys, of about as many transactions each.
        let mut pieces = Vec::new();
        let (mut rest, mut first) = (words.as_mut_slice(), 0);
        while first < keys.starts.len() - 1 {
            let from = keys.starts[first] as usize;
            let next = (first + 1..keys.starts.len()).find(|&key| keys.starts[key] as usize >= from + PIECE_ROWS);
            let beyond = next.unwrap_or(keys.starts.len() - 1);
            let (piece, others) = std::mem::take(&mut rest).split_at_mut((keys.starts[beyond] as usize - from) * width);
            pieces.push((first..beyond, piece));
            (rest, first) = (others, beyond);
        }
        pieces.into_par_iter().for_each(|(range, answers)| {
            let mut answers = answers.chunks_exact_mut(width.max(1));
            let mut state = vec![0; layout.state_words()];
            for key in range.clone() {
                let mut history = History::new();
                state.fill(0);
                for event in keys.events(key) {
                    let (time, fraud) = (event[0].cast_signed() >> 1, event[0] & 1 == 1);
                    let event = Event { time, fraud, id: 0, words: &event[EVENT_HEAD..] };
                    history.observe(&layout, &mut state, &event, answers.next().unwrap_or_default());
                }
            }
            tell(keys.starts[range.end] - keys.starts[range.start]);
        });
        let of_aggregate =
            (0..plan.aggregates.len()).map(|place| mine.iter().position(|&one| one == place).unwrap_or(usize::MAX));
        Answers { places: keys.places, words, width, of_aggregate: of_aggregate.collect(), texts }
    }

    /// Whether a transaction was fraud, as far as is known: not known counts as not.
    fn is_fraud(&self, row: usize) -> bool {
        match self.schema.label.map(|label| &self.columns[label]) {
            Some(Column::Boolean(labels)) => labels[row] == Some(true),
            _ => false,
        }
    }

    /// The words that an event brings.
    fn event_words(&self, row: usize, arguments: &[(&Argument, Known)], words: &mut Vec<u64>) {
        for (argument, known) in arguments {
            match known {
                Known::Numbers(numbers) => words.push(word(&Value::double(numbers[row]), |_| NULL)),
                Known::Texts(numbered) => {
                    let stride = numbered.len() / self.times.len();
                    words.extend_from_slice(&numbered[row * stride..][..stride]);
                }
                Known::Nothing => words.extend(labels(argument).map(|label| self.argument(argument, row, label, |_| NULL))),
            }
        }
    }

    fn argument(&self, argument: &Argument, row: usize, label: Option<bool>, text: impl FnOnce(&Arc<str>) -> u64) -> u64 {
        word(&argument.expression.evaluate(&Labelled { history: self, row, label }), text)
    }

    /// What need not be evaluated when events are laid out: most arguments are a column as it is, and texts have been numbered.
    fn known(&self, argument: &Argument, texts: &mut Texts) -> Known<'_> {
        if argument.kind == Type::Text {
            let of_row = |row: usize| labels(argument).map(move |label| (row, label));
            let values = (0..self.times.len()).flat_map(of_row);
            return Known::Texts(
                values.map(|(row, label)| self.argument(argument, row, label, |text| texts.number(text))).collect(),
            );
        }
        match argument.expression {
            Expression::Column(place) => match &self.columns[place] {
                Column::Double(numbers) => Known::Numbers(numbers),
                _ => Known::Nothing,
            },
            _ => Known::Nothing,
        }
    }

    /// The events of each key together, in their order.
    fn by_key(&self, columns: &[usize], arguments: &[(&Argument, Known)]) -> Keys {
        let words: Vec<Vec<u64>> = columns.iter().map(|&column| key_words(&self.columns[column])).collect();
        let mut numbers: Lookup<Vec<u64>, u32> = Lookup::new();
        let mut key = Vec::with_capacity(columns.len());
        let mut counts: Vec<u32> = Vec::new();
        let number_of_row = |&row: &u32| {
            key.clear();
            key.extend(words.iter().map(|words| words[row as usize]));
            let number = numbers.get(&key).copied().unwrap_or_else(|| {
                numbers.insert(key.clone(), u32::try_from(counts.len()).expect("not more keys than rows"));
                counts.push(0);
                u32::try_from(counts.len() - 1).expect("not more keys than rows")
            });
            counts[number as usize] += 1;
            number
        };
        // First the number of each transaction's key, then, in the same place, where its event comes to lie.
        let mut places: Vec<u32> = self.order.iter().map(number_of_row).collect();
        drop(words);
        let mut starts = vec![0];
        starts.extend(counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        }));
        let mut next = starts.clone();
        let stride = EVENT_HEAD + arguments.iter().map(|(argument, _)| labels(argument).count()).sum::<usize>();
        let mut events = vec![0; stride * places.len()];
        let mut event = Vec::with_capacity(stride);
        for (place, &row) in places.iter_mut().zip(&self.order) {
            let number = *place as usize;
            *place = next[number];
            next[number] += 1;
            event.clear();
            event.push((self.times[row as usize] << 1).cast_unsigned() | u64::from(self.is_fraud(row as usize)));
            self.event_words(row as usize, arguments, &mut event);
            events[*place as usize * stride..][..stride].copy_from_slice(&event);
        }
        Keys { starts, places, events, stride }
    }
}

/// Words of an event before those of its arguments: its time, and in the lowest bit whether it was fraud. Times need far fewer bits.
const EVENT_HEAD: usize = 1;

/// What is known of an argument beforehand.
enum Known<'a> {
    /// The column that it is.
    Numbers(&'a [f64]),
    /// Words per transaction.
    Texts(Vec<u64>),
    Nothing,
}

/// A history by key.
struct Keys {
    /// Where each key's events begin; one more than there are keys.
    starts: Vec<u32>,
    /// Per transaction, where its event lies.
    places: Vec<u32>,
    /// Per event [`EVENT_HEAD`] and the words that it brings.
    events: Vec<u64>,
    stride: usize,
}

impl Keys {
    fn events(&self, key: usize) -> impl Iterator<Item = &[u64]> {
        let range = self.starts[key] as usize * self.stride..self.starts[key + 1] as usize * self.stride;
        self.events[range].chunks_exact(self.stride)
    }
}

fn key_words(column: &Column) -> Vec<u64> {
    match column {
        Column::Text { codes, .. } => codes.iter().map(|&code| if code == NULL_CODE { NULL } else { code.into() }).collect(),
        _ => (0..column.len()).map(|row| word(&column.value(row), |_| unreachable!("texts are above"))).collect(),
    }
}

fn labels(argument: &Argument) -> impl Iterator<Item = Option<bool>> + use<> {
    let labels = if argument.of_label { &[Some(false), Some(true)][..] } else { &[None] };
    labels.iter().copied()
}

/// A transaction as its label may turn out.
struct Labelled<'a> {
    history: &'a Transactions<'a>,
    row: usize,
    label: Option<bool>,
}

impl Row for Labelled<'_> {
    fn column(&self, place: usize) -> Value {
        match self.label {
            Some(fraud) if Some(place) == self.history.schema.label => Value::Boolean(fraud),
            _ => self.history.columns[place].value(self.row),
        }
    }

    fn aggregate(&self, _place: usize) -> Value {
        unreachable!("an argument looks at one transaction")
    }
}

/// Some transactions of a folded history, with their answers side by side.
struct Piece<'a> {
    folded: &'a Folded<'a>,
    places: Range<usize>,
    /// Per partition, the answers of each transaction.
    answers: Vec<Vec<u64>>,
}

/// One transaction of a piece.
struct PieceRow<'a> {
    piece: &'a Piece<'a>,
    place: usize,
    row: usize,
}

impl Folded<'_> {
    /// The rows of the history in the order of their events, those of the same instant as they stood.
    pub fn order(&self) -> &[u32] {
        &self.history.order
    }

    /// A column per feature, for the transactions at these places of the order.
    pub fn features(&self, places: Range<usize>) -> Vec<Column> {
        let answers = self.answers.iter().map(|answers| answers.side_by_side(places.clone())).collect();
        let piece = Piece { folded: self, places, answers };
        self.plan.features.par_iter().map(|feature| piece.feature(feature)).collect()
    }
}

impl Answers {
    /// The answers of these transactions in their order, copied once instead of looked for by every feature.
    fn side_by_side(&self, places: Range<usize>) -> Vec<u64> {
        let mut words = vec![NULL; places.len() * self.width];
        if self.width > 0 {
            let pieces = words.par_chunks_mut(self.width * COPIED_ROWS).zip(self.places[places].par_chunks(COPIED_ROWS));
            pieces.for_each(|(words, places)| {
                for (words, &place) in words.chunks_exact_mut(self.width).zip(places) {
                    words.copy_from_slice(&self.words[place as usize * self.width..][..self.width]);
                }
            });
        }
        words
    }
}

impl Piece<'_> {
    fn feature(&self, feature: &Feature) -> Column {
        // Most features are an aggregate as it is.
        if let Expression::Aggregate(aggregate) = feature.expression {
            let words = (0..self.places.len()).map(|place| self.word(aggregate, place));
            match feature.kind {
                Type::Integer => {
                    return Column::Integer(words.map(|word| if word == NULL { NULL_INTEGER } else { integer(word) }).collect());
                }
                Type::Double => {
                    return Column::Double(
                        words.map(|word| if word == NULL { f64::NAN } else { f64::from_bits(word) }).collect(),
                    );
                }
                _ => {}
            }
        }
        let rows = &self.folded.history.order[self.places.clone()];
        let values = rows.iter().enumerate().map(|(place, &row)| {
            let row = PieceRow { piece: self, place, row: row as usize };
            feature.expression.evaluate(&row)
        });
        column_of(feature.kind, values)
    }

    fn word(&self, aggregate: usize, place: usize) -> u64 {
        let partition = self.folded.plan.aggregates[aggregate].partition;
        let answers = &self.folded.answers[partition];
        self.answers[partition][place * answers.width + answers.of_aggregate[aggregate]]
    }
}

impl Row for PieceRow<'_> {
    fn column(&self, place: usize) -> Value {
        self.piece.folded.history.columns[place].value(self.row)
    }

    fn aggregate(&self, place: usize) -> Value {
        let aggregate = &self.piece.folded.plan.aggregates[place];
        let texts = &self.piece.folded.answers[aggregate.partition].texts;
        value(self.piece.word(place, self.place), aggregate.kind, |number| texts.text(number))
    }
}

/// Values of one type as a column.
pub fn column_of(kind: Type, values: impl Iterator<Item = Value>) -> Column {
    match kind {
        Type::Boolean => {
            Column::Boolean(values.map(|value| if let Value::Boolean(truth) = value { Some(truth) } else { None }).collect())
        }
        Type::Double => {
            Column::Double(values.map(|value| if let Value::Double(number) = value { number } else { f64::NAN }).collect())
        }
        Type::Integer => Column::Integer(values.map(|value| whole(&value)).collect()),
        Type::Timestamp | Type::Interval => Column::Timestamp(values.map(|value| whole(&value)).collect()),
        Type::Text => {
            let mut texts = Texts::new();
            let code = |value| match value {
                Value::Text(text) => u32::try_from(texts.number(&text)).expect("a column has less than 2^32 texts"),
                _ => NULL_CODE,
            };
            let codes = values.map(code).collect();
            let texts = texts.all().to_vec();
            Column::Text { codes, texts }
        }
    }
}

fn whole(value: &Value) -> i64 {
    match *value {
        Value::Integer(number) | Value::Timestamp(number) | Value::Interval(number) => number,
        _ => NULL_INTEGER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_than_can_be_numbered_are_refused_in_a_sentence() {
        let most = u32::MAX as usize;
        assert_eq!(numbered(most), Ok(u32::MAX));
        let refused = numbered(most + 1).unwrap_err();
        assert_eq!(refused, FoldError::TooManyRows { rows: most + 1 });
        assert!(refused.to_string().starts_with("there are 4294967296 transactions, and at most 4294967295 can be"), "{refused}");
    }
}
