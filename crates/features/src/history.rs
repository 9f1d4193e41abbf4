//! The past of one key: its transactions in order, and what each window says of those inside it.
//!
//! Time only goes forward for a window: transactions enter at its end, leave at its beginning, and what it tells is kept up with each.
//! A late transaction is put where it belongs and the windows are gone through again from the start, which costs as many steps as the
//! key has transactions, and gives what they would have told had it come in time, to the last bit.

use std::collections::VecDeque;
use std::ops::Range;

use assay_domain::Type;

use crate::exact_sum::ExactSum;
use crate::lookup::Lookup;
use crate::plan::{Aggregate, Argument, Frame, Measure, NULL, Partition, double_word, integer, integer_word};

/// Transactions of one key that are remembered, the newest: with more, windows look back less far. No card pays that often.
const MAX_EVENTS: usize = 10_000_000;

/// How the histories of a partition are laid out and what is asked of them.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The windows, and which tallies each has.
    frames: Vec<(Frame, Range<usize>)>,
    arguments: Vec<Argument>,
    /// Words per event: its time, whether it was fraud when that matters, and a word per argument, or two when the label decides.
    stride: usize,
    /// Where each argument's word is; when the label decides, the one for "not fraud", followed by the one for "fraud".
    offsets: Vec<usize>,
    has_label: bool,
    /// What is kept up, frame by frame.
    tallies: Vec<TallyKind>,
    /// The answers: which tallies, or which event, each aggregate is read from.
    answers: Vec<(Aggregate, Vec<usize>)>,
    /// Transactions older than this before the newest are forgotten, in microseconds.
    reach: i64,
    lateness: i64,
    kept: usize,
    most: usize,
}

/// Something kept up for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TallyKind {
    frame: usize,
    argument: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Count,
    Doubles,
    Integers,
    Distinct,
    Least,
    Greatest,
}

/// The state of a tally for one key.
#[derive(Clone, Debug, PartialEq)]
enum Tally {
    Count(u32),
    Doubles(ExactSum),
    Integers(i128),
    Distinct(Box<Lookup<u64, u32>>),
    /// Numbers of events whose value none after it in the window is better than; the first has the best.
    Extreme(VecDeque<u64>),
}

/// The past of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    words: VecDeque<u64>,
    /// When the first event was, so that a sweep need not look into the words.
    oldest: i64,
    /// How many events were forgotten: the number of the first that is left.
    forgotten: u64,
    /// Per frame, the number of the first event inside it and of the first beyond its end.
    bounds: Box<[(u64, u64)]>,
    tallies: Box<[Tally]>,
}

/// An event as a history takes it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When it was, in microseconds.
    pub time: i64,
    /// Whether it was fraud, as far as is known: not known counts as not.
    pub fraud: bool,
    /// A word per argument; where the label decides, one for "not fraud" and one for "fraud".
    pub words: &'a [u64],
}

impl Layout {
    /// The layout for a partition and those of the plan's aggregates that look at it, in the plan's order.
    pub fn new(partition: &Partition, aggregates: &[Aggregate], lateness: i64) -> Self {
        let has_label = partition.arguments.iter().any(|argument| argument.of_label);
        let mut stride = 1 + usize::from(has_label);
        let mut offsets = Vec::new();
        for argument in &partition.arguments {
            offsets.push(stride);
            stride += 1 + usize::from(argument.of_label);
        }
        let wanted = |aggregate: &Aggregate| {
            let argument = partition.arguments.get(aggregate.argument);
            needed(aggregate.measure, argument)
                .iter()
                .map(|&what| TallyKind { frame: aggregate.frame, argument: aggregate.argument, what })
                .collect::<Vec<_>>()
        };
        let mut tallies: Vec<TallyKind> = Vec::new();
        for kind in aggregates.iter().flat_map(wanted) {
            if !tallies.contains(&kind) {
                tallies.push(kind);
            }
        }
        tallies.sort_by_key(|kind| kind.frame);
        let of_frame =
            |frame| tallies.partition_point(|kind| kind.frame < frame)..tallies.partition_point(|kind| kind.frame <= frame);
        let place = |kind: TallyKind| tallies.iter().position(|known| *known == kind).expect("gathered above");
        let read_from = |aggregate: &Aggregate| wanted(aggregate).into_iter().map(place).collect();
        let answers = aggregates.iter().map(|aggregate| (aggregate.clone(), read_from(aggregate))).collect();
        Self {
            reach: partition.frames.iter().map(|frame| frame.start).max().unwrap_or(0) + lateness,
            frames: partition.frames.iter().enumerate().map(|(place, frame)| (*frame, of_frame(place))).collect(),
            arguments: partition.arguments.clone(),
            stride,
            offsets,
            has_label,
            tallies,
            answers,
            lateness,
            kept: partition.kept,
            most: MAX_EVENTS,
        }
    }

