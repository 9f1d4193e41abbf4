//! A small strict reader of our own pages: tags balance, attributes are quoted and unique ids unique, numbers are numbers.

use std::collections::BTreeSet;

const VOID: [&str; 2] = ["meta", "!DOCTYPE"];

/// Attributes that must be one finite number, or several.
const NUMERIC: [&str; 13] = ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "value", "viewBox"];

/// Panics with the place of the first thing that is wrong.
pub fn check(page: &str) {
    assert!(!page.contains(" style=") && !page.contains("http://") && !page.contains("https://"), "the page stands alone");
    let (before, after) = page.split_once("<style>").expect("a style sheet");
    let (_, after) = after.split_once("</style>").expect("an end of the style sheet");
    let mut open: Vec<&str> = Vec::new();
    let mut ids = BTreeSet::new();
    for part in [before, after] {
        for piece in part.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {piece}"));
            assert!(!text.contains('>'), "a bare > in {piece}");
            check_entities(text);
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "closing {name} after {piece}");
                continue;
            }
            let name = tag.split([' ', '/']).next().expect("split gives at least one");
            for (attribute, value) in attributes(tag) {
                check_attribute(attribute, value);
                assert!(attribute != "id" || ids.insert(value.to_owned()), "id {value} occurs twice");
            }
            if !tag.ends_with('/') && !VOID.contains(&name) {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

/// The text between the tags, with plain spaces.
pub fn words(markup: &str) -> String {
    let text: String = format!(">{markup}").split('<').map(|piece| piece.split_once('>').map_or("", |(_, text)| text)).collect();
    text.replace(['\u{202f}', '\u{a0}'], " ")
}

fn attributes(tag: &str) -> Vec<(&str, &str)> {
    let mut rest = tag.split_once(' ').map_or("", |(_, attributes)| attributes).trim_end_matches('/').trim();
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("an open quote in {tag}"));
        found.push((name, value));
        rest = after.trim_start();
    }
    assert!(rest.is_empty() || rest == "html", "unquoted {rest} in {tag}");
    found
}

fn check_attribute(name: &str, value: &str) {
    assert!(!name.starts_with("on"), "a handler: {name}");
    check_entities(value);
    if NUMERIC.contains(&name) {
        assert!(value.split(' ').all(|number| number.parse::<f64>().is_ok_and(f64::is_finite)), "{name} is {value}");
    }
    if name == "d" {
        let numbers = value.split(['M', 'L', 'H', 'V', 'Z', ' ']).filter(|number| !number.is_empty());
        assert!(
            value.starts_with('M') && numbers.into_iter().all(|number| number.parse::<f64>().is_ok_and(f64::is_finite)),
            "path {value}"
        );
    }
}

fn check_entities(text: &str) {
    const KNOWN: [&str; 6] = ["amp;", "lt;", "gt;", "quot;", "#39;", "#8239;"];
    assert!(text.split('&').skip(1).all(|entity| KNOWN.iter().any(|known| entity.starts_with(known))), "a bare & in {text}");
}
