//! What a name without registry may mean (the library's package `pkg/shortnames`).

use std::path::PathBuf;

use super::{Registries, ShortNameMode};
use crate::model::Reference;
use crate::model::reference::{ReferenceError, names_registry};

/// The images that a name may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// What they come from.
    pub origin: CandidateOrigin,
    /// In the order in which they are tried, with tag or digest.
    pub references: Vec<Reference>,
    /// Whether an engine without a terminal, such as CRI-O, refuses to choose: there is more than
    /// one, and the mode is [`ShortNameMode::Enforcing`].
    pub ambiguous: bool,
}

/// What the meanings of a name come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CandidateOrigin {
    /// The name has a registry, and so one meaning.
    Name,
    /// An alias, set in this file. The search list is not looked at then.
    Alias(PathBuf),
    /// The search list, set in this file.
    Search(PathBuf),
}

/// Why a name has no meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShortNameError {
    /// It is no reference, or one that cannot be put below a registry of the search list.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// There is neither an alias nor a registry to search.
    #[error("the name has no registry, there is no alias for it, and no registries are searched")]
    NoCandidates,
}

/// Resolves a name as a pull does (`shortnames.Resolve`), in a mode that may be the engine's own
/// rather than the files'.
///
/// Aliases that podman has written down for itself, below /var/cache, are not known here.
///
/// # Errors
/// The name has no meaning.
pub fn resolve(
    text: &str,
    registries: &Registries,
    mode: ShortNameMode,
) -> Result<Candidates, ShortNameError> {
    let exact = Reference::parse_exact(text)?;
    if names_registry(exact.host()) {
        let reference = Reference::parse(text)?.with_default_tag();
        return Ok(Candidates {
            origin: CandidateOrigin::Name,
            references: vec![reference],
            ambiguous: false,
        });
    }
    if let Some(alias) = registries.alias(exact.name())
        && let Some(target) = &alias.target
    {
        return Ok(Candidates {
            origin: CandidateOrigin::Alias(alias.file.clone()),
            references: vec![target.with_version_of(&exact).with_default_tag()],
            ambiguous: false,
        });
    }
    let search = registries.search().filter(|search| !search.registries.is_empty());
    let search = search.ok_or(ShortNameError::NoCandidates)?;
    let below = |host| Reference::parse(&format!("{host}/{text}")).map(Reference::with_default_tag);
    let references = search.registries.iter().map(below).collect::<Result<Vec<_>, _>>()?;
    Ok(Candidates {
        origin: CandidateOrigin::Search(search.file.clone()),
        ambiguous: references.len() > 1 && mode == ShortNameMode::Enforcing,
        references,
    })
}
