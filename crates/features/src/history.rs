//! The past of one key: its transactions in order, and what each window says of those inside it.
//!
//! Time only goes forward for a window: transactions enter at its end, leave at its beginning, and what it tells is kept up with each.
//! A late transaction is put where it belongs and the windows are gone through again from the start, which costs as many steps as the
//! key has transactions, and gives what they would have told had it come in time, to the last bit.
//!
//! There are millions of keys, so a past is small: 16 bytes for a payment with its amount, 8 where only the label is asked for. What its
//! windows tell stands in words of a fixed number, which the owner of many pasts keeps side by side.

use std::collections::VecDeque;
use std::ops::Range;

use assay_domain::{Type, Value};

use crate::exact_sum::{ExactSum, Narrow, Wide};
use crate::expression::{Expression, Row};
use crate::lookup::Lookup;
use crate::plan::{Aggregate, Argument, Frame, Measure, NULL, Partition, double_word, integer, integer_word, word};

/// Transactions of one key that are remembered, the newest: with more, windows look back less far. No card pays that often.
const MAX_EVENTS: usize = 10_000_000;

/// How the pasts of a partition are laid out and what is asked of them.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The windows, and which tallies each has.
    frames: Vec<(Frame, Range<usize>)>,
    arguments: Vec<Argument>,
    /// Where the word of each argument is.
    sources: Vec<Source>,
    /// Places of the arguments that an event brings.
    brought: Vec<usize>,
    /// Words per event: its time with its label, its id when that matters, and those that it brings.
    stride: usize,
    /// Whether an event's id is remembered: `first_value` of a label tells events apart that have nothing else to tell them apart.
    identified: bool,
    /// What is kept up, frame by frame.
    tallies: Vec<TallyKind>,
    /// The answers: which tallies, or which event, each aggregate is read from.
    answers: Vec<(Aggregate, Vec<usize>)>,
    /// Words of a past beside its events: a frame's bounds, then its tallies.
    state_words: usize,
    /// Transactions older than this before the newest are forgotten, in microseconds.
    reach: i64,
    lateness: i64,
    kept: usize,
    most: usize,
}

/// Where the word of an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It depends on the label alone: for "not fraud", and for "fraud".
    Label([u64; 2]),
    /// At this word of the event.
    Event(usize),
    /// At this word for "not fraud", at the next one for "fraud".
    EventByLabel(usize),
}

/// Something kept up for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TallyKind {
    frame: usize,
    argument: usize,
    what: What,
    /// Its first word in the state.
    state: usize,
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

impl What {
    /// How many words of state it needs.
    fn words(self) -> usize {
        match self {
            Self::Count => 1,
            Self::Doubles | Self::Integers => 2,
            Self::Distinct | Self::Least | Self::Greatest => 0,
        }
    }
}

/// What a tally needs beyond words of a fixed number.
#[derive(Clone, Debug, Default, PartialEq)]
enum More {
    #[default]
    Nothing,
    /// Numbers that are no amounts of money.
    Wide(Box<Wide>),
    Distinct(Box<Lookup<u64, u32>>),
    /// Numbers of events whose value none after it in the window is better than; the first has the best.
    Extreme(VecDeque<u32>),
}

/// The past of one key; what its windows tell is in words beside it, [`Layout::state_words`] of them, zero at first.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    words: VecDeque<u64>,
    /// When the first event was, so that a sweep need not look into the words.
    oldest: i64,
    /// How many events were forgotten, modulo 2³²: the number of the first that is left.
    forgotten: u32,
    /// Per tally, once one needs it.
    more: Box<[More]>,
}

/// An event as a history takes it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When it was, in microseconds.
    pub time: i64,
    /// Whether it was fraud, as far as is known: not known counts as not.
    pub fraud: bool,
    /// What tells it from every other, where the layout asks for it.
    pub id: u64,
    /// A word per argument that events bring; where the label decides, one for "not fraud" and one for "fraud".
    pub words: &'a [u64],
}

/// Time and label in one word, in the order of time; years have 59 bits.
fn head(time: i64, fraud: bool) -> u64 {
    (time << 1 | i64::from(fraud)).cast_unsigned()
}

