//! TOML as the engine's decoder reads it.
//!
//! containers/image decodes with BurntSushi/toml 1.5.0, which is both stricter and laxer than
//! the specification: an array may be redefined, an inline table extended, a UTF-16 byte order
//! mark before UTF-8 text is passed over. What it accepts decides whether a host can pull at
//! all, so this is a reading of its `lex.go` and `parse.go` rather than of the specification.
//! The one difference: it nests without limit, this stops at [`NESTING_MAX`].

mod number;
mod scan;
mod string;
mod table;

pub(super) use table::parse;

use std::borrow::Cow;
use std::rc::Rc;

/// How deep tables and arrays may nest. No file of people comes near it.
const NESTING_MAX: usize = 128;

/// A scalar. Of numbers and dates only the type matters: no key of the engine takes one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    String(Cow<'a, str>),
    Bool(bool),
    Integer,
    Float,
    Datetime,
}

/// A table's place in [`Document`]. As Go's maps, a table that stands in two places is one, and
/// what is added in one place is there in the other.
type Id = usize;

/// The table of the whole file.
const ROOT: Id = 0;

/// What stands at a key, and the byte at which it starts.
#[derive(Clone)]
struct Node<'a> {
    offset: usize,
    kind: Kind<'a>,
}

#[derive(Clone)]
enum Kind<'a> {
    Scalar(Scalar<'a>),
    Array(Rc<[Node<'a>]>),
    Table(Id),
    Tables(Vec<Id>),
}

/// A part of a key; a key without dots is one.
type Part<'a> = Cow<'a, str>;

/// A file that has been read: all its tables. Strings are parts of the file's text where they can
/// be, since files have thousands of them.
pub(super) struct Document<'a> {
    tables: Vec<Keys<'a>>,
}

/// The keys of a table in order: most have a few, for which a tree would be ten times as large.
type Keys<'a> = Vec<(Part<'a>, Node<'a>)>;

impl Document<'_> {
    pub(super) fn root(&self) -> Table<'_> {
        Table { document: self, id: ROOT }
    }
}

/// A table by its keys.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    document: &'a Document<'a>,
    id: Id,
}

impl<'a> Table<'a> {
    /// Keys and values in the order of the keys.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'a str, Item<'a>)> {
        let document = self.document;
        let nodes = document.tables.get(self.id).into_iter().flatten();
        nodes.map(move |(key, node)| (key.as_ref(), Item { document, node }))
    }
}

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    document: &'a Document<'a>,
    node: &'a Node<'a>,
}

/// A value.
pub(super) enum Value<'a> {
    Scalar(&'a Scalar<'a>),
    Array(Vec<Item<'a>>),
    Table(Table<'a>),
    /// What `[[name]]` headers make, as opposed to an array of inline tables.
    Tables(Vec<Table<'a>>),
}

impl<'a> Item<'a> {
    /// The byte at which it starts.
    pub(super) fn offset(self) -> usize {
        self.node.offset
    }

    pub(super) fn value(self) -> Value<'a> {
        let document = self.document;
        let table = |id: &Id| Table { document, id: *id };
        match &self.node.kind {
            Kind::Scalar(scalar) => Value::Scalar(scalar),
            Kind::Array(nodes) => {
                Value::Array(nodes.iter().map(|node| Item { document, node }).collect())
            }
            Kind::Table(id) => Value::Table(table(id)),
            Kind::Tables(ids) => Value::Tables(ids.iter().map(table).collect()),
        }
    }

    /// What the type is called in an error.
    pub(super) fn type_name(self) -> &'static str {
        match &self.node.kind {
            Kind::Scalar(Scalar::String(_)) => "a string",
            Kind::Scalar(Scalar::Bool(_)) => "a boolean",
            Kind::Scalar(Scalar::Integer) => "an integer",
            Kind::Scalar(Scalar::Float) => "a float",
            Kind::Scalar(Scalar::Datetime) => "a date or time",
            Kind::Array(_) => "an array",
            Kind::Table(_) => "a table",
            Kind::Tables(_) => "an array of tables",
        }
    }
}
