//! JSON as the engine's decoder reads it.
//!
//! policy.json goes through Go's encoding/json and then through the library's
//! `ParanoidUnmarshalJSONObject`. Together they differ from serde_json: invalid UTF-8 and lone
//! surrogates become U+FFFD, and a key that is there twice is an error in every object.
//! Go nests up to 10,000 levels; nothing valid in policy.json comes near [`NESTING_MAX`].

use std::borrow::Cow;
use std::collections::HashSet;

use crate::engine::files::Misfit;

const NESTING_MAX: usize = 64;

/// A value and the byte at which it starts. Strings are parts of the file where they can be.
#[derive(Debug)]
pub(super) struct Json<'a> {
    pub(super) offset: usize,
    pub(super) value: Value<'a>,
}

#[derive(Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(Cow<'a, str>),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// In the order in which they are written; no key is there twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl Json<'_> {
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// The same value for users of the requirement. The only numbers that a valid policy.json
    /// holds are bytes of a key.
    pub(super) fn to_serde(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(text) => text.parse::<u64>().map_or(serde_json::Value::Null, Into::into),
            Value::String(text) => text.as_ref().into(),
            Value::Array(items) => items.iter().map(Self::to_serde).collect(),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| (key.to_string(), value.to_serde()));
                serde_json::Value::Object(fields.collect())
            }
        }
    }
}

/// Reads a whole text.
pub(super) fn parse(bytes: &[u8]) -> Result<Json<'_>, Misfit> {
    let mut parser = Parser { bytes, pos: 0, depth: 0 };
    let json = parser.value()?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(json),
        Some(_) => Err(parser.unexpected("the end of the file")),
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    pos: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.pos..).unwrap_or_default()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token.as_bytes());
        if found {
            self.pos += token.len();
        }
        found
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|b| !belongs(*b)).unwrap_or(rest.len());
        self.pos += length;
        rest.get(..length).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    }

    fn error(&self, message: impl Into<String>) -> Misfit {
        Misfit::syntax(self.pos, message)
    }

    fn unexpected(&self, expected: &str) -> Misfit {
        match self.peek() {
            Some(byte) => {
                self.error(format!("expected {expected}, found '{}'", byte.escape_ascii()))
            }
            None => self.error(format!("expected {expected}, but the file ends")),
        }
    }

    fn value(&mut self) -> Result<Json<'a>, Misfit> {
        self.skip_space();
        if self.depth == NESTING_MAX {
            return Err(self.error("values are nested too deeply"));
        }
        self.depth += 1;
        let offset = self.pos;
        let value = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ if self.eat("null") => Value::Null,
            _ if self.eat("true") => Value::Bool(true),
            _ if self.eat("false") => Value::Bool(false),
            _ => return Err(self.unexpected("a value")),
        };
        self.depth -= 1;
        Ok(Json { offset, value })
    }

    fn object(&mut self) -> Result<Value<'a>, Misfit> {
        let mut fields = Vec::new();
        let mut keys = HashSet::new();
        self.pos += 1;
        self.skip_space();
        if self.eat("}") {
            return Ok(Value::Object(fields));
        }
        loop {
            self.skip_space();
            let offset = self.pos;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            // One key alone needs no set, and most objects have no second.
            if let [(first, _)] = fields.as_slice() {
                keys.insert(Cow::clone(first));
            }
            if !fields.is_empty() && !keys.insert(key.clone()) {
                let problem = format!("the key {key:?} is there twice");
                return Err(Misfit::refused(offset, problem));
            }
            self.skip_space();
            if !self.eat(":") {
                return Err(self.unexpected("':' after the key"));
            }
            fields.push((key, self.value()?));
            self.skip_space();
            if self.eat("}") {
                return Ok(Value::Object(fields));
            }
            if !self.eat(",") {
                return Err(self.unexpected("',' or '}' after a value"));
            }
        }
    }

    fn array(&mut self) -> Result<Value<'a>, Misfit> {
        let mut items = Vec::new();
        self.pos += 1;
        self.skip_space();
        if self.eat("]") {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            if self.eat("]") {
                return Ok(Value::Array(items));
            }
            if !self.eat(",") {
                return Err(self.unexpected("',' or ']' after an item"));
            }
        }
    }

    fn number(&mut self) -> Result<Value<'a>, Misfit> {
        let start = self.pos;
        self.eat("-");
        if !self.eat("0") {
            self.digits()?;
        }
        if self.eat(".") {
            self.digits()?;
        }
        if self.eat("e") || self.eat("E") {
            let _ = self.eat("+") || self.eat("-");
            self.digits()?;
        }
        let text = self.bytes.get(start..self.pos).unwrap_or_default();
        Ok(Value::Number(String::from_utf8_lossy(text)))
    }

    fn digits(&mut self) -> Result<(), Misfit> {
        if self.take_while(|b| b.is_ascii_digit()).is_empty() {
            return Err(self.unexpected("a digit"));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Misfit> {
        self.pos += 1;
        let mut result = Cow::Borrowed("");
        loop {
            for chunk in self.take_while(|b| b >= b' ' && !matches!(b, b'"' | b'\\')).utf8_chunks()
            {
                result += chunk.valid();
                // Go replaces each byte, where Rust's lossy conversions replace a whole sequence.
                for _ in chunk.invalid() {
                    result.to_mut().push(char::REPLACEMENT_CHARACTER);
                }
            }
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(result);
                }
                Some(b'\\') => result.to_mut().push(self.escape()?),
                _ => return Err(self.unexpected("the string's end ('\"')")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Misfit> {
        let character = match self.rest().get(1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.error("this escape is not valid")),
        };
        self.pos += 2;
        Ok(character)
    }

    /// `\u1234`, or two of them that are a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, Misfit> {
        let Some(unit) = self.unicode_unit(0) else {
            return Err(self.error("expected four hexadecimal digits after \\u"));
        };
        let pair = [unit, self.unicode_unit(6).unwrap_or_default()];
        if let Some(Ok(character)) = char::decode_utf16(pair).next() {
            self.pos += 6 * character.len_utf16();
            return Ok(character);
        }
        self.pos += 6;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn unicode_unit(&self, ahead: usize) -> Option<u16> {
        let hex = self.rest().get(ahead..ahead + 6)?.strip_prefix(b"\\u")?;
        hex.iter().try_fold(0, |unit, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(unit << 4 | u16::try_from(digit).ok()?)
        })
    }
}
