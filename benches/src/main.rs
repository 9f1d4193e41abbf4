//! Measuring programs that the comparison with peers runs; none of this is shipped.
fn main() {}
