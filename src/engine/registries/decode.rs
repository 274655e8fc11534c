//! From TOML tables to the fields of a registries.conf.
//!
//! The library decodes into Go structs: keys match without regard to case, unknown ones are
//! passed over, and a value of another type than its field's fails the file. A key in two
//! spellings sets one field twice, in an order that Go's maps leave to chance.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::engine::files::{Fault, Misfit, Problem};
use crate::engine::toml::{self, Item, Scalar, Table, Value};

/// A file as it is written, with the two generations of its format side by side.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) registries: Option<Vec<WrittenRegistry>>,
    pub(super) search: Option<Vec<String>>,
    pub(super) credential_helpers: Option<Vec<String>>,
    pub(super) short_name_mode: Option<String>,
    pub(super) layer_store_helper: Option<String>,
    pub(super) aliases: Option<BTreeMap<String, Option<String>>>,
    pub(super) v1: WrittenV1,
}

/// The tables `[registries.search]`, `[registries.insecure]` and `[registries.block]`.
#[derive(Debug, Default)]
pub(super) struct WrittenV1 {
    pub(super) search: Option<Vec<String>>,
    pub(super) insecure: Option<Vec<String>>,
    pub(super) block: Option<Vec<String>>,
}

/// A `[[registry]]`.
#[derive(Debug, Default)]
pub(super) struct WrittenRegistry {
    pub(super) prefix: Option<String>,
    pub(super) endpoint: WrittenEndpoint,
    pub(super) mirrors: Option<Vec<WrittenEndpoint>>,
    pub(super) blocked: Option<bool>,
    pub(super) mirror_by_digest_only: Option<bool>,
}

/// What a `[[registry]]` and a `[[registry.mirror]]` share.
#[derive(Debug, Default)]
pub(super) struct WrittenEndpoint {
    pub(super) location: Option<String>,
    pub(super) insecure: Option<bool>,
    pub(super) pull_from_mirror: Option<String>,
}

impl Written {
    /// Reads a file's bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut written = Self::default();
        toml::parse(bytes)
            .and_then(|document| written.read(document.root()))
            .map_err(|misfit| misfit.into_fault(bytes))?;
        Ok(written)
    }

    /// Whether a field of the present format is set; an empty list counts.
    pub(super) fn has_v2(&self) -> bool {
        let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        self.registries.is_some()
            || self.search.is_some()
            || self.credential_helpers.is_some()
            || is_set(&self.short_name_mode)
            || is_set(&self.layer_store_helper)
            || self.aliases.is_some()
    }

    fn read(&mut self, table: Table<'_>) -> Result<(), Misfit> {
        each_field(table, |field, item| match field {
            "registry" => set_all(&mut self.registries, item, WrittenRegistry::read),
            "unqualified-search-registries" => set(&mut self.search, item, strings),
            "credential-helpers" => set(&mut self.credential_helpers, item, strings),
            "short-name-mode" => set(&mut self.short_name_mode, item, string),
            "additional-layer-store-auth-helper" => set(&mut self.layer_store_helper, item, string),
            "aliases" => read_aliases(&mut self.aliases, item),
            "registries" => self.v1.read(item),
            _ => Ok(()),
        })
    }
}

impl WrittenV1 {
    /// Whether the file is of the old format; tables without keys do not make it so.
    pub(super) fn is_set(&self) -> bool {
        self.search.is_some() || self.insecure.is_some() || self.block.is_some()
    }

    fn read(&mut self, item: Item<'_>) -> Result<(), Misfit> {
        each_field(table(item)?, |field, item| {
            let list = match field {
                "search" => &mut self.search,
                "insecure" => &mut self.insecure,
                "block" => &mut self.block,
                _ => return Ok(()),
            };
            each_field(table(item)?, |field, item| match field {
                "registries" => set(list, item, strings),
                _ => Ok(()),
            })
        })
    }
}

impl WrittenRegistry {
    fn read(&mut self, fields: Table<'_>) -> Result<(), Misfit> {
        each_field(fields, |field, item| match field {
            "prefix" => set(&mut self.prefix, item, string),
            "mirror" => set_all(&mut self.mirrors, item, WrittenEndpoint::read),
            "blocked" => set(&mut self.blocked, item, boolean),
            "mirror-by-digest-only" => set(&mut self.mirror_by_digest_only, item, boolean),
            _ => self.endpoint.read_field(field, item),
        })
    }
}

