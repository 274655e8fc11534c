//! Headers, keys and values, and the tables they build up.

use std::collections::HashSet;

use super::scan::Scanner;
use super::{Item, NESTING_MAX, Table, Value};
use crate::engine::files::Misfit;

/// Reads a whole file.
///
/// A byte order mark at the start is passed over, those of UTF-16 too: the library's decoder
/// does so, though what follows has to be UTF-8.
///
/// # Errors
/// The first place that does not follow the grammar, by its byte in `bytes`.
pub(in crate::engine) fn parse(bytes: &[u8]) -> Result<Table, Misfit> {
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
    root: Table,
    /// The table that keys go into.
    context: Vec<String>,
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
            root: Table::new(),
            context: Vec::new(),
            depth: 0,
            implicit: HashSet::new(),
            arrays: HashSet::new(),
        }
    }

    fn document(mut self) -> Result<Table, Misfit> {
        loop {
            self.scanner.skip_lines();
            match self.scanner.peek() {
                None => return Ok(self.root),
                Some(b'[') => self.header()?,
                Some(_) => {
                    let path = self.key("=")?;
                    let depth = self.context.len();
                    let (key, item) = self.key_value(path)?;
                    self.define(&key, item)?;
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
        let path = self.key("]")?;
        if is_array && !self.scanner.eat("]") {
            return Err(self.scanner.unexpected("']]' after the name of the table"));
        }
        self.enter(path, is_array)?;
        self.arrays.remove(&key_text(&self.context));
        Ok(())
    }

    fn key(&mut self, end: &str) -> Result<Vec<String>, Misfit> {
        let key = self.scanner.key(end)?;
        if self.context.len() + key.len() > NESTING_MAX {
            return Err(self.scanner.error("keys are nested too deeply"));
        }
        Ok(key)
    }

    /// Reads the value of a key, and moves the context to the table that it belongs into.
    fn key_value(&mut self, mut path: Vec<String>) -> Result<(String, Item), Misfit> {
        let key = path.pop().unwrap_or_default();
        for part in path {
            let mut parent = self.context.clone();
            parent.push(part);
            self.implicit.insert(key_text(&parent));
            self.enter(parent, false)?;
        }
        self.scanner.skip_blanks();
        let item = self.value(&key, false)?;
        Ok((key, item))
    }

    fn value(&mut self, key: &str, in_array: bool) -> Result<Item, Misfit> {
        let offset = self.scanner.offset() + self.shift;
        if self.depth + self.context.len() > NESTING_MAX {
            return Err(self.scanner.error("values are nested too deeply"));
        }
        self.depth += 1;
        let value = if self.scanner.eat("[") {
            self.array(key)?
        } else if self.scanner.eat("{") {
            self.inline_table(key, in_array)?
        } else {
            self.scanner.scalar()?
        };
        self.depth -= 1;
        Ok(Item { offset, value })
    }

    fn array(&mut self, key: &str) -> Result<Value, Misfit> {
        self.note_type(key, true);
        let mut items = Vec::new();
        loop {
            self.scanner.skip_lines();
            if self.scanner.eat("]") {
                return Ok(Value::Array(items));
            }
            items.push(self.value(key, true)?);
            self.scanner.skip_lines();
            if !self.scanner.eat(",") && self.scanner.peek() != Some(b']') {
                return Err(self.scanner.unexpected("',' or ']' after an item"));
            }
        }
    }

    /// The pairs go into the tree as those of a header do, which finds keys defined twice; the
    /// value returned is what an array around it keeps.
    fn inline_table(&mut self, key: &str, in_array: bool) -> Result<Value, Misfit> {
        let mut result = Table::new();
        let outer = self.context.len();
        self.context.push(key.to_owned());
        self.implicit.insert(key_text(&self.context));
        self.enter(self.context.clone(), in_array)?;
        let depth = self.context.len();
        self.scanner.skip_blanks();
        while !self.scanner.eat("}") {
            let path = self.key("=")?;
            let parents = path.len() - 1;
            let (key, item) = self.key_value(path)?;
            self.define(&key, item.clone())?;
            let below = self.context.get(depth..depth + parents).unwrap_or_default();
            insert_below(&mut result, below, &key, item)
                .ok_or_else(|| self.scanner.error(format!("{key:?} is below what is no table")))?;
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
        Ok(Value::Table(result))
    }

    /// Makes a table the context (`addContext`), and creates it and those above it.
    fn enter(&mut self, mut path: Vec<String>, is_array: bool) -> Result<(), Misfit> {
        let last = path.pop().unwrap_or_default();
        let offset = self.scanner.offset() + self.shift;
        let mut table = &mut self.root;
        let mut above = Vec::with_capacity(path.len() + 1);
        for part in path {
            above.push(part.clone());
            if !table.contains_key(&part) {
                self.implicit.insert(key_text(&above));
            }
            let item = table
                .entry(part)
                .or_insert_with(|| Item { offset, value: Value::Table(Table::new()) });
            table = inner_table(item)
                .ok_or_else(|| defined_twice(&self.scanner, &above, "as something else"))?;
        }
        self.context = above;
        if is_array {
            let item = table
                .entry(last.clone())
                .or_insert_with(|| Item { offset, value: Value::Tables(Vec::new()) });
            let Value::Tables(tables) = &mut item.value else {
                self.context.push(last);
                return Err(defined_twice(&self.scanner, &self.context, "as something else"));
            };
            tables.push(Table::new());
        } else {
            self.set(&last, Item { offset, value: Value::Table(Table::new()) })?;
        }
        self.context.push(last);
        Ok(())
    }

    /// A key with its value, in the context's table.
    fn define(&mut self, key: &str, item: Item) -> Result<(), Misfit> {
        let is_array = matches!(item.value, Value::Array(_));
        self.set(key, item)?;
        self.note_type(key, is_array);
        Ok(())
    }

    /// Puts a value into the context's table, unless one is there (`setValue`).
    fn set(&mut self, key: &str, item: Item) -> Result<(), Misfit> {
        let mut table = &mut self.root;
        for part in &self.context {
            table = table
                .get_mut(part)
                .and_then(inner_table)
                .ok_or_else(|| defined_twice(&self.scanner, &self.context, "as something else"))?;
        }
        if let Some(defined) = table.get_mut(key) {
            let path = join(&self.context, key);
            let text = key_text(&path);
            let was_implicit = self.implicit.remove(&text);
            if self.arrays.contains(&text) {
                *defined = item;
            } else if !was_implicit {
                return Err(defined_twice(&self.scanner, &path, "already"));
            }
        } else {
            table.insert(key.to_owned(), item);
        }
        Ok(())
    }

    fn note_type(&mut self, key: &str, is_array: bool) {
        // Under an empty key the library notes the type of the table around it.
        let text = if key.is_empty() && !self.context.is_empty() {
            key_text(&self.context)
        } else {
            key_text(&join(&self.context, key))
        };
        if is_array {
            self.arrays.insert(text);
        } else {
            self.arrays.remove(&text);
        }
    }
}

fn defined_twice(scanner: &Scanner<'_>, path: &[String], how: &str) -> Misfit {
    scanner.error(format!("{} has been defined {how}", key_text(path)))
}

/// The table that a key's value is, or the last of its tables.
fn inner_table(item: &mut Item) -> Option<&mut Table> {
    match &mut item.value {
        Value::Table(table) => Some(table),
        Value::Tables(tables) => tables.last_mut(),
        _ => None,
    }
}

fn insert_below(mut table: &mut Table, path: &[String], key: &str, item: Item) -> Option<()> {
    let offset = item.offset;
    for part in path {
        let parent = table
            .entry(part.clone())
            .or_insert_with(|| Item { offset, value: Value::Table(Table::new()) });
        let Value::Table(inner) = &mut parent.value else { return None };
        table = inner;
    }
    table.insert(key.to_owned(), item);
    Some(())
}

fn join(context: &[String], key: &str) -> Vec<String> {
    context.iter().cloned().chain([key.to_owned()]).collect()
}

/// A key as it is written, which tells keys apart: parts that are not bare are quoted.
fn key_text(path: &[String]) -> String {
    let quoted = |part: &String| {
        let is_bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if !part.is_empty() && part.bytes().all(is_bare) {
            part.clone()
        } else {
            format!("{part:?}")
        }
    };
    path.iter().map(quoted).collect::<Vec<_>>().join(".")
}
