//! Damaged models of every format: an error, or a model that scores. Never a panic, an endless loop or memory that a file merely claims.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fmt::Write;

use assay_model::{Artifact, Foreign};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

/// LightGBM's text: trees of four leaves, numbers and categories in turn.
fn lightgbm(trees: usize) -> Vec<u8> {
    let mut text = String::from(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=2\nobjective=binary sigmoid:1\n\
         feature_names=amount hour country\nfeature_infos=[0:9] [0:23] 0:1:2\n\n",
    );
    for tree in 0..trees {
        write!(
            text,
            "Tree={tree}\nnum_leaves=4\nnum_cat=1\nsplit_feature=0 1 2\nsplit_gain=3 2 1\nthreshold={}.5 1.0000000180025095e-35 0\n\
             decision_type=2 8 1\nleft_child=1 -1 -2\nright_child=2 -3 -4\nleaf_value=0.25 -0.125 0.{tree} -1\nleaf_weight=1 2 3 4\n\
             leaf_count=1 2 3 4\ninternal_count=10 4 6\ncat_boundaries=0 1\ncat_threshold=5\nis_linear=0\nshrinkage=0.1\n\n",
            tree % 9
        )
        .unwrap();
    }
    text.push_str("end of trees\n\nparameters:\n[categorical_feature: 2]\nend of parameters\n\npandas_categorical:[[\"DE\", \"FR\", \"US\"]]\n");
    text.into_bytes()
}

