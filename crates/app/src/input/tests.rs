//! Every form of input on a disk, and downloads from a real server that misbehaves.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use assay_trainer::table::Values;
use tempfile::TempDir;

use super::*;

const TEXT: &str = "amount,city,fraud\n12.5,Bern,0\n,Rome,1\n7,,0\n";

fn options(folder: &TempDir) -> InputOptions {
    InputOptions {
        read: ReadOptions { memory_limit_bytes: 1 << 20, ..ReadOptions::default() },
        sha256: None,
        download_folder: folder.path().join("downloads"),
        download_limit_bytes: 1 << 20,
    }
}

fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn shown(table: &Table) -> String {
    format!("{table:?}")
}

fn expected() -> Table {
    csv::read(TEXT.as_bytes(), "a.csv", &ReadOptions::default(), &|_| ()).unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn parquet_file() -> Vec<u8> {
    let mut file = Vec::new();
    parquet::write(&mut file, &expected()).unwrap();
    file
}

// Files.

#[test]
fn every_form_is_read_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let forms = [
        ("a.csv", TEXT.as_bytes().to_vec()),
        ("a.csv.gz", gzip(TEXT.as_bytes())),
        ("a.csv.zst", zstandard(TEXT.as_bytes())),
        ("a.csv.zip", zip(&[("__MACOSX/a.csv", b""), ("folder/a.csv", TEXT.as_bytes()), ("README", b"hello")])),
        ("a.parquet", parquet_file()),
        ("a.parquet.gz", gzip(&parquet_file())),
        ("a.parquet.zip", zip(&[("a.parquet", &parquet_file())])),
        ("gzip called.csv", gzip(TEXT.as_bytes())),
    ];
    for (name, content) in forms {
        let argument = file(&folder, name, content);
        assert_eq!(shown(&read(&[argument], &options(&folder)).unwrap()), shown(&expected()), "{name}");
    }
}

#[test]
fn several_files_are_one_table_whole_or_in_batches() {
    let folder = tempfile::tempdir().unwrap();
    let first = file(&folder, "a.csv", TEXT);
    let second = file(&folder, "b.csv.gz", gzip(b"amount,city,fraud\n1,7,0\n"));
    let table = read(&[first.clone(), second.clone()], &options(&folder)).unwrap();
    // The second file's city is a number, but the first file has told that cities are categories.
    let Values::Categories { codes, levels } = &table.columns[1].values else { panic!("cities are categories") };
    assert_eq!((codes[3], levels.as_slice()), (0, ["7", "Bern", "Rome"].map(String::from).as_slice()));
    let mut joined: Option<Table> = None;
    let outcome: Result<(), InputError> = read_batches(&[first, second], &options(&folder), |batch| {
        match &mut joined {
            None => joined = Some(batch),
            Some(joined) => joined.append(batch).unwrap(),
        }
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(shown(&joined.unwrap()), shown(&table));
}

#[track_caller]
fn check_refused(folder: &TempDir, argument: impl Into<String>, expected: &str) {
    let argument = argument.into();
    let error = read(std::slice::from_ref(&argument), &options(folder)).unwrap_err().to_string();
    assert!(error.starts_with(&argument) && error.contains(expected), "{error}");
}

#[test]
fn what_is_no_table_is_refused_by_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    check_refused(&folder, folder.path().to_str().unwrap().to_owned(), "is a folder");
    check_refused(&folder, folder.path().join("no.csv").to_str().unwrap().to_owned(), "cannot be read: No such file");
    check_refused(&folder, file(&folder, "empty.csv", ""), "is empty");
    check_refused(&folder, file(&folder, "a.bz2", "BZh9"), "this is a bzip2 file");
    check_refused(&folder, file(&folder, "page.csv", "\n<!doctype html>"), "this is an HTML or XML page");
    check_refused(&folder, file(&folder, "wide.csv", b"\xff\xfea\0"), "this is UTF-16 text");
    check_refused(&folder, file(&folder, "b.csv", b"a\0b"), "this is a binary file of an unknown kind");
    check_refused(&folder, file(&folder, "a.parquet", TEXT), "plain text although its name ends in .parquet");
    check_refused(&folder, file(&folder, "a.gz", gzip(&gzip(TEXT.as_bytes()))), "a packed file inside a packed file");
}

#[test]
fn a_zip_without_exactly_one_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let two = zip(&[("a.csv", TEXT.as_bytes()), ("b.csv", TEXT.as_bytes())]);
    check_refused(&folder, file(&folder, "two.zip", two), "holds 2 CSV or Parquet files");
    check_refused(&folder, file(&folder, "none.zip", zip(&[("README", b"hello")])), "holds 0 CSV or Parquet files");
}