impl WrittenEndpoint {
    fn read(&mut self, fields: Table<'_>) -> Result<(), Misfit> {
        each_field(fields, |field, item| self.read_field(field, item))
    }

    fn read_field(&mut self, field: &str, item: Item<'_>) -> Result<(), Misfit> {
        match field {
            "location" => set(&mut self.location, item, string),
            "insecure" => set(&mut self.insecure, item, boolean),
            "pull-from-mirror" => set(&mut self.pull_from_mirror, item, string),
            _ => Ok(()),
        }
    }
}

/// Gives each key's folded name and value to `read`.
fn each_field(
    table: Table<'_>,
    mut read: impl FnMut(&str, Item<'_>) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    table
        .iter()
        .try_for_each(|(key, item)| read(&fold(key), item).map_err(|misfit| misfit.below(key)))
}

/// The key in lower case. Two characters beyond ASCII fold to a letter of it in Unicode: the
/// long s and the Kelvin sign.
fn fold(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
        return Cow::Borrowed(key);
    }
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            _ => c.to_ascii_lowercase(),
        })
        .collect()
}

/// Sets a field, which two spellings of one key may do only to the same value.
fn set<T: PartialEq>(
    field: &mut Option<T>,
    item: Item<'_>,
    read: fn(Item<'_>) -> Result<T, Misfit>,
) -> Result<(), Misfit> {
    let value = read(item)?;
    match field {
        Some(other) if *other != value => Err(Misfit::new(item.offset(), Problem::Ambiguous)),
        _ => {
            *field = Some(value);
            Ok(())
        }
    }
}

/// Sets a list of tables. Those of a second spelling are read into those of the first.
fn set_all<T: Default>(
    field: &mut Option<Vec<T>>,
    item: Item<'_>,
    read: fn(&mut T, Table<'_>) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    let tables: Vec<Table<'_>> = match item.value() {
        Value::Tables(tables) => tables,
        Value::Array(items) => items.into_iter().map(table).collect::<Result<_, _>>()?,
        _ => return Err(type_misfit(item, "an array of tables")),
    };
    let entries = field.get_or_insert_with(|| tables.iter().map(|_| T::default()).collect());
    let fits = entries.len() == tables.len();
    for (entry, table) in entries.iter_mut().zip(tables) {
        read(entry, table)?;
    }
    if fits { Ok(()) } else { Err(Misfit::new(item.offset(), Problem::Ambiguous)) }
}

/// Anything but a table is passed over: the library's decoder misses that error.
fn read_aliases(
    aliases: &mut Option<BTreeMap<String, Option<String>>>,
    item: Item<'_>,
) -> Result<(), Misfit> {
    let Value::Table(table) = item.value() else { return Ok(()) };
    let aliases = aliases.get_or_insert_default();
    table.iter().try_for_each(|(name, item)| {
        set(aliases.entry(name.to_owned()).or_default(), item, string)
            .map_err(|misfit| misfit.below(name))
    })
}

fn type_misfit(item: Item<'_>, expected: &'static str) -> Misfit {
    Misfit::type_of(item.offset(), expected, item.type_name())
}

fn table(item: Item<'_>) -> Result<Table<'_>, Misfit> {
    match item.value() {
        Value::Table(table) => Ok(table),
        _ => Err(type_misfit(item, "a table")),
    }
}

fn boolean(item: Item<'_>) -> Result<bool, Misfit> {
    match item.value() {
        Value::Scalar(Scalar::Bool(value)) => Ok(*value),
        _ => Err(type_misfit(item, "true or false")),
    }
}

fn string(item: Item<'_>) -> Result<String, Misfit> {
    match item.value() {
        Value::Scalar(Scalar::String(value)) => Ok(value.clone().into_owned()),
        _ => Err(type_misfit(item, "a string")),
    }
}

fn strings(item: Item<'_>) -> Result<Vec<String>, Misfit> {
    match item.value() {
        Value::Array(items) => items.into_iter().map(string).collect(),
        _ => Err(type_misfit(item, "an array of strings")),
    }
}
