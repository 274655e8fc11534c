//! What a host holds before a change, and what its engines make of it.

use std::path::{Path, PathBuf};

use super::{Documents, Input};
use crate::apply::{Applied, Base};
use crate::decode::SourceFile;
use crate::engine::{Content, File, ShortNameMode, certs};
use crate::host::{CertsDir, HostCerts, Listing, Root, Snapshot};
use crate::model::{Finding, Origin, Severity};
use crate::plan::View;
use crate::plan::view::EngineFiles;
use crate::render::policy::DEFAULT_POLICY;
use crate::render::{self, Bases, CertsOnHost};
use crate::settings::Settings;

/// Whose policy is meant where there are two (rule R10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// CRI-O's, or the only one.
    Crio,
    /// Podman's.
    Podman,
}

/// The files of a host that bear on images.
#[derive(Debug, Clone)]
pub struct HostFiles {
    /// As they were read.
    pub snapshot: Snapshot,
    pub(super) settings: Settings,
}

impl HostFiles {
    /// Reads them; `engine` is what CRI-O itself says of its settings (rule R10).
    #[must_use]
    pub fn read(root: &Root, settings: &Settings, engine: Option<&[u8]>) -> Self {
        let snapshot = Snapshot::read(root, &settings.paths, engine);
        Self { snapshot, settings: settings.clone() }
    }

    /// Reads and judges documents for this host.
    #[must_use]
    pub fn documents(&self, input: &Input) -> Documents {
        Documents::read(input, &self.settings, self.snapshot.crio.short_name_mode.as_deref())
    }

    /// Judges documents that were read before for this host.
    #[must_use]
    pub fn judge(&self, files: &[SourceFile]) -> Documents {
        let mode = self.snapshot.crio.short_name_mode.as_deref();
        Documents::judge(files, &self.settings, mode)
    }

    /// What an engine reads at present.
    #[must_use]
    pub fn engine_files(&self, engine: Engine) -> EngineFiles {
        let snapshot = &self.snapshot;
        let paths = &self.settings.paths;
        let standing = |own: &Content, vendor: &Content| match own {
            Content::Absent => vendor.clone(),
            own => own.clone(),
        };
        let file = |path: &Path, content| File { path: path.to_owned(), content };
        let judge = snapshot.crio.signature_policy.as_ref().filter(|path| **path != paths.policy);
        let policy = match (snapshot.crio_policies.first(), engine) {
            (Some(policy), Engine::Crio) if judge.is_some() => policy.clone(),
            _ => file(&paths.policy, standing(&snapshot.policy, &snapshot.vendor_policy)),
        };
        let registries = standing(&snapshot.registries_conf, &snapshot.vendor_registries_conf);
        EngineFiles {
            registries_conf: file(&paths.registries_conf, registries),
            drop_ins: match &snapshot.drop_ins {
                Listing::Files(files) => files.clone(),
                Listing::Unreadable(why) => {
                    vec![file(&paths.registries_conf_d, Content::Unreadable(why.clone()))]
                }
            },
            policy,
            certs: snapshot.certs.iter().map(certs_dir).collect(),
        }
    }

    /// What a change starts from: what CRI-O makes of them at present. A host that has no
    /// policy.json yet counts as one that accepts all (rule R1), or its first configuration
    /// could lock it out unseen.
    #[must_use]
    pub fn view(&self) -> View {
        let mut files = self.engine_files(Engine::Crio);
        if files.policy.content == Content::Absent {
            files.policy.content = Content::Bytes(DEFAULT_POLICY.into());
        }
        files.view()
    }

    pub(super) fn bases(&self, root: &Root, base: &Base, applied: &Applied) -> Bases {
        let paths = &self.settings.paths;
        let file =
            |path: &Path| File { path: path.to_owned(), content: base.text(root, paths, path) };
        let crio = self.snapshot.crio_policies.iter().map(|policy| file(&policy.path));
        Bases {
            registries_conf: file(&paths.registries_conf),
            policies: std::iter::once(file(&paths.policy)).chain(crio).collect(),
            search_drop_in: paths.search_drop_in.clone(),
            certs_d: paths.certs_d.clone(),
            certs: self.certs_on_host(applied),
        }
    }

