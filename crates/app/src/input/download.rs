//! Files fetched by URL: resumed where they broke off, kept only when they are whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use indicatif::ProgressBar;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, http::HeaderMap};

use super::checksum;

/// Why a URL could not be fetched; its text is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("{url}: the server answers {status}; {}", advice(*.status))]
    Status { url: String, status: u16 },
    #[error("{url}: the server could not be reached ({reason}); check the address and the network")]
    Unreachable { url: String, reason: String },
    #[error("{url}: the connection broke off again and again at {received_bytes} bytes ({reason}); start again to resume there")]
    BrokenOff { url: String, received_bytes: u64, reason: String },
    #[error("{url}: is larger than {limit_bytes} bytes, the most a download may have")]
    TooLarge { url: String, limit_bytes: u64 },
    #[error(
        "{url}: the SHA-256 is {found}, not the one given by `--sha256`; nothing was kept, check the address and the checksum"
    )]
    Checksum { url: String, found: String },
    #[error("{}: cannot be written: {source}; choose another folder for downloads", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Whether an argument is a URL this can fetch.
pub fn is_url(argument: &str) -> bool {
    let scheme = argument.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

/// Fetches a URL into `folder` and returns the file. A file that is there already is used when it has the checksum asked
/// for; without a checksum nobody knows, and it is fetched anew.
pub fn fetch(
    url: &str,
    folder: &Path,
    limit_bytes: u64,
    sha256: Option<[u8; 32]>,
    bar: &ProgressBar,
) -> Result<PathBuf, DownloadError> {
    fetch_patiently(url, folder, limit_bytes, sha256, bar, FIRST_PAUSE)
}

/// Times a download is tried.
const MAX_TRIES: u32 = 6;
/// Before the second try; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest silence of a server.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn fetch_patiently(
    url: &str,
    folder: &Path,
    limit_bytes: u64,
    sha256: Option<[u8; 32]>,
    bar: &ProgressBar,
    first_pause: Duration,
) -> Result<PathBuf, DownloadError> {
    let path = folder.join(file_name(url));
    let unwritable = |source| DownloadError::Write { path: path.clone(), source };
    fs::create_dir_all(folder).map_err(unwritable)?;
    if sha256.is_some() && checksum::of_file(&path).ok() == sha256 {
        return Ok(path);
    }
    let mut part = Part::at(&path);
    let mut tries = 1;
    while let Err(failure) = fetch_rest(url, &mut part, limit_bytes, bar) {
        match failure {
            Failure::Final(error) => return Err(error),
            Failure::Again(error) if tries == MAX_TRIES => return Err(error),
            Failure::Again(_) => thread::sleep(first_pause * 2_u32.pow(tries - 1)),
        }
        tries += 1;
    }
    if let Some(expected) = sha256 {
        let found = checksum::of_file(&part.path).map_err(unwritable)?;
        if found != expected {
            part.forget();
            return Err(DownloadError::Checksum { url: url.to_owned(), found: checksum::text(found) });
        }
    }
    fs::rename(&part.path, &path).map_err(unwritable)?;
    part.forget();
    Ok(path)
}

/// The last part of the URL's path, led by a mark of the whole URL so that two never share a file.
fn file_name(url: &str) -> String {
    const LONGEST: usize = 100;
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    let plain: Vec<char> = last.chars().filter(is_plain).collect();
    // The end of a name says what the file is.
    let end: String = plain[plain.len().saturating_sub(LONGEST)..].iter().collect();
    format!("{}-{end}", &checksum::text(checksum::of_text(url))[..16])
}

enum Failure {
    /// Trying again may help.
    Again(DownloadError),
    Final(DownloadError),
}

/// What has been fetched of a file, and a note beside it that says of which version.
struct Part {
    path: PathBuf,
    note_path: PathBuf,
}

/// What tells one version of a file from another.
#[derive(PartialEq)]
struct Version {
    /// The server's own name for it: a strong `ETag`, else the time of its last change.
    name: String,
    bytes: Option<u64>,
}

impl Part {
    fn at(path: &Path) -> Self {
        let with_ending = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Self { path: with_ending(".part"), note_path: with_ending(".part.version") }
    }

    /// What is there to go on from: its size and version.
    fn begun(&self) -> Option<(u64, Version)> {
        let begun_bytes = fs::metadata(&self.path).ok()?.len();
        let version = Version::parse(&fs::read_to_string(&self.note_path).ok()?)?;
        (begun_bytes > 0).then_some((begun_bytes, version))
    }

    fn forget(&self) {
        // What is not there need not be removed.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.note_path);
    }

