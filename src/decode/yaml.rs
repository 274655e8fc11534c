//! YAML as people and tools write it, straight from the parser's events: half the time of the way
//! through serde, which is where documents of thousands of entries spent most of theirs.
//!
//! It has no opinion on anything but objects, lists and scalars that can be read in one way, and
//! none on errors. The strict reader has the last word on all else; where this one has an answer,
//! both have the same.

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle, StrInput};

use super::value::{Object, Value};

/// Bounds well within those of the strict reader, which says what is wrong beyond its own.
const MOST_DOCUMENTS: usize = 10_000;
const MOST_NODES: usize = 1_000_000;
const DEEPEST: usize = 32;

/// What is a boolean or null in one version of YAML or another, whatever the case of its letters.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// The documents in a text; `None` where the strict reader has to be asked.
pub(super) fn read_plain(text: &str) -> Option<Vec<Value<'_>>> {
    // Another crate of the program may have the parser built with comments.
    let options = granit_parser::options! { emit_comments: false };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { parser, nodes: 0, depth: 0 };
    let mut documents = Vec::new();
    loop {
        match reader.event()? {
            Event::StreamStart | Event::DocumentStart(_, None) | Event::DocumentEnd => {}
            Event::StreamEnd if !documents.is_empty() => return Some(documents),
            event @ Event::MappingStart(..) if documents.len() < MOST_DOCUMENTS => {
                documents.push(reader.value(event)?);
            }
            _ => return None,
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    nodes: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn event(&mut self) -> Option<Event<'a>> {
        let (event, _) = self.parser.next_event()?.ok()?;
        Some(event)
    }

    /// The value that begins with `event`, without anchor or tag.
    fn value(&mut self, event: Event<'a>) -> Option<Value<'a>> {
        self.nodes += 1;
        if self.nodes > MOST_NODES || self.depth > DEEPEST {
            return None;
        }
        self.depth += 1;
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, 0, None) => plain_scalar(text),
            Event::Scalar(text, _, 0, None) => Some(Value::String(text)),
            Event::SequenceStart(_, 0, None) => self.list(),
            Event::MappingStart(_, 0, None) => self.object(),
            _ => None,
        };
        self.depth -= 1;
        value
    }

    fn list(&mut self) -> Option<Value<'a>> {
        let mut list = Vec::new();
        loop {
            match self.event()? {
                Event::SequenceEnd => return Some(Value::Array(list)),
                event => list.push(self.value(event)?),
            }
        }
    }

    fn object(&mut self) -> Option<Value<'a>> {
        let mut entries = Vec::new();
        loop {
            let key = match self.event()? {
                Event::MappingEnd => return Object::new(entries).map(Value::Object),
                event => self.value(event)?,
            };
            let Value::String(key) = key else { return None };
            let event = self.event()?;
            entries.push((key, self.value(event)?));
        }
    }
}

/// What a scalar without quotes means, if it leaves no doubt.
fn plain_scalar(text: Cow<'_, str>) -> Option<Value<'_>> {
    // No number, boolean or null holds one of these; the name of an image often does.
    let is_string = text.bytes().any(|b| b == b'/' || b == b':')
        || text.starts_with(|c: char| c.is_ascii_alphabetic())
            && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(&text));
    match text.as_ref() {
        _ if is_string => Some(Value::String(text)),
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        "null" | "~" | "" => Some(Value::Null),
        "0" => Some(Value::Number(0.into())),
        // A zero at the start could mean an octal number.
        number if number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0') => {
            number.parse::<u64>().ok().map(|number| Value::Number(number.into()))
        }
        _ => None,
    }
}
