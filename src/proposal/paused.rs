//! What is proposed while the Image is paused: CA files alone, onto the last applied rest (rule K2).
//! Pure.

use std::path::{Path, PathBuf};

use crate::apply::AppliedSet;
use crate::model::config::TrustedCa;
use crate::model::{ClusterConfig, Digests};
use crate::render::FileSet;

/// Of these files those that hold trusted CAs.
pub(super) fn cas_of(files: &FileSet, certs_d: &Path) -> FileSet {
    let mut cas = FileSet::default();
    for (path, want) in files.iter().filter(|(path, _)| path.starts_with(certs_d)) {
        cas.insert(path, want.clone());
    }
    cas
}

/// The paths that stay as they were applied.
pub(super) fn rest_of(applied: &AppliedSet, certs_d: &Path) -> Vec<PathBuf> {
    applied.files.keys().filter(|path| !path.starts_with(certs_d)).cloned().collect()
}

/// The digests of the mix. On a host that nothing was applied to the rest is what the host itself
/// says: a configuration without a word.
pub(super) fn digests(applied: &AppliedSet, cas: &TrustedCa) -> Digests {
    let rest = applied.digests.clone();
    rest.unwrap_or_else(|| Digests::of(&ClusterConfig::default())).with_cas(cas)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::apply::Entry;
    use crate::model::Scope;
    use crate::model::{Origin, config};
    use crate::render::Want;

    fn config(blocked: &[&str], ca: &str) -> ClusterConfig {
        let entry = |text: &&str| config::Entry {
            scope: Scope::parse(text).unwrap(),
            origin: Origin::object("Image/cluster"),
        };
        let cas = BTreeMap::from([("a.io".to_owned(), ca.to_owned())]);
        ClusterConfig {
            blocked: blocked.iter().map(entry).collect(),
            trusted_ca: TrustedCa::Present(cas),
            ..ClusterConfig::default()
        }
    }

    #[test]
    fn k2_the_digests_of_the_mix_are_those_of_documents_that_say_the_same() {
        let [before, after] = [config(&["a.io"], "old"), config(&["b.io"], "new")];
        let applied =
            AppliedSet { digests: Some(Digests::of(&before)), files: BTreeMap::default() };
        let mix = digests(&applied, &after.trusted_ca);
        assert_eq!(mix, Digests::of(&config(&["a.io"], "new")));
        assert_eq!(mix.without_cas, Digests::of(&before).without_cas);
        assert_ne!(mix, Digests::of(&after));
        let fresh = digests(&AppliedSet::default(), &after.trusted_ca);
        assert_eq!(fresh, Digests::of(&config(&[], "new")));
    }

    #[test]
    fn k2_of_the_files_only_cas_change() {
        let certs_d = Path::new("/etc/docker/certs.d");
        let (ca, policy) =
            (certs_d.join("a.io/ca.crt"), PathBuf::from("/etc/containers/policy.json"));
        let mut files = FileSet::default();
        files.insert(&ca, Want::file("x"));
        files.insert(&policy, Want::Base);
        let cas = cas_of(&files, certs_d);
        assert_eq!(cas.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&ca]);
        let entry = Entry { sha256: String::new(), mode: 0o644 };
        let all = BTreeMap::from([(ca, entry.clone()), (policy.clone(), entry)]);
        let applied = AppliedSet { digests: None, files: all };
        assert_eq!(rest_of(&applied, certs_d), [policy]);
    }
}
