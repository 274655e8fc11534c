//! Text becomes values: JSON, or YAML of one document or many. What could be read in two ways
//! is refused.

use serde_saphyr::{Error, Options};

use super::value::Value;
use super::yaml::read_plain;

/// The most that is read of one file, in bytes.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// The values in a file, or what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Value<'_>>, String> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to()))?;
    if text.contains('\0') {
        return Err("it contains NUL characters".to_owned());
    }
    // One JSON value, or one after the other, is taken as JSON; all else is read as YAML.
    if text.trim_start().starts_with('{') {
        let values = serde_json::Deserializer::from_str(text).into_iter();
        if let Ok(values) = values.collect() {
            return Ok(values);
        }
    }
    match read_plain(text) {
        Some(values) => Ok(values),
        None => read_strictly(text).map_err(|error| explain(&error)),
    }
}

fn read_strictly(text: &str) -> Result<Vec<Value<'_>>, Error> {
    serde_saphyr::from_str_multiple_with_options(text, yaml_options())
}

/// Room for the largest file, but none for documents that grow when they are read.
fn yaml_options() -> Options {
    serde_saphyr::options! {
        // Another crate of the program has the parser built with comments, and a bound on them.
        emit_comments: false,
        budget: serde_saphyr::budget! {
            max_events: MAX_FILE_BYTES / 2,
            max_nodes: MAX_FILE_BYTES / 4,
            max_documents: 1 << 16,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 100_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
        },
    }
}

/// What is wrong, in words for people who write YAML, and where.
fn explain(error: &Error) -> String {
    let mut cause = error;
    while let Error::AliasError { error, .. } | Error::WithSnippet { error, .. } = cause {
        cause = error;
    }
    let problem = match cause {
        Error::DuplicateMappingKey { key, .. } => match key {
            Some(key) => format!("the key {key:?} stands twice in one place"),
            None => "a key stands twice in one place".to_owned(),
        },
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias stands inside what it stands for".to_owned()
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "its aliases, its nesting or its size go beyond all that documents need".to_owned()
        }
        other => {
            let message = other.to_string();
            let line = message.lines().next().unwrap_or_default();
            return line.trim_start_matches("error: ").to_owned();
        }
    };
    match cause.location() {
        Some(at) => format!("{problem}, at line {}, column {}", at.line(), at.column()),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// What a line begins with, after its indentation.
    const STARTS: [&str; 14] = [
        "", "- ", "a: ", "b: ", "- a: ", "- - ", "\"a\": ", "'b': ", "1: ", "y: ", "~: ", "<<: ",
        "? ", ": ",
    ];

    /// What follows: every way to write a scalar that could mean another one, and what a reader
    /// of plain documents has no business with.
    const REST: &[&str] = &[
        "",
        "a",
        "b/c",
        "a.io:5000/x",
        "10.0.0.1:80/x",
        "0",
        "00",
        "7",
        "-7",
        "+7",
        "08",
        "0x1f",
        "0o7",
        "0b1",
        "1_000",
        "1e3",
        "e5",
        "1e999",
        ".5",
        "1.",
        "1.5",
        ".inf",
        "-.INF",
        ".nan",
        "inf",
        "nan",
        "infinity",
        "18446744073709551615",
        "18446744073709551616",
        "true",
        "True",
        "FALSE",
        "yes",
        "No",
        "y",
        "N",
        "on",
        "OFF",
        "null",
        "Null",
        "NULL",
        "~",
        "2026-11-22",
        "12:30:45",
        "1:30",
        "''",
        "'it''s'",
        "'1'",
        "\"\"",
        "\"1\"",
        "\"a\\nb\"",
        "\"\\u00e9\"",
        "é",
        "日/本",
        "|",
        ">-",
        "|2",
        "[a, 1]",
        "[",
        "]",
        "{}",
        "{a: 1}",
        "{a, b: }",
        "[a: b]",
        "{a: 1, a: 2}",
        "&x",
        "&x a",
        "*x",
        "!!str 1",
        "!x a",
        "! 1",
        "# a",
        "a # b",
        "a#b",
        "@a",
        "`a",
        "%a",
        "a: b",
        "a b",
        "a:",
        "- a",
        "=",
        "<<",
        "*.io",
        "\t",
        "---",
        "...",
        "%YAML 1.2",
    ];

    proptest! {
        #[test]
        fn d5_the_reader_of_plain_documents_never_disagrees_with_the_strict_one(
            lines in prop::collection::vec((0..4_usize, select(&STARTS[..]), select(REST)), 1..8)
        ) {
            let line = |(indent, start, rest)| format!("{}{start}{rest}\n", " ".repeat(indent));
            let text: String = lines.into_iter().map(line).collect();
            if let Some(values) = read_plain(&text) {
                prop_assert_eq!(Ok(values), read_strictly(&text).map_err(|error| explain(&error)));
            }
        }
    }

    #[test]
    fn d5_a_long_comment_is_no_obstacle_to_either_reader() {
        let comment = "# We know why.\n".repeat(1_000);
        for start in ["a: 1\n", "a: &anchor 1\n"] {
            assert!(parse(format!("{start}b:\n{comment}  - c\n{comment}").as_bytes()).is_ok());
        }
    }

    #[test]
    fn d5_documents_as_tools_write_them_are_plain() {
        let text = "\
# What a cluster holds.
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  annotations: {}
  creationTimestamp: \"2026-11-22T00:00:00Z\"
  generation: 10
  name: cluster
spec:
  registrySources:
    blockedRegistries: [10.0.0.1:5000, 'a.io', b.io/c]
    insecureRegistries:
    - \"*.example.com\"
---
data:
  ca.crt: |
    -----BEGIN CERTIFICATE-----
immutable: false
spec: null
";
        assert_eq!(read_plain(text).map(|values| values.len()), Some(2));
    }
}