/// XGBoost's JSON, the same trees.
fn xgboost(trees: usize) -> Value {
    let tree = |tree: usize| {
        json!({
            "base_weights": [0.0, 0.5], "categories": [0, 2], "categories_nodes": [2], "categories_segments": [0], "categories_sizes": [2],
            "default_left": [1, 0, 0, 0, 0, 0, 0], "id": tree, "left_children": [1, 3, 5, -1, -1, -1, -1], "loss_changes": [3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            "parents": [2_147_483_647, 0, 0, 1, 1, 2, 2], "right_children": [2, 4, 6, -1, -1, -1, -1],
            "split_conditions": [(tree % 9) as f64 + 0.5, 12.0, 0.0, 0.25, -0.125, 0.5, -1.0], "split_indices": [0, 1, 2, 0, 0, 0, 0],
            "split_type": [0, 0, 1, 0, 0, 0, 0], "sum_hessian": [10.0, 4.0, 6.0, 1.0, 3.0, 2.0, 4.0],
            "tree_param": {"num_deleted": "0", "num_feature": "3", "num_nodes": "7", "size_leaf_vector": "1"},
        })
    };
    json!({"learner": {
        "attributes": {"best_iteration": "0", "scikit_learn": "{}"}, "feature_names": ["amount", "hour", "country"], "feature_types": ["float", "int", "c"],
        "gradient_booster": {"name": "gbtree", "model": {
            "cats": {"enc": [{"offsets": [], "values": []}, {"offsets": [], "values": []}, {"offsets": [0, 2, 4, 6], "values": [68, 69, 70, 82, 85, 83]}]},
            "gbtree_model_param": {"num_parallel_tree": trees.to_string(), "num_trees": trees.to_string()},
            "iteration_indptr": [0, trees], "tree_info": vec![0; trees], "trees": (0..trees).map(tree).collect::<Vec<_>>(),
        }},
        "learner_model_param": {"base_score": "[5E-1]", "num_class": "0", "num_feature": "3", "num_target": "1"},
        "objective": {"name": "binary:logistic"},
    }, "version": [3, 2, 0]})
}

/// A value in UBJSON, arrays of numbers with their one type as XGBoost writes them.
#[expect(clippy::cast_possible_truncation, reason = "XGBoost holds f32")]
fn ubjson(value: &Value, bytes: &mut Vec<u8>) {
    let length = |count: usize, bytes: &mut Vec<u8>| {
        bytes.push(b'L');
        bytes.extend((count as u64).to_be_bytes());
    };
    match value {
        Value::Null => bytes.push(b'Z'),
        Value::Bool(flag) => bytes.push(if *flag { b'T' } else { b'F' }),
        Value::Number(number) => {
            bytes.push(b'D');
            bytes.extend(number.as_f64().unwrap().to_be_bytes());
        }
        Value::String(text) => {
            bytes.push(b'S');
            length(text.len(), bytes);
            bytes.extend(text.as_bytes());
        }
        Value::Array(values) if !values.is_empty() && values.iter().all(Value::is_number) => {
            let whole = values.iter().all(|value| value.as_i64().is_some());
            bytes.extend(if whole { b"[$L#" } else { b"[$d#" });
            length(values.len(), bytes);
            for value in values {
                match value.as_i64() {
                    Some(number) if whole => bytes.extend(number.to_be_bytes()),
                    _ => bytes.extend((value.as_f64().unwrap() as f32).to_be_bytes()),
                }
            }
        }
        Value::Array(values) => {
            bytes.extend(b"[#");
            length(values.len(), bytes);
            for value in values {
                ubjson(value, bytes);
            }
        }
        Value::Object(entries) => {
            bytes.push(b'{');
            for (key, value) in entries {
                length(key.len(), bytes);
                bytes.extend(key.as_bytes());
                ubjson(value, bytes);
            }
            bytes.push(b'}');
        }
    }
}

/// A model of this many trees in every format.
fn models(trees: usize) -> [(&'static str, Vec<u8>); 3] {
    let xgboost = xgboost(trees);
    let mut binary = Vec::new();
    ubjson(&xgboost, &mut binary);
    [("LightGBM", lightgbm(trees)), ("XGBoost JSON", xgboost.to_string().into_bytes()), ("XGBoost UBJSON", binary)]
}

/// Takes the file as far as it goes; a model that comes out scores.
fn import(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let foreign = Foreign::read(bytes).map_err(|error| error.to_string())?;
    let manifest = foreign.manifest(&[], "fraud", "a test").map_err(|error| error.to_string())?;
    let (artifact, file) = Artifact::build(manifest, foreign.trees()).map_err(|error| error.to_string())?;
    let rows = vec![f64::NAN; 40 * artifact.features().len()];
    let mut probabilities = Vec::new();
    artifact.probabilities(&rows, &mut probabilities);
    assert!(probabilities.iter().all(|probability| (0.0..=1.0).contains(probability)));
    Ok(file)
}

/// A refusal is one sentence that a person can read.
fn refused(bytes: &[u8]) -> String {
    let sentence = import(bytes).expect_err("it is damaged");
    assert!((20..700).contains(&sentence.len()) && !sentence.contains('\n'), "{sentence}");
    sentence
}

/// The most memory that this process ever had, in MB, where the system says it.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024)
}

#[test]
fn every_format_gives_a_model_that_reads_back() {
    for (format, bytes) in models(5) {
        let file = import(&bytes).unwrap_or_else(|problem| panic!("{format}: {problem}"));
        let artifact = Artifact::read(&file).unwrap();
        let country = &artifact.features()[2];
        assert_eq!((country.name.as_str(), country.code("FR")), ("country", Some(1.0)), "{format}");
    }
}

#[test]
fn a_model_cut_short_is_refused_wherever_it_is_cut() {
    for (format, bytes) in models(900) {
        assert!(bytes.len() > 256 << 10, "{format} is large enough");
        let file = import(&bytes).unwrap();
        for end in (0..bytes.len()).step_by(64 << 10).chain((0..bytes.len()).step_by(bytes.len() / 40)) {
            assert!(import(&bytes[..end]).is_err(), "{format}, cut at {end}");
        }
        for end in (0..file.len()).step_by(64 << 10) {
            assert!(Artifact::read(&file[..end]).is_err(), "artifact of {format}, cut at {end}");
        }
    }
}

/// Behind the trees stands what their categories are called. Without it `"DE"` would be no country any more.
#[test]
fn a_lightgbm_model_cut_behind_its_trees_is_refused_or_says_that_its_categories_are_codes() {
    let bytes = lightgbm(3);
    let text = std::str::from_utf8(&bytes).unwrap();
    let trees = text.find("\nend of trees").unwrap();
    for end in trees..text.trim_end().len() {
        let cut = &text[..end];
        if cut.trim_end().ends_with("end of parameters") {
            // So it is written by LightGBM itself, called from anything but Python.
            let foreign = Foreign::read(cut.as_bytes()).unwrap();
            assert!(foreign.notes[0].contains("Its categories are codes"), "{:?}", foreign.notes);
        } else {
            let sentence = refused(cut.as_bytes());
            assert!(
                ["`end of trees` is missing", "copy it again", "is damaged"].iter().any(|part| sentence.contains(part)),
                "{sentence}"
            );
        }
    }
    assert!(Foreign::read(&bytes).unwrap().notes.is_empty());
    let codes = format!("{}\nend of trees\n\npandas_categorical:null\n", &text[..trees]);
    assert!(Foreign::read(codes.as_bytes()).unwrap().notes.is_empty());
    // Without categories nothing is lost.
    let numbers =
        text[..trees].replace("0:1:2", "[0:2]").replace("decision_type=2 8 1", "decision_type=2 8 2") + "\nend of trees\n";
    assert!(Foreign::read(numbers.as_bytes()).unwrap().notes[0].contains("The trees are whole"));
    assert!(refused(format!("{numbers}\nparameters:\n[boosting: gbdt]\n").as_bytes()).contains("copy it again"));
}

#[test]
fn a_thousand_flipped_bytes_give_an_error_or_a_model_that_scores() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    for (format, bytes) in models(12) {
        let file = import(&bytes).unwrap();
        let mut survived = 0;
        for _ in 0..1_000 {
            let draw = random.next_u64();
            let (place, flip) = ((draw >> 16) as usize, (draw % 255 + 1).to_le_bytes()[0]);
            let mut damaged = bytes.clone();
            damaged[place % bytes.len()] ^= flip;
            survived += usize::from(import(&damaged).is_ok());
            let mut damaged = file.clone();
            damaged[place % file.len()] ^= flip;
            assert!(Artifact::read(&damaged).is_err(), "artifact of {format}, byte {}", place % file.len());
        }
        assert!((1..1_000).contains(&survived), "{format}: {survived} of 1,000 survived");
    }
    assert!(most_memory() < 1_000, "{} MB were taken", most_memory());
}