    /// How many words an [`Event`] brings.
    pub fn event_words(&self) -> usize {
        self.stride - 1 - usize::from(self.has_label)
    }

    /// How many answers an event gets.
    pub fn answers(&self) -> usize {
        self.answers.len()
    }
}

/// What a measure is read from; of values that are never NULL there are as many as transactions.
fn needed(measure: Measure, argument: Option<&Argument>) -> &'static [What] {
    let whole = argument.is_some_and(|argument| argument.kind == Type::Integer);
    let counted = argument.is_some_and(|argument| argument.never_null);
    match measure {
        Measure::Rows | Measure::First | Measure::Lag(_) | Measure::Deviation => &[],
        Measure::Count if counted => &[],
        Measure::Count => &[What::Count],
        Measure::CountDistinct => &[What::Distinct],
        Measure::Sum | Measure::Mean if counted && whole => &[What::Integers],
        Measure::Sum | Measure::Mean if counted => &[What::Doubles],
        Measure::Sum | Measure::Mean if whole => &[What::Integers, What::Count],
        Measure::Sum | Measure::Mean => &[What::Doubles, What::Count],
        Measure::Least => &[What::Least],
        Measure::Greatest => &[What::Greatest],
    }
}

impl History {
    /// Of a key that has none yet.
    pub fn new(layout: &Layout) -> Self {
        Self {
            words: VecDeque::new(),
            oldest: i64::MAX,
            forgotten: 0,
            bounds: vec![(0, 0); layout.frames.len()].into(),
            tallies: fresh(layout),
        }
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Reads the past at the event's time, the event itself included, then remembers it; `answers` gets a word per aggregate.
    pub fn observe(&mut self, layout: &Layout, event: &Event, answers: &mut [u64]) {
        let events = self.events(layout);
        let late = events > 0 && event.time < self.time(layout, events - 1);
        let place = if late { self.first_after(layout, event.time) } else { events };
        self.insert(layout, place, event);
        if late {
            self.bounds.fill((self.forgotten, self.forgotten));
            self.tallies = fresh(layout);
        }
        self.advance(layout, event.time);
        for (answer, (aggregate, tallies)) in answers.iter_mut().zip(&layout.answers) {
            *answer = self.answer(layout, aggregate, tallies, place);
        }
        self.forget(layout);
    }

    /// Forgets what no window will look at again when the newest transaction of all happened at `now`.
    pub fn forget_before(&mut self, layout: &Layout, now: i64) {
        while self.oldest < now - layout.reach && layout.kept == 0 {
            self.drop_first(layout);
        }
    }

    fn events(&self, layout: &Layout) -> usize {
        self.words.len() / layout.stride
    }

    fn time(&self, layout: &Layout, place: usize) -> i64 {
        self.words[place * layout.stride].cast_signed()
    }

    /// The place behind the last event that is not after `time`.
    fn first_after(&self, layout: &Layout, time: i64) -> usize {
        let (mut low, mut high) = (0, self.events(layout));
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.time(layout, middle) <= time { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn insert(&mut self, layout: &Layout, place: usize, event: &Event) {
        let label = layout.has_label.then(|| u64::from(event.fraud));
        let words = std::iter::once(event.time.cast_unsigned()).chain(label).chain(event.words.iter().copied());
        self.oldest = self.oldest.min(event.time);
        if place == self.events(layout) {
            self.words.extend(words);
            return;
        }
        for (offset, word) in words.enumerate() {
            self.words.insert(place * layout.stride + offset, word);
        }
    }

    fn advance(&mut self, layout: &Layout, time: i64) {
        let events = self.events(layout) as u64;
        for (frame, (window, _)) in layout.frames.iter().enumerate() {
            let (mut first, mut beyond) = self.bounds[frame];
            while beyond - self.forgotten < events && self.time_of(layout, beyond) <= time - window.end {
                self.enter(layout, frame, beyond);
                beyond += 1;
            }
            while first < beyond && self.time_of(layout, first) < time - window.start {
                self.leave(layout, frame, first);
                first += 1;
            }
            self.bounds[frame] = (first, beyond);
        }
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number - self.forgotten).expect("events are held in memory")
    }

    fn time_of(&self, layout: &Layout, number: u64) -> i64 {
        self.time(layout, self.place(number))
    }

    fn word(&self, layout: &Layout, place: usize, argument: usize) -> u64 {
        let at = place * layout.stride;
        let fraud = layout.arguments[argument].of_label && self.words[at + 1] == 1;
        self.words[at + layout.offsets[argument] + usize::from(fraud)]
    }

    fn enter(&mut self, layout: &Layout, frame: usize, number: u64) {
        for tally in layout.frames[frame].1.clone() {
            let kind = &layout.tallies[tally];
            let word = self.word(layout, self.place(number), kind.argument);
            if word == NULL {
                continue;
            }
            if matches!(kind.what, What::Least | What::Greatest) {
                self.enter_extreme(layout, tally, kind, number, word);
                continue;
            }
            match &mut self.tallies[tally] {
                Tally::Count(count) => *count += 1,
                Tally::Doubles(sum) => sum.add(f64::from_bits(word)),
                Tally::Integers(sum) => *sum += i128::from(integer(word)),
                Tally::Distinct(counts) => match counts.get_mut(&word) {
                    Some(count) => *count += 1,
                    None => counts.insert(word, 1),
                },
                Tally::Extreme(_) => unreachable!("entered above"),
            }
        }
    }

    fn enter_extreme(&mut self, layout: &Layout, tally: usize, kind: &TallyKind, number: u64, word: u64) {
        loop {
            let Tally::Extreme(best) = &self.tallies[tally] else { unreachable!("laid out as one") };
            let Some(&last) = best.back() else { break };
            let known = self.word(layout, self.place(last), kind.argument);
            let ordering = order(word, known, layout.arguments[kind.argument].kind);
            let better = if kind.what == What::Least { ordering.is_le() } else { ordering.is_ge() };
            if !better {
                break;
            }
            let Tally::Extreme(best) = &mut self.tallies[tally] else { unreachable!("laid out as one") };
            best.pop_back();
        }
        let Tally::Extreme(best) = &mut self.tallies[tally] else { unreachable!("laid out as one") };
        best.push_back(number);
    }

    fn leave(&mut self, layout: &Layout, frame: usize, number: u64) {
        for tally in layout.frames[frame].1.clone() {
            let kind = &layout.tallies[tally];
            let word = self.word(layout, self.place(number), kind.argument);
            if word == NULL {
                continue;
            }
            match &mut self.tallies[tally] {
                Tally::Count(count) => *count -= 1,
                Tally::Doubles(sum) => sum.remove(f64::from_bits(word)),
                Tally::Integers(sum) => *sum -= i128::from(integer(word)),
                Tally::Distinct(counts) => {
                    let count = counts.get_mut(&word).expect("it entered");
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&word);
                    }
                }
                Tally::Extreme(best) => {
                    if best.front() == Some(&number) {
                        best.pop_front();
                    }
                }
            }
        }
    }