    fn start(&self, version: &Version) -> io::Result<File> {
        fs::write(&self.note_path, version.text())?;
        File::create(&self.path)
    }

    fn go_on(&self) -> io::Result<File> {
        OpenOptions::new().append(true).open(&self.path)
    }
}

impl Version {
    fn of(headers: &HeaderMap, bytes: Option<u64>) -> Self {
        let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let strong_tag = value("etag").filter(|tag| tag.starts_with('"'));
        let name = strong_tag.or_else(|| value("last-modified")).unwrap_or_default().to_owned();
        Self { name, bytes }
    }

    /// Without a name or a size two versions cannot be told apart.
    fn can_be_told_apart(&self) -> bool {
        !self.name.is_empty() || self.bytes.is_some()
    }

    fn text(&self) -> String {
        let bytes = self.bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
        format!("{}\n{bytes}\n", self.name)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let version = Self { name: lines.next()?.to_owned(), bytes: lines.next()?.parse().ok() };
        version.can_be_told_apart().then_some(version)
    }
}

/// One try: goes on from what is there when the server still has the same version, else from the start.
fn fetch_rest(url: &str, part: &mut Part, limit_bytes: u64, bar: &ProgressBar) -> Result<(), Failure> {
    let unwritable = |source| Failure::Final(DownloadError::Write { path: part.path.clone(), source });
    let begun = part.begun();
    let response = request(url, begun.as_ref())?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body_bytes = response.body().content_length();
    let (mut file, mut received_bytes, version) = match (status, begun) {
        (206, Some((begun_bytes, begun_version))) => {
            let range = content_range(&headers);
            let version = Version::of(&headers, range.and_then(|range| range.total_bytes));
            if range.is_none_or(|range| range.start != begun_bytes) || version != begun_version {
                part.forget();
                return Err(broken_off(url, 0, "the file changed on the server"));
            }
            (part.go_on().map_err(unwritable)?, begun_bytes, version)
        }
        (200, _) => {
            let version = Version::of(&headers, body_bytes);
            (part.start(&version).map_err(unwritable)?, 0, version)
        }
        (206 | 416, _) => {
            part.forget();
            return Err(broken_off(url, 0, "the server could not resume"));
        }
        (408 | 429 | 500..=599, _) => return Err(Failure::Again(DownloadError::Status { url: url.to_owned(), status })),
        _ => return Err(Failure::Final(DownloadError::Status { url: url.to_owned(), status })),
    };
    let too_large = || Failure::Final(DownloadError::TooLarge { url: url.to_owned(), limit_bytes });
    if version.bytes.is_some_and(|bytes| bytes > limit_bytes) {
        part.forget();
        return Err(too_large());
    }
    version.bytes.inspect(|&bytes| bar.set_length(bytes));
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        bar.set_position(received_bytes);
        let read = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Err(broken_off(url, received_bytes, &error.to_string())),
        };
        received_bytes += read as u64;
        if received_bytes > limit_bytes {
            part.forget();
            return Err(too_large());
        }
        file.write_all(&buffer[..read]).map_err(unwritable)?;
    }
    match version.bytes {
        Some(bytes) if received_bytes < bytes => Err(broken_off(url, received_bytes, "the answer was shorter than announced")),
        _ => Ok(()),
    }
}

fn request(url: &str, begun: Option<&(u64, Version)>) -> Result<ureq::http::Response<ureq::Body>, Failure> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        // The authorities that this machine trusts, so that a company's own is among them.
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(READ_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .build()
        .into();
    let mut request = agent.get(url);
    if let Some((begun_bytes, version)) = begun {
        request = request.header("range", format!("bytes={begun_bytes}-"));
        if !version.name.is_empty() {
            request = request.header("if-range", version.name.as_str());
        }
    }
    request.call().map_err(|error| {
        let unreachable = DownloadError::Unreachable { url: url.to_owned(), reason: error.to_string() };
        if matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_)) {
            Failure::Final(unreachable)
        } else {
            Failure::Again(unreachable)
        }
    })
}

fn broken_off(url: &str, received_bytes: u64, reason: &str) -> Failure {
    Failure::Again(DownloadError::BrokenOff { url: url.to_owned(), received_bytes, reason: reason.to_owned() })
}

/// `Content-Range: bytes 100-199/1000`.
#[derive(Clone, Copy)]
struct ContentRange {
    start: u64,
    total_bytes: Option<u64>,
}

fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let text = headers.get("content-range")?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    Some(ContentRange { start, total_bytes: total.parse().ok() })
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "it does not let you have the file; download it yourself and name the file",
        404 | 410 => "check the address",
        _ => "try again later",
    }
}
