//! The same model behind every door: the same rows get the same bits, and each protocol is kept to its own contract.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::path::Path;

use assay_model::Artifact;
use serde_json::{Value, json};
use support::{MARKERS, Random, Reply, Server, forest_model, markers, mixed_model, seed_model, version_of, with_marker};

const JSON: &str = "Content-Type: application/json";
const CSV: &str = "Content-Type: text/csv";

/// A model of `amount`, `hour` (may be missing) and `country` (may be missing) that flags from 0.3 on.
fn flagging_model() -> (Artifact, Vec<u8>) {
    let mut manifest = mixed_model().0.manifest().clone();
    manifest.threshold.probability = 0.3;
    Artifact::build(manifest, "").unwrap()
}

fn post(server: &Server, path: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Reply {
    server.connect().ask("POST", path, headers, body.as_ref())
}

fn invoke(server: &Server, body: &Value) -> Reply {
    post(server, "/invocations", &[JSON], body.to_string())
}

fn infer(server: &Server, body: &Value) -> Reply {
    post(server, "/v2/models/model/infer", &[], body.to_string())
}

/// Bits of a list of numbers.
fn bits(numbers: &Value) -> Vec<u64> {
    numbers.as_array().unwrap().iter().map(|number| number.as_f64().unwrap().to_bits()).collect()
}

/// Bits of the probabilities in an answer of any door.
fn scored(reply: &Reply) -> Vec<u64> {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    if reply.header("content-type").unwrap().starts_with("text/csv") {
        return reply.text().lines().map(|line| line.parse::<f64>().unwrap().to_bits()).collect();
    }
    if let Some(length) = reply.header("inference-header-content-length") {
        let (_, binary) = reply.body.split_at(length.parse().unwrap());
        let (eights, _) = binary.as_chunks::<8>();
        return eights.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    }
    let json = reply.json();
    if let Some(outputs) = json["outputs"].as_array() {
        return bits(&outputs[0]["data"]);
    }
    match (&json["scores"], &json["predictions"]) {
        (Value::Array(scores), Value::Null) if scores[0].is_object() => {
            scores.iter().map(|score| score["probability"].as_f64().unwrap().to_bits()).collect()
        }
        (Value::Null, predictions) => bits(predictions),
        (scores, _) => bits(scores),
    }
}

/// A binary request: the JSON, and the data of its inputs.
fn infer_binary(server: &Server, json: &Value, data: &[u8]) -> Reply {
    let json = json.to_string();
    let header = format!("Inference-Header-Content-Length: {}", json.len());
    post(server, "/v2/models/model/infer", &[&header], [json.as_bytes(), data].concat())
}

fn names(model: &Artifact) -> Vec<String> {
    model.features().iter().map(|feature| feature.name.clone()).collect()
}

/// Rows, each an object by name.
fn objects(model: &Artifact, rows: &[Vec<Value>]) -> Vec<Value> {
    let object = |row: &Vec<Value>| names(model).into_iter().zip(row.iter().cloned()).collect::<serde_json::Map<_, _>>();
    rows.iter().map(|row| Value::Object(object(row))).collect()
}

fn column(rows: &[Vec<Value>], place: usize) -> Vec<Value> {
    rows.iter().map(|row| row[place].clone()).collect()
}

/// The rows through every door that takes values of any kind: what each answered.
fn through_every_door(server: &Server, model: &Artifact, rows: &[Vec<Value>]) -> Vec<(&'static str, Reply)> {
    let names = names(model);
    let version = server.ask("GET", "/v1/models/model", b"").json()["version"].as_str().unwrap().to_owned();
    let csv_cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        number => number.to_string(),
    };
    let csv_row = |row: &Vec<Value>| row.iter().map(csv_cell).collect::<Vec<_>>().join(",");
    let csv = rows.iter().map(csv_row).collect::<Vec<_>>().join("\n");
    let backwards = |row: &Vec<Value>| row.iter().rev().cloned().collect::<Vec<_>>();
    let header: Vec<Value> = names.iter().rev().map(|name| json!(name)).collect();
    let csv_backwards: Vec<String> =
        std::iter::once(header.clone()).chain(rows.iter().map(backwards)).map(|row| csv_row(&row)).collect();
    let columns: serde_json::Map<_, _> =
        names.iter().enumerate().map(|(place, name)| (name.clone(), json!(column(rows, place)))).collect();
    let tensors: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let datatype = if rows.iter().any(|row| row[place].is_string()) { "BYTES" } else { "FP64" };
            json!({ "name": name, "shape": [rows.len(), 1], "datatype": datatype, "data": column(rows, place) })
        })
        .collect();
    let wrapped: Vec<Value> = rows.iter().map(|row| json!({ "features": row })).collect();
    vec![
        ("score, rows", post(server, "/v1/score", &[], json!({ "rows": rows }).to_string())),
        ("score, transactions", post(server, "/v1/score", &[], json!({ "transactions": objects(model, rows) }).to_string())),
        ("our rows", invoke(server, &json!({ "rows": rows }))),
        ("our transactions", invoke(server, &json!({ "transactions": objects(model, rows) }))),
        ("predict's form", invoke(server, &json!({ "features": rows }))),
        ("split", invoke(server, &json!({ "dataframe_split": { "columns": names, "data": rows } }))),
        (
            "split backwards",
            invoke(
                server,
                &json!({ "dataframe_split": { "columns": header, "data": rows.iter().map(backwards).collect::<Vec<_>>() } }),
            ),
        ),
        ("records", invoke(server, &json!({ "dataframe_records": objects(model, rows) }))),
        ("instances", invoke(server, &json!({ "instances": rows }))),
        ("instances by name", invoke(server, &json!({ "instances": objects(model, rows) }))),
        ("SageMaker", invoke(server, &json!({ "instances": wrapped }))),
        ("inputs", invoke(server, &json!({ "inputs": rows }))),
        ("inputs by column", invoke(server, &json!({ "inputs": columns }))),
        ("CSV", post(server, "/invocations", &[CSV], &csv)),
        ("CSV to CSV", post(server, "/invocations", &[CSV, "Accept: text/csv"], format!("{}\r\n", csv.replace('\n', "\r\n")))),
        ("CSV with a header", post(server, "/invocations", &["Content-Type: text/csv; charset=UTF-8"], csv_backwards.join("\n"))),
        ("tensors", infer(server, &json!({ "inputs": tensors }))),
        (
            "tensors to binary",
            infer(
                server,
                &json!({ "inputs": tensors, "outputs": [{ "name": "probability", "parameters": { "binary_data": true } }] }),
            ),
        ),
        (
            "tensors to a version",
            post(server, &format!("/v2/models/model/versions/{version}/infer"), &[], json!({ "inputs": tensors }).to_string()),
        ),
    ]
}

