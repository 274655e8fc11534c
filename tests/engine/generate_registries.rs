//! Random registries.conf files.

use fastrand::Rng;

use super::generate::{name, one_in, pick, scope, word};

/// Keys that the engine knows, with some that it does not.
const KEYS: &str = "location prefix insecure blocked mirror-by-digest-only pull-from-mirror mirror \
    registry registries search block aliases short-name-mode unqualified-search-registries \
    credential-helpers additional-layer-store-auth-helper Location x y \"\" 'x' \"bloc\u{212a}ed\"";
const FEW_KEYS: &str = "x x y \"\" registry mirror location";

/// Values of every type, with mistakes among them.
const VALUES: &[&str] = &[
    "true",
    "false",
    "True",
    "yes",
    "1",
    "-0",
    "+5",
    "0x1F",
    "0b2",
    "0o17",
    "1_000",
    "1__0",
    "01",
    "1.5",
    "1.",
    ".5",
    "1e5",
    "1e999",
    "-inf",
    "nan",
    "9223372036854775808",
    "1979-05-27",
    "1979-05-27 07:32:00",
    "1979-05-27T07:32:00.5+24:60",
    "1979-02-30",
    "07:32:00",
    "7:32",
    "\"\"",
    "''",
    "\"a\\u00e9\"",
    "\"a\\x41\"",
    "\"a\\e\"",
    "\"a\\ \"",
    "\"\\ud800\"",
    "\"\"\"\na\\\n  b\"\"\"",
    "\"\"\"a\"\"\"\"\"",
    "\"\"\"a\\\\\"\"\"\"\"\"",
    "'''a''''",
    "\"a",
    "",
    "{}",
    "[]",
];

/// A file; one in ten has no regard to sense.
pub fn file(rng: &mut Rng) -> String {
    let mut text = String::new();
    match rng.usize(..20) {
        0 | 1 => {
            // Few keys, so that they meet.
            let keys = pick(rng, &[KEYS, FEW_KEYS, FEW_KEYS]);
            (0..rng.usize(1..10)).for_each(|_| text += &statement(rng, keys));
        }
        2 => text += &v1(rng),
        _ => {
            text += &top_level(rng);
            (0..rng.usize(..5)).for_each(|_| text += &registry(rng));
            if one_in(rng, 4) {
                text += &aliases(rng);
            }
            if one_in(rng, 20) {
                text += &statement(rng, KEYS);
            }
        }
    }
    if one_in(rng, 20) {
        text = text.replace('\n', "\r\n");
    }
    let mark = if one_in(rng, 60) { "\u{feff}" } else { "" };
    format!("{mark}{text}")
}

fn top_level(rng: &mut Rng) -> String {
    let mut text = String::new();
    if rng.bool() {
        text += &format!("{} = {}\n", key(rng, "unqualified-search-registries"), hosts(rng));
    }
    if one_in(rng, 4) {
        let mode = pick(rng, &["disabled", "permissive", "enforcing", "enforcing", ""]);
        text += &format!("{} = {}\n", key(rng, "short-name-mode"), string(rng, mode));
    }
    if one_in(rng, 20) {
        text += &format!("{} = {}\n", word(rng, KEYS), pick(rng, VALUES));
    }
    text
}

fn registry(rng: &mut Rng) -> String {
    let header = match rng.usize(..60) {
        0 => " registry ",
        1 => "\"registry\"",
        2 => "Registry",
        _ => "registry",
    };
    let mut text = format!("[[{header}]]\n");
    let prefix = if rng.bool() { scope(rng) } else { String::new() };
    if !prefix.starts_with("*.") && !one_in(rng, 60) || one_in(rng, 4) {
        text += &format!("{} = {}\n", key(rng, "location"), named(rng));
    }
    if !prefix.is_empty() {
        text += &format!("{} = {}\n", key(rng, "prefix"), string(rng, &prefix));
    }
    for flag in ["blocked", "insecure"] {
        if one_in(rng, 5) {
            text += &format!("  {} = {} # {flag}\n", key(rng, flag), boolean(rng));
        }
    }
    let by_digest_only = one_in(rng, 5);
    if by_digest_only {
        text += &format!("{} = true\n", key(rng, "mirror-by-digest-only"));
    }
    if one_in(rng, 60) {
        text += &format!("{} = {}\n", word(rng, KEYS), pick(rng, VALUES));
    }
    let mirrors = pick(rng, &[0, 0, 1, 1, 2, 3]);
    if one_in(rng, 8) {
        let mirrors = (0..mirrors).map(|_| format!("{{{}}}", mirror(rng, ", ", by_digest_only)));
        text += &format!("mirror = [{}]\n", mirrors.collect::<Vec<_>>().join(", "));
    } else {
        for _ in 0..mirrors {
            let mirror = mirror(rng, "\n", by_digest_only);
            text += &format!("[[{}.mirror]]\n{mirror}\n", header.trim());
        }
    }
    text
}

