//! Bytes become documents: YAML or JSON, several to a file, or a list of them.

use std::sync::Arc;

use super::parse::parse;
use super::value::Value;
use crate::model::{Finding, Findings, Origin, Severity};

/// A file of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// What to call it in findings.
    pub name: String,
    /// Its whole content.
    pub bytes: Vec<u8>,
}

/// One object of the cluster.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// The file it came from.
    pub file: String,
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`, empty if absent.
    pub namespace: String,
    /// `metadata.name`, empty if absent.
    pub name: String,
    /// All of it.
    pub value: Value<'a>,
    pub(super) object: Arc<str>,
}

impl Document<'_> {
    /// `Kind/name` or `Kind/namespace/name`.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }
}

/// The documents of a file, lists unfolded.
pub(super) fn documents<'a>(file: &'a SourceFile, findings: &mut Findings) -> Vec<Document<'a>> {
    let values = match parse(&file.bytes) {
        Ok(values) => values,
        Err(problem) => {
            findings.push(unreadable(&file.name, &problem));
            return Vec::new();
        }
    };
    if values.iter().all(Value::is_null) {
        findings.push(unreadable(&file.name, "it holds no document"));
    }
    let mut documents = Vec::new();
    for value in values {
        unfold(&file.name, value, None, &mut documents, findings);
    }
    documents
}

fn unreadable(file: &str, problem: &str) -> Finding {
    Finding::new(
        Severity::Error,
        "MalformedDocument",
        Origin::object(file),
        format!("the file cannot be used: {problem}."),
        "Mend the file, or leave it out.",
    )
}

/// Takes a document, or each item of a list. `item_of` is the kind and version that the items
/// of a typed list leave out.
fn unfold<'a>(
    file: &str,
    mut value: Value<'a>,
    item_of: Option<(&str, &str)>,
    documents: &mut Vec<Document<'a>>,
    findings: &mut Findings,
) {
    if value.is_null() {
        return;
    }
    let text = |keys: &[&str]| value.at(keys).and_then(Value::as_str).unwrap_or_default();
    let (mut api_version, mut kind) =
        (text(&["apiVersion"]).to_owned(), text(&["kind"]).to_owned());
    if let Some((list_version, item_kind)) = item_of.filter(|_| kind.is_empty()) {
        (api_version, kind) = (list_version.to_owned(), item_kind.to_owned());
    }
    if kind.is_empty() || api_version.is_empty() {
        findings.push(unreadable(file, "a document in it has no apiVersion and kind"));
        return;
    }
    if let Some(item_kind) = kind.strip_suffix("List") {
        if !text(&["metadata", "continue"]).is_empty() {
            // Half a list proves nothing (rule D5).
            let why = "a list in it goes on elsewhere, as its metadata.continue says";
            findings.push(unreadable(file, why));
            return;
        }
        // Taken out, not copied: lists of lists must not cost a copy a level.
        let items = if let Value::Object(list) = &mut value { list.take("items") } else { None };
        let Some(Value::Array(items)) = items else {
            findings.push(unreadable(file, "a list in it has no items"));
            return;
        };
        let item_of = (!item_kind.is_empty()).then_some((api_version.as_str(), item_kind));
        for item in items {
            unfold(file, item, item_of, documents, findings);
        }
        return;
    }
    let namespace = text(&["metadata", "namespace"]).to_owned();
    let name = text(&["metadata", "name"]).to_owned();
    let object = match namespace.as_str() {
        "" => format!("{kind}/{name}").into(),
        namespace => format!("{kind}/{namespace}/{name}").into(),
    };
    let file = file.to_owned();
    documents.push(Document { file, api_version, kind, namespace, name, value, object });
}
