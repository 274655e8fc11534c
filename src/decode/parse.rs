//! Text becomes values: JSON, or YAML of one document or many. What could be read in two ways
//! is refused.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{Error, Options};

use super::document::MAX_FILE_BYTES;

/// The values in a file, or what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Value>, String> {
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
        let values = serde_json::Deserializer::from_str(text).into_iter::<Unambiguous>();
        let values: Result<Vec<Value>, _> =
            values.map(|value| value.map(|Unambiguous(value)| value)).collect();
        if let Ok(values) = values {
            return Ok(values);
        }
    }
    serde_saphyr::from_multiple_with_options(text, yaml_options()).map_err(|error| explain(&error))
}

/// Room for the largest file, but none for documents that grow when they are read.
fn yaml_options() -> Options {
    serde_saphyr::options! {
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

/// A JSON value without two keys of one name in an object: of those serde_json would silently
/// keep the last.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Unambiguous(value))) = entries.next_entry::<String, _>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom("a key stands twice"));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}
