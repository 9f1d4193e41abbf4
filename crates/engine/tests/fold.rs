//! The engine as a fold: the same events give the same decisions, from wherever they are folded.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use assay_domain::decision::{DecidedBy, Flag, ReasonValue, RuleStatus};
use assay_domain::time::{DAY, SECOND};
use assay_domain::{Outcome, Value};
use assay_engine::backtest::{Figure, Past, backtest};
use assay_engine::engine::{ApplyError, Event};
use assay_engine::lists::{Entry, ListChange, ListError, ListKind, ListValue, Provenance};
use assay_engine::snapshot::SnapshotError;
use assay_engine::{Engine, Model, Policy, Recorded, Rollout, reasons};
use assay_features::Definition;
use assay_model::Calibration;
use proptest::prelude::*;
use support::{Payment, START, artifact, definition, model, payment};

const POLICY: &str = r#"{
  "version": "p-1", "mode": "all_matches",
  "block": [{"list": "blocked", "column": "customer_id"}],
  "rules": [
    {"id": "burst", "when": "payments_1d > 4", "outcome": "challenge"},
    {"id": "abroad", "when": "country NOT IN ('BE', 'FR') AND country_sum_3d > 300", "outcome": "review"},
    {"id": "risky", "when": "risk_score > 800 OR customer_risk_5d > 0.5", "outcome": "decline"}
  ],
  "costs": {"amount": "amount", "missed_fraud": {"share": 1, "fixed": 10}, "false_decline": {"share": 0.1, "fixed": 1},
            "review": {"cost": 4, "per_day": 3}},
  "control_group": {"share": 0.1, "seed": 5}
}"#;

fn engine(policy: &str) -> Engine {
    let mut engine = Engine::new(definition(), &model(), Policy::approve_all()).unwrap();
    engine.apply(create("blocked", ListKind::Bigint)).unwrap();
    engine.apply(create("countries", ListKind::Text)).unwrap();
    engine.apply(add("blocked", ListValue::Integer(3), Some(START + DAY))).unwrap();
    engine.apply(Event::Policy(Policy::parse(policy).unwrap())).unwrap();
    engine
}

fn create(list: &str, kind: ListKind) -> Event {
    Event::List(ListChange::Create { list: list.into(), kind })
}

fn add(list: &str, value: ListValue, expires: Option<i64>) -> Event {
    let provenance = Provenance { source: "file".into(), author: "ann".into(), note: "seen".into() };
    Event::List(ListChange::Add { list: list.into(), entries: vec![Entry { value, expires, provenance }] })
}

