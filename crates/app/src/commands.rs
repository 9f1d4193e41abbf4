//! What can be done from the command line: one file per command.

pub mod serve;
