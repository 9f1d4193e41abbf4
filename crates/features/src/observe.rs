//! The fold of a stream: one transaction after the other, in the order in which they arrived.

use assay_domain::{Schema, Value};

use crate::definition::Definition;
use crate::expression::Row;
use crate::history::Event;
use crate::pasts::{Found, Key, Pasts};
use crate::plan::{NULL, Partition, value, word};
use crate::texts::Texts;

/// Texts before the first time that those are forgotten which no past mentions; later, when they have doubled since.
const TEXTS_KEPT: usize = 1 << 16;

/// The state behind the features of a definition: the past of every key, as far back as a window looks.
#[derive(Clone, Debug)]
pub struct Features {
    pub(crate) definition: Definition,
    pub(crate) pasts: Vec<Pasts>,
    pub(crate) texts: Texts,
    /// How many texts there may be until those are forgotten which no past mentions.
    pub(crate) texts_most: usize,
    /// The event time of the newest transaction.
    pub(crate) newest: i64,
    /// Memory of the last transaction that the next one uses again.
    scratch: Scratch,
}

#[derive(Clone, Debug, Default)]
struct Scratch {
    found: Vec<(Key, Found)>,
    words: Vec<u64>,
    answers: Vec<u64>,
    aggregates: Vec<Value>,
}

/// What a transaction looks like next to its past.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// A value per feature, in the definition's order.
    pub features: Vec<Value>,
    /// Whether it came later than `max_lateness` allows: it was not remembered, and no later transaction will see it.
    pub too_late: bool,
}

impl Features {
    /// With no past yet.
    pub fn new(definition: Definition) -> Self {
        let plan = &definition.plan;
        let pasts = (0..plan.partitions.len()).map(|partition| Pasts::new(plan, partition)).collect();
        Self { pasts, texts: Texts::new(), texts_most: TEXTS_KEPT, newest: i64::MIN, scratch: Scratch::default(), definition }
    }

    /// The definition whose features these are.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// How many keys of any partition have a past.
    pub fn keys(&self) -> usize {
        self.pasts.iter().map(Pasts::len).sum()
    }

    /// Reads the past of `transaction`, then remembers it. Its label may be NULL. It was admitted by [`Schema::admit`].
    pub fn observe(&mut self, transaction: &[Value]) -> Observed {
        let plan = &self.definition.plan;
        let schema = &plan.schema;
        let time = event_time(schema, transaction);
        let too_late = time < self.newest.saturating_sub(schema.max_lateness);
        self.newest = self.newest.max(time);
        let fraud = is_fraud(schema, transaction);
        // All keys first: what is looked for in memory far apart can be on its way at once.
        let Scratch { found, words, answers, aggregates } = &mut self.scratch;
        found.clear();
        for (pasts, partition) in self.pasts.iter().zip(&plan.partitions) {
            let key = key(partition, transaction, &mut self.texts);
            let place = pasts.find(&key);
            found.push((key, place));
        }
        let touched = self.pasts.iter().zip(found.iter()).fold(0, |all, (pasts, (_, place))| all ^ pasts.touch(*place));
        std::hint::black_box(touched);
        aggregates.resize(plan.aggregates.len(), Value::Null);
        for (pasts, found) in self.pasts.iter_mut().zip(found.drain(..)) {
            event_words(pasts, schema, transaction, &mut self.texts, words);
            answers.clear();
            answers.resize(pasts.aggregates.len(), NULL);
            let id = id(pasts, schema, transaction);
            pasts.observe(found, &Event { time, fraud, id, words }, too_late, self.newest, answers);
            for (&place, &answer) in pasts.aggregates.iter().zip(answers.iter()) {
                aggregates[place] = value(answer, plan.aggregates[place].kind, |number| self.texts.text(number));
            }
        }
        let row = Complete { transaction, aggregates };
        let features = plan.features.iter().map(|feature| feature.expression.evaluate(&row)).collect();
        if self.texts.len() > self.texts_most {
            self.forget_texts();
        }
        Observed { features, too_late }
    }