/// A transaction of which nothing but the label is known.
struct OnlyLabel(bool);

impl Row for OnlyLabel {
    fn column(&self, _place: usize) -> Value {
        Value::Boolean(self.0)
    }

    fn aggregate(&self, _place: usize) -> Value {
        unreachable!("an argument looks at one transaction")
    }
}

impl Layout {
    /// The layout for a partition and those of the plan's aggregates that look at it, in the plan's order. `label` is the column of it.
    pub fn new(partition: &Partition, aggregates: &[Aggregate], label: Option<usize>, lateness: i64) -> Self {
        let of_label =
            |aggregate: &Aggregate| partition.arguments.get(aggregate.argument).is_some_and(|argument| argument.of_label);
        let identified = aggregates.iter().any(|aggregate| aggregate.measure == Measure::First && of_label(aggregate));
        let mut stride = 1 + usize::from(identified);
        let mut brought = Vec::new();
        let mut source = |(place, argument): (usize, &Argument)| {
            let of_columns = |part: &Expression| matches!(part, Expression::Column(place) if Some(*place) != label);
            if argument.kind != Type::Text && !argument.expression.any(&of_columns) {
                return Source::Label(
                    [false, true].map(|fraud| word(&argument.expression.evaluate(&OnlyLabel(fraud)), |_| NULL)),
                );
            }
            brought.push(place);
            stride += 1 + usize::from(argument.of_label);
            if argument.of_label { Source::EventByLabel(stride - 2) } else { Source::Event(stride - 1) }
        };
        let sources = partition.arguments.iter().enumerate().map(&mut source).collect();
        let wanted = |aggregate: &Aggregate| {
            let argument = partition.arguments.get(aggregate.argument);
            let kind = |&what| TallyKind { frame: aggregate.frame, argument: aggregate.argument, what, state: 0 };
            needed(aggregate.measure, argument).iter().map(kind).collect::<Vec<_>>()
        };
        let mut tallies: Vec<TallyKind> = Vec::new();
        for kind in aggregates.iter().flat_map(wanted) {
            if !tallies.contains(&kind) {
                tallies.push(kind);
            }
        }
        tallies.sort_by_key(|kind| kind.frame);
        let place = |kind: TallyKind| tallies.iter().position(|known| *known == kind).expect("gathered above");
        let read_from = |aggregate: &Aggregate| wanted(aggregate).into_iter().map(place).collect();
        let answers = aggregates.iter().map(|aggregate| (aggregate.clone(), read_from(aggregate))).collect();
        let mut state_words = partition.frames.len();
        for kind in &mut tallies {
            kind.state = state_words;
            state_words += kind.what.words();
        }
        let of_frame =
            |frame| tallies.partition_point(|kind| kind.frame < frame)..tallies.partition_point(|kind| kind.frame <= frame);
        Self {
            reach: partition.frames.iter().map(|frame| frame.start).max().unwrap_or(0) + lateness,
            frames: partition.frames.iter().enumerate().map(|(place, frame)| (*frame, of_frame(place))).collect(),
            arguments: partition.arguments.clone(),
            sources,
            brought,
            stride,
            identified,
            tallies,
            answers,
            state_words,
            lateness,
            kept: partition.kept,
            most: MAX_EVENTS,
        }
    }

    /// Places of the arguments whose words an [`Event`] brings, in their order.
    pub fn brought(&self) -> impl Iterator<Item = &Argument> {
        self.brought.iter().map(|&place| &self.arguments[place])
    }

    /// Where an event's words are that are texts.
    fn text_offsets(&self) -> Vec<usize> {
        let of_source = |(argument, source): (&Argument, &Source)| match source {
            Source::Event(offset) if argument.kind == Type::Text => vec![*offset],
            Source::EventByLabel(offset) if argument.kind == Type::Text => vec![*offset, offset + 1],
            _ => Vec::new(),
        };
        self.arguments.iter().zip(&self.sources).flat_map(of_source).collect()
    }

    /// Whether the id of an [`Event`] matters.
    pub fn identified(&self) -> bool {
        self.identified
    }

