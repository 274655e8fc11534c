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

use std::collections::BTreeMap;

/// How deep tables and arrays may nest. No file of people comes near it.
const NESTING_MAX: usize = 128;

/// A table by its keys.
pub(super) type Table = BTreeMap<String, Item>;

/// A value and the byte at which it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) offset: usize,
    pub(super) value: Value,
}

/// A value. Of numbers and dates only the type matters: no key of the engine takes one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    String(String),
    Bool(bool),
    Integer,
    Float,
    Datetime,
    Array(Vec<Item>),
    Table(Table),
    /// What `[[name]]` headers make, as opposed to an array of inline tables.
    Tables(Vec<Table>),
}

impl Value {
    /// What the type is called in an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Bool(_) => "a boolean",
            Self::Integer => "an integer",
            Self::Float => "a float",
            Self::Datetime => "a date or time",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
            Self::Tables(_) => "an array of tables",
        }
    }
}
