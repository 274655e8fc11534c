//! What a value of a setting may be; an error says what to write.

use std::path::{Component, PathBuf};
use std::time::Duration;

use toml_edit::Value;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::Listen;
use crate::model::Reference;
use crate::model::reference::is_short_name;
use crate::node::Amount;

pub(super) fn text(value: &Value) -> Result<String, String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| "write a text".to_owned())
}

pub(super) fn path(value: &Value) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(value)?);
    let is_plain =
        path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && is_plain {
        Ok(path)
    } else {
        Err("write an absolute path without ..".to_owned())
    }
}

pub(super) fn image(value: &Value) -> Result<String, String> {
    let image = text(value)?;
    if Reference::parse(&image).is_ok() && !is_short_name(&image) {
        Ok(image)
    } else {
        Err("write the full name of an image, with its registry".to_owned())
    }
}

/// Directives as `tracing` has them, but for a target alone: that is a level misspelt, after which not one
/// line would be logged.
pub(super) fn log_filter(value: &Value) -> Result<String, String> {
    let filter = text(value)?;
    let how = |why: &str| {
        format!(
            "{why}; write a level (error, warn, info, debug, trace, off) or TARGET=LEVEL, with commas between"
        )
    };
    let is_bare = |word: &&str| !word.contains(['=', '[']) && word.parse::<LevelFilter>().is_err();
    if let Some(word) = filter.split(',').map(str::trim).find(is_bare) {
        return Err(how(&format!("{word} is no level")));
    }
    EnvFilter::try_new(&filter).map_err(|error| how(&error.to_string()))?;
    Ok(filter)
}

/// `ADDRESS:PORT`, `unix:PATH`, or `off`.
pub(super) fn listen(value: &Value) -> Result<Option<Listen>, String> {
    let written = text(value)?;
    let listen = match written.strip_prefix("unix:") {
        _ if written == "off" => return Ok(None),
        Some(socket) => path(&Value::from(socket)).ok().map(Listen::Unix),
        None => written.parse().ok().map(Listen::Tcp),
    };
    let how =
        || "write ADDRESS:PORT, as 127.0.0.1:9187 or [::1]:9187, or unix:/PATH, or off".to_owned();
    listen.map(Some).ok_or_else(how)
}

/// `item` of each; a text is a list with commas between. A wrong item is named.
pub(super) fn list<T>(
    value: &Value,
    item: fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let named = |value: &Value| {
        item(value).map_err(|problem| format!("{}: {problem}", value.to_string().trim()))
    };
    match value {
        Value::Array(array) => array.iter().map(named).collect(),
        _ => text(value)?.split(',').map(|part| named(&Value::from(part.trim()))).collect(),
    }
}

/// One of some words, each with what it stands for.
pub(super) fn word<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("write {}", words.join(" or "))
    })
}

pub(super) fn truth(value: &Value) -> Result<bool, String> {
    let text = || value.as_str().and_then(|text| text.parse().ok());
    value.as_bool().or_else(text).ok_or_else(|| "write true or false".to_owned())
}

/// The name of an object, by RFC 1123.
pub(super) fn object_name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    if is_object_name(&name) {
        Ok(name)
    } else {
        Err("write a name of lower-case letters, digits, - and .".to_owned())
    }
}

/// Whether it is one. Dots alone mean something else in a URL.
pub(super) fn is_object_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    name.len() <= 253 && name.chars().all(is_plain) && name.chars().any(|c| c != '.')
}

pub(super) fn unit(value: &Value) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let name = text(value)?;
    if name.ends_with(".service") && name.chars().all(is_plain) {
        Ok(name)
    } else {
        Err("write the name of a .service".to_owned())
    }
}

/// [`seconds`], or `never`.
pub(super) fn seconds_or_never(value: &Value) -> Result<Option<Duration>, String> {
    match value.as_str() {
        Some("never") => Ok(None),
        _ => seconds(value).map(Some).map_err(|problem| format!("{problem}, or never")),
    }
}

/// Whole seconds, up to a day, as a number or as a text.
pub(super) fn seconds(value: &Value) -> Result<Duration, String> {
    let number = value.as_integer().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    match number.and_then(|number| u64::try_from(number).ok()) {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("write a number of seconds from 1 to 86400".to_owned()),
    }
}

/// A number from 1 to 1000 or a share in percent, as a number or as a text.
pub(super) fn amount(value: &Value) -> Result<Amount, String> {
    let number = value.as_integer().map(|number| number.to_string());
    let amount = number.as_deref().or_else(|| value.as_str()).and_then(Amount::parse);
    amount.ok_or_else(|| "write a number from 1 to 1000, or a share from 1% to 100%".to_owned())
}

/// A number from 1 on, as a number or as a text.
pub(super) fn count(value: &Value) -> Result<u32, String> {
    let number = value.as_integer().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    let count = number.and_then(|number| u32::try_from(number).ok()).filter(|count| *count > 0);
    count.ok_or_else(|| "write a number from 1 on".to_owned())
}