#[test]
fn cut_or_damaged_packed_files_are_refused_wherever_they_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<String> = (0..500).map(|row| format!("{row}.5,Bern,0\n")).collect();
    let text = format!("amount,city,fraud\n{}", rows.concat());
    let forms = [("gz", gzip(text.as_bytes())), ("zst", zstandard(text.as_bytes())), ("zip", zip(&[("a.csv", text.as_bytes())]))];
    for (ending, content) in forms {
        for cut in (4..content.len()).step_by(7) {
            let argument = file(&folder, &format!("cut.{ending}"), &content[..cut]);
            let error = read(&[argument], &options(&folder)).unwrap_err().to_string();
            assert!(error.contains("cut off") || error.contains("damaged"), "{ending} cut at {cut}: {error}");
        }
        for position in (4..content.len()).step_by(7) {
            let mut damaged = content.clone();
            damaged[position] ^= 0x55;
            // Some bytes, such as a time stamp, do not matter; none may crash.
            let _ = read(&[file(&folder, &format!("damaged.{ending}"), damaged)], &options(&folder));
        }
    }
}

#[test]
fn what_unpacks_beyond_the_memory_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("a\n{}", "1\n".repeat(3_000_000));
    check_refused(&folder, file(&folder, "bomb.csv.gz", gzip(text.as_bytes())), "more than the limit of 1.0 MB");
    check_refused(&folder, file(&folder, "bomb.zip", zip(&[("a.csv", text.as_bytes())])), "more than the limit of 1.0 MB");
    let packed = [parquet_file(), vec![0; 1 << 21]].concat();
    check_refused(&folder, file(&folder, "bomb.parquet.gz", gzip(&packed)), "takes more memory than the limit");
}

#[test]
fn a_checksum_is_tested_before_the_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let argument = file(&folder, "a.csv", TEXT);
    let with = |sha256: String| InputOptions { sha256: Some(sha256), ..options(&folder) };
    let right = checksum::text(checksum::of_text(TEXT));
    assert!(read(std::slice::from_ref(&argument), &with(right.to_uppercase())).is_ok());
    let error = read(std::slice::from_ref(&argument), &with("0".repeat(64))).unwrap_err().to_string();
    assert!(error.contains(&format!("the SHA-256 is {right}, not the one given")), "{error}");
    assert!(read(std::slice::from_ref(&argument), &with("xyz".into())).is_err());
    assert!(read(&[argument.clone(), argument], &with(right)).is_err());
    assert!(read(&[], &options(&folder)).is_err());
}

// Downloads.

/// A server that answers each request with whatever bytes the test says, then closes the connection.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(usize, &str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/history/a.csv?version=1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let request = request_head(&mut stream);
                seen.lock().unwrap().push(request.clone());
                // Whoever has hung up does not want the answer.
                let _ = stream.write_all(&answer(number, &request));
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn request_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// An answer that announces `body` and sends only its first `sent` bytes.
fn whole(etag: &str, body: &str, sent: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nETag: \"{etag}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), &body.as_bytes()[..sent]].concat()
}

/// The rest of `body`.
fn rest(etag: &str, body: &str, start: usize) -> Vec<u8> {
    let rest = &body[start..];
    let (last, bytes) = (body.len() - 1, body.len());
    let range = format!("Content-Range: bytes {start}-{last}/{bytes}\r\nContent-Length: {}", rest.len());
    format!("HTTP/1.1 206 Partial Content\r\nETag: \"{etag}\"\r\n{range}\r\nConnection: close\r\n\r\n{rest}").into_bytes()
}

fn status(line: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

fn fetch(url: &str, folder: &TempDir, sha256: Option<[u8; 32]>) -> Result<PathBuf, DownloadError> {
    let bar = ProgressBar::hidden();
    download::fetch_patiently(url, folder.path(), 1_000, sha256, &bar, Duration::from_millis(1))
}

fn kept(folder: &TempDir) -> usize {
    fs::read_dir(folder.path()).unwrap().count()
}

#[test]
fn a_url_is_read_like_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| whole("a", TEXT, TEXT.len()));
    let table = read(&[server.url], &options(&folder)).unwrap();
    assert_eq!(shown(&table), shown(&expected()));
}

