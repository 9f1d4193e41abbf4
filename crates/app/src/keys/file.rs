//! The file of keys: read whole or refused, changed whole or not at all, and never by two at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use thiserror::Error;

use super::{Key, KeyError};
use crate::small_file;

/// The format of the file; a newer one is refused, not guessed at.
const FORMAT: u32 = 1;

/// A thousand keys are a third of this; more is no file of keys.
const BYTES: u64 = 1 << 20;

/// Why a file of keys cannot be worked with.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the keys in {path}: {problem}")]
    Read {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// It cannot be written.
    #[error("cannot write the keys to {path}: {problem}; nothing was changed")]
    Write {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The change is none that can be made.
    #[error(transparent)]
    Change(#[from] KeyError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    format: u32,
    keys: Vec<Key>,
}

/// The one field that every version of the file has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The keys in the file at `path`.
pub fn read(path: &Path) -> Result<Vec<Key>, FileError> {
    bytes(path).and_then(|bytes| parse(&bytes)).map_err(|problem| FileError::Read { path: path.display().to_string(), problem })
}

/// All that is in the file, or why it cannot be had.
pub fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    File::open(path).map_err(|error| explain(&error)).and_then(|file| small_file::content(&file, BYTES))
}

/// The keys that these bytes are, or what is wrong with them.
pub fn parse(bytes: &[u8]) -> Result<Vec<Key>, String> {
    // The place says where to look; the sentence of the parser could repeat what stands there.
    let damaged = |error: serde_json::Error| {
        format!(
            "it is no file of keys, or a damaged one, at line {}, column {}; put back a copy of it, or make a new one with `assay keys \
             create`",
            error.line(),
            error.column()
        )
    };
    let Format { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format != FORMAT {
        return Err(format!("it has format {format}, and this program reads format {FORMAT}; use the program that wrote it"));
    }
    let Keys { keys, .. } = serde_json::from_slice(bytes).map_err(damaged)?;
    let mut ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    ids.sort_unstable();
    if let Some([twice, _]) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("it has two keys with the id {twice}; remove one of them"));
    }
    Ok(keys)
}

/// Lets `change` have the keys at `path`, and puts what it leaves in their place. Without a file it begins with none, if `may_begin`.
pub fn change<T>(
    path: &Path,
    may_begin: bool,
    change: impl FnOnce(&mut Vec<Key>) -> Result<T, KeyError>,
) -> Result<T, FileError> {
    let not_read = |problem: String| FileError::Read { path: path.display().to_string(), problem };
    let not_written = |error: &io::Error| FileError::Write { path: path.display().to_string(), problem: explain(error) };
    let before = match locked(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_begin => None,
        other => Some(other.map_err(|error| not_read(explain(&error)))?),
    };
    let mut keys = match &before {
        Some(file) => small_file::content(file, BYTES).and_then(|bytes| parse(&bytes)).map_err(not_read)?,
        None => Vec::new(),
    };
    let done = change(&mut keys)?;
    write(path, before.as_ref(), keys).map_err(|error| not_written(&error))?;
    Ok(done)
}

/// The file, which nobody else changes as long as we hold it. While we waited for it another may have taken its place: then that one.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::open(path)?;
        file.lock()?;
        let (held, named) = (file.metadata()?, fs::metadata(path)?);
        if (held.dev(), held.ino()) == (named.dev(), named.ino()) {
            return Ok(file);
        }
    }
}

/// A new file is readable by its owner alone; one that takes another's place is as open as that was, and belongs to the same user, so
/// that a server which may read it may still read it when another user changed it.
fn write(path: &Path, before: Option<&File>, keys: Vec<Key>) -> io::Result<()> {
    let mut json = serde_json::to_vec_pretty(&Keys { format: FORMAT, keys })?;
    json.push(b'\n');
    let folder = folder_of(path);
    let mut file = NamedTempFile::new_in(&folder)?;
    file.write_all(&json)?;
    match before.map(File::metadata).transpose()? {
        Some(about) => {
            let ours = file.as_file().metadata()?;
            if (about.uid(), about.gid()) != (ours.uid(), ours.gid()) {
                fchown(file.as_file(), Some(about.uid()), Some(about.gid()))?;
            }
            file.as_file().set_permissions(fs::Permissions::from_mode(about.mode() & 0o777))?;
        }
        None => file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?,
    }
    file.as_file().sync_all()?;
    if before.is_some() {
        file.persist(path)?;
    } else {
        file.persist_noclobber(path)?;
    }
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; make it with `assay keys create`, or correct the path".into(),
        _ => small_file::explain(error),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use jiff::Timestamp;

    use super::*;
    use crate::keys::{Scope, Wanted, create};

    fn add(path: &Path, name: &str) -> Result<String, FileError> {
        let wanted = Wanted { name: name.into(), scopes: [Scope::Score, Scope::Models].into(), lifetime: None, rate: None };
        change(path, true, |keys| create(keys, wanted, Timestamp::from_second(1_700_000_000).unwrap()))
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_holds_no_key() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys.json");
        let text = add(&path, "shop").unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let secret = &text[15..79];
        assert!((0..=64 - 8).all(|place| !written.contains(&secret[place..place + 8])), "{written}");
        assert!(written.contains("\"2023-11-14T22:13:20Z\"") && written.contains("\"score\""), "{written}");
        assert_eq!(read(&path).unwrap().len(), 1);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn a_file_stays_as_open_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys.json");
        add(&path, "shop").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        add(&path, "shop").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn nobody_loses_a_key_to_somebody_who_changes_the_file_at_the_same_time() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys.json");
        add(&path, "first").unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..5).for_each(|_| drop(add(&path, "shop").unwrap())));
            }
        });
        assert_eq!(read(&path).unwrap().len(), 41);
    }

    #[test]
    fn a_file_that_is_damaged_or_newer_is_refused_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys.json");
        add(&path, "shop").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for end in 0..text.len() - 2 {
            fs::write(&path, &text[..end]).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("is no file of keys, or a damaged one"), "cut at {end}: {error}");
            add(&path, "other").unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), &text[..end]);
        }
        let wrong = |from: &str, to: &str| parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(wrong("\"format\": 1", "\"format\": 2").contains("has format 2, and this program reads format 1"));
        assert!(wrong("\"score\"", "\"everything\"").contains("damaged"));
        assert!(wrong("\"scopes\"", "\"may\"").contains("damaged"));
        assert!(wrong("\"secret_sha256\": \"", "\"secret_sha256\": \"x").contains("damaged"));
        let mut twice: serde_json::Value = serde_json::from_str(&text).unwrap();
        let key = twice["keys"][0].clone();
        twice["keys"].as_array_mut().unwrap().push(key);
        assert!(parse(twice.to_string().as_bytes()).unwrap_err().contains("two keys with the id"));
        fs::write(&path, vec![b' '; (1 << 20) + 1]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("more than 1048576 bytes"));
        assert!(read(place.path()).unwrap_err().to_string().contains("it is a folder"));
        assert!(read(&place.path().join("absent")).unwrap_err().to_string().contains("assay keys create"));
    }
}
