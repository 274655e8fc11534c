//! The scanner: blanks, keys and scalar values.

use super::number::{is_datetime, is_float, is_integer};
use super::{Part, Scalar};
use crate::engine::files::Misfit;

/// A position in the text; every method that consumes something moves it.
pub(super) struct Scanner<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Scanner<'a> {
    /// Begins a text, of which the whole must be free of what no TOML file may hold.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Misfit> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Misfit::syntax(error.valid_up_to(), "this is not valid UTF-8"))?;
        let is_suspect = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n');
        // To the end in any case, since that goes by many bytes at once, and few files have any.
        if !bytes.iter().fold(false, |found, byte| found | is_suspect(byte)) {
            return Ok(Self { text, pos: 0 });
        }
        let is_forbidden = |(index, byte): &(usize, u8)| {
            is_suspect(byte) && (*byte != b'\r' || bytes.get(index + 1) != Some(&b'\n'))
        };
        match text.bytes().enumerate().find(is_forbidden) {
            None => Ok(Self { text, pos: 0 }),
            Some((offset, byte)) => {
                let problem = format!("a control character (0x{byte:02x}) must not stand here");
                Err(Misfit::syntax(offset, problem))
            }
        }
    }

    pub(super) fn offset(&self) -> usize {
        self.pos
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    pub(super) fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.pos += token.len();
        }
        found
    }

    /// Consumes what stands before the first byte that does not belong. All bytes beyond ASCII
    /// belong or none does, so that no character is cut.
    pub(super) fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|b| !belongs(b)).unwrap_or(rest.len());
        self.pos += length;
        rest.get(..length).unwrap_or_default()
    }

    pub(super) fn skip_blanks(&mut self) {
        self.take_while(|b| matches!(b, b' ' | b'\t'));
    }

    /// Skips blanks, line ends and comments.
    pub(super) fn skip_lines(&mut self) {
        loop {
            self.take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
            if !self.skip_comment() {
                return;
            }
        }
    }

    fn skip_comment(&mut self) -> bool {
        let found = self.peek() == Some(b'#');
        if found {
            self.pos += self.rest().find('\n').unwrap_or(self.rest().len());
        }
        found
    }

    /// After a header or a value nothing may follow on the line but a comment.
    pub(super) fn end_of_line(&mut self) -> Result<(), Misfit> {
        self.skip_blanks();
        match self.peek() {
            None | Some(b'\n' | b'\r' | b'#') => Ok(()),
            Some(_) => Err(self.unexpected("the end of the line")),
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Misfit {
        Misfit::syntax(self.pos, message)
    }

    pub(super) fn unexpected(&self, expected: &str) -> Misfit {
        match self.rest().chars().next() {
            Some('\n' | '\r') => self.error(format!("expected {expected}, but the line ends")),
            Some(found) => self.error(format!("expected {expected}, found {found:?}")),
            None => self.error(format!("expected {expected}, but the file ends")),
        }
    }

    /// A key up to and with the token that ends it: the parts before its last dot, and the last.
    pub(super) fn key(&mut self, end: &str) -> Result<(Vec<Part<'a>>, Part<'a>), Misfit> {
        let mut parents = Vec::new();
        loop {
            self.skip_blanks();
            let part = self.key_part()?;
            self.skip_blanks();
            if self.eat(end) {
                return Ok((parents, part));
            }
            parents.push(part);
            if !self.eat(".") {
                return Err(self.unexpected(&format!("'.' or '{end}' after the key")));
            }
        }
    }

    fn key_part(&mut self) -> Result<Part<'a>, Misfit> {
        match self.peek() {
            Some(b'"') => self.basic_string(),
            Some(b'\'') => self.literal_string(),
            _ => {
                let bare =
                    self.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
                if bare.is_empty() { Err(self.unexpected("a key")) } else { Ok(bare.into()) }
            }
        }
    }

    /// A value that is neither array nor inline table.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'a>, Misfit> {
        match self.peek() {
            Some(b'"') if self.rest().starts_with("\"\"\"") => {
                self.multiline_basic_string().map(|text| Scalar::String(text.into()))
            }
            Some(b'\'') if self.rest().starts_with("'''") => {
                self.multiline_literal_string().map(|text| Scalar::String(text.into()))
            }
            Some(b'"') => self.basic_string().map(Scalar::String),
            Some(b'\'') => self.literal_string().map(Scalar::String),
            Some(b'0'..=b'9' | b'+' | b'-') => self.number_or_date(),
            _ if self.eat("true") => Ok(Scalar::Bool(true)),
            _ if self.eat("false") => Ok(Scalar::Bool(false)),
            _ if self.eat("inf") || self.eat("nan") => Ok(Scalar::Float),
            _ => Err(self.unexpected("a value (text needs quotes)")),
        }
    }

    /// Takes what the library's lexer takes for one number or date, then checks that it is one.
    fn number_or_date(&mut self) -> Result<Scalar<'a>, Misfit> {
        let start = self.pos;
        let rest = self.rest();
        let signed = self.eat("+") || self.eat("-");
        let value = if signed && (self.eat("inf") || self.eat("nan")) {
            Scalar::Float
        } else if !signed && rest.starts_with(['0']) && self.based_integer() {
            Scalar::Integer
        } else {
            self.decimal_or_date(signed)
        };
        let text = rest.get(..self.pos - start).unwrap_or_default();
        let valid = match value {
            Scalar::Integer => is_integer(text),
            Scalar::Float => is_float(text),
            _ => is_datetime(text.trim_end_matches(' ')),
        };
        if valid {
            Ok(value)
        } else {
            self.pos = start;
            Err(self.error(format!("{text:?} is neither a valid number nor a date or time")))
        }
    }

    /// An integer such as `0xff`; consumes nothing if there is none.
    fn based_integer(&mut self) -> bool {
        let is_digit: fn(u8) -> bool = match self.rest().as_bytes() {
            [b'0', b'x', ..] => |b| b.is_ascii_hexdigit(),
            [b'0', b'o', ..] => |b| matches!(b, b'0'..=b'7'),
            [b'0', b'b', ..] => |b| matches!(b, b'0' | b'1'),
            _ => return false,
        };
        self.pos += 2;
        self.take_while(|b| is_digit(b) || b == b'_');
        true
    }

    fn decimal_or_date(&mut self, signed: bool) -> Scalar<'a> {
        let digits = self.take_while(|b| b.is_ascii_digit());
        // All that may follow "0" is a fraction, an exponent or more digits, so no date.
        if !signed && digits != "0" && matches!(self.peek(), Some(b'-' | b':')) {
            self.take_while(|b| b.is_ascii_digit() || b"-:Tt .Zz+".contains(&b));
            return Scalar::Datetime;
        }
        self.take_while(|b| b.is_ascii_digit() || b == b'_');
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            self.take_while(|b| b.is_ascii_digit() || b"_.-+eE".contains(&b));
            return Scalar::Float;
        }
        Scalar::Integer
    }

    /// Moves on by so many bytes.
    pub(super) fn advance(&mut self, length: usize) {
        self.pos += length;
    }
}
