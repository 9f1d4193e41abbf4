//! `/openapi.json`: the written document with the served model's features, and the columns of its definition, filled in.

use assay_domain::{Field, Schema, Type};
use assay_model::manifest::Threshold;
use assay_model::{Feature, FeatureKind};
use bytes::Bytes;
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("openapi.json");

/// The document for a model of these features that flags from this threshold on, and decides about transactions of this form, if it says one.
pub fn document(features: &[Feature], threshold: &Threshold, schema: Option<&Schema>) -> Bytes {
    let mut document: Value = serde_json::from_str(DOCUMENT).expect("our own document is JSON, as a test holds");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["components"]["schemas"]["Row"] = json!({
        "type": "array",
        "description": "The values of one transaction, in the order of the model's features.",
        "minItems": features.len(),
        "maxItems": features.len(),
        "prefixItems": features.iter().map(value).collect::<Vec<_>>(),
    });
    let named = features.iter().map(|feature| (feature.name.clone(), value(feature))).collect::<serde_json::Map<_, _>>();
    let needed = features.iter().filter(|feature| !feature.missing_seen).map(|feature| feature.name.as_str());
    document["components"]["schemas"]["Transaction"] = json!({
        "type": "object",
        "description": "The values of one transaction by the names of the model's features.",
        "properties": named,
        "required": needed.collect::<Vec<_>>(),
        "additionalProperties": false,
    });
    for (schema, example) in examples(features) {
        document["components"]["schemas"][schema]["examples"] = json!([example]);
    }
    document["components"]["schemas"]["Scores"]["x-threshold"] = threshold.probability.into();
    if let Some(schema) = schema {
        document["components"]["schemas"]["DecisionTransaction"] = transaction(schema);
        document["components"]["schemas"]["DecisionRequest"]["examples"] = json!([example(schema)]);
    }
    document.to_string().into()
}