    /// Gives a transaction that was observed another label, for what comes after. `transaction` is as it was observed, with the label that
    /// it was last given; whether it is still remembered. Nothing to change is no change.
    pub fn relabel(&mut self, transaction: &[Value], label: Option<bool>) -> bool {
        let schema = &self.definition.plan.schema;
        let fraud = label == Some(true);
        if is_fraud(schema, transaction) == fraud {
            return true;
        }
        let time = event_time(schema, transaction);
        let mut remembered = false;
        let mut words = Vec::new();
        for (pasts, partition) in self.pasts.iter_mut().zip(&self.definition.plan.partitions) {
            let key = key(partition, transaction, &mut self.texts);
            event_words(pasts, schema, transaction, &mut self.texts, &mut words);
            let id = id(pasts, schema, transaction);
            remembered |= pasts.relabel(&key, &Event { time, fraud, id, words: &words });
        }
        remembered
    }

    /// Forgets the texts that no past mentions, and numbers the others anew.
    fn forget_texts(&mut self) {
        let old = std::mem::replace(&mut self.texts, Texts::new());
        for pasts in &mut self.pasts {
            pasts.renumber(&mut |number| self.texts.number(&old.text(number)));
        }
        self.texts_most = TEXTS_KEPT.max(2 * self.texts.len());
    }
}

fn event_time(schema: &Schema, transaction: &[Value]) -> i64 {
    match transaction[schema.event_time] {
        Value::Timestamp(time) => time,
        _ => unreachable!("a transaction was admitted without a time"),
    }
}

fn is_fraud(schema: &Schema, transaction: &[Value]) -> bool {
    schema.label.is_some_and(|label| transaction[label] == Value::Boolean(true))
}

fn key(partition: &Partition, transaction: &[Value], texts: &mut Texts) -> Key {
    let mut word = |column: &usize| word(&transaction[*column], |text| texts.number(text));
    match partition.columns.as_slice() {
        [column] => Key::One(word(column)),
        columns => Key::Several(columns.iter().map(word).collect()),
    }
}

/// What tells a transaction from every other, where that matters; a text by its hash (FNV-1a), since its text is not wanted back.
fn id(pasts: &Pasts, schema: &Schema, transaction: &[Value]) -> u64 {
    if !pasts.layout.identified() {
        return 0;
    }
    let hash = |text: &str| {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    word(&transaction[schema.id], |text| hash(text))
}

/// The words that a transaction brings into a past.
fn event_words(pasts: &Pasts, schema: &Schema, transaction: &[Value], texts: &mut Texts, words: &mut Vec<u64>) {
    words.clear();
    for argument in pasts.layout.brought() {
        let labels = if argument.of_label { &[Some(false), Some(true)][..] } else { &[None] };
        for &label in labels {
            let value = argument.expression.evaluate(&Labelled { transaction, schema, label });
            words.push(word(&value, |text| texts.number(text)));
        }
    }
}

/// A transaction as its label may turn out.
struct Labelled<'a> {
    transaction: &'a [Value],
    schema: &'a Schema,
    label: Option<bool>,
}

impl Row for Labelled<'_> {
    fn column(&self, place: usize) -> Value {
        match self.label {
            Some(fraud) if Some(place) == self.schema.label => Value::Boolean(fraud),
            _ => self.transaction[place].clone(),
        }
    }

    fn aggregate(&self, _place: usize) -> Value {
        unreachable!("an argument looks at one transaction")
    }
}

/// A transaction with what its windows tell.
struct Complete<'a> {
    transaction: &'a [Value],
    aggregates: &'a [Value],
}

impl Row for Complete<'_> {
    fn column(&self, place: usize) -> Value {
        self.transaction[place].clone()
    }

    fn aggregate(&self, place: usize) -> Value {
        self.aggregates[place].clone()
    }
}