fn decide(engine: &mut Engine, payment: &Payment) -> assay_domain::Decision {
    engine.decide(&payment.values(), format!("d-{}", payment.id), payment.arrived()).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Pay(Payment),
    Label(prop::sample::Index, Option<bool>),
    List(i64, Option<i64>),
    Unlist(i64),
    Shadow(bool),
    Model(bool),
    Rollout(Option<f64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let country = prop::option::of(prop::sample::select(vec!["BE", "FR", "US", "XX"]));
    let one = (0_i64..400_000, prop::option::of(0_i64..6), country, 0_i32..4_000, prop::option::weighted(0.9, 0_i64..5));
    let pay = one.prop_map(|(seconds, customer, country, eighths, items)| {
        Step::Pay(Payment { id: 0, seconds, customer, country, amount: f64::from(eighths) / 7.0, items })
    });
    let step = prop_oneof![
        12 => pay,
        3 => (any::<prop::sample::Index>(), any::<Option<bool>>()).prop_map(|(which, label)| Step::Label(which, label)),
        1 => (0_i64..6, prop::option::of((0..400_000_i64).prop_map(|at| START + at * SECOND))).prop_map(|(of, at)| Step::List(of, at)),
        1 => (0_i64..6).prop_map(Step::Unlist),
        1 => any::<bool>().prop_map(Step::Shadow),
        1 => any::<bool>().prop_map(Step::Model),
        1 => prop::option::of(0.0..=1.0).prop_map(Step::Rollout),
    ];
    prop::collection::vec(step, 1..60).prop_map(|mut steps| {
        for (id, step) in (0..).zip(&mut steps) {
            if let Step::Pay(payment) = step {
                payment.id = id;
            }
        }
        steps
    })
}

fn other_model() -> Model {
    Model::new("m-2", artifact(Calibration::Platt { slope: 0.5, intercept: -1.0 }), &definition().plan).unwrap()
}

/// The other model as the challenger of a share, or none.
fn rollout(share: Option<f64>) -> Event {
    Event::Rollout(share.map(|share| Rollout { model: other_model(), share }))
}

/// Folds steps and gives the JSON of each decision, which holds every bit of it.
fn folded(engine: &mut Engine, steps: &[Step], paid: &mut Vec<Vec<Value>>) -> Vec<String> {
    let mut decisions = Vec::new();
    for step in steps {
        match step {
            Step::Pay(payment) => {
                decisions.push(serde_json::to_string(&decide(engine, payment)).unwrap());
                paid.push(payment.values());
            }
            Step::Label(which, label) if !paid.is_empty() => {
                let of = which.index(paid.len());
                engine.label(&paid[of], *label);
                paid[of][6] = label.map_or(Value::Null, Value::Boolean);
            }
            Step::Label(..) => {}
            Step::List(value, expires) => engine.apply(add("blocked", ListValue::Integer(*value), *expires)).unwrap(),
            Step::Unlist(value) => {
                let values = vec![ListValue::Integer(*value)];
                engine.apply(Event::List(ListChange::Remove { list: "blocked".into(), values })).unwrap();
            }
            Step::Shadow(is) => {
                let shadow = is.then(|| Policy::parse(&POLICY.replace("all_matches", "first_match")).unwrap());
                engine.apply(Event::ShadowPolicy(shadow)).unwrap();
            }
            Step::Model(is) => engine.apply(Event::Model(if *is { other_model() } else { model() })).unwrap(),
            Step::Rollout(share) => engine.apply(rollout(*share)).unwrap(),
        }
    }
    decisions
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_same_events_give_the_same_decisions_also_from_a_snapshot(steps in steps(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(steps.len());
        let (mut once, mut paid) = (engine(POLICY), Vec::new());
        let mut expected = folded(&mut once, &steps[..cut], &mut paid);
        let mut snapshot = Vec::new();
        once.write_snapshot(&mut snapshot).unwrap();
        let mut restored = Engine::from_snapshot(definition(), once.model(), &mut snapshot.as_slice()).unwrap();
        let share = steps[..cut].iter().rev().find_map(|step| if let Step::Rollout(share) = step { Some(*share) } else { None });
        restored.apply(rollout(share.flatten())).unwrap();
        let rest = folded(&mut once, &steps[cut..], &mut paid.clone());
        prop_assert_eq!(&folded(&mut restored, &steps[cut..], &mut paid), &rest);
        expected.extend(rest);
        prop_assert_eq!(folded(&mut engine(POLICY), &steps, &mut Vec::new()), expected);
        let written = |engine: &Engine| {
            let mut bytes = Vec::new();
            engine.write_snapshot(&mut bytes).unwrap();
            bytes
        };
        prop_assert_eq!(written(&once), written(&restored));
    }
}

#[test]
fn a_challenger_scores_its_share_of_the_ids_and_a_larger_share_keeps_those_of_a_smaller_one() {
    const PAYMENTS: u32 = 4_000;
    let scored_by_the_other = |share| {
        let mut engine = engine(POLICY);
        engine.apply(rollout(share)).unwrap();
        let decisions = (0..PAYMENTS).map(|id| decide(&mut engine, &payment(id)));
        decisions.map(|made| &*made.model_version == "m-2").collect::<Vec<bool>>()
    };
    let mut smaller = scored_by_the_other(None);
    assert!(!smaller.contains(&true));
    for share in [0.0, 0.01, 0.1, 0.5, 1.0] {
        let larger = scored_by_the_other(Some(share));
        let found = larger.iter().filter(|&&is| is).count() as f64;
        let expected = f64::from(PAYMENTS) * share;
        assert!((found - expected).abs() <= 4.5 * (expected * (1.0 - share)).sqrt(), "{share}: {found}");
        assert!(smaller.iter().zip(&larger).all(|(smaller, larger)| !smaller || *larger), "{share}");
        smaller = larger;
    }
    // Worked out by `printf 'm-2:tx-1' | sha256sum`, so that others can tell who scores.
    for (id, first) in [(1, 0xbe_u8), (2, 0xcb), (3, 0x88)] {
        let is_scored = |share| scored_by_the_other(Some(share))[id];
        assert!(!is_scored(f64::from(first) / 256.0) && is_scored((f64::from(first) + 1.0) / 256.0), "{id}");
    }
}

#[test]
fn what_the_challenger_scores_is_what_it_would_score_alone_and_to_remember_it_needs_no_challenger() {
    let (mut mixed, mut alone, mut other, mut remembered) = (engine(POLICY), engine(POLICY), engine(POLICY), engine(POLICY));
    mixed.apply(rollout(Some(0.4))).unwrap();
    other.apply(Event::Model(other_model())).unwrap();
    for id in 0..300 {
        let payment = Payment { amount: f64::from(id % 37) * 9.0, ..payment(id) };
        let made = decide(&mut mixed, &payment);
        let [by_one, by_other] = [&mut alone, &mut other].map(|engine| decide(engine, &payment));
        let expected = if &*made.model_version == "m-2" { by_other } else { by_one };
        let bits = |row: &[f64]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&made.row), made.probability), (bits(&expected.row), expected.probability));
        let recorded = Recorded { arrived: payment.arrived(), outcome: made.outcome, shadow: None };
        remembered.remember(&payment.values(), Some(recorded)).unwrap();
    }
    let written = [&mixed, &remembered].map(|engine| {
        let mut bytes = Vec::new();
        engine.write_snapshot(&mut bytes).unwrap();
        bytes
    });
    assert!(written[0] == written[1]);
}

