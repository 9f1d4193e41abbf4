//! The one that decides. It owns engine and journal; nobody else changes them, and there is no lock.
//!
//! Whatever waits is done in one go and written as one group. Who asked is told when the group is on the disk; if it cannot be written, nobody
//! is told anything but that, and the owner stops: what the disk holds is found out by the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use assay_domain::{Decision, Value};
use assay_engine::{ApplyError, Event, Refusal, Rollout};
use assay_journal::{Entry, Head, Journal, JournalError, Kind, NewEntry};
use assay_monitor::governor;
use thiserror::Error;
use tokio::sync::mpsc;

use super::desk::{Command, Desk, Phase, Reply};
use super::fold::{self, FoldError, State};
use super::opening::{open_of, text};
use super::record::{self, Disposition, Label, ListEntry, ModelChange, Part, PolicyChange, RolloutChange};
use super::transaction::Transaction;
use crate::clock;

/// Requests that are taken from the queue at once.
const TAKEN_AT_ONCE: usize = 1_024;
/// Entries from which on a group is written, whatever else waits.
const GROUP_ENTRIES: usize = 8_192;
/// How long a disk may take to keep a group before the log says so.
const SLOW_WRITE: Duration = Duration::from_secs(1);
/// How long a writer waits for another program that holds the journal's file.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);

/// What decides.
pub struct Owner {
    journal: Journal,
    /// The state that decides.
    pub state: State,
    desk: Arc<Desk>,
    group: Group,
    failed: Option<String>,
    is_ending: bool,
    /// Since when the journal's log is on its way into the file.
    copying_since: Option<Instant>,
}

/// Entries that are not written yet, and who waits for them.
#[derive(Default)]
struct Group {
    entries: Vec<Owned>,
    /// Where the entry of a transaction is among them.
    transactions: BTreeMap<String, usize>,
    /// Transactions of which labels and dispositions are among them.
    labelled: BTreeSet<String>,
    waiting: Vec<Box<dyn FnOnce() + Send>>,
    began: Option<Instant>,
}

/// An entry to be written.
struct Owned {
    kind: Kind,
    id: Option<String>,
    arrived: i64,
    body: String,
    personal: Option<String>,
    /// What is told of it, where it is a decision.
    made: Option<Arc<Made>>,
}

impl Owned {
    fn new_entry(&self) -> NewEntry<'_> {
        let Self { kind, id, arrived, body, personal, .. } = self;
        NewEntry { kind: *kind, id: id.as_deref(), arrived: *arrived, body, personal: personal.as_deref() }
    }
}

/// A decision as it was written down.
#[derive(Debug)]
pub struct Made {
    /// The decision.
    pub decision: Decision,
    /// When its transaction arrived.
    pub arrived: i64,
}

/// What is said to a transaction.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It was decided now.
    Made(Arc<Made>),
    /// It was decided before.
    Again(Arc<Made>),
    /// Another transaction has its id.
    Conflict,
    /// It was imported, and nobody asked for a decision then.
    Imported,
    /// It may not enter.
    Refused(Refusal),
}

/// Why a label or a disposition is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelProblem {
    /// Nobody knows it.
    #[error("there is no transaction of this id; send it to /v1/decisions or import it first")]
    Unknown,
    /// It is told for later.
    #[error("`learnt` lies in the future; correct the sender's clock, or leave it out for now")]
    Future,
    /// It was learnt before it could be.
    #[error("`learnt` lies before the transaction's event; correct it")]
    BeforeEvent,
}

/// Why a policy is not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyProblem {
    /// Another one decides than who asks thinks.
    Moved,
    /// Another policy had its version.
    VersionTaken,
    /// There is no such rule.
    NoRule,
    /// It does not fit.
    Apply(ApplyError),
}

impl From<ApplyError> for PolicyProblem {
    fn from(problem: ApplyError) -> Self {
        Self::Apply(problem)
    }
}

/// A label that somebody tells.
#[derive(Clone, Debug)]
pub struct Told {
    /// The transaction.
    pub id: String,
    /// The label; its `learnt` is written when it is taken.
    pub label: Label,
    /// When it was learnt, if that was said.
    pub learnt: Option<i64>,
}

/// How far in the future a label may have been learnt: clocks differ.
const LABEL_SKEW: i64 = 300 * assay_domain::time::SECOND;

