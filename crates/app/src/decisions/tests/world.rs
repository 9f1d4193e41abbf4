//! A small world: customers who pay, a model that goes by the amount, and a data folder in which it is decided about them.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assay_domain::Decision;
use assay_engine::Policy;
use assay_features::Definition;
use assay_journal::Reader;
use assay_model::linear::Term;
use assay_model::manifest::{Baseline, GoldenRow, Learner, Threshold, Training};
use assay_model::{Artifact, Calibration, Feature, FeatureKind, Linear, Manifest, Reference};
use prometheus::Registry;
use serde_json::json;
use tempfile::TempDir;

use crate::clock;
use crate::decisions::data_folder::DataFolder;
use crate::decisions::desk::{Desk, Phase, Start, StartModel};
use crate::decisions::fold::{How, State};
use crate::decisions::laggards::Laggards;
use crate::decisions::owner::{Answer, Made, Told};
use crate::decisions::record::{Label, Part, PolicyChange, Truth, moment};
use crate::decisions::transaction::Transaction;
use crate::model_file;

pub const DEFINITION: &str = "
CREATE TABLE payments (
  payment_id VARCHAR PRIMARY KEY, at TIMESTAMP NOT NULL, customer BIGINT NOT NULL, amount DOUBLE NOT NULL, is_fraud BOOLEAN
) WITH (event_time = 'at', label = 'is_fraud', label_delay = '7 days');
CREATE VIEW features AS SELECT
  amount, count(*) OVER recent AS payments_1d
FROM payments
WINDOW recent AS (PARTITION BY customer ORDER BY at RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW);";

/// A payment.
#[derive(Clone, Copy, Debug)]
pub struct Payment {
    pub number: u64,
    pub at: i64,
    pub customer: u64,
    pub amount: f64,
}

impl Payment {
    pub fn id(&self) -> String {
        format!("p-{}", self.number)
    }

    pub fn transaction(&self) -> Transaction {
        let Self { at, customer, amount, .. } = *self;
        let json = json!({ "payment_id": self.id(), "at": moment(at), "customer": customer, "amount": amount }).to_string();
        Transaction::read(&json, &definition().plan.schema).unwrap()
    }
}

pub fn definition() -> Definition {
    Definition::parse(DEFINITION, "test").unwrap()
}

/// A model that goes by the amount: 100 is even odds.
pub fn model(folder: &Path, name: &str, slope: f64, reference: Option<Reference>) -> StartModel {
    let number = |name: &str| Feature { name: name.into(), kind: FeatureKind::Number, missing_seen: true };
    let term = |feature, coefficient| Term { feature, level: None, coefficient, when_missing: 0.0 };
    let manifest = Manifest {
        made_by: "assay test".into(),
        learner: Learner::Logistic,
        label: "is_fraud".into(),
        features: vec![number("amount"), number("payments_1d")],
        fingerprint: String::new(),
        training: Training::default(),
        quality: std::collections::BTreeMap::new(),
        calibration: Calibration::Platt { slope: 1.0, intercept: 0.0 },
        genuine_kept: None,
        threshold: Threshold { probability: 0.5, amount_column: Some("amount".into()), ..Threshold::default() },
        baseline: Baseline { reference, ..Baseline::default() },
        golden: vec![GoldenRow { row: vec![Some(1.0), Some(1.0)], probability: 0.0 }],
        linear: Some(Linear { intercept: -100.0 * slope, terms: vec![term(0, slope), term(1, 0.0)] }),
        definition: Some(DEFINITION.into()),
        imported: None,
    };
    let (artifact, bytes) = Artifact::build(manifest, "").unwrap();
    let path = folder.join(format!("{name}.model"));
    fs::write(&path, &bytes).unwrap();
    let sha256 = model_file::sha256(&bytes);
    let path = path.display().to_string();
    StartModel { name: name.into(), version: sha256[..12].into(), sha256, artifact: Arc::new(artifact), path }
}

/// A data folder and who decides in it.
pub struct World {
    pub folder: TempDir,
    pub desk: Arc<Desk>,
    model: StartModel,
}