#[test]
fn a_challenger_must_fit_the_features_and_every_policy() {
    let uncalibrated = Model::new("m-3", artifact(Calibration::None), &definition().plan).unwrap();
    let begin = |model: &Model| Event::Rollout(Some(Rollout { model: model.clone(), share: 0.5 }));
    let mut of_costs = engine(POLICY);
    assert!(matches!(of_costs.apply(begin(&uncalibrated)), Err(ApplyError::Policy(_))));
    assert!(of_costs.challenger().is_none());
    // Nor does a policy of costs come while such a challenger scores.
    let mut plain = engine(r#"{"version": "plain"}"#);
    plain.apply(begin(&uncalibrated)).unwrap();
    let costs = || Policy::parse(POLICY).unwrap();
    assert!(matches!(plain.apply(Event::Policy(costs())), Err(ApplyError::Policy(_))));
    assert!(matches!(plain.apply(Event::ShadowPolicy(Some(costs()))), Err(ApplyError::Policy(_))));
    plain.apply(Event::Rollout(None)).unwrap();
    plain.apply(Event::Policy(costs())).unwrap();
    // A definition of its own takes over without the challenger.
    plain.apply(begin(&other_model())).unwrap();
    let mut next = Engine::new(definition(), &model(), Policy::approve_all()).unwrap();
    next.take_over(&mut plain).unwrap();
    assert!(next.challenger().is_none());
}

#[test]
fn a_snapshot_that_is_cut_or_changed_anywhere_is_refused() {
    let mut engine = engine(POLICY);
    engine.apply(add("countries", ListValue::Text("XX".into()), None)).unwrap();
    (0..5).for_each(|id| drop(decide(&mut engine, &payment(id))));
    let mut whole = Vec::new();
    engine.write_snapshot(&mut whole).unwrap();
    let read = |bytes: &[u8]| Engine::from_snapshot(definition(), &model(), &mut { bytes });
    assert!(read(&whole).is_ok());
    for place in 0..whole.len() {
        assert!(read(&whole[..place]).is_err(), "cut at {place}");
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        assert!(read(&changed).is_err(), "changed at {place}");
    }
    let other = Engine::from_snapshot(definition(), &other_model(), &mut whole.as_slice());
    assert!(matches!(other, Err(SnapshotError::OtherModel { .. })));
}

#[test]
fn what_is_refused_changes_nothing_and_is_not_repeated() {
    let (mut touched, mut untouched) = (engine(POLICY), engine(POLICY));
    for (place, value) in [
        (0, Value::Text("order 4111 1111 1111 1111".into())),
        (2, Value::Integer(5_555_555_555_554_444)),
        (3, Value::Text("378282246310005".into())),
        (4, Value::Double(f64::NAN)),
        (1, Value::Timestamp(START + 30 * DAY)),
    ] {
        let mut values = payment(1).values();
        values[place] = value;
        let sentence = touched.decide(&values, "d", payment(1).arrived()).unwrap_err().to_string();
        assert!(!sentence.contains("1111") && !sentence.contains("4444") && !sentence.contains("0005"), "{sentence}");
    }
    let json = |engine: &mut Engine| serde_json::to_string(&decide(engine, &payment(2))).unwrap();
    assert_eq!(json(&mut touched), json(&mut untouched));
    // A column that says what it is may hold such a number.
    let sql = support::SQL.replace("max_skew", "customer_id.pan_check = 'off', max_skew");
    let definition = Definition::parse(&sql, "test").unwrap();
    let mut engine = Engine::new(definition, &model(), Policy::approve_all()).unwrap();
    let payment = Payment { customer: Some(5_555_555_555_554_444), ..payment(1) };
    assert_eq!(decide(&mut engine, &payment).outcome, Outcome::Approve);
}

#[test]
fn a_definition_that_asks_for_a_card_s_secret_serves_nothing() {
    let sql = support::SQL.replace("items BIGINT,", "items BIGINT, CVV2 TEXT,");
    let refused = Engine::new(Definition::parse(&sql, "test").unwrap(), &model(), Policy::approve_all());
    assert!(matches!(refused, Err(ApplyError::CardData(_))));
}

#[test]
fn what_comes_too_late_is_decided_and_flagged() {
    let mut engine = engine(POLICY);
    decide(&mut engine, &Payment { seconds: 3 * 86_400, ..payment(1) });
    let late = Payment { seconds: 80_000, ..payment(2) };
    assert_eq!(decide(&mut engine, &late).flags, [Flag::Late]);
    assert_eq!(engine.counts().late, 1);
}

#[test]
fn a_shadow_is_recorded_and_does_nothing() {
    let mut engine = engine(r#"{"version": "live"}"#);
    let shadow = r#"{"version": "shadow", "rules": [{"id": "all", "when": "TRUE", "outcome": "decline"}]}"#;
    engine.apply(Event::ShadowPolicy(Some(Policy::parse(shadow).unwrap()))).unwrap();
    let decision = decide(&mut engine, &payment(1));
    assert_eq!(decision.outcome, Outcome::Approve);
    let shadow = decision.shadow.unwrap();
    assert_eq!((&*shadow.policy_version, shadow.outcome), ("shadow", Outcome::Decline));
    assert_eq!(shadow.decided_by, DecidedBy::Rule("all".into()));
    assert_eq!(engine.counts().shadow_outcomes, [0, 0, 0, 1]);
    engine.apply(Event::ShadowPolicy(None)).unwrap();
    assert_eq!(decide(&mut engine, &payment(2)).shadow, None);
}

#[test]
fn a_model_of_other_features_is_refused_by_the_name_of_the_first() {
    let refused = |from: &str, to: &str| {
        let other = Definition::parse(&support::SQL.replace(from, to), "test").unwrap();
        Engine::new(other, &model(), Policy::approve_all()).unwrap_err().to_string()
    };
    assert!(
        refused("AS payments_1d", "AS burst").contains("feature 4 of the model is `payments_1d`, that of the definition `burst`")
    );
    assert!(refused("amount, items, country,", "amount, items,").contains("takes 6 features, the definition makes 5"));
    assert!(refused("country TEXT", "country BIGINT").contains("feature 3"));
}

#[test]
fn a_rule_sleeps_until_its_moment_and_an_entry_counts_until_it_expires() {
    let policy = r#"{"version": "p", "block": [{"list": "blocked", "column": "customer_id"}], "rules": [
        {"id": "all", "when": "TRUE", "outcome": "review", "snoozed_until": "2024-01-01T18:00:00Z"}]}"#;
    let mut engine = engine(policy);
    let mut at = |seconds, customer| {
        let decision = decide(&mut engine, &Payment { seconds, customer: Some(customer), ..payment(1) });
        (decision.outcome, decision.rules.first().map(|hit| hit.status))
    };
    assert_eq!(at(6 * 3_600 - 1, 7), (Outcome::Approve, Some(RuleStatus::Snoozed)));
    assert_eq!(at(6 * 3_600, 7), (Outcome::Review, Some(RuleStatus::Hit)));
    assert_eq!(at(86_399, 3), (Outcome::Decline, None));
    assert_eq!(at(86_400, 3), (Outcome::Review, Some(RuleStatus::Hit)));
    // The clock goes back, and with it what is asleep.
    assert_eq!(at(0, 7), (Outcome::Approve, Some(RuleStatus::Snoozed)));
}

