//! LightGBM's text: which features are categories, and which texts did Python give their numbers to?

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Foreign, ForeignError, Scorer};
use crate::Calibration;
use crate::forest::{Forest, ForestError};
use crate::manifest::Imported;

const END: &str = "end of trees";
/// The line that LightGBM's Python package adds at the very end.
const PANDAS: &str = "pandas_categorical:";

pub(super) fn read(bytes: &[u8], imported: Imported) -> Result<Foreign, ForeignError> {
    let refused = |problem| ForeignError::Trees { library: "LightGBM", problem };
    let header = |problem: &str| refused(ForestError::Header(problem.into()));
    let text = std::str::from_utf8(bytes).map_err(|_| header("the file is not UTF-8 text"))?.trim_start();
    let end =
        text.find(&format!("\n{END}")).ok_or_else(|| header("the line `end of trees` is missing, so the file is not whole"))?;
    let trees = format!("{}\n{END}\n", &text[..end]);
    let forest = Forest::from_lightgbm_text(&trees).map_err(refused)?;
    let names: Vec<String> = value(&trees, "feature_names=").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let objective = value(&trees, "objective=").unwrap_or_default().to_owned();
    let settings = BTreeMap::from([("objective".to_owned(), objective), ("trees".to_owned(), forest.tree_count().to_string())]);
    let (after, categorical) = (&text[end + 1 + END.len()..], categorical(&trees));
    let takes_categories = !categorical.is_empty() || forest.asked_for_as_category().contains(&Some(true));
    let notes = check_end(after, takes_categories).map_err(refused)?.into_iter().collect();
    let categories = pandas(after, categorical)?;
    Ok(Foreign {
        imported,
        scorer: Scorer::Forest(forest),
        trees: trees.into_bytes(),
        names,
        categories,
        calibration: Calibration::Double,
        settings,
        notes,
    })
}

/// Refuses a file that was cut short behind its trees, where the texts of its categories would stand, or says what is strange about its end.
///
/// Every LightGBM ends its file with its parameters, unless the model came without any; its Python package alone adds the texts.
fn check_end(after: &str, takes_categories: bool) -> Result<Option<String>, ForestError> {
    const CUT: &str = "the file ends too early, within what stands behind its trees; copy it again, or save the model again";
    const NO_TEXTS: &str = "the file ends with its trees, so that what its categories are called may be cut off; copy it again, or, if \
                            they are codes, end the file with the line `pandas_categorical:null`";
    let has_line = |wanted: &str| after.lines().any(|line| line == wanted);
    if after.lines().any(|line| line.starts_with(PANDAS)) {
        return Ok(None);
    }
    if let Some((_, rest)) = after.split_once("\nend of parameters") {
        let note = "Its categories are codes, as the file has no line `pandas_categorical`. Python's package would have written one: if this model comes \
                    from there, the file is cut short.";
        return if rest.trim().is_empty() {
            Ok(takes_categories.then(|| note.into()))
        } else {
            Err(ForestError::Header(CUT.into()))
        };
    }
    if has_line("parameters:") || takes_categories {
        return Err(ForestError::Header(if has_line("parameters:") { CUT } else { NO_TEXTS }.into()));
    }
    Ok(Some("The file ends without the parameters that LightGBM writes behind the trees. The trees are whole.".into()))
}

/// The rest of the first line of the header that begins with `key`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().take_while(|line| !line.starts_with("Tree=")).find_map(|line| line.strip_prefix(key))
}

/// The texts of each categorical feature, from the line that LightGBM's Python package adds for a model trained on a data frame: one
/// list per column of categories, in the order of the columns.
fn pandas(after: &str, categorical: Vec<usize>) -> Result<BTreeMap<usize, Option<Vec<String>>>, ForeignError> {
    let damaged = || ForeignError::Features("its line `pandas_categorical` is damaged; save the model again".into());
    let mut lines = after.lines();
    let Some(json) = lines.clone().find_map(|line| line.strip_prefix(PANDAS)) else { return Ok(BTreeMap::new()) };
    let lists: Option<Vec<Vec<Value>>> = serde_json::from_str(json).map_err(|_| damaged())?;
    let Some(lists) = lists.filter(|lists| !lists.is_empty()) else { return Ok(BTreeMap::new()) };
    let asked = lines.find_map(|line| line.strip_prefix("[categorical_feature: ")?.strip_suffix(']'));
    let features: Vec<usize> = match asked.filter(|asked| !asked.is_empty()) {
        Some(asked) => asked.split(',').map(|place| place.trim().parse().map_err(|_| damaged())).collect::<Result<_, _>>()?,
        None => categorical,
    };
    if features.len() != lists.len() {
        return Err(ForeignError::Features(format!(
            "the data frame it was trained on had {} columns of categories, but the trees take {} features as categories (an ordered one \
             counts as a number), so which is which cannot be told; train it on columns that are all unordered categories or numbers",
            lists.len(),
            features.len()
        )));
    }
    features
        .into_iter()
        .zip(lists)
        .map(|(feature, list)| Ok((feature, Some(list.iter().map(python_text).collect::<Option<_>>().ok_or_else(damaged)?))))
        .collect()
}

/// Features whose line of information lists categories (`0:2:1`) rather than a range (`[0:2]`).
fn categorical(trees: &str) -> Vec<usize> {
    let infos = value(trees, "feature_infos=").unwrap_or_default().split_whitespace().enumerate();
    infos.filter(|(_, info)| *info != "none" && !info.starts_with('[')).map(|(place, _)| place).collect()
}

/// A category as Python writes it into a CSV file.
fn python_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("True".into()),
        Value::Bool(false) => Some("False".into()),
        _ => None,
    }
}