    fn answer(&self, layout: &Layout, aggregate: &Aggregate, tallies: &[usize], place: usize) -> u64 {
        let (first, beyond) = self.bounds.get(aggregate.frame).copied().unwrap_or_default();
        let tally = |which: usize| &self.tallies[tallies[which]];
        let whole = |number: u64| integer_word(number.cast_signed());
        match aggregate.measure {
            Measure::Rows => whole(beyond - first),
            Measure::Count if tallies.is_empty() => whole(beyond - first),
            Measure::Count | Measure::CountDistinct | Measure::Least | Measure::Greatest => match tally(0) {
                Tally::Count(count) => whole((*count).into()),
                Tally::Distinct(counts) => whole(counts.len() as u64),
                Tally::Extreme(best) => {
                    best.front().map_or(NULL, |&number| self.word(layout, self.place(number), aggregate.argument))
                }
                _ => unreachable!("laid out as one of these"),
            },
            Measure::Sum | Measure::Mean => {
                let count = match tallies.get(1).map(|&place| &self.tallies[place]) {
                    Some(Tally::Count(count)) => (*count).into(),
                    _ => beyond - first,
                };
                match tally(0) {
                    _ if count == 0 => NULL,
                    Tally::Integers(sum) if aggregate.measure == Measure::Sum => i64::try_from(*sum).map_or(NULL, integer_word),
                    Tally::Integers(sum) => double_word(*sum as f64 / count as f64),
                    Tally::Doubles(sum) if aggregate.measure == Measure::Sum => double_word(sum.value()),
                    Tally::Doubles(sum) => double_word(sum.value() / count as f64),
                    _ => unreachable!("laid out as one of these"),
                }
            }
            Measure::Deviation => self.deviation(layout, aggregate, self.place(first)..self.place(beyond)),
            Measure::First if first == beyond => NULL,
            Measure::First => self.word(layout, self.place(first), aggregate.argument),
            Measure::Lag(distance) => {
                place.checked_sub(distance).map_or(NULL, |before| self.word(layout, before, aggregate.argument))
            }
        }
    }