#[test]
fn null_does_not_match_and_is_counted_and_so_is_a_division_by_zero() {
    let policy = r#"{"version": "p", "rules": [
        {"id": "zero", "when": "amount / (items - 1) > 0 OR NULL", "outcome": "decline"},
        {"id": "null", "when": "country = 'US'", "outcome": "decline"},
        {"id": "score", "when": "probability > 0.99", "outcome": "decline"}], "safe_outcome": "challenge"}"#;
    let policy = policy.replace("(items - 1)", "(CAST(payments.items AS DOUBLE) - 1)");
    let mut engine = engine(&policy);
    let decision = decide(&mut engine, &Payment { country: None, ..payment(1) });
    assert_eq!((decision.outcome, decision.decided_by), (Outcome::Approve, DecidedBy::Thresholds));
    let unknown: Vec<u64> = engine.rule_counts().map(|(_, count)| count.unknown).collect();
    assert_eq!(unknown, [1, 1, 0]);
    // Without a score, the rule that asks for it errs, and the safe outcome is taken.
    let decision = decide(&mut engine, &Payment { items: None, ..payment(2) });
    assert_eq!((decision.outcome, decision.decided_by), (Outcome::Challenge, DecidedBy::SafeOutcome));
    assert_eq!(decision.rules[2].status, RuleStatus::Error);
    assert_eq!((decision.probability, decision.risk_score, decision.flags), (None, None, vec![Flag::NotScored]));
    let counts = engine.counts();
    assert_eq!((counts.safe_outcomes, counts.not_scored), (1, 1));
}

