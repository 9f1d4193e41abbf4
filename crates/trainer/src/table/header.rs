//! The names of a table's columns.

use super::{MAX_NAME_BYTES, Problem};

/// Refuses names that are empty, too long or not unique.
pub fn check_names(names: &[String]) -> Result<(), Problem> {
    if let Some(position) = names.iter().position(|name| name.len() > MAX_NAME_BYTES) {
        return Err(Problem::LongName { position: position + 1 });
    }
    if let Some(position) = names.iter().position(|name| name.trim().is_empty()) {
        return Err(Problem::UnnamedColumn { position: position + 1 });
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Problem::DuplicateColumn { name: pair[0].clone() }),
        None => Ok(()),
    }
}
