//! Collecting findings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Finding, Origin, Severity};

/// How many findings of one name are kept for one object.
pub const MOST_ALIKE: usize = 500;

/// Findings in the order in which they come. Of those that are alike, of one name on one object,
/// the first are kept and the others counted: a document of nothing but mistakes would make
/// findings of many times its size.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    alike: BTreeMap<Cow<'static, str>, BTreeMap<Arc<str>, Alike>>,
    any_error: bool,
}

/// How many there are of one name on one object.
#[derive(Debug, Clone)]
struct Alike {
    seen: usize,
    /// The gravest of those that were not kept.
    severity: Severity,
}

impl Findings {
    /// Takes one more.
    pub fn push(&mut self, finding: Finding) {
        self.any_error |= finding.severity == Severity::Error;
        let of_name = self.alike.entry(finding.name.clone()).or_default();
        let Some(alike) = of_name.get_mut(&finding.origin.object) else {
            let first = Alike { seen: 1, severity: Severity::Info };
            of_name.insert(finding.origin.object.clone(), first);
            return self.kept.push(finding);
        };
        alike.seen += 1;
        if alike.seen <= MOST_ALIKE {
            self.kept.push(finding);
        } else {
            alike.severity = alike.severity.min(finding.severity);
        }
    }

    /// Whether any of them keeps everything from being written.
    #[must_use]
    pub fn any_error(&self) -> bool {
        self.any_error
    }

    /// All that were kept, and for those that were not, one that says how many there are.
    #[must_use]
    pub fn into_vec(self) -> Vec<Finding> {
        let mut findings = self.kept;
        for (name, objects) in self.alike {
            let more = |(object, alike)| more(name.clone(), object, &alike);
            findings.extend(objects.into_iter().filter_map(more));
        }
        findings
    }
}

fn more(name: Cow<'static, str>, object: Arc<str>, alike: &Alike) -> Option<Finding> {
    let more = alike.seen.checked_sub(MOST_ALIKE).filter(|more| *more > 0)?;
    let why = format!("there are {more} more findings of this name, which are not listed.");
    let fix = "Mend those that are listed, then look again.";
    Some(Finding::new(alike.severity, name, Origin::object(object), why, fix))
}

impl Extend<Finding> for Findings {
    fn extend<I: IntoIterator<Item = Finding>>(&mut self, findings: I) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(findings: I) -> Self {
        let mut collected = Self::default();
        collected.extend(findings);
        collected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not listed counts as much as what is.
    #[test]
    fn the_rest_is_as_grave_as_its_gravest() {
        let finding = |severity| Finding::new(severity, "Name", Origin::object("x"), "", "");
        let mut findings: Findings =
            std::iter::repeat_n(finding(Severity::Info), MOST_ALIKE + 1).collect();
        assert!(!findings.any_error());
        findings.push(finding(Severity::Error));
        findings.push(finding(Severity::Warning));
        assert!(findings.any_error());
        let rest = findings.into_vec().split_off(MOST_ALIKE);
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[0].severity, Severity::Error);
        assert!(rest[0].why.starts_with("there are 3 more"), "{}", rest[0].why);
    }

    #[test]
    fn other_objects_and_names_count_apart() {
        let finding = |index: usize| {
            let name = if index.is_multiple_of(2) { "Even" } else { "Odd" };
            let object = format!("x/{}", index / 2 % 2);
            Finding::new(Severity::Info, name, Origin::object(object), "", "")
        };
        let findings: Findings = (0..4 * MOST_ALIKE).map(finding).collect();
        assert_eq!(findings.into_vec().len(), 4 * MOST_ALIKE);
    }
}
