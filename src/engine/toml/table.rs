//! Headers, keys and values, and the tables they build up.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::scan::Scanner;
use super::{Document, Id, Keys, Kind, NESTING_MAX, Node, Part, ROOT};
use crate::engine::files::Misfit;

/// Reads a whole file.
///
/// A byte order mark at the start is passed over, those of UTF-16 too: the library's decoder
/// does so, though what follows has to be UTF-8.
///
/// # Errors
/// The first place that does not follow the grammar, by its byte in `bytes`.
pub(in crate::engine) fn parse(bytes: &[u8]) -> Result<Document<'_>, Misfit> {
    const MARKS: [&[u8]; 3] = [b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"];
    let mark = MARKS.iter().find(|mark| bytes.starts_with(mark)).map_or(0, |mark| mark.len());
    let text = bytes.get(mark..).unwrap_or_default();
    Scanner::new(text)
        .and_then(|scanner| Parser::new(scanner, mark).document())
        .map_err(|misfit| misfit.shifted(mark))
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    /// The bytes before the scanner's text.
    shift: usize,
    tables: Vec<Keys<'a>>,
    /// The table that keys go into.
    context: Vec<Part<'a>>,
    /// How many arrays and inline tables are open.
    depth: usize,
    /// Tables that exist because a key or header names something below them.
    implicit: HashSet<String>,
    /// Keys whose value was last seen to be an array; the library lets these be redefined.
    arrays: HashSet<String>,
}

impl<'a> Parser<'a> {
    fn new(scanner: Scanner<'a>, shift: usize) -> Self {
        Self {
            scanner,
            shift,
            tables: vec![Keys::new()],
            context: Vec::new(),
            depth: 0,
            implicit: HashSet::new(),
            arrays: HashSet::new(),
        }
    }