impl World {
    pub fn begin(policy: &str) -> Self {
        Self::with(policy, None)
    }

    /// With a reference that drift is measured against.
    pub fn with(policy: &str, reference: Option<Reference>) -> Self {
        let folder = TempDir::with_prefix("assay-decisions-").unwrap();
        let model = model(folder.path(), "fraud", 0.05, reference);
        let desk = start(folder.path(), model.clone(), Some(Policy::parse(policy).unwrap()));
        Self { folder, desk, model }
    }

    /// Ends who decides and starts anew, from the snapshot or from the journal alone.
    pub fn restart(&mut self, keep_snapshot: bool) {
        assert_eq!(self.desk.finish(), None);
        if !keep_snapshot {
            fs::remove_file(self.data().snapshot()).unwrap();
        }
        self.desk = start(self.folder.path(), self.model.clone(), None);
    }

    pub fn data(&self) -> DataFolder {
        DataFolder::at(&self.folder.path().join("data"))
    }

    pub fn decide(&self, payments: &[Payment]) -> Vec<Arc<Made>> {
        let transactions = payments.iter().map(Payment::transaction).collect();
        let answers = self.desk.ask_waiting(|owner, reply| owner.decide(transactions, clock::now(), reply)).unwrap();
        let made = |answer| match answer {
            Answer::Made(made) => made,
            other => panic!("{other:?}"),
        };
        answers.into_iter().map(made).collect()
    }

    pub fn label(&self, labels: &[(String, bool, i64)]) {
        let told = |(id, fraud, learnt): &(String, bool, i64)| {
            let label = Label { label: Truth::of(*fraud), source: "test".into(), learnt: String::new(), by: None };
            Told { id: id.clone(), label, learnt: Some(*learnt) }
        };
        let told = labels.iter().map(told).collect();
        let answers = self.desk.ask_waiting(|owner, reply| owner.label(told, reply)).unwrap();
        assert!(answers.iter().all(|answer| answer == &Ok(true)), "{answers:?}");
    }

    pub fn policy(&self, policy: &str) {
        let change = PolicyChange { part: Part::Live, policy: Some(Policy::parse(policy).unwrap()), by: Some("k1".into()) };
        self.desk.ask_waiting(|owner, reply| owner.change_policy(change, None, reply)).unwrap().unwrap();
    }

    /// Folds the journal once more from its beginning, deciding anew, and holds every decision against its record; gives the state.
    pub fn replay(&self) -> State {
        let reader = Reader::open(self.data().path()).unwrap();
        let mut state = State::begin(&reader, &self.data()).unwrap().unwrap();
        let head = reader.head().unwrap().sequence;
        let mut compared = 0;
        let fold = |entry: &assay_journal::Entry<&str>| {
            if let Some(made) = state.fold(entry, &reader, &self.data(), How::Decide)? {
                let recorded: Decision = serde_json::from_str(entry.body).unwrap();
                assert_eq!(serde_json::to_string(&made).unwrap(), serde_json::to_string(&recorded).unwrap());
                compared += 1;
            }
            Ok::<_, crate::decisions::fold::FoldError>(())
        };
        reader.replay(0, u64::MAX, fold).unwrap();
        assert!(compared > 0 && state.at.sequence == head);
        state
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.desk.finish();
    }
}

fn start(folder: &Path, model: StartModel, policy: Option<Policy>) -> Arc<Desk> {
    let (snapshot_every, patience) = (NonZeroU64::MAX, Duration::from_secs(60));
    let start = Start {
        folder: DataFolder::at(&folder.join("data")),
        model,
        rollout: None,
        policy,
        keep: None,
        laggards: Laggards::default(),
        snapshot_every,
        patience,
    };
    let desk = Desk::start(start, &Registry::new()).unwrap();
    loop {
        match &*desk.phase() {
            Phase::Open(_) => return desk,
            Phase::Stopped { problem } => panic!("{problem:?}"),
            Phase::Opening { .. } => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
