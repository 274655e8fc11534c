//! Findings: what is wrong with a configuration or worth knowing about it, all of it at once.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing on the host changes.
    Error,
    /// Everything is applied, but not as somebody might think.
    Warning,
    /// Worth knowing.
    Info,
}

/// Where in the documents something stands. In order, items of a list come as they do there:
/// `[2]` before `[10]`. Its texts are shared: every entry has an origin, and what comes of the entry
/// too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Origin {
    /// `Kind/name`, `Kind/namespace/name`, or the file where no object could be read.
    pub object: Arc<str>,
    /// The path of the field, as `spec.registrySources.blockedRegistries[2]`; empty for the
    /// object as a whole.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub field: Arc<str>,
}

impl Origin {
    /// The object as a whole.
    #[must_use]
    pub fn object(object: impl Into<Arc<str>>) -> Self {
        Self { object: object.into(), field: Arc::default() }
    }

    /// A field of the object.
    #[must_use]
    pub fn field(object: impl Into<Arc<str>>, field: impl Into<Arc<str>>) -> Self {
        Self { object: object.into(), field: field.into() }
    }

    /// The list that this is an item of; itself where it is none.
    #[must_use]
    pub fn list(&self) -> Self {
        let list = self.field.strip_suffix(']').and_then(|item| item.rsplit_once('['));
        let field = list.map_or_else(|| self.field.clone(), |(list, _)| list.into());
        Self { object: self.object.clone(), field }
    }
}

impl Ord for Origin {
    fn cmp(&self, other: &Self) -> Ordering {
        let fields = || indexed(&self.field).cmp(indexed(&other.field));
        let text = || self.field.cmp(&other.field);
        self.object.cmp(&other.object).then_with(fields).then_with(text)
    }
}

impl PartialOrd for Origin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The parts of a path between `[`, each with the index that it begins with.
fn indexed(path: &str) -> impl Iterator<Item = (usize, &str)> {
    path.split('[').map(|part| {
        let (index, rest) = part.split_once(']').unwrap_or(("", part));
        index.parse().map_or((0, part), |index| (index, rest))
    })
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.object)?;
        if !self.field.is_empty() {
            write!(f, " {}", self.field)?;
        }
        Ok(())
    }
}

/// One finding. It says where, what, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// A stable name in CamelCase, for scripts and for docs/findings.md.
    pub name: Cow<'static, str>,
    /// Where it stands.
    #[serde(flatten)]
    pub origin: Origin,
    /// The value that is meant, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong and what comes of it.
    pub why: String,
    /// What to do about it.
    pub fix: String,
}

impl Finding {
    /// A finding without a value.
    #[must_use]
    pub fn new(
        severity: Severity,
        name: impl Into<Cow<'static, str>>,
        origin: Origin,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { severity, name: name.into(), origin, value: None, why: why.into(), fix: fix.into() }
    }

    /// The same finding about `value`.
    #[must_use]
    pub fn about(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        write!(f, "{severity}: {}", printable(&self.origin.to_string()))?;
        if let Some(value) = &self.value {
            write!(f, ": {:?}", shortened(value))?;
        }
        write!(f, ": {} {} [{}]", printable(&self.why), printable(&self.fix), self.name)
    }
}

/// `text` with everything escaped that could forge a line of a log, steer a terminal, or turn
/// the direction of what follows: what documents and hosts say is hostile until it is printed.
#[must_use]
pub fn printable(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

/// The most characters of a value that a line shows.
const MOST_SHOWN: usize = 300;

fn shortened(value: &str) -> String {
    match value.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

/// Findings that say no more than that a source's first answer is still to come.
pub const PENDING: [&str; 2] = ["NotAskedYet", "Reading"];

/// Whether any of `findings` keeps everything from being written.
#[must_use]
pub fn any_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
