//! The fold of a stream: one transaction after the other, in the order in which they arrived.

use std::sync::Arc;

use assay_domain::{Schema, Value};

use crate::definition::Definition;
use crate::expression::Row;
use crate::history::{Event, History, Layout};
use crate::lookup::Lookup;
use crate::plan::{NULL, Plan, value, word};

/// Keys that are looked at for something to forget, per partition and transaction: more than can be added, so that memory follows time.
const SWEPT: usize = 2;

/// The state behind the features of a definition: the past of every key, as far back as a window looks.
#[derive(Clone, Debug)]
pub struct Features {
    definition: Definition,
    pasts: Vec<Pasts>,
    texts: Texts,
    /// The event time of the newest transaction.
    newest: i64,
}

/// What a transaction looks like next to its past.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// A value per feature, in the definition's order.
    pub features: Vec<Value>,
    /// Whether it came later than `max_lateness` allows: it was not remembered, and no later transaction will see it.
    pub too_late: bool,
}

/// The pasts of one partition.
#[derive(Clone, Debug)]
struct Pasts {
    layout: Layout,
    /// Place of each aggregate of this partition in the plan.
    aggregates: Vec<usize>,
    places: Lookup<Key, usize>,
    histories: Vec<(Key, History)>,
    /// The key that is swept next.
    next: usize,
}

/// The words of a key: nearly always one, which needs no memory of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    One(u64),
    Several(Box<[u64]>),
}

/// Texts by number, in the order in which they were seen first.
#[derive(Clone, Debug)]
struct Texts {
    numbers: Lookup<Arc<str>, u64>,
    texts: Vec<Arc<str>>,
}

impl Features {
    /// With no past yet.
    pub fn new(definition: Definition) -> Self {
        let plan = &definition.plan;
        let pasts = (0..plan.partitions.len()).map(|partition| Pasts::new(plan, partition)).collect();
        Self { pasts, texts: Texts { numbers: Lookup::new(), texts: Vec::new() }, newest: i64::MIN, definition }
    }

    /// The definition whose features these are.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// How many keys of any partition have a past.
    pub fn keys(&self) -> usize {
        self.pasts.iter().map(|pasts| pasts.histories.len()).sum()
    }

    /// Reads the past of `transaction`, which has a value per column of the schema, then remembers it. Its label may be NULL.
    pub fn observe(&mut self, transaction: &[Value]) -> Observed {
        let plan = &self.definition.plan;
        let schema = &plan.schema;
        let Value::Timestamp(time) = transaction[schema.event_time] else {
            unreachable!("a transaction was admitted without a time")
        };
        let too_late = time < self.newest.saturating_sub(schema.max_lateness);
        self.newest = self.newest.max(time);
        let fraud = schema.label.is_some_and(|label| transaction[label] == Value::Boolean(true));
        let mut aggregates = vec![Value::Null; plan.aggregates.len()];
        for (pasts, partition) in self.pasts.iter_mut().zip(&plan.partitions) {
            let mut word = |value: &Value| word(value, |text| self.texts.number(text));
            let key = match partition.columns.as_slice() {
                [column] => Key::One(word(&transaction[*column])),
                columns => Key::Several(columns.iter().map(|&column| word(&transaction[column])).collect()),
            };
            let mut words = Vec::with_capacity(pasts.layout.event_words());
            for argument in &partition.arguments {
                let labels = if argument.of_label { &[Some(false), Some(true)][..] } else { &[None] };
                for &label in labels {
                    words.push(word(&argument.expression.evaluate(&Labelled { transaction, schema, label })));
                }
            }
            let mut answers = vec![NULL; pasts.aggregates.len()];
            pasts.observe(&key, &Event { time, fraud, words: &words }, too_late, self.newest, &mut answers);
            for (&place, &answer) in pasts.aggregates.iter().zip(&answers) {
                aggregates[place] = value(answer, plan.aggregates[place].kind, |number| self.texts.text(number));
            }
        }
        let row = Complete { transaction, aggregates: &aggregates };
        let features = plan.features.iter().map(|feature| feature.expression.evaluate(&row)).collect();
        Observed { features, too_late }
    }
}

impl Pasts {
    fn new(plan: &Plan, partition: usize) -> Self {
        let aggregates: Vec<usize> =
            (0..plan.aggregates.len()).filter(|&place| plan.aggregates[place].partition == partition).collect();
        let asked: Vec<_> = aggregates.iter().map(|&place| plan.aggregates[place].clone()).collect();
        let layout = Layout::new(&plan.partitions[partition], &asked, plan.schema.max_lateness);
        Self { layout, aggregates, places: Lookup::new(), histories: Vec::new(), next: 0 }
    }

    fn observe(&mut self, key: &Key, event: &Event, too_late: bool, newest: i64, answers: &mut [u64]) {
        if too_late {
            let known = self.places.get(key).map(|&place| self.histories[place].1.clone());
            let mut past = known.unwrap_or_else(|| History::new(&self.layout));
            past.forget_before(&self.layout, newest);
            past.observe(&self.layout, event, answers);
            return;
        }
        let place = self.places.get(key).copied().unwrap_or_else(|| {
            self.histories.push((key.clone(), History::new(&self.layout)));
            self.places.insert(key.clone(), self.histories.len() - 1);
            self.histories.len() - 1
        });
        self.histories[place].1.observe(&self.layout, event, answers);
        self.sweep(newest);
    }

    fn sweep(&mut self, newest: i64) {
        for _ in 0..SWEPT {
            if self.next >= self.histories.len() {
                self.next = 0;
            }
            let (_, history) = &mut self.histories[self.next];
            history.forget_before(&self.layout, newest);
            if history.is_empty() {
                let (key, _) = self.histories.swap_remove(self.next);
                self.places.remove(&key);
                if let Some((moved, _)) = self.histories.get(self.next) {
                    *self.places.get_mut(moved).expect("every history has its key") = self.next;
                }
                if self.histories.is_empty() {
                    return;
                }
            } else {
                self.next += 1;
            }
        }
    }
}

impl Texts {
    fn number(&mut self, text: &Arc<str>) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u64;
        self.texts.push(text.clone());
        self.numbers.insert(text.clone(), number);
        number
    }

    fn text(&self, number: u64) -> Arc<str> {
        self.texts[usize::try_from(number).expect("texts are held in memory")].clone()
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