    fn certs_on_host(&self, applied: &Applied) -> CertsOnHost {
        let paths = &self.settings.paths;
        let mut on_host = CertsOnHost::default();
        for dir in &self.snapshot.certs {
            for (host, held) in dir.hosts.iter().flatten() {
                if dir.path != paths.certs_d {
                    on_host.masked.insert(host.clone());
                } else if let HostCerts::Dir { cas, .. } = held
                    && let Some(Content::Bytes(bytes)) = cas.get("ca.crt")
                {
                    on_host.ca_crt.insert(host.clone(), bytes.clone());
                }
            }
        }
        let ours = applied.set.files.keys().filter(|path| path.starts_with(&paths.certs_d));
        on_host.ours = ours.cloned().collect();
        on_host
    }

    /// What CRI-O makes of short names, whatever registries.conf says: `enforcing` is its
    /// default.
    #[must_use]
    pub fn short_name_mode(&self) -> ShortNameMode {
        match self.snapshot.crio.short_name_mode.as_deref() {
            Some("disabled") => ShortNameMode::Disabled,
            Some("permissive") => ShortNameMode::Permissive,
            _ => ShortNameMode::Enforcing,
        }
    }

    /// That the search list of the cluster, which is a drop-in, is not read.
    #[must_use]
    pub(super) fn unread_drop_in(&self) -> Option<Finding> {
        let dir = self.settings.paths.registries_conf_d.display();
        self.snapshot.has_linked_drop_ins.then(|| {
            Finding::new(
                Severity::Warning,
                "LinkedDropIns",
                Origin::object(dir.to_string()),
                "it is a symbolic link, into which the engine does not look: the cluster's search list is \
                 there, but not in force.",
                "Make it a directory, or mount what it leads to in its place.",
            )
        })
    }

    /// Bases that hold what an agent wrote. Nothing tells that from what is the host's own.
    pub(super) fn agents_in_base(&self, root: &Root, base: &Base) -> impl Iterator<Item = Finding> {
        let paths = &self.settings.paths;
        let holds = |path: &&PathBuf| match base.text(root, paths, path) {
            Content::Bytes(bytes) => render::is_signed(&bytes),
            Content::Absent | Content::Unreadable(_) => false,
        };
        [&paths.registries_conf, &paths.search_drop_in].into_iter().filter(holds).map(|path| {
            Finding::new(
                Severity::Warning,
                "AgentsInBase",
                Origin::object(path.display().to_string()),
                "an agent wrote part of it, but nothing here says which part; all of it counts as the host's \
                 own, and stays whatever the cluster says.",
                "Run revert, take out of the file what is not the host's own, and apply again.",
            )
        })
    }

    /// Settings of CRI-O that cannot be read, so that nobody knows which policy it obeys.
    pub fn unreadable_settings(&self) -> impl Iterator<Item = Finding> {
        self.snapshot.crio.unreadable.iter().map(|(path, why)| {
            Finding::new(
                Severity::Error,
                "EngineSettingsUnreadable",
                Origin::object(path.display().to_string()),
                format!("it cannot be known which policy.json CRI-O obeys: {why}."),
                "Mend the file; CRI-O could not start with it either.",
            )
        })
    }

    /// Why CRI-O would not log that it took new files over, if its settings keep it from that.
    #[must_use]
    pub fn hides_reloads(&self) -> Option<&'static str> {
        let crio = &self.snapshot.crio;
        // CRI-O knows its levels in any case of letters.
        let level = crio.log_level.as_deref().unwrap_or_default().to_lowercase();
        if matches!(level.as_str(), "fatal" | "panic" | "error" | "warn" | "warning") {
            return Some("log_level in crio.conf hides what CRI-O says of it");
        }
        let filters = crio.log_filter.as_deref().is_some_and(|filter| !filter.is_empty());
        filters.then_some("log_filter in crio.conf may hide what CRI-O says of it")
    }
}

fn certs_dir(dir: &CertsDir) -> certs::CertsDir {
    let listing = |held: &HostCerts| match held {
        HostCerts::Dir { cas, others } => {
            certs::Listing::Files(cas.keys().chain(others).cloned().collect())
        }
        HostCerts::Unreadable(why) => certs::Listing::Unreadable(why.clone()),
    };
    let hosts = dir.hosts.iter().flatten();
    certs::CertsDir {
        path: dir.path.clone(),
        hosts: hosts.map(|(host, held)| (host.clone(), listing(held))).collect(),
    }
}