impl Owner {
    /// With a state that holds all of the journal.
    pub fn new(journal: Journal, state: State, desk: Arc<Desk>) -> Self {
        Self { journal, state, desk, group: Group::default(), failed: None, is_ending: false, copying_since: None }
    }

    /// Does what is asked until it is told to end; the problem is why it had to stop.
    pub fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<(), String> {
        let mut taken = Vec::new();
        while !self.is_ending && commands.blocking_recv_many(&mut taken, TAKEN_AT_ONCE) > 0 {
            self.desk.is_busy(true);
            for command in taken.drain(..) {
                command(&mut self);
                if self.group.entries.len() >= GROUP_ENTRIES {
                    self.commit();
                }
                if self.failed.is_some() {
                    break;
                }
            }
            self.commit();
            if self.failed.is_none() {
                let tended = self.journal.tend();
                self.fail_if(tended);
                self.look_at_copying();
            }
            if let Some(problem) = self.failed.take() {
                commands.close();
                return Err(problem);
            }
            self.desk.is_busy(false);
        }
        self.write_snapshot();
        self.desk.close_readers();
        Ok(())
    }

    /// Ends when this group is written.
    pub fn end(&mut self) {
        self.is_ending = true;
    }

    /// Decides about transactions, in their order.
    pub fn decide(&mut self, transactions: Vec<Transaction>, asked: Instant, reply: Reply<Vec<Answer>>) {
        let mut answers = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            match self.decide_one(transaction, asked) {
                Ok(answer) => answers.push(answer),
                Err(problem) => return self.fail(problem.to_string()),
            }
        }
        self.then(move || reply.send(answers));
    }

    fn decide_one(&mut self, transaction: Transaction, asked: Instant) -> Result<Answer, FoldError> {
        self.make_room();
        let figures = &self.desk.figures;
        if let Some(answer) = self.known(&transaction)? {
            match answer {
                Answer::Again(_) => figures.repeated.inc(),
                _ => figures.conflicts.inc(),
            }
            return Ok(answer);
        }
        let arrived = clock::microseconds();
        let (decision, act) = match self.state.decide(&transaction.values, &transaction.id, arrived) {
            Ok(decided) => decided,
            Err(refusal) => {
                figures.refused.inc();
                return Ok(Answer::Refused(refusal));
            }
        };
        figures.decided(decision.outcome);
        let latency = u64::try_from((clock::now() - asked).as_micros()).unwrap_or(u64::MAX);
        let body = record::decision_body(&transaction.fields, latency, &decision);
        let sequence = self.next_sequence();
        if decision.outcome == assay_domain::Outcome::Review {
            self.state.reviews.open(sequence, &transaction.id);
        }
        let place = self.group.entries.len();
        let made = Arc::new(Made { decision, arrived });
        self.group.transactions.insert(transaction.id.clone(), place);
        let Transaction { id, personal, .. } = transaction;
        let (kind, id) = (Kind::Decision, Some(id));
        self.group.entries.push(Owned { kind, id, arrived, body, personal, made: Some(made.clone()) });
        self.group.began.get_or_insert(asked);
        if let Some(act) = act {
            self.write_act(&act);
        }
        Ok(Answer::Made(made))
    }

    /// What is said to a transaction whose id is known already.
    fn known(&self, transaction: &Transaction) -> Result<Option<Answer>, FoldError> {
        if let Some(&place) = self.group.transactions.get(&transaction.id) {
            let entry = &self.group.entries[place];
            let same = entry.personal == transaction.personal
                && entry.body.strip_prefix("{\"transaction\":").is_some_and(|rest| rest.starts_with(&transaction.fields));
            let made = entry.made.clone().filter(|_| same);
            return Ok(Some(made.map_or(Answer::Conflict, Answer::Again)));
        }
        let Some(entry) = fold::find(self.journal.read(), &transaction.id)? else { return Ok(None) };
        let entry = fold::borrowed(&entry);
        let (values, recorded) = self.state.transaction(&entry)?;
        let was_erased = entry.personal.is_none() && self.journal.read().find(Kind::Erasure, &transaction.id)?.is_some();
        if !self.is_same(&values, transaction, was_erased) {
            return Ok(Some(Answer::Conflict));
        }
        if recorded.is_none() {
            return Ok(Some(Answer::Imported));
        }
        let decision = fold::body(&entry)?;
        Ok(Some(Answer::Again(Arc::new(Made { decision, arrived: entry.arrived }))))
    }

    /// Whether values that were recorded are those of a transaction; what was erased of a person is passed over.
    fn is_same(&self, recorded: &[Value], transaction: &Transaction, was_erased: bool) -> bool {
        let fields = &self.state.engine.schema().fields;
        let mut pairs = fields.iter().zip(recorded.iter().zip(&transaction.values));
        pairs.all(|(field, (recorded, sent))| (field.personal && was_erased) || recorded == sent)
    }

    /// Takes labels, each or none; what was told before changes nothing.
    pub fn label(&mut self, told: Vec<Told>, reply: Reply<Vec<Result<bool, LabelProblem>>>) {
        let mut answers = Vec::with_capacity(told.len());
        for told in told {
            match self.label_one(told) {
                Ok(answer) => answers.push(answer),
                Err(problem) => return self.fail(problem.to_string()),
            }
        }
        self.then(move || reply.send(answers));
    }

    /// Whether a label was news.
    fn label_one(&mut self, told: Told) -> Result<Result<bool, LabelProblem>, FoldError> {
        self.make_room();
        let Told { id, mut label, learnt } = told;
        let arrived = clock::microseconds();
        let Some(entry) = self.written(&id)? else { return Ok(Err(LabelProblem::Unknown)) };
        let learnt = learnt.unwrap_or(arrived);
        if learnt > arrived + LABEL_SKEW {
            return Ok(Err(LabelProblem::Future));
        }
        let (values, _) = self.state.transaction(&fold::borrowed(&entry))?;
        if matches!(values[self.state.engine.schema().event_time], Value::Timestamp(event) if event > learnt + LABEL_SKEW) {
            return Ok(Err(LabelProblem::BeforeEvent));
        }
        let earlier = fold::last_label(self.journal.read(), &id, u64::MAX)?;
        let imported = self.state.engine.schema().label.map(|place| &values[place]);
        let is_known = match &earlier {
            Some(earlier) => earlier.label == label.label && earlier.source == label.source,
            None => imported == Some(&Value::Boolean(label.label.is_fraud())),
        };
        if is_known {
            return Ok(Ok(false));
        }
        label.learnt = record::moment(learnt);
        self.state.label(&entry, earlier.map(|earlier| earlier.label.is_fraud()), label.label.is_fraud())?;
        self.desk.figures.labelled(label.label);
        self.group.labelled.insert(id.clone());
        self.write(Kind::Label, Some(id), record::json(&label), None);
        Ok(Ok(true))
    }

    /// Takes what a reviewer made of a decision: an entry of its own, and a label where it says what was true.
    pub fn dispose(&mut self, id: String, disposition: &Disposition, reply: Reply<Result<(), LabelProblem>>) {
        match self.dispose_one(id, disposition) {
            Ok(answer) => self.then(move || reply.send(answer)),
            Err(problem) => self.fail(problem.to_string()),
        }
    }

    fn dispose_one(&mut self, id: String, disposition: &Disposition) -> Result<Result<(), LabelProblem>, FoldError> {
        let Some(entry) = self.written(&id)?.filter(|entry| entry.kind == Kind::Decision) else {
            return Ok(Err(LabelProblem::Unknown));
        };
        // The label comes first: where it is refused nothing is taken, and both are in one group.
        if let Some(truth) = disposition.disposition.truth() {
            let label = Label { label: truth, source: "review".into(), learnt: String::new(), by: disposition.by.clone() };
            if let Err(problem) = self.label_one(Told { id: id.clone(), label, learnt: None })? {
                return Ok(Err(problem));
            }
        }
        self.state.reviews.close(entry.sequence);
        self.group.labelled.insert(id.clone());
        self.write(Kind::Disposition, Some(id), record::json(disposition), None);
        Ok(Ok(()))
    }

    /// Takes another policy to decide or to be tried out. `replaces` is the version that who asks thinks decides.
    pub fn change_policy(&mut self, change: PolicyChange, replaces: Option<&str>, reply: Reply<Result<(), PolicyProblem>>) {
        match self.changed_policy(change, replaces) {
            Ok(Ok(())) => self.then(move || reply.send(Ok(()))),
            Ok(Err(problem)) => reply.send(Err(problem)),
            Err(problem) => self.fail(problem.to_string()),
        }
    }

    fn changed_policy(&mut self, change: PolicyChange, replaces: Option<&str>) -> Result<Result<(), PolicyProblem>, FoldError> {
        let engine = &self.state.engine;
        let before = match change.part {
            Part::Live => Some(engine.policy()),
            Part::Shadow => engine.shadow_policy(),
        };
        if replaces.is_some_and(|version| before.is_none_or(|before| before.version != version)) {
            return Ok(Err(PolicyProblem::Moved));
        }
        if before == change.policy.as_ref() {
            return Ok(Ok(()));
        }
        if let Some(policy) = &change.policy {
            // A policy of the same version may be in the group.
            if self.group.entries.iter().any(|entry| entry.kind == Kind::Policy) {
                self.commit();
            }
            for entry in self.journal.read().all(Kind::Policy, &policy.version)? {
                let earlier: PolicyChange = fold::body(&fold::borrowed(&entry))?;
                if earlier.policy.as_ref() != Some(policy) {
                    return Ok(Err(PolicyProblem::VersionTaken));
                }
            }
        }
        let (id, body) = (change.policy.as_ref().map(|policy| policy.version.clone()), record::json(&change));
        let (by, mut held) = (change.by.clone(), self.state.governing.clone());
        if let Err(problem) = self.state.apply(fold::policy_event(change)) {
            return Ok(Err(problem.into()));
        }
        if held.is_tripped() && !self.state.governing.is_tripped() {
            // Who takes the governor away releases it.
            let act = held.release(clock::microseconds(), by.as_deref().unwrap_or_default());
            if let Some(act) = act {
                self.write_act(&act);
            }
        }
        self.write(Kind::Policy, id, body, None);
        Ok(Ok(()))
    }

    /// Lets declines through again that the governor holds back; its state then, or none where it held nothing back.
    pub fn release(&mut self, by: Option<&str>, reply: Reply<Option<governor::Status>>) {
        let act = self.state.governing.release(clock::microseconds(), by.unwrap_or_default());
        let Some(act) = act else { return reply.send(None) };
        self.write_act(&act);
        let status = self.state.governing.status();
        self.then(move || reply.send(status));
    }

    /// Writes down what the governor did, and says so in the log.
    fn write_act(&mut self, act: &governor::Event) {
        match act {
            governor::Event::Tripped { declines, decisions, instead, .. } => {
                let instead = instead.name();
                tracing::warn!(
                    declines,
                    decisions,
                    instead,
                    "the policy declines too many: the governor holds its declines back"
                );
            }
            governor::Event::Released { replaced, .. } => {
                tracing::warn!(replaced, "the governor was released: declines hold again");
            }
        }
        self.write(Kind::Governor, None, record::json(act), None);
    }

    /// Lets a rule sleep until a moment, or wakes it: the policy that decides, under a version of its own.
    pub fn snooze(&mut self, rule: &str, until: Option<i64>, by: Option<String>, reply: Reply<Result<String, PolicyProblem>>) {
        let mut policy = self.state.engine.policy().clone();
        let Some(found) = policy.rules.iter_mut().find(|known| known.id == rule) else {
            return reply.send(Err(PolicyProblem::NoRule));
        };
        found.snoozed_until = until;
        let plain = policy.version.split('~').next().unwrap_or_default().to_owned();
        policy.version = format!("{plain}~{}", self.next_sequence());
        let version = policy.version.clone();
        match self.changed_policy(PolicyChange { part: Part::Live, policy: Some(policy), by }, None) {
            Ok(Ok(())) => self.then(move || reply.send(Ok(version))),
            Ok(Err(problem)) => reply.send(Err(problem)),
            Err(problem) => self.fail(problem.to_string()),
        }
    }

    /// Changes a list; tells how many entries it has then, none where it went.
    pub fn change_list(&mut self, change: ListEntry, name: String, reply: Reply<Result<Option<usize>, ApplyError>>) {
        let body = record::json(&change);
        match self.state.engine.apply(Event::List(change.list)) {
            Ok(()) => {
                let left = self.state.engine.lists().list(&name).map(assay_engine::lists::List::len);
                self.write(Kind::List, Some(name), body, None);
                self.then(move || reply.send(Ok(left)));
            }
            Err(problem) => reply.send(Err(problem)),
        }
    }

    /// Lets another model decide, whose file is in the data folder. A challenger that decides about everything has no share any more.
    pub fn take_model(&mut self, model: assay_engine::Model, change: ModelChange, reply: Reply<Result<(), ApplyError>>) {
        let label = change.label();
        let taken = self.state.engine.apply(Event::Model(model)).and_then(|()| {
            let is_challenger = self.state.rollout.as_ref().is_some_and(|rollout| rollout.model.label() == label);
            if is_challenger { self.rolled_out(None, change.by.clone()) } else { Ok(()) }
        });
        match taken {
            Ok(()) => {
                self.write(Kind::Model, Some(label), record::json(&change), None);
                self.state.model = change;
                self.publish();
                self.then(move || reply.send(Ok(())));
            }
            Err(problem) => reply.send(Err(problem)),
        }
    }

    /// Lets a challenger decide about a share, whose file is in the data folder, or nobody any more; `by` is the key of who ends a rollout.
    pub fn roll_out(
        &mut self,
        begun: Option<(RolloutChange, Rollout)>,
        by: Option<String>,
        reply: Reply<Result<(), ApplyError>>,
    ) {
        match self.rolled_out(begun, by) {
            Ok(()) => {
                self.publish();
                self.then(move || reply.send(Ok(())));
            }
            Err(problem) => reply.send(Err(problem)),
        }
    }

    fn rolled_out(&mut self, begun: Option<(RolloutChange, Rollout)>, by: Option<String>) -> Result<(), ApplyError> {
        if let Some(change) = self.state.roll_out(begun, by)? {
            self.write(Kind::Rollout, Some(change.model.label()), record::json(&change), None);
        }
        Ok(())
    }

    /// Goes on with features and a model that were folded beside, once they have caught up.
    pub fn join(&mut self, mut other: Box<State>, reply: Reply<Result<(), String>>) {
        self.commit();
        if self.failed.is_some() {
            return;
        }
        let definition = record::DefinitionChange { sql: other.engine.features().definition().text.clone() };
        let change = other.model.clone();
        let ended = self.state.rollout.as_ref().map(|rollout| rollout.ended(change.by.clone()));
        let joined =
            other.fold_features(self.journal.read(), u64::MAX).map_err(text).and_then(|()| self.state.join(*other).map_err(text));
        if let Err(problem) = joined {
            return reply.send(Err(problem));
        }
        if let Some(ended) = ended {
            self.write(Kind::Rollout, Some(ended.model.label()), record::json(&ended), None);
        }
        self.write(Kind::Definition, None, record::json(&definition), None);
        self.write(Kind::Model, Some(change.label()), record::json(&change), None);
        self.publish();
        self.then(move || reply.send(Ok(())));
    }

    /// Erases the fields of a person from everything about a transaction.
    pub fn erase(&mut self, id: &str, reply: Reply<Option<assay_journal::Erased>>) {
        self.commit();
        if self.failed.is_some() {
            return;
        }
        let erased = self.written(id).and_then(|entry| match entry {
            Some(_) => self.journal.erase(id, clock::microseconds()).map(Some).map_err(FoldError::from),
            None => Ok(None),
        });
        match erased {
            Ok(erased) => {
                self.state.at = self.journal.head();
                self.count();
                reply.send(erased);
            }
            Err(problem) => self.fail(problem.to_string()),
        }
    }

    /// Cuts off what arrived before the first entry that arrived at `since` or later; `state` says where to go on from.
    pub fn retain(&mut self, since: i64, state: &str, reply: Reply<()>) {
        self.commit();
        if self.failed.is_some() {
            return;
        }
        match self.journal.retain(since, clock::microseconds(), state) {
            Ok(cut) => {
                self.state.reviews.forget(cut.map_or(0, |cut| cut.through.sequence));
                self.state.at = self.journal.head();
                self.count();
                reply.send(());
            }
            Err(problem) => self.fail(problem.to_string()),
        }
    }

    /// Deletes some of what was cut off; whether some is left.
    pub fn sweep(&mut self, most: u64, reply: Reply<bool>) {
        match self.journal.sweep(most) {
            Ok(is_left) => reply.send(is_left),
            Err(problem) => self.fail(problem.to_string()),
        }
    }

    /// The entry of a transaction; what is in the group is written first.
    fn written(&mut self, id: &str) -> Result<Option<Entry>, FoldError> {
        if self.group.transactions.contains_key(id) || self.group.labelled.contains(id) {
            self.commit();
        }
        Ok(fold::find(self.journal.read(), id)?)
    }

    fn count(&self) {
        let figures = &self.desk.figures;
        figures.entries.set(i64::try_from(self.state.at.sequence).unwrap_or(i64::MAX));
        figures.reviews.set(i64::try_from(self.state.reviews.len()).unwrap_or(i64::MAX));
    }

    /// Shows the threads that serve what decides now.
    pub fn publish(&self) {
        let open = open_of(&self.state);
        for scorer in open.challenger.iter().chain([&open.scorer]) {
            self.desk.scorers.keep(scorer.clone());
        }
        self.count();
        self.desk.enter(Phase::Open(Arc::new(open)));
    }

    /// The last entry that is on the disk.
    pub fn head(&self) -> Head {
        self.journal.head()
    }

    fn next_sequence(&self) -> u64 {
        self.journal.head().sequence + 1 + self.group.entries.len() as u64
    }

    fn write(&mut self, kind: Kind, id: Option<String>, body: String, personal: Option<String>) {
        let arrived = clock::microseconds();
        self.group.began.get_or_insert_with(clock::now);
        self.group.entries.push(Owned { kind, id, arrived, body, personal, made: None });
    }

    /// Writes the group where it is full, so that no request makes one that the journal does not take, however much it asks for.
    fn make_room(&mut self) {
        if self.group.entries.len() >= GROUP_ENTRIES {
            self.commit();
        }
    }

    /// Does this once everything before it is on the disk, and never if that fails.
    fn then(&mut self, tell: impl FnOnce() + Send + 'static) {
        self.group.waiting.push(Box::new(tell));
    }

    fn commit(&mut self) {
        if self.failed.is_some() {
            self.group = Group::default();
            return;
        }
        if !self.group.entries.is_empty() {
            let began = self.group.began.unwrap_or_else(clock::now);
            let handed_over = clock::now();
            let appended = self.append();
            self.fail_if(appended);
            let took = clock::now() - handed_over;
            if took > SLOW_WRITE {
                tracing::warn!(
                    seconds = took.as_secs_f64(),
                    entries = self.group.entries.len(),
                    "the disk was slow to keep decisions; who asks while it takes longer than --max-decision-wait is told to try again"
                );
            }
            if self.failed.is_some() {
                self.group = Group::default();
                return;
            }
            let figures = &self.desk.figures;
            figures.writes.observe((clock::now() - began).as_secs_f64());
            figures.groups.observe(self.group.entries.len() as f64);
            self.state.at = self.journal.head();
            self.count();
        }
        for tell in self.group.waiting.drain(..) {
            tell();
        }
        self.group.entries.clear();
        self.group.transactions.clear();
        self.group.labelled.clear();
        self.group.began = None;
    }

    fn append(&mut self) -> Result<(), JournalError> {
        let entries: Vec<NewEntry<'_>> = self.group.entries.iter().map(Owned::new_entry).collect();
        let until = clock::now() + BUSY_PATIENCE;
        loop {
            match self.journal.append(&entries) {
                Err(JournalError::Busy) if clock::now() < until => thread::sleep(Duration::from_millis(5)),
                appended => return appended.map(drop),
            }
        }
    }

    /// Groups take longer while the log goes back into the file: whoever looks at latencies wants to know when that was.
    fn look_at_copying(&mut self) {
        match (self.journal.is_copying_log(), self.copying_since) {
            (true, None) => self.copying_since = Some(clock::now()),
            (false, Some(since)) => {
                let seconds = (clock::now() - since).as_secs_f64();
                self.desk.figures.copies.observe(seconds);
                tracing::debug!(seconds, "the journal's log went back into its file");
                self.copying_since = None;
            }
            _ => {}
        }
    }

    fn fail_if(&mut self, done: Result<(), JournalError>) {
        if let Err(problem) = done {
            self.fail(problem.to_string());
        }
    }

    fn fail(&mut self, problem: String) {
        tracing::error!("{problem}");
        self.failed = Some(problem);
        // From here on everybody is told, also who still waits.
        self.desk.enter(Phase::Stopped { problem: self.failed.clone() });
    }

    /// Writes the state down for the next start, which can do without.
    fn write_snapshot(&self) {
        let folder = &self.desk.folder;
        if let Err(problem) = self.state.write_snapshot(folder, &folder.snapshot()) {
            tracing::warn!("no snapshot was written, the next start takes longer: {problem}");
        }
    }
}
