//! The model and the host's own base files become the files a node needs. Nothing is read or
//! written here, and the same input gives the same bytes.

pub mod base;
pub mod certs;
pub mod fileset;
pub mod policy;
pub mod registries;
pub mod without_ours;

use std::path::{Path, PathBuf};

use crate::engine::{Content, File, FileError, Policy, Registries};
use crate::model::config::Entry;
use crate::model::finding::any_error;
use crate::model::{Finding, Meaning, Origin, Severity};

pub use certs::CertsOnHost;
pub use fileset::{FileSet, Want};

/// What a render starts from.
#[derive(Debug, Clone)]
pub struct Bases {
    /// registries.conf as it would be without the agent.
    pub registries_conf: File,
    /// Every policy.json that an engine of this host judges by: podman's, and CRI-O's where that
    /// is another file (rule R10).
    pub policies: Vec<File>,
    /// Where the search list goes.
    pub search_drop_in: PathBuf,
    /// The directory of CA directories.
    pub certs_d: PathBuf,
    /// What certs.d directories hold.
    pub certs: CertsOnHost,
}

/// What a render yields.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// What each managed path shall hold; empty where a finding is an error.
    pub files: FileSet,
    /// What could not be had as meant.
    pub findings: Vec<Finding>,
}

/// Renders `meaning` over `bases`. What the engine would refuse is never among the files
/// (rule R8).
#[must_use]
pub fn render(meaning: &Meaning, bases: &Bases) -> Rendered {
    let (files, mut findings) = write(meaning, bases);
    if !any_error(&findings) {
        findings.extend(read_back(&files, bases));
    }
    let files = if any_error(&findings) { FileSet::default() } else { files };
    Rendered { files, findings }
}

/// [`render`] without the read-back.
#[must_use]
pub fn write(meaning: &Meaning, bases: &Bases) -> (FileSet, Vec<Finding>) {
    let mut files = FileSet::default();
    let mut findings = Vec::new();
    match registries(meaning, &bases.registries_conf) {
        Ok((want, found)) => {
            files.insert(&bases.registries_conf.path, want);
            findings.extend(found);
        }
        Err(error) => findings.push(error.finding()),
    }
    for base in &bases.policies {
        match policy(meaning, base) {
            Ok(want) => files.insert(&base.path, want),
            Err(error) => findings.push(error.finding()),
        }
    }
    let search = meaning.search.as_deref().map_or(Want::Base, |list| Want::file(search(list)));
    files.insert(&bases.search_drop_in, search);
    findings.extend(certs::render(&meaning.trusted_ca, &bases.certs_d, &bases.certs, &mut files));
    (files, findings)
}

fn registries(meaning: &Meaning, base: &File) -> Result<(Want, Vec<Finding>), BaseError> {
    let bytes = match &base.content {
        Content::Absent => &[][..],
        Content::Bytes(bytes) => bytes,
        Content::Unreadable(why) => return Err(unreadable(&base.path, why)),
    };
    Registries::parse(base, &[]).map_err(|error| unreadable(&base.path, &error.in_words()))?;
    let text = std::str::from_utf8(bytes)
        .map_err(|_| unreadable(&base.path, "it is not UTF-8, so it cannot be edited"))?;
    let mut file =
        base::BaseFile::parse(text).map_err(|error| unreadable(&base.path, error.message()))?;
    let (text, findings) = registries::render(meaning, &mut file);
    match text {
        None => Ok((Want::Base, findings)),
        Some(_) if file.is_version_1() => Err(unreadable(
            &base.path,
            "it is of version 1 of the format, to which nothing can be added",
        )),
        Some(text) => Ok((Want::file(text), findings)),
    }
}

fn policy(meaning: &Meaning, base: &File) -> Result<Want, BaseError> {
    let default = File::new(&base.path, policy::DEFAULT_POLICY);
    let (base, is_absent) = match &base.content {
        Content::Absent => (&default, true),
        _ => (base, false),
    };
    let parsed = Policy::parse(base).map_err(|error| unreadable(&base.path, &error.in_words()))?;
    Ok(match policy::render(meaning, &parsed) {
        Some(text) => Want::file(text),
        None if is_absent => Want::file(policy::DEFAULT_POLICY),
        None => Want::Base,
    })
}

/// What stands in every file of ours that can hold a comment.
const SIGNATURE: &[u8] = b"written by image-config-agent.\n";

/// Whether an agent wrote the file, or part of it.
#[must_use]
pub fn is_signed(bytes: &[u8]) -> bool {
    bytes.windows(SIGNATURE.len()).any(|window| window == SIGNATURE)
}

fn search(list: &[Entry]) -> String {
    let hosts: Vec<String> =
        list.iter().map(|entry| format!("{:?}", entry.scope.as_str())).collect();
    format!(
        "# The cluster's containerRuntimeSearchRegistries, written by image-config-agent.\n\
         unqualified-search-registries = [{}]\n",
        hosts.join(", ")
    )
}

fn unreadable(path: &Path, why: &str) -> BaseError {
    BaseError { path: path.to_owned(), why: why.to_owned() }
}

/// A file of the host that nothing can be added to.
struct BaseError {
    path: PathBuf,
    why: String,
}

impl BaseError {
    fn finding(self) -> Finding {
        let path = self.path.display();
        Finding::new(
            Severity::Error,
            "BaseUnreadable",
            Origin::object(path.to_string()),
            format!("the host's own file cannot be built upon: {}.", self.why),
            format!(
                "Mend the file; where base show lists it already, run base adopt {path} afterwards."
            ),
        )
    }
}

/// Reads every file with the engine's own rules.
fn read_back(files: &FileSet, bases: &Bases) -> Vec<Finding> {
    let written = |path: &Path| match files.get(path) {
        Some(Want::File { bytes, .. }) => Some(bytes.as_slice()),
        _ => None,
    };
    let registries = [&bases.registries_conf.path, &bases.search_drop_in].into_iter();
    let registries = registries.filter_map(|path| Registries::of_bytes(written(path)?, path).err());
    let policies = bases.policies.iter().map(|base| &base.path);
    let policies = policies.filter_map(|path| Policy::of_bytes(written(path)?, path).err());
    let refused = |error: FileError| {
        Finding::new(
            Severity::Error,
            "EngineRefuses",
            Origin::object(error.path.display().to_string()),
            format!("the engine would refuse the file: {error}."),
            "Report this together with the documents and the host's own files.",
        )
    };
    registries.chain(policies).map(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r8_what_the_engine_refuses_is_an_error() {
        let bases = Bases {
            registries_conf: File::new("/registries.conf", ""),
            policies: vec![File::new("/policy.json", "")],
            search_drop_in: "/search.conf".into(),
            certs_d: "/certs.d".into(),
            certs: CertsOnHost::default(),
        };
        let mut files = FileSet::default();
        files.insert("/registries.conf", Want::file(""));
        files.insert("/policy.json", Want::file(policy::DEFAULT_POLICY));
        files.insert("/search.conf", Want::Base);
        assert_eq!(read_back(&files, &bases), []);
        for path in ["/registries.conf", "/policy.json", "/search.conf"] {
            let mut files = files.clone();
            files.insert(path, Want::file("["));
            let findings = read_back(&files, &bases);
            let [finding] = findings.as_slice() else { panic!("{path}: {findings:?}") };
            assert_eq!((finding.severity, &*finding.name), (Severity::Error, "EngineRefuses"));
            assert_eq!(&*finding.origin.object, path);
        }
    }
}