    fn document(mut self) -> Result<Document<'a>, Misfit> {
        loop {
            self.scanner.skip_lines();
            match self.scanner.peek() {
                None => return Ok(Document { tables: self.tables }),
                Some(b'[') => self.header()?,
                Some(_) => {
                    let (parents, key) = self.key("=")?;
                    let depth = self.context.len();
                    let node = self.key_value(parents, &key)?;
                    self.define(&key, node)?;
                    self.context.truncate(depth);
                }
            }
            self.scanner.end_of_line()?;
        }
    }

    /// `[table]` or `[[array of tables]]`.
    fn header(&mut self) -> Result<(), Misfit> {
        let is_array = self.scanner.eat("[[");
        if !is_array {
            self.scanner.eat("[");
        }
        let (parents, name) = self.key("]")?;
        if is_array && !self.scanner.eat("]") {
            return Err(self.scanner.unexpected("']]' after the name of the table"));
        }
        self.enter(parents, name, is_array)?;
        if !self.arrays.is_empty() {
            self.arrays.remove(&key_text(&self.context));
        }
        Ok(())
    }

    fn key(&mut self, end: &str) -> Result<(Vec<Part<'a>>, Part<'a>), Misfit> {
        let (parents, last) = self.scanner.key(end)?;
        if self.context.len() + parents.len() >= NESTING_MAX {
            return Err(self.scanner.error("keys are nested too deeply"));
        }
        Ok((parents, last))
    }

    /// Reads the value of a key, and moves the context to the table that it belongs into.
    fn key_value(&mut self, parents: Vec<Part<'a>>, key: &Part<'a>) -> Result<Node<'a>, Misfit> {
        for part in parents {
            let context = self.context.clone();
            self.implicit.insert(key_text_below(&context, &part));
            self.enter(context, part, false)?;
        }
        self.scanner.skip_blanks();
        self.value(key, false)
    }

    fn value(&mut self, key: &Part<'a>, in_array: bool) -> Result<Node<'a>, Misfit> {
        let offset = self.scanner.offset() + self.shift;
        if self.depth + self.context.len() > NESTING_MAX {
            return Err(self.scanner.error("values are nested too deeply"));
        }
        self.depth += 1;
        let kind = if self.scanner.eat("[") {
            Kind::Array(self.array(key)?.into())
        } else if self.scanner.eat("{") {
            Kind::Table(self.inline_table(key, in_array)?)
        } else {
            Kind::Scalar(self.scanner.scalar()?)
        };
        self.depth -= 1;
        Ok(Node { offset, kind })
    }

    fn array(&mut self, key: &Part<'a>) -> Result<Vec<Node<'a>>, Misfit> {
        self.note_type(key, true);
        let mut items = Vec::new();
        loop {
            self.scanner.skip_lines();
            if self.scanner.eat("]") {
                return Ok(items);
            }
            items.push(self.value(key, true)?);
            self.scanner.skip_lines();
            if !self.scanner.eat(",") && self.scanner.peek() != Some(b']') {
                return Err(self.scanner.unexpected("',' or ']' after an item"));
            }
        }
    }

    /// The pairs go twice into tables, as in the library: into the file's, which finds keys
    /// defined twice, and into one of their own, which an array around it or a redefined key
    /// takes as its value.
    fn inline_table(&mut self, key: &Part<'a>, in_array: bool) -> Result<Id, Misfit> {
        let own = self.new_table();
        let outer = self.context.len();
        self.implicit.insert(key_text_below(&self.context, key));
        self.enter(self.context.clone(), key.clone(), in_array)?;
        let depth = self.context.len();
        self.scanner.skip_blanks();
        while !self.scanner.eat("}") {
            let (parents, key) = self.key("=")?;
            let node = self.key_value(parents.clone(), &key)?;
            self.define(&key, node.clone())?;
            self.insert_below(own, &parents, key, node)?;
            self.context.truncate(depth);
            self.scanner.skip_blanks();
            if self.scanner.eat(",") {
                self.scanner.skip_blanks();
                if self.scanner.peek() == Some(b'}') {
                    return Err(self.scanner.unexpected("a key after ','"));
                }
            } else if self.scanner.peek() != Some(b'}') {
                return Err(self.scanner.unexpected("',' or '}' after a value"));
            }
        }
        self.context.truncate(outer);
        Ok(own)
    }

    fn insert_below(
        &mut self,
        mut table: Id,
        path: &[Part<'a>],
        key: Part<'a>,
        node: Node<'a>,
    ) -> Result<(), Misfit> {
        for part in path {
            table = match self.get(table, part) {
                None => self.insert_table(table, part),
                Some(&Node { kind: Kind::Table(inner), .. }) => inner,
                Some(_) => return Err(self.defined(path, "as something else")),
            };
        }
        self.insert(table, key, node);
        Ok(())
    }

    /// Makes a table the context (`addContext`), and creates it and those above it.
    fn enter(&mut self, path: Vec<Part<'a>>, last: Part<'a>, is_array: bool) -> Result<(), Misfit> {
        let mut table = ROOT;
        for (index, part) in path.iter().enumerate() {
            table = match self.get(table, part) {
                Some(node) => {
                    inner_table(node).ok_or_else(|| self.defined(&path, "as something else"))?
                }
                None => {
                    self.implicit.insert(key_text(path.get(..=index).unwrap_or_default()));
                    self.insert_table(table, part)
                }
            };
        }
        self.context = path;
        if is_array {
            let inner = self.new_table();
            if self.get(table, &last).is_none() {
                self.insert(table, last.clone(), self.node(Kind::Tables(Vec::new())));
            }
            match self.get_mut(table, &last).map(|node| &mut node.kind) {
                Some(Kind::Tables(tables)) => tables.push(inner),
                _ => return Err(self.defined(&[last], "as something else")),
            }
        } else {
            let kind = Kind::Table(self.new_table());
            let node = self.node(kind);
            self.set(&last, node)?;
        }
        self.context.push(last);
        Ok(())
    }

    /// A key with its value, in the context's table.
    fn define(&mut self, key: &Part<'a>, node: Node<'a>) -> Result<(), Misfit> {
        let is_array = matches!(node.kind, Kind::Array(_));
        self.set(key, node)?;
        self.note_type(key, is_array);
        Ok(())
    }

    /// Puts a value into the context's table, unless one is there (`setValue`).
    fn set(&mut self, key: &Part<'a>, node: Node<'a>) -> Result<(), Misfit> {
        let mut table = ROOT;
        for part in &self.context {
            table = self
                .get(table, part)
                .and_then(inner_table)
                .ok_or_else(|| self.defined(&self.context, "as something else"))?;
        }
        if self.get(table, key).is_none() {
            self.insert(table, key.clone(), node);
            return Ok(());
        }
        let text = key_text_below(&self.context, key);
        let was_implicit = self.implicit.remove(&text);
        if self.arrays.contains(&text) {
            self.insert(table, key.clone(), node);
        } else if !was_implicit {
            return Err(self.scanner.error(format!("{text} has been defined already")));
        }
        Ok(())
    }

    fn note_type(&mut self, key: &str, is_array: bool) {
        // Most files have no array, and what is not there need not be named.
        if !is_array && self.arrays.is_empty() {
            return;
        }
        // Under an empty key the library notes the type of the table around it.
        let of_table = key.is_empty() && !self.context.is_empty();
        let text =
            if of_table { key_text(&self.context) } else { key_text_below(&self.context, key) };
        if is_array {
            self.arrays.insert(text);
        } else {
            self.arrays.remove(&text);
        }
    }

    fn get(&self, table: Id, key: &str) -> Option<&Node<'a>> {
        let keys = self.tables.get(table)?;
        keys.get(find(keys, key).ok()?).map(|(_, node)| node)
    }

    fn get_mut(&mut self, table: Id, key: &str) -> Option<&mut Node<'a>> {
        let keys = self.tables.get_mut(table)?;
        let at = find(keys, key).ok()?;
        keys.get_mut(at).map(|(_, node)| node)
    }

    fn insert(&mut self, table: Id, key: Part<'a>, node: Node<'a>) {
        let Some(keys) = self.tables.get_mut(table) else { return };
        match find(keys, &key) {
            Ok(at) => keys.splice(at..=at, [(key, node)]).for_each(drop),
            Err(at) => keys.insert(at, (key, node)),
        }
    }

    fn new_table(&mut self) -> Id {
        // Of the tables of large files most have one key or two.
        self.tables.push(Keys::with_capacity(2));
        self.tables.len() - 1
    }

    fn insert_table(&mut self, table: Id, key: &Part<'a>) -> Id {
        let inner = self.new_table();
        let node = self.node(Kind::Table(inner));
        self.insert(table, key.clone(), node);
        inner
    }

    fn node(&self, kind: Kind<'a>) -> Node<'a> {
        Node { offset: self.scanner.offset() + self.shift, kind }
    }

    fn defined(&self, path: &[Part<'_>], how: &str) -> Misfit {
        self.scanner.error(format!("{} has been defined {how}", key_text(path)))
    }
}

/// Where a key is, or where it belongs.
fn find(keys: &Keys<'_>, key: &str) -> Result<usize, usize> {
    keys.binary_search_by(|(other, _)| other.as_ref().cmp(key))
}

/// The table that a key's value is, or the last of its tables.
fn inner_table(node: &Node<'_>) -> Option<Id> {
    match &node.kind {
        Kind::Table(table) => Some(*table),
        Kind::Tables(tables) => tables.last().copied(),
        Kind::Scalar(_) | Kind::Array(_) => None,
    }
}

/// A key as it is written, which tells keys apart: parts that are not bare are quoted.
fn key_text(path: &[Part<'_>]) -> String {
    let mut text = String::new();
    path.iter().for_each(|part| push_part(&mut text, part));
    text
}

/// [`key_text`] of a key in a table.
fn key_text_below(context: &[Part<'_>], key: &str) -> String {
    let mut text = key_text(context);
    push_part(&mut text, key);
    text
}

fn push_part(text: &mut String, part: &str) {
    if !text.is_empty() {
        text.push('.');
    }
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !part.is_empty() && part.bytes().all(is_bare) {
        text.push_str(part);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(text, "{part:?}");
    }
}
