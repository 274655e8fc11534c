//! The fields of an object, read as Go's decoder and the library's checks do.

use std::borrow::Cow;

use super::json::{Json, Value};
use crate::engine::files::Misfit;

pub(super) type Read<T> = Result<T, Misfit>;

/// An object whose keys are all known, or it is an error.
pub(super) struct Fields<'a> {
    offset: usize,
    fields: &'a [(Cow<'a, str>, Json<'a>)],
}

impl<'a> Fields<'a> {
    pub(super) fn of(json: &'a Json<'a>) -> Read<Self> {
        match &json.value {
            Value::Object(fields) => Ok(Self { offset: json.offset, fields }),
            _ => Err(Misfit::type_of(json.offset, "an object", json.kind())),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Json<'a>)> {
        self.fields.iter().map(|(key, value)| (key.as_ref(), value))
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Json<'a>> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A problem of the object as a whole.
    pub(super) fn fault(&self, problem: &str) -> Misfit {
        Misfit::refused(self.offset, problem)
    }

    /// A problem of one field.
    pub(super) fn refused(&self, key: &str, problem: String) -> Misfit {
        let offset = self.get(key).map_or(self.offset, |json| json.offset);
        Misfit::refused(offset, problem).below(key)
    }

    /// There must be no other keys; case counts.
    pub(super) fn are_among(&self, keys: &[&str]) -> Read<()> {
        match self.iter().find(|(key, _)| !keys.contains(key)) {
            None => Ok(()),
            Some((key, _)) => Err(self.refused(key, "this key is not known here".to_owned())),
        }
    }

    /// There must be all of these keys and no others.
    pub(super) fn are_exactly(&self, keys: &[&str]) -> Read<()> {
        self.are_among(keys)?;
        match keys.iter().find(|key| !self.has(key)) {
            None => Ok(()),
            Some(missing) => Err(self.fault(&format!("the key {missing:?} is missing"))),
        }
    }

    /// Checks a field with `read`, if it is there.
    pub(super) fn read(&self, key: &str, read: impl Fn(&Json<'_>) -> Read<()>) -> Read<()> {
        self.get(key).map_or(Ok(()), read).map_err(|misfit| misfit.below(key))
    }

    /// A text; empty if it is missing or null.
    pub(super) fn text(&self, key: &str) -> Read<&'a str> {
        match self.get(key) {
            None => Ok(""),
            Some(json) => text(json).map_err(|misfit| misfit.below(key)),
        }
    }

    pub(super) fn has_text(&self, key: &str) -> Read<bool> {
        self.text(key).map(|text| !text.is_empty())
    }

    /// Whether there is a list of texts, perhaps an empty one.
    pub(super) fn has_texts(&self, key: &str) -> Read<bool> {
        self.list(key, |item| text(item).map(|_| ())).map(|length| length.is_some())
    }

    /// Whether there is a list of texts, which must not be empty.
    pub(super) fn has_some_texts(&self, key: &str) -> Read<bool> {
        let length = self.list(key, |item| text(item).map(|_| ()))?;
        self.not_empty(key, length)
    }

    /// Whether there is binary data.
    pub(super) fn has_bytes(&self, key: &str) -> Read<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(json) => has_bytes(json).map_err(|misfit| misfit.below(key)),
        }
    }

    /// Whether there is a list of binary data, which must not be empty.
    pub(super) fn has_some_bytes(&self, key: &str) -> Read<bool> {
        let length = self.list(key, |item| has_bytes(item).map(|_| ()))?;
        self.not_empty(key, length)
    }

    fn not_empty(&self, key: &str, length: Option<usize>) -> Read<bool> {
        if self.has(key) && length.unwrap_or_default() == 0 {
            return Err(self.refused(key, "the list must not be empty".to_owned()));
        }
        Ok(self.has(key))
    }

    /// The length of a list whose items pass the check; `None` if it is missing or null.
    fn list(&self, key: &str, check: impl Fn(&Json<'_>) -> Read<()>) -> Read<Option<usize>> {
        let Some(json) = self.get(key) else { return Ok(None) };
        let items = match &json.value {
            Value::Null => return Ok(None),
            Value::Array(items) => items,
            _ => return Err(Misfit::type_of(json.offset, "an array", json.kind()).below(key)),
        };
        items.iter().try_for_each(check).map_err(|misfit| misfit.below(key))?;
        Ok(Some(items.len()))
    }
}

fn text<'a>(json: &'a Json<'_>) -> Read<&'a str> {
    match &json.value {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text),
        _ => Err(Misfit::type_of(json.offset, "a string", json.kind())),
    }
}

/// Binary data is base64, or else an array of numbers: Go's decoder takes both.
fn has_bytes(json: &Json<'_>) -> Read<bool> {
    let is_byte = |item: &Json<'_>| match &item.value {
        Value::Null => true,
        Value::Number(text) => text.parse::<u8>().is_ok(),
        _ => false,
    };
    match &json.value {
        Value::Null => Ok(false),
        Value::String(text) if is_base64(text) => Ok(true),
        Value::Array(items) if items.iter().all(is_byte) => Ok(true),
        _ => Err(Misfit::type_of(json.offset, "base64 with padding", json.kind())),
    }
}

/// Standard base64 with padding; line ends are passed over, bits that are left over too.
fn is_base64(text: &str) -> bool {
    let text = text.replace(['\r', '\n'], "");
    let data = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - data.len() <= 2
        && data.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}
