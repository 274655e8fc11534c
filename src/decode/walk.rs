//! Walking a document field by field: types are checked, fields nobody knows are reported.

use std::fmt;
use std::sync::Arc;

use super::document::Document;
use super::value::{Object, Value};
use crate::model::{Finding, Findings, Origin, Severity};

/// The way to a field. It is put into words only for a finding or an origin, since most of the
/// fields of large documents need none.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// In words: `spec.registrySources`, or nothing for the whole document.
    At(&'a str),
    /// A field of what lies at the path.
    Field(&'a Self, &'a str),
    /// An item of the list at the path.
    Item(&'a Self, usize),
}

impl<'a> Path<'a> {
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self::Field(self, name)
    }

    pub(super) fn item(&'a self, index: usize) -> Self {
        Self::Item(self, index)
    }

    /// The key under which the value stands in the object around it.
    fn key(self) -> &'a str {
        match self {
            Self::At(text) => text.rsplit('.').next().unwrap_or(text),
            Self::Field(_, name) => name,
            Self::Item(..) => "",
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(text) => f.write_str(text),
            Self::Field(Self::At(""), name) => f.write_str(name),
            Self::Field(above, name) => {
                above.fmt(f)?;
                f.write_str(".")?;
                f.write_str(name)
            }
            Self::Item(list, index) => {
                list.fmt(f)?;
                write!(f, "[{index}]")
            }
        }
    }
}

/// Reads one document and collects what is wrong with it.
pub(super) struct Walk<'a> {
    object: Arc<str>,
    findings: &'a mut Findings,
}

impl<'a> Walk<'a> {
    pub(super) fn new(document: &'a Document<'_>, findings: &'a mut Findings) -> Self {
        Self { object: document.object.clone(), findings }
    }

    pub(super) fn origin(&self, path: Path<'_>) -> Origin {
        Origin::field(self.object.clone(), path.to_string())
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The object at `field` of `parent`; fields of it that are not in `known` are reported.
    pub(super) fn object<'v>(
        &mut self,
        parent: &'v Object<'v>,
        path: Path<'_>,
        known: &[&str],
    ) -> Option<&'v Object<'v>> {
        let object = self.typed(parent, path, "an object", Value::as_object)?;
        self.unknown_fields(object, path, known);
        Some(object)
    }

    /// The object at `field` of `parent`, whose keys may be any. What stands there in its place is not
    /// shown: it may be a key that somebody has put where certificates belong.
    pub(super) fn map<'v>(
        &mut self,
        parent: &'v Object<'v>,
        path: Path<'_>,
    ) -> Option<&'v Object<'v>> {
        let value = parent.get(path.key()).filter(|value| !value.is_null())?;
        let object = value.as_object();
        if object.is_none() {
            self.push(wrong_type(self.origin(path), value, "an object"));
        }
        object
    }

    pub(super) fn unknown_fields(&mut self, object: &Object<'_>, path: Path<'_>, known: &[&str]) {
        for field in object.keys().filter(|field| !known.contains(field)) {
            let finding = Finding::new(
                Severity::Warning,
                "UnknownField",
                self.origin(path.field(field)),
                "no such field is known, so it changes nothing.",
                "Check its spelling, or remove it.",
            );
            self.push(finding);
        }
    }

    pub(super) fn string<'v>(&mut self, parent: &'v Object<'v>, path: Path<'_>) -> Option<&'v str> {
        self.typed(parent, path, "a string", Value::as_str)
    }

    pub(super) fn boolean(&mut self, parent: &Object<'_>, path: Path<'_>) -> Option<bool> {
        self.typed(parent, path, "true or false", Value::as_bool)
    }

    pub(super) fn list<'v>(
        &mut self,
        parent: &'v Object<'v>,
        path: Path<'_>,
    ) -> Option<&'v [Value<'v>]> {
        self.typed(parent, path, "a list", Value::as_array)
    }

    /// The strings of a list, each with its index.
    pub(super) fn strings<'v>(
        &mut self,
        parent: &'v Object<'v>,
        path: Path<'_>,
    ) -> Option<Vec<(usize, &'v str)>> {
        let list = self.list(parent, path)?;
        let mut strings = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            match value.as_str() {
                Some(text) => strings.push((index, text)),
                None => self.wrong_type(path.item(index), value, "a string"),
            }
        }
        Some(strings)
    }

    /// The objects of a list, each with its index.
    pub(super) fn objects<'v>(
        &mut self,
        parent: &'v Object<'v>,
        path: Path<'_>,
        known: &[&str],
    ) -> Option<Vec<(usize, &'v Object<'v>)>> {
        let list = self.list(parent, path)?;
        let mut objects = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            match value.as_object() {
                Some(object) => {
                    self.unknown_fields(object, path.item(index), known);
                    objects.push((index, object));
                }
                None => self.wrong_type(path.item(index), value, "an object"),
            }
        }
        Some(objects)
    }

    /// The value at the end of `path`; null counts as absent, as in Kubernetes.
    fn typed<'v, T>(
        &mut self,
        parent: &'v Object<'v>,
        path: Path<'_>,
        expected: &str,
        take: impl Fn(&'v Value<'v>) -> Option<T>,
    ) -> Option<T> {
        let value = parent.get(path.key()).filter(|value| !value.is_null())?;
        let taken = take(value);
        if taken.is_none() {
            self.wrong_type(path, value, expected);
        }
        taken
    }

    pub(super) fn wrong_type(&mut self, path: Path<'_>, value: &Value<'_>, expected: &str) {
        let finding = wrong_type(self.origin(path), value, expected);
        self.push(Finding { value: in_one_line(value), ..finding });
    }
}

fn wrong_type(origin: Origin, value: &Value<'_>, expected: &str) -> Finding {
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Finding::new(
        Severity::Error,
        "WrongType",
        origin,
        format!("this is {found} where {expected} belongs."),
        format!("Write {expected}; quote what YAML would take for something else."),
    )
}

/// A value that fits a line.
fn in_one_line(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(text) => (!text.contains('\n')).then(|| text.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
