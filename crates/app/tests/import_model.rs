//! `assay import-model` as a person uses it: names, categories, calibration, and what is refused.

mod workplace;

use assay_model::Calibration;
use assay_model::manifest::TreesFormat;
use serde_json::{Value, json};
use workplace::Workplace;

/// A LightGBM model of `amount` and `country`, trained by pandas on DE, FR and US: FR is a fraud, and so are amounts above 1.5.
const TREES: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=binary sigmoid:1\n\
    feature_names=amount country\nfeature_infos=[0:9] 0:1:2\n\nTree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=1 0\nthreshold=0 1.5\n\
    decision_type=1 10\nleft_child=-1 -2\nright_child=1 -3\nleaf_value=2 -3 1\ncat_boundaries=0 1\ncat_threshold=2\n\nend of trees\n\n\
    parameters:\n[data: /home/someone/secret.csv]\n[categorical_feature: 1]\nend of parameters\n\n\
    pandas_categorical:[[\"US\", \"FR\", \"DE\"]]\n";

/// Rows of amount, country and fraud, most of them as the trees think.
fn transactions(rows: usize) -> String {
    let row = |number: usize| {
        let (amount, country) = (number % 4, ["US", "FR", "DE", "", "IT"][number % 5]);
        let fraud = (country == "FR" || amount > 1) != number.is_multiple_of(7);
        format!("{amount},{country},{}\n", u8::from(fraud))
    };
    format!("amount,country,fraud\n{}", (0..rows).map(row).collect::<String>())
}

fn with_model() -> Workplace {
    let place = Workplace::new();
    place.write("model.txt", TREES);
    place.write("later.csv", transactions(500));
    place
}

#[test]
fn a_text_category_scores_as_it_did_in_python() {
    let place = with_model();
    let said = place.run(&["import-model", "model.txt", "--out", "fraud.model"]);
    assert!(said.starts_with("Found a LightGBM model (text): 1 trees, 2 features, 1 of them categories.\n"), "{said}");
    let model = place.model("fraud.model");
    let margin = |country: f64| model.margin(&[0.0, country]);
    let code = |text: &str| model.features()[1].code(text).unwrap();
    assert_eq!(["DE", "FR", "US", "IT"].map(|text| margin(code(text))), [-3.0, 2.0, -3.0, -3.0]);
    assert_eq!(margin(f64::NAN), -3.0);
    let file = place.read("fraud.model");
    assert!(file.starts_with(b"assay-model 2\n"));
    assert!(!file.windows(6).any(|part| part == b"secret"), "LightGBM's parameters are left out");

    place.run(&["score", "fraud.model", "later.csv", "-o", "scores.csv"]);
    let scores = place.text("scores.csv");
    let scores: Vec<f64> = scores.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!(scores[1], model.probability(&[1.0, code("FR")]));
    assert_eq!(scores[3], model.probability(&[3.0, f64::NAN]));
}

#[test]
fn what_is_unknown_of_an_imported_model_is_not_made_up() {
    let place = with_model();
    place.run(&["import-model", "model.txt", "--out", "fraud.model"]);
    let model = place.model("fraud.model");
    let manifest = model.manifest();
    assert_eq!(manifest.imported.as_ref().unwrap().format, TreesFormat::LightgbmText);
    assert_eq!((manifest.training.rows, manifest.training.split.as_str(), manifest.quality.len()), (0, "unknown", 0));
    assert_eq!(manifest.golden.len(), 64);
    let report: Value =
        serde_json::from_str(&place.run(&["evaluate", "fraud.model", "later.csv", "--resamples", "10", "--json"])).unwrap();
    assert_eq!(report["model"]["learner"], "imported lightgbm");
    assert_eq!((&report["model"]["rows_trained"], &report["model"]["frauds_trained"]), (&Value::Null, &Value::Null));
    assert_eq!(report["model"]["training_range"], "not known: the model was trained elsewhere");
}

#[test]
fn labelled_transactions_calibrate_it() {
    let place = with_model();
    place.run(&["import-model", "model.txt", "--out", "raw.model"]);
    let words = [
        "import-model",
        "model.txt",
        "--out",
        "fraud.model",
        "--calibration",
        "later.csv",
        "--label",
        "fraud",
        "--fraud-cost",
        "50",
    ];
    let said = place.run(&words);
    assert!(said.contains("Calibrated by Platt's two parameters on 500 rows"), "{said}");
    let (raw, model) = (place.model("raw.model"), place.model("fraud.model"));
    let manifest = model.manifest();
    assert!(matches!(manifest.calibration, Calibration::Platt { .. }));
    let threshold = &manifest.threshold;
    assert_eq!((threshold.amount_column.as_deref(), threshold.fraud_cost), (Some("amount"), 50.0));
    assert!((0.04..0.06).contains(&threshold.probability), "a review at 5 pays from a twentieth of 50 times the mean amount on");
    assert_eq!((manifest.baseline.features.len(), manifest.golden.len()), (2, 80));
    assert_eq!(model.margin(&[3.0, 0.0]), raw.margin(&[3.0, 0.0]));
    // 6 of 7 rows are as the trees think.
    let far = (model.probability(&[3.0, 0.0]) - 6.0 / 7.0).abs();
    assert!(far < 0.1 && far < (raw.probability(&[3.0, 0.0]) - 6.0 / 7.0).abs(), "{far}");
}

#[test]
fn features_are_named_by_the_person_where_the_person_does() {
    let place = with_model();
    place.run(&["import-model", "model.txt", "--out", "fraud.model", "--name-features", "sum,land", "--threshold", "0.25"]);
    let model = place.model("fraud.model");
    assert_eq!(model.features().iter().map(|feature| feature.name.as_str()).collect::<Vec<_>>(), ["sum", "land"]);
    assert_eq!(model.features()[1].code("FR"), Some(1.0), "the texts are still those of the file");
    assert_eq!(model.manifest().threshold.probability, 0.25);

    place.write("features.json", json!(["sum", { "name": "land", "levels": ["one", "two"] }]).to_string());
    place.run(&["import-model", "model.txt", "--out", "fraud.model", "--features", "features.json"]);
    let model = place.model("fraud.model");
    let code = |text: &str| model.features()[1].code(text).unwrap();
    assert_eq!((model.margin(&[0.0, code("one")]), model.margin(&[0.0, code("two")])), (-3.0, 2.0));
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let place = with_model();
    place.write("features.json", json!([{ "name": "sum", "levels": ["a"] }, "land"]).to_string());
    place.write("broken.json", "[4929123456781234");
    place.write("table.csv", "a,b\n1,2\n");
    place.write("ordered.txt", TREES.replace("[[\"US\"", "[[1, 2], [\"US\""));
    place.write("cut.txt", &TREES[..TREES.find("end of trees").unwrap()]);
    place.write("views.sql", "CREATE TABLE");
    let check = |words: &[&str], expected: &str| {
        let sentence = place.refused(&[&["import-model"], words, &["--out", "fraud.model"]].concat());
        assert!(sentence.contains(expected) && !sentence.contains("4929"), "{sentence}");
    };
    check(&["model.txt", "--name-features", "a,b,c"], "3 features are named, but the model takes 2");
    check(&["model.txt", "--name-features", "a,a"], "the name of an earlier one");
    check(&["model.txt", "--features", "features.json"], "feature `sum` has categories, but the model asks for it as a number");
    check(&["model.txt", "--features", "broken.json"], "broken.json: line 1");
    check(&["table.csv"], "none of LightGBM's text, XGBoost's JSON");
    check(&["ordered.txt"], "which is which cannot be told");
    check(&["cut.txt"], "the line `end of trees` is missing");
    check(&["nothing.txt"], "cannot read nothing.txt");
    check(&["."], "it is a folder");
    check(&["model.txt", "--definition", "views.sql"], "views.sql");
    check(&["model.txt", "--calibration", "table.csv"], "has no column `amount`");
}

/// Raw transactions, whose features the definition makes, calibrate as a table of the same features does.
#[test]
fn transactions_calibrate_a_model_through_its_definition_as_a_table_of_their_features_does() {
    let place = with_model();
    place.write(
        "cards.sql",
        "CREATE TABLE payments (id BIGINT PRIMARY KEY, at TIMESTAMP NOT NULL, customer BIGINT NOT NULL, paid DOUBLE NOT NULL, \
         country TEXT, fraud BOOLEAN) WITH (event_time = 'at', label = 'fraud', label_delay = '1 day'); \
         CREATE VIEW features AS SELECT paid - count(*) OVER day AS amount, country FROM payments WINDOW day AS (PARTITION BY customer \
         ORDER BY at RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW)",
    );
    let row = |number: usize| {
        let (amount, country) = (number % 4, ["US", "FR", "DE", "", "IT"][number % 5]);
        let fraud = (country == "FR" || amount > 1) != number.is_multiple_of(7);
        // A customer pays once: the count is 1, and the feature is the amount.
        format!(
            "{number},2026-01-01T{:02}:{:02}:00Z,{number},{},{country},{}\n",
            number / 60,
            number % 60,
            amount + 1,
            u8::from(fraud)
        )
    };
    let rows: String = (0..500).map(row).collect();
    place.write("raw.csv", format!("id,at,customer,paid,country,fraud\n{rows}"));
    place.run(&["import-model", "model.txt", "--calibration", "later.csv", "--out", "table.model"]);
    let import = ["import-model", "model.txt", "--definition", "cards.sql", "--calibration", "raw.csv"];
    place.run(&[&import[..], &["--out", "raw.model"]].concat());
    let (table, raw) = (place.model("table.model"), place.model("raw.model"));
    assert!(!matches!(raw.manifest().calibration, Calibration::None));
    assert_eq!(raw.manifest().calibration, table.manifest().calibration);
    assert!(raw.manifest().definition.as_deref().is_some_and(|sql| sql.contains("PARTITION BY customer")));
    // It decides as any other that carries its definition.
    let complaint =
        place.refused(&["import-model", "model.txt", "--definition", "cards.sql", "--calibration", "later.csv", "--out", "x"]);
    assert!(complaint.contains("there is no column \"id\""), "{complaint}");
}
