//! Walking a document field by field: types are checked, fields nobody knows are reported.

use serde_json::{Map, Value};

use super::document::Document;
use crate::model::{Finding, Findings, Origin, Severity};

/// Reads one document and collects what is wrong with it.
pub(super) struct Walk<'a> {
    object: &'a str,
    findings: &'a mut Findings,
}

impl<'a> Walk<'a> {
    pub(super) fn new(document: &'a Document, findings: &'a mut Findings) -> Self {
        Self { object: document.object(), findings }
    }

    pub(super) fn origin(&self, field: &str) -> Origin {
        Origin::field(self.object, field)
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The object at `field` of `parent`; fields of it that are not in `known` are reported.
    pub(super) fn object<'v>(
        &mut self,
        parent: &'v Map<String, Value>,
        path: &str,
        known: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let object = self.typed(parent, path, "an object", Value::as_object)?;
        self.unknown_fields(object, path, known);
        Some(object)
    }

    pub(super) fn unknown_fields(
        &mut self,
        object: &Map<String, Value>,
        path: &str,
        known: &[&str],
    ) {
        for field in object.keys().filter(|field| !known.contains(&field.as_str())) {
            let field = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            let finding = Finding::new(
                Severity::Warning,
                "UnknownField",
                self.origin(&field),
                "no such field is known, so it changes nothing.",
                "Check its spelling, or remove it.",
            );
            self.push(finding);
        }
    }

    pub(super) fn string<'v>(
        &mut self,
        parent: &'v Map<String, Value>,
        path: &str,
    ) -> Option<&'v str> {
        self.typed(parent, path, "a string", Value::as_str)
    }

    pub(super) fn boolean(&mut self, parent: &Map<String, Value>, path: &str) -> Option<bool> {
        self.typed(parent, path, "true or false", Value::as_bool)
    }

    pub(super) fn list<'v>(
        &mut self,
        parent: &'v Map<String, Value>,
        path: &str,
    ) -> Option<&'v Vec<Value>> {
        self.typed(parent, path, "a list", Value::as_array)
    }

    /// The strings of a list, each with its index: there may be millions, too many for a path
    /// each.
    pub(super) fn strings<'v>(
        &mut self,
        parent: &'v Map<String, Value>,
        path: &str,
    ) -> Option<Vec<(usize, &'v str)>> {
        let list = self.list(parent, path)?;
        let mut strings = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            match value.as_str() {
                Some(text) => strings.push((index, text)),
                None => self.wrong_type(&format!("{path}[{index}]"), value, "a string"),
            }
        }
        Some(strings)
    }

    /// The objects of a list, each with the path of its element.
    pub(super) fn objects<'v>(
        &mut self,
        parent: &'v Map<String, Value>,
        path: &str,
        known: &[&str],
    ) -> Option<Vec<(String, &'v Map<String, Value>)>> {
        let list = self.list(parent, path)?;
        let mut objects = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match value.as_object() {
                Some(object) => {
                    self.unknown_fields(object, &path, known);
                    objects.push((path, object));
                }
                None => self.wrong_type(&path, value, "an object"),
            }
        }
        Some(objects)
    }

    /// The value at the last part of `path`; null counts as absent, as in Kubernetes.
    fn typed<'v, T>(
        &mut self,
        parent: &'v Map<String, Value>,
        path: &str,
        expected: &str,
        take: impl Fn(&'v Value) -> Option<T>,
    ) -> Option<T> {
        let name = path.rsplit('.').next().unwrap_or(path);
        let value = parent.get(name).filter(|value| !value.is_null())?;
        let taken = take(value);
        if taken.is_none() {
            self.wrong_type(path, value, expected);
        }
        taken
    }

    fn wrong_type(&mut self, path: &str, value: &Value, expected: &str) {
        let found = match value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        let finding = Finding::new(
            Severity::Error,
            "WrongType",
            self.origin(path),
            format!("this is {found} where {expected} belongs."),
            format!("Write {expected}; quote what YAML would take for something else."),
        );
        self.push(finding);
    }
}