#[test]
fn a_policy_that_declines_everything_is_counted_and_leaves_the_control_group() {
    let policy = r#"{"version": "p", "rules": [{"id": "all", "when": "TRUE", "outcome": "decline"}],
        "control_group": {"share": 0.02, "seed": 1}}"#;
    let mut engine = engine(policy);
    (0..2_000).for_each(|id| drop(decide(&mut engine, &payment(id))));
    let counts = engine.counts();
    assert_eq!(counts.outcomes[Outcome::Decline as usize] + counts.control_approvals, 2_000);
    // Five standard deviations of a binomial around 40.
    assert!((9..=71).contains(&counts.control_approvals), "{counts:?}");
    let (id, hits) = engine.rule_counts().next().unwrap();
    assert_eq!((id, hits.hits), ("all", 2_000));
}

#[test]
fn costs_refuse_a_model_without_calibration_whichever_comes_first() {
    let raw = Model::new("raw", artifact(Calibration::None), &definition().plan).unwrap();
    let mut of_raw = Engine::new(definition(), &raw, Policy::approve_all()).unwrap();
    of_raw.apply(create("blocked", ListKind::Bigint)).unwrap();
    let sentence = of_raw.apply(Event::Policy(Policy::parse(POLICY).unwrap())).unwrap_err().to_string();
    assert!(sentence.contains("never calibrated"), "{sentence}");
    let sentence = engine(POLICY).apply(Event::Model(raw)).unwrap_err().to_string();
    assert!(sentence.contains("never calibrated"), "{sentence}");
}