#[test]
fn ten_thousand_rows_get_the_same_bits_at_every_door() {
    let (model, file) = forest_model(10, 31, 30);
    let server = Server::start(&file, &[]);
    let mut random = Random(11);
    let numbers: Vec<Vec<f64>> = (0..10_000).map(|_| (0..30).map(|_| random.unit() * 2.0 - 1.0).collect()).collect();
    let expected: Vec<u64> = numbers.iter().map(|row| model.probability(row).to_bits()).collect();
    let rows: Vec<Vec<Value>> = numbers.iter().map(|row| row.iter().map(|&number| json!(number)).collect()).collect();
    assert_eq!(scored(&server.predict(json!({ "features": rows }).to_string())), expected);
    for (door, reply) in through_every_door(&server, &model, &rows) {
        assert_eq!(scored(&reply), expected, "{door}");
    }
    let bytes = numbers.iter().flatten().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    let input = json!({ "name": "any name", "shape": [10_000, 30], "datatype": "FP64", "data": rows });
    assert_eq!(scored(&infer(&server, &json!({ "inputs": [input] }))), expected);
    let flat: Vec<&Value> = rows.iter().flatten().collect();
    let input = json!({ "name": "any name", "shape": [10_000, 30], "datatype": "FP64", "data": flat });
    assert_eq!(scored(&infer(&server, &json!({ "inputs": [input] }))), expected);
    let input =
        json!({ "name": "x", "shape": [10_000, 30], "datatype": "FP64", "parameters": { "binary_data_size": bytes.len() } });
    assert_eq!(scored(&infer_binary(&server, &json!({ "inputs": [input] }), &bytes)), expected);
    let request = json!({ "inputs": [input], "parameters": { "binary_data_output": true } });
    let reply = infer_binary(&server, &request, &bytes);
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    assert_eq!(scored(&reply), expected);
}

#[test]
fn categories_and_missing_values_get_the_same_bits_at_every_door() {
    let (model, file) = mixed_model();
    let server = Server::start(&file, &[]);
    let rows = vec![
        vec![json!(12.5), json!(3), json!("FR")],
        vec![json!(1e-7), json!(null), json!("never, \"seen\"\nbefore")],
        vec![json!(-0.0), json!(23.999), json!(null)],
        vec![json!(123_456_789_012_345_678_u64), json!(1e300), json!("Ünïcode \u{1F600}")],
    ];
    let expected = scored(&server.predict(json!({ "features": rows }).to_string()));
    assert_eq!(expected[0], model.probability(&[12.5, 3.0, 1.0]).to_bits());
    assert_eq!(expected[1], model.probability(&[1e-7, f64::NAN, -1.0]).to_bits());
    for (door, reply) in through_every_door(&server, &model, &rows) {
        assert_eq!(scored(&reply), expected, "{door}");
    }
}