#[test]
fn a_broken_download_goes_on_where_it_broke_off() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|number, _| if number == 0 { whole("a", TEXT, 20) } else { rest("a", TEXT, 20) });
    let path = fetch(&server.url, &folder, None).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), TEXT);
    assert_eq!(kept(&folder), 1);
    let requests = server.requests();
    assert!(requests[1].contains("range: bytes=20-\r\n") && requests[1].contains("if-range: \"a\"\r\n"), "{}", requests[1]);
}

#[test]
fn a_file_that_changed_in_between_is_fetched_anew() {
    let changed = TEXT.replace("Bern", "Oslo");
    let second_answers = [whole("b", &changed, changed.len()), rest("b", &changed, 20)];
    for second_answer in second_answers {
        let folder = tempfile::tempdir().unwrap();
        let body = changed.clone();
        let server = Server::start(move |number, _| match number {
            0 => whole("a", TEXT, 20),
            1 => second_answer.clone(),
            _ => whole("b", &body, body.len()),
        });
        let path = fetch(&server.url, &folder, None).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), changed);
    }
}

#[test]
fn a_server_that_never_sends_what_it_announces_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| whole("a", TEXT, 20));
    let error = fetch(&server.url, &folder, None).unwrap_err().to_string();
    assert!(error.contains("the connection broke off again and again at 20 bytes"), "{error}");
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn a_busy_server_is_tried_again_and_a_missing_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let busy = Server::start(|number, _| if number < 2 { status("503 Busy") } else { whole("a", TEXT, TEXT.len()) });
    assert!(fetch(&busy.url, &folder, None).is_ok());
    let missing = Server::start(|_, _| status("404 Not Found"));
    let error = fetch(&missing.url, &folder, None).unwrap_err().to_string();
    assert!(error.ends_with("the server answers 404; check the address"), "{error}");
    assert_eq!(missing.requests().len(), 1);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fetch(&format!("http://{nobody}/a.csv"), &folder, None).unwrap_err().to_string();
    assert!(error.contains("the server could not be reached"), "{error}");
}

#[test]
fn a_download_with_another_checksum_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| whole("a", TEXT, TEXT.len()));
    let error = fetch(&server.url, &folder, Some([0; 32])).unwrap_err().to_string();
    assert!(error.contains("nothing was kept"), "{error}");
    assert_eq!(kept(&folder), 0);
}

#[test]
fn a_file_with_the_right_checksum_is_fetched_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| whole("a", TEXT, TEXT.len()));
    let sha256 = Some(checksum::of_text(TEXT));
    let first = fetch(&server.url, &folder, sha256).unwrap();
    assert_eq!(fetch(&server.url, &folder, sha256).unwrap(), first);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_download_beyond_the_limit_is_refused_and_not_kept() {
    let body = "x".repeat(1_001);
    let unannounced = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}").into_bytes();
    for answer in [whole("a", &body, body.len()), unannounced] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(move |_, _| answer.clone());
        let error = fetch(&server.url, &folder, None).unwrap_err().to_string();
        assert!(error.contains("is larger than 1000 bytes"), "{error}");
        assert_eq!(kept(&folder), 0);
    }
}

#[test]
fn only_http_urls_are_downloads() {
    assert!(download::is_url("https://example.org/a.csv") && download::is_url("HTTP://example.org/a.csv"));
    assert!(!download::is_url("ftp://example.org/a.csv") && !download::is_url("file:///a.csv") && !download::is_url("a.csv"));
}

// Real data, where it is at hand.

#[test]
fn the_known_data_sets_are_read() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = std::env::var("ASSAY_SHARED").unwrap_or_else(|_| beside.to_owned());
    let folder = tempfile::tempdir().unwrap();
    let options = InputOptions { read: ReadOptions::default(), ..options(&folder) };
    for (name, last) in
        [("creditcard.csv.zip", "Class"), ("creditcard-weighted.parquet", ""), ("handbook-transactions.parquet", "")]
    {
        let path = format!("{shared}/data/{name}");
        if !Path::new(&path).exists() {
            println!("not tested: {path} is absent");
            continue;
        }
        let table = read(&[path], &options).unwrap();
        let columns: Vec<_> = table.columns.iter().map(|column| (&column.name, column.values.kind())).collect();
        println!("{name}: {} rows, {columns:?}", table.rows());
        assert!(table.rows() > 10_000 && (last.is_empty() || columns.last().is_some_and(|(name, _)| *name == last)));
    }
}
