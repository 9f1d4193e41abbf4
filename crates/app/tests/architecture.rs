//! What ARCHITECTURE.md promises, as a test that fails the build: who may know whom, and what only one place may do.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Our own crates, and which of them each may know.
const MAY_KNOW: [(&str, &[&str]); 10] = [
    ("assay-decimal", &[]),
    ("assay-domain", &[]),
    ("assay-engine", &["assay-domain", "assay-features", "assay-model"]),
    ("assay-features", &["assay-domain"]),
    ("assay-journal", &["assay-domain"]),
    ("assay-model", &[]),
    ("assay-monitor", &["assay-domain", "assay-model", "assay-simulator"]),
    ("assay-simulator", &[]),
    ("assay-trainer", &["assay-decimal", "assay-domain", "assay-model"]),
    (
        "assay",
        &[
            "assay-decimal",
            "assay-domain",
            "assay-engine",
            "assay-features",
            "assay-journal",
            "assay-model",
            "assay-monitor",
            "assay-trainer",
            "assay-simulator",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The packages of the workspace, by name.
fn packages() -> BTreeMap<String, Value> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline", "--locked"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (package["name"].as_str().unwrap().to_owned(), package.clone())).collect()
}

/// Our own crates among a package's dependencies, those of its tests too.
fn known_by(package: &Value) -> Vec<String> {
    let names = package["dependencies"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned());
    names.filter(|name| name == "assay" || name.starts_with("assay-")).collect()
}

/// Tracked files, relative to the root.
fn tracked() -> Vec<String> {
    // Where another user owns the clone, as in a container, git wants to be told that this is fine.
    let output = Command::new("git").args(["-c", "safe.directory=*", "ls-files"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert!(files.len() > 50, "git lists only {} files", files.len());
    files.into_iter().filter(|file| root().join(file).is_file()).collect()
}

/// Rust files of the product itself, with what they do outside their unit tests.
fn sources() -> Vec<(String, String)> {
    let is_source = |file: &String| {
        let is_rust = Path::new(file).extension().is_some_and(|ending| ending == "rs");
        file.starts_with("crates/") && file.contains("/src/") && is_rust && !file.ends_with("/tests.rs")
    };
    let code = |file: String| {
        let text = read(&file);
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        (file, lines.collect::<Vec<_>>().join("\n"))
    };
    tracked().into_iter().filter(is_source).map(code).collect()
}

/// Files of which a fault holds, which only `allowed` may have.
fn assert_only(allowed: &[&str], what: &str, has: impl Fn(&str) -> bool) {
    let found: Vec<String> = sources().into_iter().filter(|(_, code)| has(code)).map(|(file, _)| file).collect();
    let others: Vec<&String> = found.iter().filter(|file| !allowed.iter().any(|allowed| file.starts_with(allowed))).collect();
    assert!(others.is_empty(), "{what} is for {allowed:?} only, but here it is too: {others:?}");
    for allowed in allowed {
        assert!(found.iter().any(|file| file.starts_with(allowed)), "{allowed} has no {what} (any more): correct this test");
    }
}

#[test]
fn a_crate_knows_only_those_below_it() {
    let packages = packages();
    for (name, may_know) in MAY_KNOW {
        for known in known_by(&packages[name]) {
            assert!(may_know.contains(&known.as_str()), "{name} must not know {known}; it may know {may_know:?}");
        }
    }
}

#[test]
fn every_crate_has_its_place_in_the_map() {
    let crates: Vec<String> = packages()
        .into_values()
        .filter(|package| package["manifest_path"].as_str().unwrap().contains("/crates/"))
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .collect();
    let placed = |name: &String| MAY_KNOW.iter().any(|(placed, _)| placed == name);
    let missing: Vec<&String> = crates.iter().filter(|name| !placed(name)).collect();
    assert!(missing.is_empty(), "say in MAY_KNOW, and in ARCHITECTURE.md, whom these may know: {missing:?}");
}

#[test]
fn nothing_knows_the_app() {
    for (name, package) in packages() {
        assert!(!known_by(&package).contains(&"assay".to_owned()), "{name} must not know the app");
    }
}

#[test]
fn only_the_hold_on_lightgbm_is_unsafe() {
    let followers = ["{", "fn ", "impl ", "extern ", "trait "];
    let is_unsafe = |code: &str| followers.iter().any(|follower| code.contains(&format!("unsafe {follower}")));
    assert_only(&["crates/trainer/src/boosted/lightgbm.rs"], "unsafe code", is_unsafe);
}

#[test]
fn only_one_file_looks_at_the_clock() {
    let reads_the_clock = |code: &str| code.contains("Instant::now") || code.contains("SystemTime::now");
    assert_only(&["crates/app/src/clock.rs"], "reading the clock", reads_the_clock);
}

#[test]
fn only_the_app_touches_network_and_environment_and_only_it_and_the_journal_files() {
    let files = ["std::fs", "fs::", "File::open", "File::create"];
    assert_only(&["crates/app/", "crates/journal/"], "the world of files", |code| files.iter().any(|name| code.contains(name)));
    let outside = ["std::net", "std::env", "std::process", "std::os"];
    assert_only(&["crates/app/"], "the outside world", |code| outside.iter().any(|name| code.contains(name)));
}

#[test]
fn architecture_md_names_every_crate() {
    let path = root().join("ARCHITECTURE.md");
    assert!(path.is_file(), "ARCHITECTURE.md is missing at the root of the repository");
    let text = read("ARCHITECTURE.md");
    let folders = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let missing: Vec<String> = folders.filter(|name| !text.contains(&format!("crates/{name}"))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md says nothing of these crates: {missing:?}");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).expect("the root lists dependencies");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let dependencies = lines.filter(|line| line.contains('=') && !line.starts_with('#') && !line.contains("path = \"crates/"));
    let bare: Vec<&str> = dependencies.filter(|line| !line.contains(" # ")).collect();
    assert!(bare.is_empty(), "these need their reason in the same line: {bare:#?}");
}

#[test]
fn every_crate_takes_its_dependencies_from_the_root() {
    for file in tracked().into_iter().filter(|file| file.starts_with("crates/") && file.ends_with("Cargo.toml")) {
        let manifest = read(&file);
        let mut in_dependencies = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]");
            } else if in_dependencies && line.contains('=') && !line.starts_with('#') {
                let from_root = line.contains(".workspace = true") || line.contains("workspace = true");
                assert!(from_root, "{file}: {line}: name it in the root manifest, with its reason");
            }
        }
    }
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let here = root().display().to_string();
    if here.len() < 2 {
        return;
    }
    let names_here = |file: &String| {
        let content = fs::read(root().join(file)).unwrap();
        let text = String::from_utf8_lossy(&content);
        text.match_indices(&here).any(|(place, _)| {
            let before = text[..place].chars().next_back();
            let after = text[place + here.len()..].chars().next();
            let is_part = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || "._-".contains(letter));
            !is_part(before) && !is_part(after)
        })
    };
    let found: Vec<String> = tracked().into_iter().filter(names_here).collect();
    assert!(found.is_empty(), "these name the folder of this clone, {here}: {found:?}");
}

/// Each line of a table of SPECIFICATION.md names files, and after each the tests in it.
#[test]
fn every_promise_names_tests_that_are_there() {
    let specification = read("SPECIFICATION.md");
    let promises =
        specification.lines().filter(|line| line.starts_with("| ") && line.contains('`') && !line.starts_with("| ---"));
    let (mut found, mut missing) = (0, Vec::new());
    for promise in promises {
        let named = promise.rsplit("| ").next().unwrap();
        let mut tests = String::new();
        for (place, name) in named.split('`').enumerate().filter(|(place, _)| place % 2 == 1) {
            if Path::new(name).extension().is_some_and(|ending| ending == "rs") {
                tests = read(name);
                continue;
            }
            assert!(place > 1, "{promise}: name a file before its tests");
            let attribute =
                tests.find(&format!("fn {name}(")).and_then(|place| tests[..place].rfind("#[test]").map(|test| place - test));
            match attribute {
                Some(distance) if distance < 300 => found += 1,
                _ => missing.push(name),
            }
        }
    }
    assert!(missing.is_empty(), "SPECIFICATION.md names tests that are not there: {missing:#?}");
    assert!(found > 40, "SPECIFICATION.md names only {found} tests");
}