/// A request that would be scored, for each way to ask.
fn examples(features: &[Feature]) -> [(&'static str, Value); 4] {
    let value = |feature: &Feature| if feature.kind == FeatureKind::Number { json!(1) } else { json!("text") };
    let row: Vec<Value> = features.iter().map(value).collect();
    let named: serde_json::Map<_, _> = features.iter().map(|feature| (feature.name.clone(), value(feature))).collect();
    let tensor = |feature: &Feature| {
        let datatype = if feature.kind == FeatureKind::Number { "FP64" } else { "BYTES" };
        json!({ "name": feature.name, "shape": [1], "datatype": datatype, "data": [value(feature)] })
    };
    [
        ("Transactions", json!({ "features": row })),
        ("ScoreRequest", json!({ "transactions": [named] })),
        ("Invocation", json!({ "dataframe_records": [named] })),
        ("V2Request", json!({ "inputs": features.iter().map(tensor).collect::<Vec<_>>() })),
    ]
}

/// What may be decided about: the columns of the definition but the label, which nobody knows yet.
fn transaction(schema: &Schema) -> Value {
    let columns = || sent(schema);
    let needed = columns().filter(|(place, field)| field.required || [schema.id, schema.event_time].contains(place));
    json!({
        "type": "object",
        "description": "A transaction by the columns of the model's definition. Those that are not required may be left out.",
        "properties": columns().map(|(_, field)| (field.name.clone(), column(field))).collect::<serde_json::Map<_, _>>(),
        "required": needed.map(|(_, field)| field.name.as_str()).collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}

/// The columns that come with a transaction, with their places.
fn sent(schema: &Schema) -> impl Iterator<Item = (usize, &Field)> {
    schema.fields.iter().enumerate().filter(|(place, _)| Some(*place) != schema.label)
}

fn column(field: &Field) -> Value {
    let (kind, description) = match field.kind {
        Type::Boolean => ("boolean", "True or false."),
        Type::Integer => ("integer", "A whole number of 64 bits, written without a fraction or an exponent."),
        Type::Double => ("number", "A number."),
        Type::Text => ("string", "A text."),
        Type::Timestamp => ("string", "A moment in ISO 8601; in UTC, where it does not say how far it is from it."),
        Type::Interval => ("null", "Left out."),
    };
    let kind = if field.required { kind.into() } else { json!([kind, "null"]) };
    let mut column = json!({ "title": field.name, "type": kind, "description": description });
    match field.kind {
        Type::Integer => column["format"] = "int64".into(),
        Type::Timestamp => column["format"] = "date-time".into(),
        _ => {}
    }
    if field.personal {
        column["x-personal"] = true.into();
    }
    column
}

/// A transaction that would be decided.
fn example(schema: &Schema) -> Value {
    let value = |field: &Field| match field.kind {
        Type::Boolean => json!(true),
        Type::Integer => json!(1),
        Type::Double => json!(12.5),
        Type::Text => json!("text"),
        Type::Timestamp => json!("2026-01-31T12:34:56Z"),
        Type::Interval => Value::Null,
    };
    sent(schema).map(|(_, field)| (field.name.clone(), value(field))).collect::<serde_json::Map<_, _>>().into()
}

fn value(feature: &Feature) -> Value {
    let (kind, description) = match feature.kind {
        FeatureKind::Number => ("number", "A number."),
        FeatureKind::Category { .. } => ("string", "A text; one that training never saw is accepted as unknown."),
    };
    let kind = if feature.missing_seen { json!([kind, "null"]) } else { kind.into() };
    json!({ "title": feature.name, "type": kind, "description": description })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::http::refusal::tests::one_of_each;
    use crate::http::router::ROUTES;

    fn written() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn the_document_lists_every_route_and_no_other() {
        let document = written();
        let mut listed = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                listed.insert((path.clone(), method.to_uppercase()));
            }
        }
        let served = ROUTES.iter().map(|route| (route.path.to_owned(), route.method.to_string())).collect();
        assert_eq!(listed, served);
    }

    #[test]
    fn the_document_says_the_scope_of_every_route() {
        let document = written();
        for route in ROUTES {
            let told = document["paths"][route.path][route.method.as_str().to_lowercase()]["x-scope"].as_str();
            assert_eq!(told, Some(format!("{:?}", route.scope).to_lowercase().as_str()), "{}", route.path);
        }
    }

    #[test]
    fn the_document_lists_every_error_code_with_its_status_and_no_other() {
        let document = written();
        let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for response in document["components"]["responses"].as_object().unwrap().values() {
            let status = response["x-status"].as_str().unwrap().to_owned();
            let codes = response["x-codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned());
            listed.entry(status).or_default().extend(codes);
        }
        let mut served: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for refusal in one_of_each() {
            served.entry(refusal.status().as_str().to_owned()).or_default().insert(refusal.code().to_owned());
        }
        assert_eq!(listed, served);
    }

    #[test]
    fn the_columns_of_the_definition_are_filled_in_without_the_label() {
        let sql = "CREATE TABLE t (id TEXT PRIMARY KEY, at TIMESTAMP NOT NULL, amount DOUBLE NOT NULL, email TEXT, fraud BOOLEAN) \
                   WITH (event_time = 'at', label = 'fraud', email.personal = 'on'); \
                   CREATE VIEW f AS SELECT amount FROM t;";
        let schema = assay_features::Definition::parse(sql, "the definition").unwrap().plan.schema;
        let document: Value = serde_json::from_slice(&document(&[], &Threshold::default(), Some(&schema))).unwrap();
        let transaction = &document["components"]["schemas"]["DecisionTransaction"];
        let columns: BTreeSet<_> = transaction["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(columns, ["amount", "at", "email", "id"].into());
        assert_eq!(transaction["required"], json!(["id", "at", "amount"]));
        assert_eq!(transaction["properties"]["email"]["type"], json!(["string", "null"]));
        assert_eq!(transaction["properties"]["at"]["format"], "date-time");
        let example = &document["components"]["schemas"]["DecisionRequest"]["examples"][0];
        crate::decisions::transaction::Transaction::read(&example.to_string(), &schema).unwrap();
    }

    #[test]
    fn the_models_features_and_threshold_are_filled_in() {
        let number = Feature { name: "amount".into(), kind: FeatureKind::Number, missing_seen: true };
        let text = Feature { name: "country".into(), kind: FeatureKind::Category { levels: vec![] }, missing_seen: false };
        let document: Value =
            serde_json::from_slice(&document(&[number, text], &Threshold { probability: 0.25, ..Threshold::default() }, None))
                .unwrap();
        assert_eq!(document["components"]["schemas"]["Scores"]["x-threshold"], 0.25);
        let row = &document["components"]["schemas"]["Row"];
        assert_eq!(row["minItems"], 2);
        assert_eq!(row["prefixItems"][0]["title"], "amount");
        assert_eq!(row["prefixItems"][0]["type"], json!(["number", "null"]));
        assert_eq!(row["prefixItems"][1]["type"], "string");
    }
}
