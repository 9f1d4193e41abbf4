//! What is in a small file, or in half a sentence why it cannot be had.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// All of a file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    File::open(path).map_err(|error| explain(&error)).and_then(|file| content(&file, limit))
}

/// The same of a file that is open.
pub fn content(file: &File, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| explain(&error))?;
    if bytes.len() as u64 > limit {
        return Err(format!("it has more than {limit} bytes, which no such file has; check the path"));
    }
    Ok(bytes)
}

/// What happened, and what to do.
pub fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; correct the path".into(),
        io::ErrorKind::PermissionDenied => "this user may not; use the user whose file it is, or change its permissions".into(),
        io::ErrorKind::AlreadyExists => "somebody made it meanwhile; try again".into(),
        io::ErrorKind::IsADirectory => "it is a folder; name a file in it".into(),
        io::ErrorKind::ReadOnlyFilesystem => "its folder is read-only; put it where it can be written".into(),
        io::ErrorKind::StorageFull => "the disk is full; make room".into(),
        _ => format!("{error}; check the path and the disk"),
    }
}
