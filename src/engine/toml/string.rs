//! Strings, in the four ways to write them.

use std::borrow::Cow;

use super::scan::Scanner;
use crate::engine::files::Misfit;

impl<'a> Scanner<'a> {
    /// `"text"`, with escapes.
    pub(super) fn basic_string(&mut self) -> Result<Cow<'a, str>, Misfit> {
        self.advance(1);
        let mut result = Cow::Borrowed("");
        loop {
            result += self.take_until(b"\"\\\r\n");
            match self.peek() {
                Some(b'\\') => result.to_mut().push(self.escape()?),
                Some(b'"') => {
                    self.advance(1);
                    return Ok(result);
                }
                _ => return Err(self.unexpected("the string's end ('\"')")),
            }
        }
    }

    /// `'text'`, taken as it stands.
    pub(super) fn literal_string(&mut self) -> Result<Cow<'a, str>, Misfit> {
        self.advance(1);
        let result = self.take_until(b"'\r\n");
        if self.eat("'") {
            Ok(result.into())
        } else {
            Err(self.unexpected("the string's end (\"'\")"))
        }
    }

    /// `"""text"""`: escapes, and a backslash at the end of a line takes the white space after it.
    pub(super) fn multiline_basic_string(&mut self) -> Result<String, Misfit> {
        self.advance(3);
        let content = self.rest();
        self.skip_newline();
        let mut result = String::new();
        loop {
            result.push_str(self.take_until(b"\"\\"));
            match self.peek() {
                Some(b'\\') if self.skip_escaped_newline()? => {}
                Some(b'\\') => result.push(self.escape()?),
                Some(b'"') if self.closes(content, "\"\"\"")? => return Ok(result),
                Some(b'"') => result.push_str(self.take(1)),
                _ => return Err(self.unexpected("the string's end ('\"\"\"')")),
            }
        }
    }

    /// `'''text'''`, taken as it stands.
    pub(super) fn multiline_literal_string(&mut self) -> Result<String, Misfit> {
        self.advance(3);
        let content = self.rest();
        self.skip_newline();
        let mut result = String::new();
        loop {
            result.push_str(self.take_until(b"'"));
            if self.peek().is_none() {
                return Err(self.unexpected("the string's end (\"'''\")"));
            }
            if self.closes(content, "'''")? {
                return Ok(result);
            }
            result.push_str(self.take(1));
        }
    }

    /// Whether the string that began with `content` ends here; consumes the quotes if so.
    ///
    /// One or two quotes more than three belong to the string. Three more are an error, except
    /// after what looks like an escape to the library's lexer: an escaped backslash does.
    fn closes(&mut self, content: &str, quotes: &str) -> Result<bool, Misfit> {
        if !self.rest().starts_with(quotes) {
            return Ok(false);
        }
        let rest = self.rest().get(quotes.len()..).unwrap_or_default();
        if !quotes.get(..1).is_some_and(|quote| rest.starts_with(quote)) {
            self.advance(quotes.len());
            return Ok(true);
        }
        let read = content.get(..content.len() - rest.len()).unwrap_or_default();
        let too_many = match quotes {
            "'''" => read.ends_with("'''''"),
            _ => read.ends_with(r#"""""""#) && !read.ends_with(r#"\""""""#),
        };
        if too_many { Err(self.error("too many quotes at the end of a string")) } else { Ok(false) }
    }

    fn skip_newline(&mut self) {
        let _ = self.eat("\n") || self.eat("\r\n");
    }

    /// Skips a backslash and the white space after it, if a line ends in that.
    fn skip_escaped_newline(&mut self) -> Result<bool, Misfit> {
        let after = self.rest().get(1..).unwrap_or_default();
        let space = after.len() - after.trim_start_matches([' ', '\t', '\r', '\n']).len();
        if space == 0 {
            return Ok(false);
        }
        if !after.get(..space).is_some_and(|space| space.contains('\n')) {
            return Err(self.error("a backslash before a blank has to end its line"));
        }
        self.advance(1 + space);
        Ok(true)
    }

    /// The character for an escape. `\e` and `\x41` are of TOML 1.1 and refused.
    fn escape(&mut self) -> Result<char, Misfit> {
        let escaped = self.rest().as_bytes().get(1);
        let (character, length) = match escaped {
            Some(b'b') => (Some('\u{8}'), 2),
            Some(b't') => (Some('\t'), 2),
            Some(b'n') => (Some('\n'), 2),
            Some(b'f') => (Some('\u{c}'), 2),
            Some(b'r') => (Some('\r'), 2),
            Some(b'"') => (Some('"'), 2),
            Some(b'\\') => (Some('\\'), 2),
            Some(b'u') => (self.unicode_escape(4), 6),
            Some(b'U') => (self.unicode_escape(8), 10),
            _ => (None, 0),
        };
        let character = character.ok_or_else(|| self.error("this escape is not valid"))?;
        self.advance(length);
        Ok(character)
    }

    fn unicode_escape(&self, digits: usize) -> Option<char> {
        let hex = self.rest().get(2..2 + digits)?;
        // from_str_radix() would take a sign.
        let all_hex = hex.bytes().all(|b| b.is_ascii_hexdigit());
        let code = u32::from_str_radix(hex, 16).ok().filter(|_| all_hex)?;
        char::from_u32(code)
    }

    /// Up to the first of some ASCII characters.
    fn take_until(&mut self, ends: &[u8]) -> &'a str {
        self.take_while(|b| !ends.contains(&b))
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = self.rest().get(..length).unwrap_or_default();
        self.advance(taken.len());
        taken
    }
}