/// The shapes of LightGBM's open reports #7357 (leaves and features out of range), #7437 (a set of categories out of range) and #7438 (a
/// node out of range), which its own loader takes and reads or writes out of bounds.
#[test]
fn what_lightgbm_reads_out_of_bounds_is_refused() {
    let changed = |from: &str, to: &str| {
        let text = String::from_utf8(lightgbm(2)).unwrap();
        assert!(text.contains(from));
        refused(text.replacen(from, to, 1).as_bytes())
    };
    assert!(changed("left_child=1 -1 -2", "left_child=1 -1000000 -2").contains("a child is leaf 999999, but there are 4"));
    assert!(
        changed("right_child=2 -3 -4", "right_child=2 -2147483648 -4").contains("a child is leaf 2147483647, but there are 4")
    );
    assert!(
        changed("split_feature=0 1 2", "split_feature=0 2147483647 2").contains("asks for feature 2147483647, but there are 3")
    );
    assert!(
        changed("split_feature=0 1 2", "split_feature=0 -5 2")
            .contains("`split_feature` holds something that is not a number in range")
    );
    assert!(changed("e-35 0\n", "e-35 99999\n").contains("asks for a category set, but there are 1"));
    assert!(changed("e-35 0\n", "e-35 -1\n").contains("asks for a category set, but there are 1"));
    assert!(changed("cat_boundaries=0 1", "cat_boundaries=0 1000000").contains("category sets do not fit"));
    assert!(changed("left_child=1 -1 -2", "left_child=1 1000000 -2").contains("a child is node 1000000, but there are 3"));
    assert!(changed("left_child=1 -1 -2", "left_child=0 -1 -2").contains("reached twice"));
    assert!(changed("num_leaves=4", "num_leaves=1000000000").contains("instead of 1000000000"));
    assert!(changed("num_leaves=4", "num_leaves=18446744073709551615").contains("instead of"));
    assert!(changed("num_cat=1", "num_cat=18446744073709551615").contains("category sets do not fit"));
    assert!(changed("max_feature_idx=2", "max_feature_idx=18446744073709551615").contains("more than 100000 features"));
    assert!(changed("threshold=0.5", "threshold=nan").contains("threshold is not a number"));
}

#[test]
fn sets_that_many_nodes_share_are_not_copied_without_end() {
    let words = vec!["1"; 3_000_000].join(" ");
    let text = String::from_utf8(lightgbm(30)).unwrap();
    let huge = text.replace("cat_boundaries=0 1\ncat_threshold=5", &format!("cat_boundaries=0 3000000\ncat_threshold={words}"));
    assert!(refused(huge.as_bytes()).contains("sets of categories are too large together"));
    let far = xgboost(40).to_string().replace("\"categories\":[0,2]", "\"categories\":[16777215,2]");
    assert!(import(far.as_bytes()).is_ok(), "each may be large");
    let farther = xgboost(200).to_string().replace("\"categories\":[0,2]", "\"categories\":[16777215,2]");
    assert!(refused(farther.as_bytes()).contains("sets of categories are too large together"));
}

#[test]
fn hostile_names_are_refused_and_other_languages_are_not() {
    let named = |name: &str| xgboost(2).to_string().replace("\"hour\"", &json!(name).to_string());
    for (name, problem) in
        [("", "no name"), ("amount", "earlier one"), ("a\u{1b}[2J", "control character"), (&"x".repeat(2_000), "1,000 bytes")]
    {
        let sentence = refused(named(name).as_bytes());
        assert!(sentence.contains(problem) && !sentence.contains('\u{1b}'), "{sentence}");
    }
    assert!(import(named("Uhrzeit / 时间 \"x\" <b>").as_bytes()).is_ok());
}

#[test]
fn what_is_no_model_is_named() {
    for (bytes, word) in [
        (&b"\x80\x04\x95pickle"[..], "pickle"),
        (b"PK\x03\x04", "zip"),
        (b"binf\0\0", "old binary format"),
        (b"assay-model 1\n", "needs no import"),
        (b"{\"name\": \"tree\", \"tree_info\": []}", "JSON dump"),
        (b"{\"learner\": ", "none to its end"),
        (b"{\"learner\": {\"objective\": \"4929123456781234\"}}", "XGBoost"),
        (b"a,b\n1,2\n", "none of LightGBM's text"),
        (b"", "none of LightGBM's text"),
    ] {
        let sentence = refused(bytes);
        assert!(sentence.contains(word) && !sentence.contains("4929"), "{sentence}");
    }
}