    /// The words of an event but its first.
    fn rest<'a>(&self, event: &Event<'a>) -> impl Iterator<Item = u64> + use<'a> {
        self.identified.then_some(event.id).into_iter().chain(event.words.iter().copied())
    }

    /// How many words a [`History`] needs beside itself.
    pub fn state_words(&self) -> usize {
        self.state_words
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
    pub fn new() -> Self {
        Self { words: VecDeque::new(), oldest: i64::MAX, forgotten: 0, more: Box::default() }
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Reads the past at the event's time, the event itself included, then remembers it; `answers` gets a word per aggregate.
    pub fn observe(&mut self, layout: &Layout, state: &mut [u64], event: &Event, answers: &mut [u64]) {
        let events = self.events(layout);
        let late = events > 0 && event.time < self.time(layout, events - 1);
        let place = if late { self.first_after(layout, event.time) } else { events };
        self.insert(layout, place, event);
        if late {
            self.restart(state);
        }
        self.advance(layout, state, event.time);
        for (answer, (aggregate, tallies)) in answers.iter_mut().zip(&layout.answers) {
            *answer = self.answer(layout, state, aggregate, tallies, place);
        }
        self.forget(layout, state);
    }

    /// Looks at the words where windows begin and end, which lie apart; what it gives means nothing.
    pub fn touch(&self, layout: &Layout, state: &[u64]) -> u64 {
        let word = |place: usize| self.words.get(place * layout.stride).copied().unwrap_or(0);
        let ends = |frame| {
            let (first, beyond) = bounds(state, frame);
            word(first) ^ word(beyond)
        };
        (0..layout.frames.len()).map(ends).fold(self.words.back().copied().unwrap_or(0), |all, word| all ^ word)
    }

    /// Changes the label of a remembered event that differs from `event` by nothing else; whether there was one.
    pub fn relabel(&mut self, layout: &Layout, state: &mut [u64], event: &Event) -> bool {
        let beyond = self.first_after(layout, event.time);
        for place in (0..beyond).rev() {
            let at = place * layout.stride;
            if self.time(layout, place) != event.time {
                return false;
            }
            let same = layout.rest(event).enumerate().all(|(offset, word)| self.words[at + 1 + offset] == word);
            if same && self.words[at] != head(event.time, event.fraud) {
                self.words[at] = head(event.time, event.fraud);
                self.restart(state);
                return true;
            }
        }
        false
    }

    /// Forgets what no window will look at again when the newest transaction of all happened at `now`.
    pub fn forget_before(&mut self, layout: &Layout, state: &mut [u64], now: i64) {
        while self.oldest < now - layout.reach && layout.kept == 0 {
            self.drop_first(layout, state);
        }
    }

    /// The words of its events, from which [`History::restored`] makes the same history.
    pub fn words(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.words.iter().copied()
    }

    /// A history with these words; its windows are gone through again when it is looked at next. `None` when they cannot be events.
    pub fn restored(layout: &Layout, words: Vec<u64>) -> Option<Self> {
        let times = || words.iter().step_by(layout.stride).map(|word| word.cast_signed() >> 1);
        if !words.len().is_multiple_of(layout.stride) || !times().is_sorted() {
            return None;
        }
        let oldest = times().next().unwrap_or(i64::MAX);
        Some(Self { words: words.into(), oldest, ..Self::new() })
    }

    /// Gives every text another number.
    pub fn renumber(&mut self, layout: &Layout, state: &mut [u64], number: &mut impl FnMut(u64) -> u64) {
        let texts = layout.text_offsets();
        if texts.is_empty() {
            return;
        }
        for place in 0..self.events(layout) {
            for offset in &texts {
                let word = &mut self.words[place * layout.stride + offset];
                if *word != NULL {
                    *word = number(*word);
                }
            }
        }
        self.restart(state);
    }

    /// Empties the windows; going on fills them again.
    fn restart(&mut self, state: &mut [u64]) {
        state.fill(0);
        self.forgotten = 0;
        self.more = Box::default();
    }

    fn events(&self, layout: &Layout) -> usize {
        self.words.len() / layout.stride
    }

    fn time(&self, layout: &Layout, place: usize) -> i64 {
        self.words[place * layout.stride].cast_signed() >> 1
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
        if self.words.len() + layout.stride > self.words.capacity() {
            // A quarter more rather than twice as much: with millions of keys, what is not used is most of the memory.
            self.words.reserve_exact(layout.stride * (self.events(layout) / 4).max(2));
        }
        let words = std::iter::once(head(event.time, event.fraud)).chain(layout.rest(event));
        self.oldest = self.oldest.min(event.time);
        if place == self.events(layout) {
            self.words.extend(words);
            return;
        }
        for (offset, word) in words.enumerate() {
            self.words.insert(place * layout.stride + offset, word);
        }
    }

    fn advance(&mut self, layout: &Layout, state: &mut [u64], time: i64) {
        let events = self.events(layout);
        for (frame, (window, _)) in layout.frames.iter().enumerate() {
            let (mut first, mut beyond) = bounds(state, frame);
            while beyond < events && self.time(layout, beyond) <= time - window.end {
                self.enter(layout, state, frame, beyond);
                beyond += 1;
            }
            while first < beyond && self.time(layout, first) < time - window.start {
                self.leave(layout, state, frame, first);
                first += 1;
            }
            set_bounds(state, frame, (first, beyond));
        }
    }

    fn word(&self, layout: &Layout, place: usize, argument: usize) -> u64 {
        let at = place * layout.stride;
        let fraud = || usize::from(self.words[at] & 1 == 1);
        match layout.sources[argument] {
            Source::Label(words) => words[fraud()],
            Source::Event(offset) => self.words[at + offset],
            Source::EventByLabel(offset) => self.words[at + offset + fraud()],
        }
    }

    /// The number of an event, which it keeps when others before it are forgotten.
    fn number(&self, place: usize) -> u32 {
        self.forgotten.wrapping_add(u32::try_from(place).expect("the limit of events is below 2^32"))
    }

    fn place(&self, number: u32) -> usize {
        number.wrapping_sub(self.forgotten) as usize
    }

    fn more(&mut self, layout: &Layout, tally: usize) -> &mut More {
        if self.more.is_empty() {
            self.more = vec![More::Nothing; layout.tallies.len()].into();
        }
        &mut self.more[tally]
    }

    fn enter(&mut self, layout: &Layout, state: &mut [u64], frame: usize, place: usize) {
        for tally in layout.frames[frame].1.clone() {
            let kind = &layout.tallies[tally];
            let word = self.word(layout, place, kind.argument);
            if word == NULL {
                continue;
            }
            match kind.what {
                What::Count => state[kind.state] += 1,
                What::Integers => set_sum(state, kind, sum(state, kind) + i128::from(integer(word))),
                What::Doubles => self.change_doubles(layout, state, tally, word, false),
                What::Distinct => {
                    let more = self.more(layout, tally);
                    if *more == More::Nothing {
                        *more = More::Distinct(Box::new(Lookup::new()));
                    }
                    let More::Distinct(counts) = more else { unreachable!("laid out as one") };
                    match counts.get_mut(&word) {
                        Some(count) => *count += 1,
                        None => counts.insert(word, 1),
                    }
                }
                What::Least | What::Greatest => self.enter_extreme(layout, tally, kind, place, word),
            }
        }
    }

    fn change_doubles(&mut self, layout: &Layout, state: &mut [u64], tally: usize, word: u64, negate: bool) {
        let kind = &layout.tallies[tally];
        let (mut narrow, number) = (Narrow(sum(state, kind)), f64::from_bits(word));
        if narrow.change(number, negate) {
            set_sum(state, kind, narrow.0);
            return;
        }
        let more = self.more(layout, tally);
        if *more == More::Nothing {
            *more = More::Wide(Box::default());
        }
        let More::Wide(wide) = more else { unreachable!("laid out as one") };
        wide.change(number, negate);
        if wide.is_zero() {
            *more = More::Nothing;
        }
    }

    fn enter_extreme(&mut self, layout: &Layout, tally: usize, kind: &TallyKind, place: usize, word: u64) {
        let number = self.number(place);
        let mut best = match std::mem::take(self.more(layout, tally)) {
            More::Extreme(best) => best,
            _ => VecDeque::new(),
        };
        while let Some(&last) = best.back() {
            let known = self.word(layout, self.place(last), kind.argument);
            let ordering = order(word, known, layout.arguments[kind.argument].kind);
            let better = if kind.what == What::Least { ordering.is_le() } else { ordering.is_ge() };
            if !better {
                break;
            }
            best.pop_back();
        }
        best.push_back(number);
        *self.more(layout, tally) = More::Extreme(best);
    }

    fn leave(&mut self, layout: &Layout, state: &mut [u64], frame: usize, place: usize) {
        for tally in layout.frames[frame].1.clone() {
            let kind = &layout.tallies[tally];
            let word = self.word(layout, place, kind.argument);
            if word == NULL {
                continue;
            }
            let number = self.number(place);
            match (kind.what, self.more.get_mut(tally)) {
                (What::Count, _) => state[kind.state] -= 1,
                (What::Integers, _) => set_sum(state, kind, sum(state, kind) - i128::from(integer(word))),
                (What::Doubles, _) => self.change_doubles(layout, state, tally, word, true),
                (What::Distinct, Some(More::Distinct(counts))) => {
                    let count = counts.get_mut(&word).expect("it entered");
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&word);
                    }
                }
                (What::Least | What::Greatest, Some(More::Extreme(best))) => {
                    if best.front() == Some(&number) {
                        best.pop_front();
                    }
                }
                _ => unreachable!("it entered"),
            }
        }
    }

    fn answer(&self, layout: &Layout, state: &[u64], aggregate: &Aggregate, tallies: &[usize], place: usize) -> u64 {
        let (first, beyond) = if aggregate.frame < layout.frames.len() { bounds(state, aggregate.frame) } else { (0, 0) };
        let whole = |number: u64| integer_word(number.cast_signed());
        let rows = (beyond - first) as u64;
        let kind = |which: usize| &layout.tallies[tallies[which]];
        let more = |which: usize| self.more.get(tallies[which]);
        match aggregate.measure {
            Measure::Rows => whole(rows),
            Measure::Count if tallies.is_empty() => whole(rows),
            Measure::Count => whole(state[kind(0).state]),
            Measure::CountDistinct => match more(0) {
                Some(More::Distinct(counts)) => whole(counts.len() as u64),
                _ => whole(0),
            },
            Measure::Least | Measure::Greatest => match more(0) {
                Some(More::Extreme(best)) => {
                    best.front().map_or(NULL, |&number| self.word(layout, self.place(number), aggregate.argument))
                }
                _ => NULL,
            },
            Measure::Sum | Measure::Mean => {
                let count = if tallies.len() > 1 { state[kind(1).state] } else { rows };
                let total = sum(state, kind(0));
                let of_sum = aggregate.measure == Measure::Sum;
                match kind(0).what {
                    _ if count == 0 => NULL,
                    What::Integers if of_sum => i64::try_from(total).map_or(NULL, integer_word),
                    What::Integers => double_word(total as f64 / count as f64),
                    _ => {
                        let total = match more(0) {
                            Some(More::Wide(wide)) => wide.value_with(Narrow(total)),
                            _ => Narrow(total).value(),
                        };
                        double_word(if of_sum { total } else { total / count as f64 })
                    }
                }
            }
            Measure::Deviation => self.deviation(layout, aggregate, first..beyond),
            Measure::First if first == beyond => NULL,
            Measure::First => self.word(layout, first, aggregate.argument),
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

    fn forget(&mut self, layout: &Layout, state: &mut [u64]) {
        let newest = self.time(layout, self.events(layout) - 1);
        while self.oldest < newest - layout.reach && self.may_go(layout, newest) {
            self.drop_first(layout, state);
        }
        while self.events(layout) > layout.most {
            self.drop_first(layout, state);
        }
    }

    /// Whether enough events for `lag` stay that even the latest transaction still comes after.
    fn may_go(&self, layout: &Layout, newest: i64) -> bool {
        layout.kept == 0 || (self.events(layout) > layout.kept && self.time(layout, layout.kept) <= newest - layout.lateness)
    }

    fn drop_first(&mut self, layout: &Layout, state: &mut [u64]) {
        for frame in 0..layout.frames.len() {
            let (first, beyond) = bounds(state, frame);
            // A window that has not gone on yet, because its key had no transaction since, still holds it.
            if first == 0 && beyond > 0 {
                self.leave(layout, state, frame, 0);
            }
            set_bounds(state, frame, (first.saturating_sub(1), beyond.saturating_sub(1)));
        }
        self.words.drain(..layout.stride);
        self.forgotten = self.forgotten.wrapping_add(1);
        self.oldest = if self.words.is_empty() { i64::MAX } else { self.time(layout, 0) };
    }
}

/// Places of the first event inside a window and of the first beyond its end.
#[expect(clippy::cast_possible_truncation, reason = "each is half of a word")]
fn bounds(state: &[u64], frame: usize) -> (usize, usize) {
    ((state[frame] & u64::from(u32::MAX)) as usize, (state[frame] >> 32) as usize)
}

fn set_bounds(state: &mut [u64], frame: usize, (first, beyond): (usize, usize)) {
    state[frame] = first as u64 | (beyond as u64) << 32;
}

fn sum(state: &[u64], kind: &TallyKind) -> i128 {
    (u128::from(state[kind.state]) | u128::from(state[kind.state + 1]) << 64).cast_signed()
}

#[expect(clippy::cast_possible_truncation, reason = "one half after the other")]
fn set_sum(state: &mut [u64], kind: &TallyKind, sum: i128) {
    state[kind.state] = sum.cast_unsigned() as u64;
    state[kind.state + 1] = (sum.cast_unsigned() >> 64) as u64;
}

fn order(left: u64, right: u64, kind: Type) -> std::cmp::Ordering {
    match kind {
        Type::Double => f64::from_bits(left).total_cmp(&f64::from_bits(right)),
        Type::Boolean => left.cmp(&right),
        _ => integer(left).cmp(&integer(right)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::Expression;
    use crate::plan::word;
    use assay_domain::Value;

    /// What windows tell of the last of so many payments of one card, whose amounts go down to 1, and how many of them are remembered.
    fn paid_again_and_again(most: usize, payments: u32) -> ([u64; 4], usize) {
        let argument = Argument { expression: Expression::Column(0), kind: Type::Double, of_label: false, never_null: false };
        let frame = Frame { start: i64::MAX / 4, end: 0 };
        let partition = Partition { columns: vec![0], arguments: vec![argument], frames: vec![frame], kept: 0 };
        let measures = [Measure::Rows, Measure::Sum, Measure::Greatest, Measure::First];
        let asked = measures.map(|measure| Aggregate { partition: 0, frame: 0, measure, argument: 0, kind: Type::Double });
        let layout = Layout { most, ..Layout::new(&partition, &asked, None, 0) };
        let (mut history, mut state) = (History::new(), vec![0; layout.state_words()]);
        let mut answers = [0; 4];
        for time in 0..payments {
            let amount = word(&Value::Double(f64::from(payments - time)), |_| NULL);
            let event = Event { time: time.into(), fraud: false, id: 0, words: &[amount] };
            history.observe(&layout, &mut state, &event, &mut answers);
        }
        (answers, history.events(&layout))
    }

    /// The real limit too: ten million take seconds, however many are in the window.
    #[test]
    fn a_key_with_more_events_than_the_limit_forgets_the_oldest() {
        for (most, payments) in [(3, 100), (MAX_EVENTS, 10_000_100)] {
            let (answers, remembered) = paid_again_and_again(most, payments);
            // The current one, of 1, and those still remembered when it came: of 2 and more.
            let seen = most as f64 + 1.0;
            assert_eq!(integer(answers[0]) as f64, seen);
            assert_eq!([1, 2, 3].map(|place| f64::from_bits(answers[place])), [seen * (seen + 1.0) / 2.0, seen, seen]);
            assert_eq!(remembered, most);
        }
    }
}
