//! Why a managed file exists: the objects and fields that ask for it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::model::config::{Entry, TrustedCa};
use crate::model::{ClusterConfig, Paths};

/// The objects and fields that have a say in what `path` holds, sorted.
#[must_use]
pub fn reasons(config: &ClusterConfig, paths: &Paths, path: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut list = |entries: &[Entry]| {
        found.extend(
            entries.iter().map(|entry| format!("{} {}", entry.origin.object, list_of(entry))),
        );
    };
    if path == paths.search_drop_in {
        list(config.search.as_deref().unwrap_or_default());
    } else if path == paths.registries_conf {
        list(&config.insecure);
        list(&config.blocked);
        found.extend(config.mirrors.iter().map(|set| set.origin.object.to_string()));
    } else if path.starts_with(&paths.certs_d) {
        if let TrustedCa::Present(_) | TrustedCa::Missing(_) = &config.trusted_ca {
            found.insert("Image/cluster spec.additionalTrustedCA".to_owned());
        }
    } else {
        list(config.allowed.as_deref().unwrap_or_default());
        list(&config.blocked);
        if found.is_empty() {
            found.insert("written with every configuration (rule R10)".to_owned());
        }
    }
    found.into_iter().collect()
}

/// The field that an entry stands in, without its index.
fn list_of(entry: &Entry) -> &str {
    entry.origin.field.split('[').next().unwrap_or_default()
}
