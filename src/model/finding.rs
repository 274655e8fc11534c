//! Findings: what is wrong with a configuration or worth knowing about it, all of it at once.

use std::fmt;

use serde::Serialize;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing on the host changes.
    Error,
    /// Everything is applied, but not as somebody might think.
    Warning,
    /// Worth knowing.
    Info,
}

/// Where in the documents something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Origin {
    /// `Kind/name`, `Kind/namespace/name`, or the file where no object could be read.
    pub object: String,
    /// The path of the field, as `spec.registrySources.blockedRegistries[2]`; empty for the
    /// object as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Origin {
    /// The object as a whole.
    #[must_use]
    pub fn object(object: impl Into<String>) -> Self {
        Self { object: object.into(), field: String::new() }
    }

    /// A field of the object.
    #[must_use]
    pub fn field(object: impl Into<String>, field: impl Into<String>) -> Self {
        Self { object: object.into(), field: field.into() }
    }
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// A stable name in CamelCase, for scripts and for docs/behaviour.md.
    pub name: &'static str,
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
        name: &'static str,
        origin: Origin,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { severity, name, origin, value: None, why: why.into(), fix: fix.into() }
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
        write!(f, "{severity}: {}", self.origin)?;
        if let Some(value) = &self.value {
            // Debug escapes what a hostile document could use to forge lines of a log.
            write!(f, ": {value:?}")?;
        }
        write!(f, ": {} {} [{}]", self.why, self.fix, self.name)
    }
}

/// Whether any of `findings` keeps everything from being written.
#[must_use]
pub fn any_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