#[test]
fn what_is_no_policy_is_told_without_what_was_sent() {
    for (json, expected) in [
        (r#"{"version": 4111111111111111}"#, "invalid type, expected a string at line 1 column 28"),
        (r#"{"version": "p", "cAnAry": 1}"#, "unknown field, expected one of"),
        (r#"{"version": "p", "cAnAry, expected cAnAry": 1}"#, "unknown field, expected one of"),
        (r#"{"version": "p", "mode": "cAnAry, expected cAnAry"}"#, "unknown variant, expected `first_match` or `all_matches`"),
        (r#"{"version": "p", "rules": "cAnAry"}"#, "invalid type, expected a sequence"),
        (r#"{"version": "p", "rules": [{"id": "r"}]}"#, "missing field `when`"),
        (r#"{"version": "p", "version": "p"}"#, "duplicate field `version`"),
        (r#"{"version": "p" "cAnAry"}"#, "expected `,` or `}`"),
    ] {
        let sentence = Policy::parse(json).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
        assert!(!sentence.contains("cAnAry") && !sentence.contains("4111"), "{sentence}");
    }
}

#[test]
fn a_wrong_policy_is_refused_with_its_place_and_the_old_one_stays() {
    let mut engine = engine(POLICY);
    let mut refused = |json: &str, rule: Option<&str>, place: (u64, u64), expected: &str| {
        let error = match Policy::parse(json).map(|policy| engine.apply(Event::Policy(policy))) {
            Err(error) | Ok(Err(ApplyError::Policy(error))) => error,
            other => panic!("{json}: {other:?}"),
        };
        assert!(error.to_string().contains(expected), "{expected:?} is not in: {error}");
        assert_eq!((error.rule.as_deref(), (error.line, error.column)), (rule, place), "{error}");
    };
    let rule = |when: &str| {
        let when = serde_json::to_string(when).unwrap();
        format!(r#"{{"version": "p", "rules": [{{"id": "r9", "when": {when}, "outcome": "review"}}]}}"#)
    };
    let r9 = Some("r9");
    refused(&rule("amount > 1\n AND contry = 'BE'"), r9, (2, 6), "rule `r9`, line 2, column 6, at `contry`: neither");
    refused(&rule("contry = 'BE'"), r9, (1, 1), "did you mean `country`?");
    refused(&rule("count(*) OVER w > 3"), r9, (1, 1), "make it a feature");
    refused(&rule("amount >"), r9, (1, 9), "this is not SQL");
    refused(&rule(&"(".repeat(3_000)), r9, (0, 0), "nested more than");
    refused(&rule(&"x".repeat(20_000)), r9, (0, 0), "longer than");
    refused("{\"version\": \"p\",\n \"rulez\": []}", None, (2, 8), "unknown field, expected one of `version`, `mode`");
    refused(&format!("{}1{}", "[".repeat(500), "]".repeat(500)), None, (1, 1), "this is no policy");
    refused(&" ".repeat(2 << 20), None, (0, 0), "longer than");
    refused(r#"{"version": ""}"#, None, (0, 0), "the version of the policy");
    refused(
        r#"{"version": "p", "block": [{"list": "blockd", "column": "customer_id"}]}"#,
        None,
        (0, 0),
        "there is no list `blockd`",
    );
    refused(r#"{"version": "p", "allow": [{"list": "blocked", "column": "country"}]}"#, None, (0, 0), "holds BIGINT values");
    refused(
        r#"{"version": "p", "allow": [{"list": "blocked", "column": "custmer_id"}]}"#,
        None,
        (0, 0),
        "did you mean `customer_id`?",
    );
    refused(r#"{"version": "p", "control_group": {"share": 0.5, "seed": 1}}"#, None, (0, 0), "control group");
    refused(r#"{"version": "p", "thresholds": {"on": "risk_score", "steps": []}}"#, None, (0, 0), "at least one step");
    let twice = r#"{"id": "r9", "when": "TRUE", "outcome": "review"}"#;
    refused(&format!(r#"{{"version": "p", "rules": [{twice}, {twice}]}}"#), r9, (0, 0), "two rules are called `r9`");
    assert_eq!(engine.policy().version, "p-1");
}

#[test]
fn a_list_changes_whole_or_not_at_all_and_not_while_it_is_looked_at() {
    let mut engine = engine(POLICY);
    let mut change = |change| match engine.apply(Event::List(change)) {
        Err(ApplyError::List(error)) => Some(error),
        other => {
            other.unwrap();
            None
        }
    };
    let list = || "blocked".to_owned();
    let of = |value| Entry { value, expires: None, provenance: Provenance::default() };
    assert_eq!(change(ListChange::Drop { list: list() }), Some(ListError::InUse));
    assert_eq!(change(ListChange::Create { list: list(), kind: ListKind::Text }), Some(ListError::Exists));
    assert_eq!(change(ListChange::Create { list: "a b".into(), kind: ListKind::Text }), Some(ListError::Name));
    assert_eq!(change(ListChange::Prune { list: "x".into(), before: None }), Some(ListError::Unknown));
    let entries = vec![of(ListValue::Integer(9)), of(ListValue::Text("9".into()))];
    let kind = Some(ListError::Kind { number: 2, kind: ListKind::Bigint });
    assert_eq!(change(ListChange::Add { list: list(), entries }), kind);
    let entries = vec![of(ListValue::Text("x".repeat(257).into()))];
    assert_eq!(change(ListChange::Add { list: "countries".into(), entries }), Some(ListError::Length { number: 1 }));
    assert_eq!(change(ListChange::Prune { list: list(), before: Some(START + DAY) }), None);
    assert_eq!(change(ListChange::Drop { list: "countries".into() }), None);
    assert!(engine.lists().is_empty());
}

#[test]
fn changes_of_lists_have_a_json_of_their_own() {
    let json = r#"{"change":"add","list":"blocked","entries":[{"value":7,"expires":"2026-12-31T00:00:00Z","source":"file","author":"ann","note":""},{"value":"x","source":"","author":"","note":""}]}"#;
    let change: ListChange = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&change).unwrap(), json);
}

proptest! {
    /// A list against a map that is gone through.
    #[test]
    fn a_list_holds_what_was_put_on_it_and_counts_its_texts(
        changes in prop::collection::vec((0_u8..20, 0_u8..4, prop::option::of(0_i64..10), 0_usize..3), 0..120),
    ) {
        let mut engine = engine(r#"{"version": "p"}"#);
        let before = engine.lists().memory_bytes();
        let mut plain: Vec<(String, Option<i64>, usize)> = Vec::new();
        for (value, what, expires, notes) in changes {
            let text = "v".repeat(value.into());
            plain.retain(|(known, ..)| *known != text);
            let value = ListValue::Text(text.as_str().into());
            let list = "countries".to_owned();
            if what == 0 {
                engine.apply(Event::List(ListChange::Remove { list, values: vec![value] })).unwrap();
            } else {
                let provenance = Provenance { source: "s".into(), author: String::new(), note: "n".repeat(notes) };
                engine.apply(Event::List(ListChange::Add { list, entries: vec![Entry { value, expires, provenance }] })).unwrap();
                plain.push((text, expires, notes));
            }
            let list = engine.lists().list("countries").unwrap();
            prop_assert_eq!(list.len(), plain.len());
            for (text, expires, notes) in &plain {
                let entry = list.get(&ListValue::Text(text.as_str().into())).unwrap();
                prop_assert_eq!((entry.expires, entry.provenance.note.len()), (*expires, *notes));
                for at in 0..12 {
                    let held = list.holds(&Value::Text(text.as_str().into()), at);
                    prop_assert_eq!(held, expires.is_none_or(|expires| at < expires));
                }
            }
        }
        let values = plain.iter().map(|(text, ..)| ListValue::Text(text.as_str().into())).collect();
        engine.apply(Event::List(ListChange::Remove { list: "countries".into(), values })).unwrap();
        engine.apply(Event::List(ListChange::Drop { list: "countries".into() })).unwrap();
        // No byte of a text is counted for ever: only the entry of `blocked` is left.
        prop_assert!(engine.lists().memory_bytes() <= before);
        prop_assert_eq!(engine.lists().len(), 1);
    }
}

#[test]
fn reasons_are_worked_out_from_the_record_by_the_model_that_made_it() {
    let mut engine =
        engine(r#"{"version": "p", "thresholds": {"on": "probability", "steps": [{"from": 0.5, "outcome": "decline"}]}}"#);
    let decision = decide(&mut engine, &Payment { amount: 500.0, country: Some("US"), ..payment(1) });
    assert_eq!(decision.outcome, Outcome::Decline);
    let recorded = serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap();
    let explainer = engine.model().artifact().explainer().unwrap();
    let said = reasons(engine.model(), &explainer, &recorded, 3).unwrap();
    assert_eq!((said[0].code.as_str(), said[0].value.clone()), ("AMOUNT_HIGH", Some(ReasonValue::Number(500.0))));
    assert!(said.iter().all(|reason| reason.impact > 0.0) && said[0].words.contains("raised the risk"), "{said:?}");
    let sentence = reasons(&other_model(), &explainer, &recorded, 3).unwrap_err().to_string();
    assert!(sentence.contains("`m-1`") && sentence.contains("`m-2`"), "{sentence}");
    let not_scored = decide(&mut engine, &Payment { items: None, ..payment(2) });
    assert!(reasons(engine.model(), &explainer, &not_scored, 3).is_err());
}

#[test]
fn a_backtest_tells_the_money_of_its_own_decisions() {
    let past = || {
        (0_u32..3_000).map(|id| {
            let of = |modulus: u32| id.wrapping_mul(2_654_435_761) >> 7 & (modulus - 1);
            let amount = f64::from(of(1_024)) / 4.0;
            let (country, seconds) = (Some(if of(8) == 0 { "US" } else { "BE" }), i64::from(id) * 300);
            let one = Payment { id, seconds, customer: Some(of(64).into()), country, amount, items: Some(1) };
            let was_fraud = if id % 11 == 0 { None } else { Some(country == Some("US") && of(4) == 0) };
            Past::Transaction { transaction: one.values(), id: id.to_string(), arrived: one.arrived(), amount, was_fraud }
        })
    };
    let mut recount = [[0.0; 3]; 4];
    let mut reviews = 0;
    let mut amounts = past().filter_map(|event| if let Past::Transaction { amount, .. } = event { Some(amount) } else { None });
    let report = backtest(&mut engine(POLICY), past(), 7, |decision, was_fraud| {
        recount[decision.outcome as usize][was_fraud.map_or(2, usize::from)] += amounts.next().unwrap();
        reviews += u32::from(decision.outcome == Outcome::Review);
    })
    .unwrap();
    let stopped: f64 = recount[1..].iter().map(|truths| truths[1]).sum();
    assert_eq!(report.fraud_stopped.value, stopped);
    assert_eq!(report.fraud_missed.value, recount[0][1]);
    assert_eq!(report.good_sales_lost.value, recount[Outcome::Decline as usize][0]);
    assert_eq!(report.reviews.value, f64::from(reviews));
    assert_eq!((report.transactions, report.refused, report.days), (3_000, 0, 11));
    assert_eq!(report.outcomes.iter().map(|one| one.fraud.count + one.genuine.count + one.unknown.count).sum::<u64>(), 3_000);
    for Figure { value, low, high } in [report.fraud_stopped, report.good_sales_lost, report.reviews, report.insult_rate.unwrap()]
    {
        assert!(low < high && low <= value && value <= high, "{low} {value} {high}");
    }
    let again = backtest(&mut engine(POLICY), past(), 7, |_, _| {}).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), serde_json::to_string(&report).unwrap());
    let nothing = backtest(&mut engine(POLICY), std::iter::empty(), 7, |_, _| {}).unwrap();
    assert_eq!((nothing.days, nothing.fraud_stopped.value, nothing.insult_rate), (0, 0.0, None));
}

/// The arrival of a transaction is the time, and a machine's clock may be set: an hour back, a day forward.
#[test]
fn a_clock_that_jumps_changes_no_feature_and_gives_nobody_a_second_day_of_reviews() {
    let policy = r#"{"version": "p", "block": [{"list": "blocked", "column": "customer_id"}],
        "costs": {"amount": "amount", "missed_fraud": {"share": 100, "fixed": 1000}, "false_decline": {"share": 100, "fixed": 1000},
                  "review": {"cost": 0, "per_day": 2}}}"#;
    let hour = 3_600 * SECOND;
    let (mut steady, mut jumping) = (engine(policy), engine(policy));
    // Customer 3 is on the list until a day after the start.
    let jumps = [0, -hour, DAY, -hour, DAY + hour, 0, DAY];
    for (id, jump) in (0..).zip(jumps) {
        let payment = Payment { customer: Some(5), ..payment(id) };
        let decide = |engine: &mut Engine, arrived| engine.decide(&payment.values(), format!("d-{id}"), arrived).unwrap();
        let (expected, found) = (decide(&mut steady, START), decide(&mut jumping, START + jump));
        assert_eq!(format!("{:?}", found.row), format!("{:?}", expected.row), "{jump}");
        // The first two of a day are reviewed. A clock that went back counts for the day it came from.
        let is_review = matches!(id, 0..=3);
        assert_eq!(found.outcome == Outcome::Review, is_review, "{id}");
        assert_eq!(found.flags.contains(&Flag::ReviewsUsedUp), !is_review, "{id}");
    }
    for (jump, is_listed) in [(-hour, true), (DAY - 1, true), (DAY, false), (DAY + hour, false), (0, true)] {
        let values = Payment { customer: Some(3), ..payment(50) }.values();
        let found = jumping.decide(&values, "d", START + jump).unwrap();
        assert_eq!(found.decided_by == DecidedBy::BlockList("blocked".into()), is_listed, "{jump}");
    }
}
