//! Here is a row: what is its score?
