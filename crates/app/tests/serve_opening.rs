//! A start over a long journal: who asks meanwhile is told how far it is, whatever it is that is folded.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod deciding;
mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use assay_journal::Reader;
use deciding::{BY_PAST, TABLE, decide, model, payment, until};
use serde_json::json;
use support::{Client, Random, Server};

const PAYMENTS: u64 = 100_000;

/// A folder with a model, and a journal of imported payments, a minute after one another.
fn imported(folder: &Path) {
    std::fs::write(folder.join("past.model"), model(&format!("{TABLE}{BY_PAST}"))).unwrap();
    std::fs::write(folder.join("past.sql"), format!("{TABLE}{BY_PAST}")).unwrap();
    let mut rows = "id,at,customer,amount,fraud\n".to_owned();
    for number in 0..PAYMENTS {
        let (day, hour, minute) = (number / 1_440, number / 60 % 24, number % 60);
        let at = format!("2025-{:02}-{:02} {hour:02}:{minute:02}:00", 1 + day / 28, 1 + day % 28);
        writeln!(rows, "i{number},{at},{},{}.5,{}", number % 5_000, number % 90, number % 70 == 0).unwrap();
    }
    std::fs::write(folder.join("past.csv"), rows).unwrap();
    let words = ["import", "past.csv", "--data-dir", "data", "--definition", "past.sql"];
    let output = Command::new(env!("CARGO_BIN_EXE_assay")).args(words).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Asks until it is ready; how far it was each time: entries that are read, and all.
fn opened(server: &Server) -> Vec<(u64, u64)> {
    let mut client = server.connect();
    let (mut told, mut asked) = (Vec::new(), 0);
    let ask = |client: &mut Client, method: &str, path: &str, body: &str| client.ask(method, path, &[], body.as_bytes());
    loop {
        let reply = ask(&mut client, "GET", "/ready", "");
        if reply.status == 200 {
            return told;
        }
        assert_eq!((reply.status, reply.code().as_str(), reply.header("retry-after")), (503, "opening", Some("1")), "{reply:?}");
        let sentence = reply.error();
        let numbers: Vec<u64> = sentence.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [done, of] = numbers[..] else { panic!("{sentence}") };
        assert_eq!(
            sentence,
            format!("the journal is being read, {done} of {of} entries so far; GET /ready says when it is done")
        );
        if asked % 200 == 0 {
            // Decisions wait; the rest does not.
            let asked = payment(0, &mut Random(1)).to_string();
            let decided = ask(&mut client, "POST", "/v1/decisions", &asked);
            assert!(decided.status == 200 || (decided.status, decided.code().as_str()) == (503, "opening"), "{decided:?}");
            assert_eq!(ask(&mut client, "GET", "/health", "").status, 200);
        }
        asked += 1;
        if told.last() != Some(&(done, of)) {
            told.push((done, of));
        }
    }
}

/// That the numbers grow, of one whole, and that more than the first and the last were told.
fn assert_growing(told: &[(u64, u64)], last: u64) {
    // Nothing is known before the journal is open.
    let told = told.strip_prefix(&[(0, 0)]).unwrap_or(told);
    assert!(told.len() > 2 && told.is_sorted(), "{told:?}");
    assert!(told.iter().all(|&(done, of)| done <= of && of == last), "{told:?}");
}

#[test]
fn a_start_over_a_long_journal_says_how_far_it_is() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    imported(folder);
    let [file, data] = ["past.model", "data"].map(|name| folder.join(name).display().to_string());
    let serve = || Server::start_with(&["--model", &file, "--data-dir", &data, "--drain-seconds", "0"]);
    // Of the first start the features are folded, of the next one everything.
    let mut server = serve();
    // The definition is an entry too.
    assert_growing(&opened(&server), PAYMENTS + 1);
    until(&server, "/ready", |reply| *reply == json!({ "status": "ready" }));
    decide(&server, &payment(1, &mut Random(1)));
    server.kill();
    let last = Reader::open(Path::new(&data)).unwrap().head().unwrap().sequence;
    let server = serve();
    assert_growing(&opened(&server), last);
    assert!(last > PAYMENTS + 2, "a model, a policy, a decision");
    decide(&server, &payment(2, &mut Random(1)));
}
