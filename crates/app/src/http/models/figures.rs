//! What is counted of the models. The series of a model come and go with it, so that their number stays within that of the models.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::lineup::Lineup;
use super::model::Model;
use super::reason::{REASONS, Reason};
use super::shadow::Shadow;

/// The figures of all models.
pub struct Figures {
    registry: Registry,
    active: IntGaugeVec,
    loaded: IntGauge,
    swaps: IntCounter,
    refused: IntCounterVec,
    /// Rows that no shadow got to score, since too many waited.
    pub dropped: IntCounter,
}

const LABELS: [&str; 6] = ["model", "version", "learner", "fingerprint", "made_by", "features"];

impl Figures {
    /// All at zero.
    pub fn new(registry: Registry) -> Self {
        let counter = |name, help| IntCounter::new(name, help).expect("names are right as they are written here");
        let gauges = IntGaugeVec::new(Opts::new("assay_model_info", "The model that is active."), &LABELS);
        let refused = Opts::new("assay_models_refused_total", "Model files that were not taken, by reason.");
        let figures = Self {
            active: gauges.expect("names are right as they are written here"),
            loaded: IntGauge::new("assay_models_loaded", "Models in memory.").expect("names are right as they are written here"),
            swaps: counter("assay_model_swaps_total", "Times that another model became active."),
            refused: IntCounterVec::new(refused, &["reason"]).expect("names are right as they are written here"),
            dropped: counter("assay_shadow_dropped_rows_total", "Rows that no shadow scored, since too many waited."),
            registry,
        };
        for reason in REASONS {
            figures.refused.with_label_values(&[reason.word()]);
        }
        figures.register(&figures.active);
        figures.register(&figures.loaded);
        figures.register(&figures.swaps);
        figures.register(&figures.refused);
        figures.register(&figures.dropped);
        figures
    }

    /// Counts a file that was not taken.
    pub fn refused(&self, reason: Reason) {
        self.refused.with_label_values(&[reason.word()]).inc();
    }

    /// Follows a change of the lineup.
    pub fn follow(&self, before: Option<&Lineup>, now: &Lineup) {
        let models = before.map_or(&[][..], |before| &before.loaded);
        let shadows: Vec<Arc<Shadow>> = before.into_iter().flat_map(Lineup::all_shadows).cloned().collect();
        let shadows_now: Vec<Arc<Shadow>> = now.all_shadows().cloned().collect();
        // Series that go make room first: what comes may have their names.
        for model in models.iter().filter(|model| !holds(&now.loaded, model)) {
            self.unregister(&model.requests);
        }
        for shadow in shadows.iter().filter(|shadow| !holds(&shadows_now, shadow)) {
            self.unregister(&shadow.differences);
            self.unregister(&shadow.scores);
            self.unregister(&shadow.changed_flags);
        }
        for model in now.loaded.iter().filter(|model| !holds(models, model)) {
            self.register(&model.requests);
        }
        for shadow in shadows_now.iter().filter(|shadow| !holds(&shadows, shadow)) {
            self.register(&shadow.differences);
            self.register(&shadow.scores);
            self.register(&shadow.changed_flags);
        }
        self.loaded.set(i64::try_from(now.loaded.len()).unwrap_or(i64::MAX));
        match before.map(|before| &before.active) {
            Some(active) if Arc::ptr_eq(active, &now.active) => {}
            Some(active) => {
                self.swaps.inc();
                self.set_active(&now.active);
                // It was named when it became active, unless it is the same bytes again.
                if !active.is(&now.active.named()) {
                    self.active.remove_label_values(&labels(active).each_ref().map(String::as_str)).ok();
                }
            }
            None => self.set_active(&now.active),
        }
    }

    fn set_active(&self, model: &Model) {
        self.active.with_label_values(&labels(model).each_ref().map(String::as_str)).set(1);
    }

    fn register(&self, metric: &(impl Collector + Clone + 'static)) {
        self.registry.register(Box::new(metric.clone())).expect("no two models or shadows of a lineup have one name");
    }

    fn unregister(&self, metric: &(impl Collector + Clone + 'static)) {
        self.registry.unregister(Box::new(metric.clone())).expect("it was registered when it came");
    }
}

fn holds<T>(all: &[Arc<T>], one: &Arc<T>) -> bool {
    all.iter().any(|other| Arc::ptr_eq(other, one))
}

fn labels(model: &Model) -> [String; 6] {
    let manifest = model.artifact.manifest();
    let learner = manifest.learner_name().to_owned();
    let (fingerprint, made_by) = (manifest.fingerprint.clone(), manifest.made_by.clone());
    [model.name.clone(), model.version.clone(), learner, fingerprint, made_by, manifest.features.len().to_string()]
}