fn mirror(rng: &mut Rng, separator: &str, by_digest_only: bool) -> String {
    let mut fields = vec![format!("{} = {}", key(rng, "location"), named(rng))];
    if one_in(rng, 4) {
        fields.push(format!("{} = {}", key(rng, "insecure"), boolean(rng)));
    }
    if one_in(rng, if by_digest_only { 30 } else { 3 }) {
        let values = ["all", "digest-only", "digest-only", "tag-only", "tag-only", ""];
        let value = if one_in(rng, 30) { "none" } else { pick(rng, &values) };
        fields.push(format!("{} = {}", key(rng, "pull-from-mirror"), string(rng, value)));
    }
    fields.join(separator)
}

fn aliases(rng: &mut Rng) -> String {
    let header = match rng.usize(..20) {
        0 => "[Aliases]",
        1 => "[[aliases]]",
        2 => "aliases = 5",
        _ => "[aliases]",
    };
    let mut text = format!("{header}\n");
    for _ in 0..rng.usize(..4) {
        let names = match rng.usize(..30) {
            0 => "App reg1.io/a a:v1",
            _ => "ubi9 app org/app library/nginx nginx",
        };
        let alias = word(rng, names);
        let target = match rng.usize(..20) {
            0 => named(rng),
            1 => string(rng, ""),
            _ => {
                let target = word(rng, "reg1.io/org/app docker.io/app localhost/x reg:5000/a/b");
                string(rng, target)
            }
        };
        text += &format!("\"{alias}\" = {target}\n");
    }
    text
}

/// The old format.
fn v1(rng: &mut Rng) -> String {
    let mut text = String::new();
    for table in ["search", "insecure", "block"] {
        if rng.bool() {
            let root = if one_in(rng, 20) { "Registries" } else { "registries" };
            text += &format!("[{root}.{table}]\n{} = {}\n", key(rng, "registries"), hosts(rng));
        }
    }
    if one_in(rng, 6) { text + &registry(rng) } else { text }
}

/// A header or a key with any value.
fn statement(rng: &mut Rng, keys: &str) -> String {
    let path = path(rng, keys);
    match rng.usize(..6) {
        0 => format!("[{path}]\n"),
        1 => format!("[[{path}]]\n"),
        _ => format!("{path} = {}\n", value(rng, keys, 3)),
    }
}

fn path(rng: &mut Rng, keys: &str) -> String {
    let parts = pick(rng, &[1, 1, 1, 2, 2, 3]);
    (0..parts).map(|_| word(rng, keys)).collect::<Vec<_>>().join(".")
}

fn value(rng: &mut Rng, keys: &str, depth: usize) -> String {
    let items = if depth == 0 { 0 } else { rng.usize(..4) };
    match rng.usize(..9) {
        0 | 1 => {
            let items: Vec<_> = (0..items).map(|_| value(rng, keys, depth - 1)).collect();
            format!("[{}]", items.join(pick(rng, &[", ", ",\n", " , # c\n"])))
        }
        2 | 3 => {
            let pair = |_| format!("{} = {}", path(rng, keys), value(rng, keys, depth - 1));
            format!("{{{}}}", (0..items).map(pair).collect::<Vec<_>>().join(", "))
        }
        4 => named(rng),
        5 => boolean(rng),
        _ => pick(rng, VALUES).to_owned(),
    }
}

/// A key in a spelling that folds to it, quoted, or wrong.
fn key(rng: &mut Rng, key: &str) -> String {
    match rng.usize(..200) {
        0 => key.to_uppercase(),
        1..4 => format!("\"{key}\""),
        4 => format!("\"{}\"", key.replace('k', "\u{212a}").replacen('s', "\u{17f}", 1)),
        5 => format!("{key}s"),
        _ => key.to_owned(),
    }
}

fn named(rng: &mut Rng) -> String {
    let name = name(rng);
    string(rng, &name)
}

fn hosts(rng: &mut Rng) -> String {
    let mut host = || {
        let host = word(rng, "reg1.io docker.io reg.example.com:5000 localhost/ A.b:1");
        if one_in(rng, 60) { named(rng) } else { string(rng, host) }
    };
    let hosts: Vec<_> = (0..3).map(|_| host()).collect();
    format!("[{}]", hosts[..rng.usize(..=3)].join(", "))
}

fn boolean(rng: &mut Rng) -> String {
    let odd = one_in(rng, 100);
    if odd { "\"true\"".to_owned() } else { pick(rng, &["true", "false"]).to_owned() }
}

/// A string in one of the four ways to write it.
fn string(rng: &mut Rng, text: &str) -> String {
    match rng.usize(..12) {
        0 => format!("'{text}'"),
        1 => format!("\"\"\"{text}\"\"\""),
        2 => format!("'''\n{text}'''"),
        3 => format!("\"{}\"", text.replace('o', "\\u006f")),
        _ => format!("\"{text}\""),
    }
}