/// A datatype, and how it holds a small whole number as bytes.
type Holder = (&'static str, fn(u8) -> Vec<u8>);

#[test]
fn every_datatype_that_holds_a_row_gives_its_bits_in_json_and_in_binary() {
    let (model, file) = forest_model(10, 31, 30);
    let server = Server::start(&file, &[]);
    let holders: [Holder; 11] = [
        ("BOOL", |number| vec![number]),
        ("INT8", |number| vec![number]),
        ("INT16", |number| i16::from(number).to_le_bytes().to_vec()),
        ("INT32", |number| i32::from(number).to_le_bytes().to_vec()),
        ("INT64", |number| i64::from(number).to_le_bytes().to_vec()),
        ("UINT8", |number| vec![number]),
        ("UINT16", |number| u16::from(number).to_le_bytes().to_vec()),
        ("UINT32", |number| u32::from(number).to_le_bytes().to_vec()),
        ("UINT64", |number| u64::from(number).to_le_bytes().to_vec()),
        ("FP32", |number| f32::from(number).to_le_bytes().to_vec()),
        ("FP64", |number| f64::from(number).to_le_bytes().to_vec()),
    ];
    for (datatype, bytes) in holders {
        let limit = if datatype == "BOOL" { 2 } else { 128 };
        let mut random = Random(5);
        let row = |random: &mut Random| (0..30).map(|_| u8::try_from(random.below(limit)).unwrap()).collect::<Vec<_>>();
        let rows: Vec<Vec<u8>> = (0..20).map(|_| row(&mut random)).collect();
        let expected: Vec<u64> = rows
            .iter()
            .map(|row| model.probability(&row.iter().map(|&number| f64::from(number)).collect::<Vec<_>>()).to_bits())
            .collect();
        let data: Vec<Value> =
            rows.iter().flatten().map(|&number| if datatype == "BOOL" { json!(number == 1) } else { json!(number) }).collect();
        let input = json!({ "name": "x", "shape": [20, 30], "datatype": datatype, "data": data });
        assert_eq!(scored(&infer(&server, &json!({ "inputs": [input] }))), expected, "{datatype}");
        let binary: Vec<u8> = rows.iter().flatten().flat_map(|&number| bytes(number)).collect();
        let input = json!({
            "name": "x", "shape": [20, 30], "datatype": datatype, "parameters": { "binary_data_size": binary.len() },
        });
        assert_eq!(scored(&infer_binary(&server, &json!({ "inputs": [input] }), &binary)), expected, "{datatype}");
    }
}

/// 1, −2, 0.5, the largest, the smallest above nothing: FP16 by its own table (IEEE 754-2008, 3.4).
#[test]
fn short_floats_and_signed_integers_are_read_as_what_they_are() {
    let (model, file) = mixed_model();
    let server = Server::start(&file, &[]);
    let check = |datatype: &str, bytes: &[u8], number: f64| {
        let data = |size: usize| json!({ "binary_data_size": size });
        let inputs = json!([
            { "name": "country", "shape": [1], "datatype": "BYTES", "parameters": data(6) },
            { "name": "amount", "shape": [1, 1], "datatype": datatype, "parameters": data(bytes.len()) },
        ]);
        let reply = infer_binary(&server, &json!({ "inputs": inputs }), &[&[2, 0, 0, 0, b'F', b'R'], bytes].concat());
        assert_eq!(scored(&reply), [model.probability(&[number, f64::NAN, 1.0]).to_bits()], "{datatype} {number}");
    };
    for (half, number) in [(0x3c00_u16, 1.0), (0xc000, -2.0), (0x3800, 0.5), (0x7bff, 65504.0), (1, 5.960_464_477_539_063e-8)] {
        check("FP16", &half.to_le_bytes(), number);
    }
    check("FP32", &0.1_f32.to_le_bytes(), f64::from(0.1_f32));
    check("INT8", &[0x80], -128.0);
    check("INT16", &(-2_i16).to_le_bytes(), -2.0);
    check("INT32", &i32::MIN.to_le_bytes(), -2_147_483_648.0);
    check("INT64", &(-(1_i64 << 53)).to_le_bytes(), -9_007_199_254_740_992.0);
    check("UINT32", &u32::MAX.to_le_bytes(), 4_294_967_295.0);
    // The decimal number is rounded to the type it claims, as the binary one was.
    let input = json!([{ "name": "amount", "shape": [2], "datatype": "FP32", "data": [0.1, 16_777_217] }]);
    let expected = [f64::from(0.1_f32), 16_777_216.0].map(|number| model.probability(&[number, f64::NAN, f64::NAN]).to_bits());
    assert_eq!(scored(&infer(&server, &json!({ "inputs": input }))), expected);
    let input = json!([{ "name": "amount", "shape": [1], "datatype": "FP16", "data": [0.1] }]);
    let expected = model.probability(&[0.099_975_585_937_5, f64::NAN, f64::NAN]).to_bits();
    assert_eq!(scored(&infer(&server, &json!({ "inputs": input }))), [expected]);
}

#[test]
fn what_is_not_a_number_is_missing_in_binary_where_the_model_knows_what_that_means() {
    let (model, file) = mixed_model();
    let server = Server::start(&file, &[]);
    let ask = |amount: f64, hour: f32| {
        let inputs = json!([
            { "name": "amount", "shape": [1], "datatype": "FP64", "parameters": { "binary_data_size": 8 } },
            { "name": "hour", "shape": [1], "datatype": "FP32", "parameters": { "binary_data_size": 4 } },
        ]);
        infer_binary(&server, &json!({ "inputs": inputs }), &[&amount.to_le_bytes()[..], &hour.to_le_bytes()].concat())
    };
    assert_eq!(scored(&ask(1.0, f32::NAN)), [model.probability(&[1.0, f64::NAN, f64::NAN]).to_bits()]);
    for (amount, hour, code) in [
        (f64::NAN, 1.0, "missing_value"),
        (f64::INFINITY, 1.0, "number_out_of_range"),
        (1.0, f32::NEG_INFINITY, "number_out_of_range"),
    ] {
        assert_eq!(ask(amount, hour).code(), code);
    }
}

#[test]
fn our_own_door_says_who_scored_and_what_is_flagged() {
    let (model, file) = flagging_model();
    let server = Server::start(&file, &[]);
    let reply =
        post(&server, "/v1/score", &[], r#"{"transactions":[{"amount":1,"country":"FR"},{"hour":1,"amount":250}],"id":7}"#);
    let low = model.probability(&[1.0, f64::NAN, 1.0]);
    let high = model.probability(&[250.0, 1.0, f64::NAN]);
    assert!(low < 0.3 && high > 0.3, "{low} {high}");
    let fingerprint = &model.manifest().fingerprint;
    let expected = json!({
        "model": { "name": "model", "version": version_of(&file), "fingerprint": fingerprint },
        "threshold": 0.3,
        "scores": [{ "probability": low, "flagged": false }, { "probability": high, "flagged": true }],
    });
    assert_eq!(reply.json(), expected);
    // A model that was not made to flag does not.
    let server = Server::start(&mixed_model().1, &[]);
    let reply = post(&server, "/v1/score", &[], r#"{"rows":[[1,2,"FR"]]}"#).json();
    assert_eq!(reply["threshold"], Value::Null);
    assert_eq!(reply["scores"][0].as_object().unwrap().len(), 1);
}

#[test]
fn our_own_door_says_what_is_wrong_and_where() {
    let server = Server::start(&mixed_model().1, &[]);
    let cases = [
        ("{", "not_json", "line 1"),
        ("[]", "not_one_form", "exactly one of `rows`, `transactions`"),
        ("{}", "not_one_form", "exactly one"),
        (r#"{"rows":[[1,2,"DE"]],"transactions":[]}"#, "not_one_form", "exactly one"),
        (r#"{"rows":[[1,2,"DE"]],"rows":[]}"#, "duplicate_key", "`rows` is there twice"),
        (r#"{"rows":[]}"#, "no_rows", "no rows"),
        (r#"{"rows":{}}"#, "wrong_form", "a list of rows"),
        (r#"{"rows":[1,2,"DE"]}"#, "wrong_row", "row 1 must be a list of values"),
        (r#"{"rows":[[1,2,"DE"],{"amount":1}]}"#, "wrong_row", "row 2"),
        (r#"{"rows":[[1,2,"DE"],[1,2]]}"#, "wrong_value_count", "row 2 has 2 values, but the model takes 3"),
        (r#"{"rows":[[1,2,"DE",4]]}"#, "wrong_value_count", "row 1 has 4 values"),
        (r#"{"rows":[[1,"x","DE"]]}"#, "wrong_value_kind", "row 1, column 2 (`hour`) must be a number"),
        (r#"{"rows":[[1,2,true]]}"#, "wrong_value_kind", "(`country`) must be a text"),
        (r#"{"rows":[[1,[2],"DE"]]}"#, "wrong_value_kind", "(`hour`) must be a number"),
        (r#"{"rows":[[1e999,2,"DE"]]}"#, "number_out_of_range", "(`amount`) is too large"),
        (r#"{"rows":[[null,2,"DE"]]}"#, "missing_value", "(`amount`) is null"),
        (r#"{"rows":[[NaN,2,"DE"]]}"#, "not_json", "NaN and Infinity do not exist"),
        (r#"{"rows":[[1,2,"\ud800"]]}"#, "not_text", "half of a character"),
        (r#"{"transactions":[[1,2,"DE"]]}"#, "wrong_row", "row 1 must be an object of features"),
        (
            r#"{"transactions":[{"amount":1},{"amuont":1}]}"#,
            "unknown_feature",
            "row 2 has a key that names none of the model's features, did you mean `amount`?",
        ),
        (r#"{"transactions":[{"amount":1,"merchant":1}]}"#, "unknown_feature", "features; /openapi.json"),
        (r#"{"transactions":[{"hour":1}]}"#, "absent_feature", "row 1 has no `amount`"),
        (r#"{"transactions":[{"amount":1,"amount":2}]}"#, "duplicate_feature", "`amount` is there twice"),
        (r#"{"transactions":[{"amount":1,"\ud800":2}]}"#, "not_text", "half of a character"),
    ];
    for (body, code, sentence) in cases {
        let reply = post(&server, "/v1/score", &[], body);
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{body}");
        assert!(reply.error().contains(sentence), "{body}: {}", reply.error());
    }
    // The connection goes on, whenever the body came.
    let mut client = server.connect();
    for _ in 0..20 {
        let reply = client.ask("POST", "/v1/score", &["Content-Encoding: gzip"], br#"{"rows":[[1,2,"DE"]]}"#);
        assert_eq!((reply.status, reply.code().as_str()), (415, "compressed_body"));
    }
    let few = Server::start(&mixed_model().1, &["--max-rows", "2", "--max-body-bytes", "200"]);
    let many = json!({ "rows": vec![json!([1, 2, "DE"]); 3] }).to_string();
    assert_eq!(post(&few, "/v1/score", &[], many).code(), "too_many_rows");
    assert_eq!(post(&few, "/v1/score", &[], " ".repeat(201)).code(), "body_too_large");
}

/// The answers of a golden request: a file beside this test, as a client of MLflow or SageMaker sends it.
fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mlflow").join(name)).unwrap()
}

#[test]
fn the_forms_of_mlflow_are_read_from_their_golden_files() {
    let (model, file) = mixed_model();
    let server = Server::start(&file, &[]);
    let rows = [[12.5, 3.0, 1.0], [0.1, f64::NAN, -1.0], [-7.0, 23.0, f64::NAN]];
    let expected = json!({ "predictions": rows.map(|row| model.probability(&row)) });
    for name in ["dataframe_split.json", "dataframe_records.json", "instances.json", "inputs.json"] {
        for header in [JSON, "Content-Type: application/json; charset=utf-8"] {
            let reply = post(&server, "/invocations", &[header, "X-Amzn-SageMaker-Custom-Attributes: x"], golden(name));
            assert_eq!(reply.json(), expected, "{name}");
            assert_eq!(reply.header("content-type"), Some("application/json"));
        }
    }
    for name in ["header.csv", "no_header.csv"] {
        assert_eq!(post(&server, "/invocations", &[CSV], golden(name)).json(), expected, "{name}");
        let reply = post(&server, "/invocations", &[CSV, "Accept: text/csv"], golden(name));
        assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
        assert_eq!(scored(&reply), bits(&expected["predictions"]), "{name}");
    }
}

#[test]
fn invocations_of_another_type_or_charset_are_answered_415() {
    let server = Server::start(&mixed_model().1, &[]);
    for header in [
        "Content-Type: application/json; charset=latin-1",
        "Content-Type: text/csv; charset=utf-16",
        "Content-Type: text/csv; header=present",
        "Content-Type: application/x-recordio-protobuf",
        "Content-Type: text/plain",
        "X: y",
    ] {
        let reply = post(&server, "/invocations", &[header], golden("inputs.json"));
        assert_eq!((reply.status, reply.code().as_str()), (415, "unsupported_media_type"), "{header}");
    }
}

#[test]
fn invocations_say_what_is_wrong_and_where() {
    let server = Server::start(&mixed_model().1, &[]);
    let cases = [
        (r#"{"instances":[[1,2,"DE"]],"inputs":[[1,2,"DE"]]}"#, "not_one_form", "exactly one of `dataframe_split`"),
        (r#"{"params":{}}"#, "not_one_form", "exactly one"),
        (r#"{"dataframe_split":[]}"#, "wrong_form", "`dataframe_split` must be an object with `columns` and `data`"),
        (r#"{"dataframe_split":{"columns":["amount","hour"],"data":[[1,2]]}}"#, "absent_column", "`country`"),
        (r#"{"dataframe_split":{"columns":["amount","amount"],"data":[]}}"#, "duplicate_feature", "`amount`"),
        (r#"{"dataframe_split":{"columns":[1],"data":[]}}"#, "wrong_form", "`columns` must be a list of names"),
        (
            r#"{"dataframe_split":{"columns":["amount","hour","country"],"data":[[1,2]]}}"#,
            "wrong_value_count",
            "row 1 has 2 values",
        ),
        (r#"{"dataframe_split":{"columns":["amount","hour","country"],"data":[{}]}}"#, "wrong_row", "row 1"),
        (r#"{"dataframe_records":[{"amount":1,"hour":2}]}"#, "absent_feature", "row 1 has no `country`"),
        (r#"{"dataframe_records":[[1,2,"DE"]]}"#, "wrong_row", "an object of features"),
        (r#"{"instances":[1,2,3]}"#, "wrong_row", "a list of values or an object of features"),
        (r#"{"instances":[{"features":[1,2]}]}"#, "wrong_value_count", "row 1 has 2 values"),
        (r#"{"instances":[]}"#, "no_rows", "no rows"),
        (
            r#"{"inputs":{"amount":[1,2],"hour":[1],"country":[null,null]}}"#,
            "unequal_columns",
            "`hour` has 1 values, but there are 2",
        ),
        (r#"{"inputs":{"amount":1,"hour":[1],"country":[null]}}"#, "wrong_column", "`amount` must be a list"),
        (r#"{"inputs":{"amount":[[1,2]],"hour":[1],"country":[null]}}"#, "wrong_value_kind", "(`amount`) must be a number"),
        (r#"{"inputs":{"amount":[1]}}"#, "absent_column", "`hour`"),
        (r#"{"transactions":[{"amount":1,"huor":1}]}"#, "unknown_feature", "did you mean `hour`?"),
        (r#"{"features":[]}"#, "wrong_value_count", "row 1 has 0 values"),
    ];
    for (body, code, sentence) in cases {
        let reply = post(&server, "/invocations", &[JSON], body);
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{body}");
        assert!(reply.error().contains(sentence), "{body}: {}", reply.error());
    }
    let cases = [
        ("", "no_rows", "no rows"),
        ("amount,hour,country\n", "no_rows", "no rows"),
        ("1,2,DE\n1,2", "wrong_value_count", "row 2 has 2 values"),
        ("amount,hour\n1,2", "absent_column", "`country`"),
        ("amount,hour,country,hour\n", "duplicate_feature", "`hour`"),
        ("one,2,DE", "wrong_value_kind", "row 1, column 1 (`amount`) must be a number"),
        ("inf,2,DE", "number_out_of_range", "(`amount`)"),
        ("nan,2,DE", "wrong_value_kind", "(`amount`)"),
        (",2,DE", "missing_value", "(`amount`) is null"),
    ];
    for (body, code, sentence) in cases {
        let reply = post(&server, "/invocations", &[CSV], body);
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{body}");
        assert!(reply.error().contains(sentence), "{body}: {}", reply.error());
    }
    assert_eq!(post(&server, "/invocations", &[CSV], b"1,2,\xff").code(), "not_utf8");
}

/// What `open_inference_rest.yaml` and `inference_rest.md` of the protocol ask of each answer.
mod conformance {
    use super::*;

    pub const DATATYPES: [&str; 13] =
        ["BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64", "BYTES"];

    fn texts(value: &Value) -> bool {
        value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
    }

    fn tensor(value: &Value) -> bool {
        value["name"].is_string()
            && value["datatype"].as_str().is_some_and(|datatype| DATATYPES.contains(&datatype))
            && value["shape"].as_array().is_some_and(|shape| shape.iter().all(Value::is_i64))
    }

    fn list(value: &Value, each: impl Fn(&Value) -> bool) -> bool {
        value.as_array().is_some_and(|list| list.iter().all(each))
    }

    pub fn server(value: &Value) -> bool {
        value["name"].is_string() && value["version"].is_string() && texts(&value["extensions"])
    }

    pub fn model(value: &Value) -> bool {
        value["name"].is_string()
            && value["platform"].is_string()
            && texts(&value["versions"])
            && list(&value["inputs"], tensor)
            && list(&value["outputs"], tensor)
    }

    pub fn response(value: &Value) -> bool {
        let output = |output: &Value| {
            let elements: u64 = output["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).product();
            tensor(output) && output["data"].as_array().is_some_and(|data| data.len() as u64 == elements)
        };
        value["model_name"].is_string()
            && value.get("model_version").is_none_or(Value::is_string)
            && value.get("id").is_none_or(Value::is_string)
            && list(&value["outputs"], output)
    }

    pub fn error(value: &Value) -> bool {
        value["error"].is_string() && value["code"].is_string()
    }
}

#[test]
fn every_call_of_the_open_inference_protocol_answers_in_its_shape() {
    let file = flagging_model().1;
    let (server, version) = (Server::start(&file, &[]), version_of(&file));
    let get = |path: &str| {
        let reply = server.ask("GET", path, b"");
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{path}");
        assert_eq!(server.connect().ask("HEAD", path, &[], b"").status, 200, "{path}");
        reply.json()
    };
    for path in ["/v2", "/v2/"] {
        let metadata = get(path);
        assert!(conformance::server(&metadata), "{metadata}");
        assert_eq!(metadata["extensions"], json!(["binary_tensor_data"]));
    }
    assert_eq!(get("/v2/health/live")["live"], true);
    assert_eq!(get("/v2/health/ready")["ready"], true);
    for model in ["/v2/models/model", &format!("/v2/models/model/versions/{version}"), "/v2/models/m%6fdel"] {
        let metadata = get(model);
        assert!(conformance::model(&metadata), "{metadata}");
        let tensor = |name: &str, datatype: &str| json!({ "name": name, "datatype": datatype, "shape": [-1] });
        assert_eq!(metadata["inputs"], json!([tensor("amount", "FP64"), tensor("hour", "FP64"), tensor("country", "BYTES")]));
        assert_eq!(metadata["outputs"], json!([tensor("probability", "FP64"), tensor("flagged", "BOOL")]));
        assert_eq!(get(&format!("{model}/ready")), json!({ "name": "model", "ready": true }));
        let body = json!({
            "id": "request \"42\"", "parameters": { "priority": 3 },
            "inputs": [{ "name": "amount", "shape": [2], "datatype": "FP64", "data": [1, 250] }],
        });
        let reply = post(&server, &format!("{model}/infer"), &[JSON], body.to_string());
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        let answer = reply.json();
        assert!(conformance::response(&answer), "{answer}");
        assert_eq!(
            (&answer["model_name"], &answer["model_version"], &answer["id"]),
            (&json!("model"), &json!(version), &body["id"])
        );
        assert_eq!(
            (&answer["outputs"][0]["name"], &answer["outputs"][1]["data"]),
            (&json!("probability"), &json!([false, true]))
        );
        assert_eq!(answer.get("parameters"), None);
        let refused = post(&server, &format!("{model}/infer"), &[], "{}");
        assert!(refused.status == 400 && conformance::error(&refused.json()));
    }
    for path in ["/v2/models/other", "/v2/models/other/ready", "/v2/models/model/versions/2", "/v2/models/model/versions/2/ready"]
    {
        let reply = server.ask("GET", path, b"");
        assert_eq!((reply.status, reply.code().as_str()), (404, "unknown_model"), "{path}");
    }
    for path in ["/v2/models/other/infer", "/v2/models/model/versions/01/infer"] {
        assert_eq!(post(&server, path, &[], "{}").code(), "unknown_model", "{path}");
    }
}

#[test]
fn the_examples_of_the_document_are_scored() {
    let server = Server::start(&mixed_model().1, &[]);
    let document = server.ask("GET", "/openapi.json", b"").json();
    let example = |schema: &str| document["components"]["schemas"][schema]["examples"][0].to_string();
    let doors = [
        ("/predict", "Transactions"),
        ("/v1/score", "ScoreRequest"),
        ("/invocations", "Invocation"),
        ("/v2/models/model/infer", "V2Request"),
    ];
    for (path, schema) in doors {
        assert_eq!(scored(&post(&server, path, &[JSON], example(schema))).len(), 1, "{path}");
    }
}

#[test]
fn outputs_are_given_as_they_were_asked_for() {
    let server = Server::start(&flagging_model().1, &[]);
    let ask = |outputs: Value, parameters: Value| {
        let inputs = json!([{ "name": "amount", "shape": [2, 1], "datatype": "INT16", "data": [[1], [250]] }]);
        infer(&server, &json!({ "inputs": inputs, "outputs": outputs, "parameters": parameters }))
    };
    let named = |reply: &Reply| {
        let json = match reply.header("inference-header-content-length") {
            Some(length) => serde_json::from_slice::<Value>(&reply.body[..length.parse().unwrap()]).unwrap(),
            None => reply.json(),
        };
        let outputs = json["outputs"].as_array().unwrap().clone();
        outputs.iter().map(|output| output["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named(&ask(json!([]), json!({}))), ["probability", "flagged"]);
    assert_eq!(named(&ask(json!([{ "name": "flagged" }]), json!({}))), ["flagged"]);
    assert_eq!(named(&ask(json!([{ "name": "flagged" }, { "name": "probability" }]), json!(null))), ["flagged", "probability"]);
    // One as JSON, the other behind it.
    let reply = ask(
        json!([{ "name": "probability", "parameters": { "binary_data": false } }, { "name": "flagged" }]),
        json!({ "binary_data_output": true }),
    );
    let length: usize = reply.header("inference-header-content-length").unwrap().parse().unwrap();
    assert_eq!(reply.body[length..], [0, 1]);
    assert_eq!(named(&reply), ["probability", "flagged"]);
    let cases = [
        (json!([{ "name": "probabilty" }]), "unknown_output"),
        (json!([{ "name": "flagged" }, { "name": "flagged" }]), "unknown_output"),
        (json!([{}]), "wrong_form"),
        (json!({ "name": "flagged" }), "wrong_form"),
        (json!([{ "name": "flagged", "parameters": { "binary_data": 1 } }]), "wrong_form"),
        (json!([{ "name": "flagged", "parameters": { "classification": 2 } }]), "unsupported"),
        (json!([{ "name": "flagged", "parameters": { "shared_memory_region": "x" } }]), "unsupported"),
    ];
    for (outputs, code) in cases {
        assert_eq!(ask(outputs.clone(), json!({})).code(), code, "{outputs}");
    }
}

#[test]
fn tensors_that_are_wrong_are_told_what_is_wrong_with_them() {
    let server = Server::start(&mixed_model().1, &[]);
    let tensor = |name: &str, shape: Value, datatype: &str, data: Value| json!({ "name": name, "shape": shape, "datatype": datatype, "data": data });
    let amount = |datatype: &str, data: Value| tensor("amount", json!([data.as_array().unwrap().len()]), datatype, data);
    let cases = [
        (json!([]), "no_rows", "no rows"),
        (json!({}), "wrong_form", "`inputs` must be a list of tensors"),
        (json!([7]), "incomplete_input", "input 1 must be an object with `name`"),
        (json!([{ "name": "amount", "shape": [1], "datatype": "FP64" }]), "incomplete_input", "`binary_data_size`"),
        (json!([{ "name": "amount", "shape": [1], "data": [1] }]), "incomplete_input", "`datatype`"),
        (json!([{ "name": 1, "shape": [1], "datatype": "FP64", "data": [1] }]), "incomplete_input", "`name`"),
        (json!([amount("FP64", json!([1])), amount("FP64", json!([1]))]), "duplicate_feature", "`amount`"),
        (json!(vec![amount("FP64", json!([1])); 4]), "too_many_inputs", "more than 3 input tensors"),
        (json!([amount("fp64", json!([1]))]), "unknown_datatype", "BOOL, INT8"),
        (json!([amount("BF16", json!([1]))]), "unknown_datatype", "input 1"),
        (json!([tensor("amuont", json!([1]), "FP64", json!([1]))]), "unknown_input", "did you mean `amount`?"),
        (json!([tensor("x", json!([1, 2]), "FP64", json!([1, 2]))]), "wrong_tensor_shape", "[rows, 3]"),
        (json!([tensor("amount", json!([1, 2]), "FP64", json!([1, 2]))]), "wrong_tensor_shape", "[rows] or [rows, 1]"),
        (json!([tensor("amount", json!([]), "FP64", json!([1]))]), "wrong_tensor_shape", "[rows]"),
        (json!([tensor("amount", json!([1, 1, 1]), "FP64", json!([1]))]), "wrong_tensor_shape", "[rows]"),
        (json!([tensor("amount", json!([-1]), "FP64", json!([1]))]), "wrong_tensor_shape", "whole numbers"),
        (json!([tensor("amount", json!([1.0]), "FP64", json!([1]))]), "wrong_tensor_shape", "whole numbers"),
        (json!([tensor("amount", json!(1), "FP64", json!([1]))]), "wrong_tensor_shape", "whole numbers"),
        (json!([tensor("amount", json!([0]), "FP64", json!([]))]), "no_rows", "no rows"),
        (json!([tensor("amount", json!([2]), "FP64", json!([1]))]), "wrong_tensor_size", "there must be 2"),
        (json!([tensor("amount", json!([1]), "FP64", json!([1, 2]))]), "wrong_tensor_size", "there must be 1"),
        (json!([tensor("amount", json!([2, 1]), "FP64", json!([[1, 2]]))]), "wrong_tensor_size", "there must be 2"),
        (json!([tensor("amount", json!([2, 1]), "FP64", json!([[1], 2]))]), "wrong_tensor_size", "there must be 2"),
        (
            json!([tensor("amount", json!([2]), "FP64", json!([[1], [2]]))]),
            "wrong_element",
            "row 1, column 1 (`amount`) must be a number",
        ),
        (
            json!([amount("FP64", json!([1])), tensor("hour", json!([2]), "FP64", json!([1, 2]))]),
            "unequal_tensors",
            "input 2 has another number of rows",
        ),
        (json!([tensor("hour", json!([1]), "FP64", json!([1]))]), "absent_column", "`amount`"),
        (
            json!([amount("FP64", json!([1])), tensor("country", json!([1]), "FP64", json!([1]))]),
            "wrong_value_kind",
            "(`country`) must be a text",
        ),
        (json!([amount("BYTES", json!(["1"]))]), "wrong_value_kind", "(`amount`) must be a number"),
        (json!([amount("FP64", json!(["1"]))]), "wrong_element", "must be a number, as its tensor's datatype says"),
        (json!([amount("FP64", json!([true]))]), "wrong_element", "must be a number"),
        (json!([amount("BOOL", json!([1]))]), "wrong_element", "true or false"),
        (json!([amount("BYTES", json!([1]))]), "wrong_element", "a text"),
        (json!([amount("INT32", json!([1.5]))]), "wrong_element", "a whole number"),
        (json!([amount("INT8", json!([128]))]), "wrong_element", "in the range of its type"),
        (json!([amount("INT8", json!([-129]))]), "wrong_element", "in the range of its type"),
        (json!([amount("UINT8", json!([-1]))]), "wrong_element", "in the range of its type"),
        (
            json!([amount("UINT64", json!([9_007_199_254_740_993_u64]))]),
            "integer_too_large",
            "row 1, column 1 (`amount`) is an integer beyond 2^53",
        ),
        (json!([amount("INT64", json!([1, -9_007_199_254_740_993_i64]))]), "integer_too_large", "row 2"),
        (json!([amount("FP16", json!([65_520]))]), "number_out_of_range", "too large"),
        (json!([amount("FP32", json!([1e39]))]), "number_out_of_range", "too large"),
        (json!([amount("FP64", json!([null]))]), "missing_value", "(`amount`) is null"),
        (
            json!([{ "name": "amount", "shape": [1], "datatype": "FP64", "parameters": { "shared_memory_region": "x" } }]),
            "unsupported",
            "shared memory",
        ),
        (
            json!([{ "name": "amount", "shape": [1], "datatype": "FP64", "parameters": [] , "data": [1] }]),
            "wrong_form",
            "`parameters` must be an object",
        ),
        (
            json!([{ "name": "amount", "shape": [1], "datatype": "FP64", "parameters": { "binary_data_size": 8 } }]),
            "wrong_binary_length",
            "Inference-Header-Content-Length",
        ),
        (
            json!([{ "name": "amount", "shape": [1], "datatype": "FP64", "parameters": { "binary_data_size": 0 }, "data": [1] }]),
            "incomplete_input",
            "either",
        ),
    ];
    for (inputs, code, sentence) in cases {
        let reply = infer(&server, &json!({ "inputs": inputs }));
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{inputs}: {}", reply.error());
        assert!(reply.error().contains(sentence), "{inputs}: {}", reply.error());
    }
    for number in ["NaN", "Infinity", "-Infinity", "nan", "01", "1e"] {
        let body = format!(r#"{{"inputs":[{{"name":"amount","shape":[1],"datatype":"FP64","data":[{number}]}}]}}"#);
        assert_eq!(post(&server, "/v2/models/model/infer", &[], body).code(), "not_json", "{number}");
    }
    for id in ["7", "[]", &json!("x".repeat(257)).to_string()] {
        let body = format!(r#"{{"id":{id},"inputs":[{{"name":"amount","shape":[1],"datatype":"FP64","data":[1]}}]}}"#);
        assert_eq!(post(&server, "/v2/models/model/infer", &[], body).code(), "wrong_form", "{id}");
    }
}

#[test]
fn sizes_that_lie_harm_nobody() {
    let server = Server::start(&seed_model().1, &[]);
    let huge = [
        json!([u64::MAX]),
        json!([u64::MAX, u64::MAX]),
        json!([1_u64 << 63, 30]),
        json!([1_u64 << 40, 30]),
        json!([9_999, 30]),
        json!([30, u64::MAX]),
    ];
    for shape in huge {
        for name in ["V1", "x"] {
            for datatype in conformance::DATATYPES {
                let json = json!({ "inputs": [{ "name": name, "shape": shape, "datatype": datatype, "data": [1] }] });
                assert!([400, 413].contains(&infer(&server, &json).status), "{json}");
                let json = json!({ "inputs": [{ "name": name, "shape": shape, "datatype": datatype, "parameters": { "binary_data_size": 8 } }] });
                assert!([400, 413].contains(&infer_binary(&server, &json, &[0; 8]).status), "{json}");
            }
        }
    }
    let whole = |size: Value| json!({ "inputs": [{ "name": "x", "shape": [1, 30], "datatype": "FP64", "parameters": { "binary_data_size": size } }] });
    assert_eq!(infer_binary(&server, &whole(json!(240)), &[0; 240]).status, 200);
    for (size, sent) in [(240, 239), (240, 241), (240, 0), (239, 239), (248, 248), (0, 0), (0, 240)] {
        let reply = infer_binary(&server, &whole(json!(size)), &vec![0; sent]);
        assert!(["wrong_binary_length", "wrong_tensor_size"].contains(&reply.code().as_str()), "{size} {sent}: {}", reply.code());
    }
    for size in [json!(u64::MAX), json!(-1), json!(240.0), json!("240"), json!(1e300), json!([240])] {
        assert_eq!(infer_binary(&server, &whole(size.clone()), &[0; 240]).code(), "wrong_binary_length", "{size}");
    }
    let json = whole(json!(240)).to_string();
    let body = [json.as_bytes(), &[0; 240]].concat();
    let lengths = [
        "",
        "-1",
        "+1",
        "x",
        "1e2",
        "18446744073709551616",
        "0",
        "1",
        &(json.len() + 241).to_string(),
        &(json.len() - 1).to_string(),
    ];
    for length in lengths {
        let header = format!("Inference-Header-Content-Length: {length}");
        let reply = post(&server, "/v2/models/model/infer", &[&header], &body);
        assert!(["wrong_binary_length", "not_json"].contains(&reply.code().as_str()), "{length}: {}", reply.code());
    }
    let right = format!("Inference-Header-Content-Length: {}", json.len());
    assert_eq!(post(&server, "/v2/models/model/infer", &[&right, &right], &body).code(), "wrong_binary_length");
    assert_eq!(post(&server, "/v2/models/model/infer", &[&right], &body).status, 200);
    assert_eq!(post(&server, "/v2/models/model/infer", &[], &body).status, 400);
}

#[test]
fn binary_texts_that_lie_about_their_lengths_are_refused() {
    let server = Server::start(&mixed_model().1, &[]);
    let ask = |texts: &[u8]| {
        let inputs = json!([
            { "name": "amount", "shape": [2], "datatype": "UINT8", "parameters": { "binary_data_size": 2 } },
            { "name": "country", "shape": [2], "datatype": "BYTES", "parameters": { "binary_data_size": texts.len() } },
        ]);
        infer_binary(&server, &json!({ "inputs": inputs }), &[&[1, 2], texts].concat())
    };
    assert_eq!(ask(b"\x02\0\0\0FR\0\0\0\0").status, 200);
    let cases: [(&[u8], &str); 8] = [
        (b"", "wrong_tensor_size"),
        (b"\x02\0\0\0FR", "wrong_tensor_size"),
        (b"\x02\0\0\0FR\x03\0\0\0DE", "broken_text"),
        (b"\x02\0\0\0FR\xff\xff\xff\xffDE", "broken_text"),
        (b"\x02\0\0\0FR\x02\0\0\0DE\0", "broken_text"),
        (b"\x02\0\0\0FR\0\0\0\0\0\0\0\0", "wrong_tensor_size"),
        (b"\xff\xff\xff\x7f\0\0\0\0", "broken_text"),
        (b"\x02\0\0\0\xff\xfe\0\0\0\0", "not_text"),
    ];
    for (texts, code) in cases {
        assert_eq!(ask(texts).code(), code, "{texts:?}");
    }
    // Any byte changed is scored or refused; the server lives on.
    let texts = b"\x02\0\0\0FR\x02\0\0\0DE";
    for place in 0..texts.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = *texts;
            changed[place] = byte;
            assert!([200, 400].contains(&ask(&changed).status));
        }
    }
}

#[test]
fn depth_and_length_without_sense_are_refused_at_every_door() {
    let server = Server::start(&mixed_model().1, &[]);
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
    let nested = [deep("[", "]"), deep("{\"a\":", "}"), "[".repeat(1_000_000)];
    let keys = [
        "rows",
        "transactions",
        "features",
        "dataframe_split",
        "dataframe_records",
        "instances",
        "inputs",
        "outputs",
        "id",
        "parameters",
    ];
    for path in ["/v1/score", "/invocations", "/v2/models/model/infer"] {
        for nested in &nested {
            assert_eq!(post(&server, path, &[JSON], nested).status, 400, "{path}");
            for key in keys {
                let body = format!("{{\"{key}\":{nested}}}");
                assert_eq!(post(&server, path, &[JSON], body).status, 400, "{path} {key}");
            }
        }
        // Long names are no reason to compare for long.
        let long = format!(r#"{{"transactions":[{{"{}":1}}],"inputs":[]}}"#, "a".repeat(10 << 20));
        assert_eq!(post(&server, path, &[JSON], long).status, 400, "{path}");
        for body in ["", "\0", "\u{feff}{}", "null", "\"\"", "{}{}"] {
            assert_eq!(post(&server, path, &[JSON], body).status, 400, "{path} {body:?}");
        }
        assert_eq!(post(&server, path, &[JSON], b"\xff\xfe{\0}\0").code(), "not_utf8", "{path}");
    }
    let quotes = format!("1,2,\"{}", "x,\n".repeat(1 << 20));
    assert_eq!(post(&server, "/invocations", &[CSV], quotes).status, 200);
    assert_eq!(post(&server, "/invocations", &[CSV], ",".repeat(10 << 20)).code(), "too_many_columns");
    let columns = json!({ "dataframe_split": { "columns": vec![""; 1 << 20], "data": [] } });
    assert_eq!(invoke(&server, &columns).code(), "too_many_columns");
}

#[test]
fn doors_are_counted_by_their_route_whatever_the_model_is_called() {
    let server = Server::start(&mixed_model().1, &[]);
    for number in 0..50 {
        server.ask("GET", &format!("/v2/models/made-up-{number}/versions/{number}"), b"");
        post(&server, &format!("/v2/models/made-up-{number}/infer"), &[], "{}");
    }
    let reply = server.ask("GET", "/metrics", b"");
    let text = reply.text();
    for line in [
        r#"assay_http_request_duration_seconds_count{method="GET",route="/v2/models/{model}/versions/{version}",status="404"} 50"#,
        r#"assay_http_request_duration_seconds_count{method="POST",route="/v2/models/{model}/infer",status="404"} 50"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    assert!(!text.contains("made-up"));
}

#[test]
fn a_sagemaker_container_serves_the_one_model_it_was_given_and_stops_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("fraud.model"), mixed_model().1).unwrap();
    std::fs::write(at("._fraud.model"), "what a Mac adds").unwrap();
    std::fs::write(at("README"), "not a model").unwrap();
    let path = folder.path().display().to_string();
    let mut server = Server::start_in(folder, &["--sagemaker", "--model", &path, "--drain-seconds", "0"]);
    let reply = server.connect().ask("GET", "/ping", &["X-Amzn-Trace-Id: Root=1", "X-Unheard-Of: yes"], b"");
    assert_eq!(reply.status, 200);
    assert_eq!(server.ask("GET", "/version", b"").text(), "0.1.0");
    let reply = post(&server, "/invocations", &[CSV, "Accept: text/csv", "X-Amzn-SageMaker-Target-Model: x"], "12.5,3,FR");
    assert_eq!(scored(&reply), [mixed_model().0.probability(&[12.5, 3.0, 1.0]).to_bits()]);
    assert_eq!(post(&server, "/v1/score", &[], r#"{"rows":[[1,2,"FR"]]}"#).json()["model"]["name"], "fraud");
    server.signal("TERM");
    assert!(server.wait().success());
}

#[test]
fn probes_of_every_protocol_say_that_a_server_drains_while_it_still_scores() {
    let file = mixed_model().1;
    let server = Server::start(&file, &["--drain-seconds", "60"]);
    let of_version = format!("/v2/models/model/versions/{}/ready", version_of(&file));
    server.signal("TERM");
    while server.ask("GET", "/ready", b"").status == 200 {}
    for path in ["/ping", "/v2/health/ready", "/v2/models/model/ready", &of_version] {
        let reply = server.ask("GET", path, b"");
        assert_eq!((reply.status, reply.code().as_str()), (503, "draining"), "{path}");
    }
    assert_eq!(server.ask("GET", "/v2/health/live", b"").status, 200);
    for (path, body) in [("/invocations", "1,2,FR"), ("/v1/score", r#"{"rows":[[1,2,"FR"]]}"#)] {
        assert_eq!(post(&server, path, &[CSV], body).status, 200, "{path}");
    }
}

#[test]
fn a_container_without_exactly_one_model_says_so_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let refused = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_assay")).arg("serve").args(arguments).output().unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["message"].as_str().unwrap().to_owned()
    };
    assert!(refused(&["--sagemaker", "--model", &path]).contains("no file that ends in .model"));
    for name in ["a.model", "b.model"] {
        std::fs::write(folder.path().join(name), mixed_model().1).unwrap();
    }
    assert!(refused(&["--sagemaker", "--model", &path]).contains("several files that end in .model"));
    let named = folder.path().join("a.model").display().to_string();
    let long = refused(&["--sagemaker", "--model", &named, "--drain-seconds", "20"]);
    assert!(long.contains("30 seconds") && long.contains("less than the rest"), "{long}");
}

/// Right requests of every door and form: path, headers, body.
fn right_requests(of_version: &str) -> Vec<(&str, Vec<&'static str>, Value)> {
    let named = json!({ "amount": 12.5, "hour": 3, "country": "FR" });
    let tensor = |name: &str, datatype: &str, value: Value| json!({ "name": name, "shape": [1], "datatype": datatype, "parameters": {}, "data": [value] });
    let inference = json!({
        "id": "7", "parameters": { "binary_data_output": false },
        "inputs": [tensor("amount", "FP32", json!(12.5)), tensor("hour", "INT64", json!(3)), tensor("country", "BYTES", json!("FR"))],
        "outputs": [{ "name": "probability", "parameters": { "binary_data": false } }],
    });
    let whole = json!({ "inputs": [{ "name": "x", "shape": [1, 3], "datatype": "FP64", "data": [[1, 2, null]] }] });
    let mut requests = vec![
        ("/predict", vec![], json!({ "features": [[12.5, 3, "FR"]] })),
        ("/v1/score", vec![], json!({ "rows": [[12.5, 3, "FR"]] })),
        ("/v1/score", vec![], json!({ "transactions": [named] })),
        ("/v2/models/model/infer", vec![], inference.clone()),
        (of_version, vec![], inference),
        ("/v2/models/model/infer", vec![], whole),
    ];
    let forms = [
        json!({ "dataframe_split": { "columns": ["amount", "hour", "country"], "data": [[12.5, 3, "FR"]] } }),
        json!({ "dataframe_records": [named], "params": { "x": 1 } }),
        json!({ "instances": [[12.5, 3, "FR"], named, { "features": [12.5, 3, "FR"] }] }),
        json!({ "inputs": { "amount": [12.5], "hour": [[3]], "country": ["FR"] } }),
    ];
    requests.extend(forms.map(|form| ("/invocations", vec![JSON], form)));
    requests
}

/// Whether `reply` holds `marker`; an `id`, which the protocol says must come back, is looked at without it.
fn leaks(reply: &Reply, marker: &str) -> bool {
    let mut text = format!("{}{}", reply.head, String::from_utf8_lossy(&reply.body));
    if let Ok(mut json) = serde_json::from_slice::<Value>(&reply.body)
        && json.get("id").is_some_and(|id| id == "cAnAry7f3e9")
    {
        json["id"] = json!("");
        text = format!("{}{json}", reply.head);
    }
    text.contains(marker)
}

#[test]
fn nothing_that_was_sent_is_in_an_answer_a_log_line_or_a_metric() {
    let mut server = Server::start(&flagging_model().1, &["--drain-seconds", "0"]);
    let mut client = server.connect();
    let mut asked = 0;
    let mut check = |method: &str, path: &str, headers: &[&str], body: &[u8]| {
        let reply = client.ask(method, path, headers, body);
        asked += 1;
        assert!(reply.status < 500, "{path}: {reply:?}");
        for marker in MARKERS {
            assert!(!leaks(&reply, marker), "{path} {}: {reply:?}", String::from_utf8_lossy(body));
        }
        reply.status
    };
    let mut statuses = std::collections::BTreeSet::new();
    for (path, headers, body) in right_requests(&format!("/v2/models/model/versions/{}/infer", version_of(&flagging_model().1))) {
        assert_eq!(check("POST", path, &headers, body.to_string().as_bytes()), 200, "{path} {body}");
        for marker in &markers() {
            for changed in with_marker(&body, marker) {
                let text = changed.to_string();
                statuses.insert(check("POST", path, &headers, text.as_bytes()));
                // Broken off behind the marker, not quoted, and with a bracket too much.
                let end = MARKERS.iter().filter_map(|marker| Some(text.rfind(marker)? + marker.len())).max().unwrap();
                for broken in [text[..end].to_owned(), text.replace('"', ""), format!("{text}]")] {
                    check("POST", path, &headers, broken.as_bytes());
                }
            }
        }
    }
    for marker in MARKERS {
        for csv in [
            format!("{marker},3,FR"),
            format!("12.5,{marker},FR"),
            format!("12.5,3,{marker}"),
            format!("12.5,3,FR,{marker}"),
            format!("amount,hour,{marker}\n12.5,3,FR"),
            format!("amount,hour,country,{marker}\n12.5,3,FR,{marker}"),
            format!("amount,hour,country\n{marker}x,3,FR"),
            format!("\"{marker}"),
        ] {
            for accept in ["Accept: text/csv", "Accept: */*"] {
                statuses.insert(check("POST", "/invocations", &[CSV, accept], csv.as_bytes()));
            }
        }
        // As binary data of every datatype, cut off and whole, and in every header that is read.
        for datatype in conformance::DATATYPES {
            for (name, size) in [("amount", 16), ("country", 16), (marker, 16), ("amount", 8), ("country", 4_111_111)] {
                let json = json!({ "id": "7", "inputs": [
                    { "name": name, "shape": [1], "datatype": datatype, "parameters": { "binary_data_size": size } },
                ] });
                let length = format!("Inference-Header-Content-Length: {}", json.to_string().len());
                let data = format!("{marker:0>16}");
                check(
                    "POST",
                    "/v2/models/model/infer",
                    &[&length],
                    [json.to_string().as_bytes(), data.as_bytes()].concat().as_slice(),
                );
                let texts = [&[12, 0, 0, 0], &data.as_bytes()[..12]].concat();
                check("POST", "/v2/models/model/infer", &[&length], [json.to_string().as_bytes(), &texts].concat().as_slice());
            }
        }
        let body = br#"{"rows":[[1,2,"FR"]]}"#;
        for header in [
            "Content-Type",
            "Accept",
            "Content-Encoding",
            "Inference-Header-Content-Length",
            "Origin",
            "X-Amzn-Trace-Id",
            "User-Agent",
        ] {
            for path in ["/v1/score", "/invocations", "/v2/models/model/infer"] {
                check("POST", path, &[&format!("{header}: {marker}")], body);
            }
        }
        for path in [
            "/v2/models/M",
            "/v2/models/M/ready",
            "/v2/models/M/versions/M",
            "/v2/models/model/versions/M/ready",
            "/M",
            "/ping?M",
            "/v2?M=M",
            "/v1/score/M",
        ] {
            check("GET", &path.replace('M', marker), &[], b"");
        }
        for path in ["/v2/models/M/infer", "/v2/models/model/versions/M/infer", "/v1/score?M", "/invocations?M=M"] {
            check("POST", &path.replace('M', marker), &[JSON], body);
        }
        check(marker, "/v1/score", &[], b"");
    }
    assert!(statuses.contains(&200) && statuses.contains(&400));
    assert!(asked > 2_000, "{asked}");
    let metrics = server.ask("GET", "/metrics", b"").text().to_owned();
    server.signal("TERM");
    assert!(server.wait().success());
    let log = server.log();
    assert!(log.lines().count() > asked, "every request is logged");
    for marker in MARKERS {
        assert!(!metrics.contains(marker), "{metrics}");
        assert!(!log.contains(marker), "{}", log.lines().find(|line| line.contains(marker)).unwrap());
    }
}
