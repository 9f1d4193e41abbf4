//! The binary `assay`.
mod input;

fn main() {}