    /// Two passes over the window, each an exact sum: squares of distances from the mean, of which none cancels another.
    fn deviation(&self, layout: &Layout, aggregate: &Aggregate, places: Range<usize>) -> u64 {
        let kind = layout.arguments[aggregate.argument].kind;
        let numbers = || {
            let words = places.clone().map(|place| self.word(layout, place, aggregate.argument)).filter(|&word| word != NULL);
            words.map(|word| if kind == Type::Integer { integer(word) as f64 } else { f64::from_bits(word) })
        };
        let count = numbers().count() as f64;
        if count < 2.0 {
            return NULL;
        }
        let mut sum = ExactSum::default();
        numbers().for_each(|number| sum.add(number));
        let mean = sum.value() / count;
        let mut squares = ExactSum::default();
        numbers()
            .map(|number| (number - mean) * (number - mean))
            .filter(|square| square.is_finite())
            .for_each(|square| squares.add(square));
        double_word((squares.value() / (count - 1.0)).sqrt())
    }

    fn forget(&mut self, layout: &Layout) {
        let newest = self.time(layout, self.events(layout) - 1);
        while self.oldest < newest - layout.reach && self.may_go(layout, newest) {
            self.drop_first(layout);
        }
        while self.events(layout) > layout.most {
            self.drop_first(layout);
        }
    }

    /// Whether enough events for `lag` stay that even the latest transaction still comes after.
    fn may_go(&self, layout: &Layout, newest: i64) -> bool {
        layout.kept == 0 || (self.events(layout) > layout.kept && self.time(layout, layout.kept) <= newest - layout.lateness)
    }

    fn drop_first(&mut self, layout: &Layout) {
        for frame in 0..layout.frames.len() {
            let (first, beyond) = self.bounds[frame];
            // A window that has not gone on yet, because its key had no transaction since, still holds it.
            if first == self.forgotten {
                if beyond > first {
                    self.leave(layout, frame, first);
                }
                self.bounds[frame] = (first + 1, beyond.max(first + 1));
            }
        }
        self.words.drain(..layout.stride);
        self.forgotten += 1;
        self.oldest = self.words.front().map_or(i64::MAX, |time| time.cast_signed());
    }
}

fn order(left: u64, right: u64, kind: Type) -> std::cmp::Ordering {
    match kind {
        Type::Double => f64::from_bits(left).total_cmp(&f64::from_bits(right)),
        Type::Boolean => left.cmp(&right),
        _ => integer(left).cmp(&integer(right)),
    }
}

fn fresh(layout: &Layout) -> Box<[Tally]> {
    let tally = |kind: &TallyKind| match kind.what {
        What::Count => Tally::Count(0),
        What::Doubles => Tally::Doubles(ExactSum::default()),
        What::Integers => Tally::Integers(0),
        What::Distinct => Tally::Distinct(Box::new(Lookup::new())),
        What::Least | What::Greatest => Tally::Extreme(VecDeque::new()),
    };
    layout.tallies.iter().map(tally).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::Expression;
    use crate::plan::word;
    use assay_domain::Value;

    /// One card that pays once a second for ever: the last three are what its windows see.
    #[test]
    fn a_key_with_more_events_than_the_limit_forgets_the_oldest() {
        let argument = Argument { expression: Expression::Column(0), kind: Type::Double, of_label: false, never_null: false };
        let frame = Frame { start: i64::MAX / 4, end: 0 };
        let partition = Partition { columns: vec![0], arguments: vec![argument], frames: vec![frame], kept: 0 };
        let measures = [Measure::Rows, Measure::Sum, Measure::Greatest, Measure::First];
        let asked = measures.map(|measure| Aggregate { partition: 0, frame: 0, measure, argument: 0, kind: Type::Double });
        let layout = Layout { most: 3, ..Layout::new(&partition, &asked, 0) };
        let mut history = History::new(&layout);
        let mut answers = [0; 4];
        for time in 0..100 {
            let amount = word(&Value::Double(100.0 - f64::from(time)), |_| NULL);
            history.observe(&layout, &Event { time: time.into(), fraud: false, words: &[amount] }, &mut answers);
        }
        // The current one, 1, and those still remembered when it came: 2, 3 and 4.
        assert_eq!(integer(answers[0]), 4);
        assert_eq!([1, 2, 3].map(|place| f64::from_bits(answers[place])), [10.0, 4.0, 4.0]);
        assert_eq!(history.events(&layout), 3);
    }
}
