//! A proposal: what documents would make of a host. It runs the flow up to the plan and
//! changes nothing.

mod host_files;
mod needed;
mod paused;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::apply::{Applied, AppliedSet, ApplyError, Base, Held, Outcome, Request, held, preview};
use crate::decode::{self, Context, SourceFile, decode};
use crate::engine::{Content, File, Registries};
use crate::host::{Listing, Root, static_pods};
use crate::model::advice::advise;
use crate::model::config::TrustedCa;
use crate::model::finding::any_error;
use crate::model::{ClusterConfig, Digests, Finding, Findings, Meaning, Origin, Severity};
use crate::plan::view::EngineFiles;
use crate::plan::{Impact, guard, impact, overrides};
use crate::render::{self, FileSet, Want};
use crate::settings::{Guard, Settings};
use crate::source;
pub use host_files::{Engine, HostFiles};
use needed::Needs;

/// What the user gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// Files and directories of documents.
    pub paths: Vec<PathBuf>,
    /// The release payload's image, if it is not in the documents.
    pub release_image: Option<String>,
}

/// What the documents say, before any host is looked at.
#[derive(Debug, Clone)]
pub struct Documents {
    /// As they state it.
    pub config: ClusterConfig,
    /// As it is meant.
    pub meaning: Meaning,
    /// Of the configuration.
    pub digests: Digests,
    /// All that is wrong with it.
    pub findings: Vec<Finding>,
    /// The serial of the Bundle that they came in (rule E2).
    pub serial: Option<u64>,
}

impl Documents {
    /// Reads and judges the documents; `short_name_mode` is the engine's, where it is known.
    #[must_use]
    pub fn read(input: &Input, settings: &Settings, short_name_mode: Option<&str>) -> Self {
        let (files, mut findings) = source::file::read_all(&input.paths);
        let context = context(settings, input.release_image.as_ref());
        if !files.is_empty() || findings.is_empty() {
            return Self::of(&files, &context, findings, short_name_mode);
        }
        findings.sort();
        Self::none(findings)
    }

    /// Judges documents that were read before.
    #[must_use]
    pub fn judge(files: &[SourceFile], settings: &Settings, short_name_mode: Option<&str>) -> Self {
        Self::of(files, &context(settings, None), Vec::new(), short_name_mode)
    }

    /// No documents, for reasons.
    #[must_use]
    pub fn none(findings: Vec<Finding>) -> Self {
        let config = ClusterConfig::default();
        let digests = Digests::of(&config);
        Self { config, meaning: Meaning::default(), digests, findings, serial: None }
    }

    /// The digest of the configuration; none where an error keeps it from being applied to any
    /// host, because then it may be that of half the documents, or of none.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.error().is_none().then_some(self.digests.configuration.as_str())
    }

    /// What keeps them from being applied to any host.
    #[must_use]
    pub fn error(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.severity == Severity::Error)
    }

    fn of(
        files: &[SourceFile],
        context: &Context,
        mut findings: Vec<Finding>,
        short_name_mode: Option<&str>,
    ) -> Self {
        let decode::Decoded { config, findings: decoded, serial } = decode(files, context);
        findings.extend(decoded);
        let (meaning, merged) = Meaning::of(&config);
        findings.extend(merged);
        findings.extend(advise(&config, &meaning, short_name_mode));
        let digests = Digests::of(&config);
        findings.extend(guard::stale_acceptance(&config, &digests));
        findings.sort();
        Self { config, meaning, digests, findings, serial }
    }
}

fn context(settings: &Settings, release_image: Option<&String>) -> Context {
    Context {
        trusted_ca_namespace: settings.trusted_ca_namespace.clone(),
        release_image: release_image.or(settings.release_image.as_ref()).cloned(),
        default_registry: std::env::var("OPENSHIFT_DEFAULT_REGISTRY").ok(),
    }
}

/// What the documents would make of a host.
#[derive(Debug)]
pub struct Proposal {
    /// The documents.
    pub documents: Documents,
    /// Of what would be applied: of the documents, but while they are paused.
    pub digests: Digests,
    /// What each managed path shall hold; empty where a finding is an error.
    pub files: FileSet,
    /// All findings, those about the host included.
    pub findings: Vec<Finding>,
    /// What the host holds now.
    pub host: HostFiles,
    /// What the guard counted (rule H8); nothing where it has not looked, or is off.
    pub guarded: Option<guard::Guarded>,
    /// What managed paths hold once they are the host's own again.
    originals: BTreeMap<PathBuf, Content>,
    keep: Vec<PathBuf>,
}

impl Proposal {
    /// Reads documents, and renders them for a host.
    ///
    /// # Errors
    /// The agent's own state on the host cannot be read.
    pub fn make(root: &Root, host: HostFiles, input: &Input) -> Result<Self, ApplyError> {
        let documents = host.documents(input);
        Self::of(root, host, documents)
    }

    /// Renders documents for a host.
    ///
    /// # Errors
    /// As [`Proposal::make`].
    pub fn of(root: &Root, host: HostFiles, documents: Documents) -> Result<Self, ApplyError> {
        let mut proposal = Self {
            files: FileSet::default(),
            findings: documents.findings.clone(),
            keep: match documents.config.trusted_ca {
                TrustedCa::Missing(_) => vec![host.settings.paths.certs_d.clone()],
                _ => Vec::new(),
            },
            digests: documents.digests.clone(),
            documents,
            originals: BTreeMap::new(),
            guarded: None,
            host,
        };
        if any_error(&proposal.findings) {
            proposal.find_unreadable(root)?;
        } else {
            proposal.render(root)?;
        }
        if proposal.documents.config.is_paused {
            proposal.pause(&Applied::load(root)?.set);
        }
        Ok(proposal)
    }

    /// Leaves of it what may be applied although the documents are paused (rule K2).
    fn pause(&mut self, applied: &AppliedSet) {
        let certs_d = &self.host.settings.paths.certs_d;
        self.files = paused::cas_of(&self.files, certs_d);
        self.keep.extend(paused::rest_of(applied, certs_d));
        self.digests = paused::digests(applied, &self.documents.config.trusted_ca);
    }

    /// Whether the documents say more than what would be applied, because they are paused.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.digests.without_cas != self.documents.digests.without_cas
    }

    /// Adds which files of the host nothing could be built upon, whatever the documents said.
    fn find_unreadable(&mut self, root: &Root) -> Result<(), ApplyError> {
        let bases = self.host.bases(root, &Base::load(root)?, &Applied::load(root)?);
        let (_, mut findings) = render::write(&Meaning::default(), &bases);
        findings.retain(|finding| finding.severity == Severity::Error);
        findings.extend(self.host.unreadable_settings());
        findings.sort();
        self.findings.extend(findings);
        Ok(())
    }

    fn render(&mut self, root: &Root) -> Result<(), ApplyError> {
        let meaning = &self.documents.meaning;
        let base = Base::load(root)?;
        let bases = self.host.bases(root, &base, &Applied::load(root)?);
        let rendered = render::render(meaning, &bases);
        let mut findings: Findings = rendered.findings.into_iter().collect();
        findings.extend(self.host.unreadable_settings());
        findings.extend(self.host.agents_in_base(root, &base));
        findings.extend(self.host.unread_drop_in().filter(|_| meaning.search.is_some()));
        self.files = rendered.files;
        let original =
            |path: &Path| (path.to_owned(), base.text(root, &self.host.settings.paths, path));
        self.originals = self.files.iter().map(|(path, _)| original(path)).collect();
        findings.extend(self.foreign());
        self.findings.extend(findings.into_vec());
        self.findings.sort();
        Ok(())
    }

    /// What files that are not ours do to the change.
    fn foreign(&self) -> Vec<Finding> {
        let meaning = &self.documents.meaning;
        let paths = &self.host.settings.paths;
        let mut findings = overrides::namespace_policies(
            meaning,
            files_of(&self.host.snapshot.namespace_policies),
        );
        // Of our files one is a drop-in; there is no need for a copy of the others.
        let ours = self.files.iter().filter(|(path, _)| *path == paths.search_drop_in);
        let files = self.host.engine_files(Engine::Crio).with(ours, |path| self.original(path));
        let drop_ins = Registries::parse(&File::absent("/"), &files.drop_ins);
        findings.extend(drop_ins.err().map(|error| overrides::unreadable(&error)));
        let snapshot = &self.host.snapshot;
        let others = snapshot.other_drop_ins.iter().map(|(_, listing)| listing);
        let foreign = std::iter::once(&snapshot.drop_ins).chain(others).flat_map(files_of);
        let foreign: Vec<&File> =
            foreign.filter(|file| file.path != paths.search_drop_in).collect();
        // What is ours has been read back; it is read once more only if there is a need.
        if !foreign.is_empty()
            && let Ok(ours) =
                Registries::parse(&self.engine_files(Engine::Crio).registries_conf, &[])
        {
            let file = &paths.registries_conf;
            let search = &paths.search_drop_in;
            findings.extend(overrides::drop_ins(meaning, &ours, file, search, &foreign));
        }
        findings
    }

    /// What an engine would read after the change.
    #[must_use]
    pub fn engine_files(&self, engine: Engine) -> EngineFiles {
        let search = &self.host.settings.paths.search_drop_in;
        let is_read = |path: &Path| !self.host.snapshot.has_linked_drop_ins || path != search;
        let files = self.files.iter().filter(|(path, _)| is_read(path));
        self.host.engine_files(engine).with(files, |path| self.original(path))
    }

    fn original(&self, path: &Path) -> Content {
        self.originals.get(path).cloned().unwrap_or(Content::Absent)
    }

    /// Whether the files may be written.
    #[must_use]
    pub fn is_applicable(&self) -> bool {
        self.obstacle().is_none()
    }

    /// What keeps the files from being written: `Overridden` alone does not (rule R4).
    #[must_use]
    pub fn obstacle(&self) -> Option<&Finding> {
        let is_in_the_way = |finding: &&Finding| {
            finding.severity == Severity::Error && finding.name != "Overridden"
        };
        self.findings.iter().find(is_in_the_way)
    }

    /// What the transaction is asked for.
    #[must_use]
    pub fn request(&self) -> Request<'_> {
        Request {
            files: &self.files,
            digests: &self.digests,
            keep: &self.keep,
            is_partial: self.is_behind(),
        }
    }

    /// What would change on disk, path by path.
    ///
    /// # Errors
    /// The host cannot be read.
    pub fn outcome(&self, root: &Root) -> Result<Outcome, ApplyError> {
        preview(root, self.request())
    }

    /// What the change costs.
    #[must_use]
    pub fn impact(&self) -> Impact {
        let after = self.engine_files(Engine::Crio).view();
        impact::impact(&self.host.view(), &after, self.host.hides_reloads())
    }

    /// What the guard says (rule H8); a warning where somebody has accepted the lock-out, for
    /// this once or with the Image's annotation.
    fn lock_outs(&mut self, root: &Root, accept: bool) -> Vec<Finding> {
        let documents = &self.documents;
        let is_accepted = accept || guard::is_accepted(&documents.config, &documents.digests);
        let severity = match self.host.settings.guard {
            Guard::Off => return Vec::new(),
            Guard::Enforce if !is_accepted => Severity::Error,
            Guard::Enforce | Guard::Warn => Severity::Warning,
        };
        let settings = &self.host.settings;
        let static_pods = static_pods(root, &settings.static_pods);
        let needs = Needs::of(settings, &documents.config, &self.host.snapshot, static_pods);
        let change = guard::Change {
            before: &self.host.view(),
            after: &self.engine_files(Engine::Crio).view(),
            short_names: self.host.short_name_mode(),
            digest: &documents.digests.configuration,
        };
        let (mut findings, guarded) = change.lock_outs(&needs.images, severity);
        self.guarded = Some(guarded);
        findings.extend(needs.findings);
        findings.sort();
        findings
    }

    /// That a rollback went away from what the documents say, if one did (rules H5, X3). What of them is
    /// applied while they are paused is not that (rule K2).
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn held(&self, root: &Root) -> Result<Option<Held>, ApplyError> {
        let own = &self.documents.digests.without_cas;
        Ok(held(root)?.filter(|held| held.digests.without_cas == *own))
    }

    /// Adds what stands in the way of an otherwise applicable change: the guard (rule H8), and a
    /// rollback (rule X3), which weighs `of_hold`, or nothing where that is lifted.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn judge(
        &mut self,
        root: &Root,
        accepts_lock_out: bool,
        of_hold: Option<Severity>,
    ) -> Result<(), ApplyError> {
        if self.is_applicable() {
            let lock_outs = self.lock_outs(root, accepts_lock_out);
            self.findings.extend(lock_outs);
        }
        if let Some(severity) = of_hold.filter(|_| self.is_applicable() && !self.is_behind()) {
            let held = self.held(root)?;
            self.findings.extend(held.map(|held| held_finding(held, severity)));
        }
        Ok(())
    }

    /// What `path` holds after the change: its bytes, or nothing.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<&[u8]> {
        match self.files.get(path)? {
            Want::File { bytes, .. } => Some(bytes),
            Want::Base => match self.originals.get(path)? {
                Content::Bytes(bytes) => Some(bytes),
                Content::Absent | Content::Unreadable(_) => None,
            },
        }
    }
}

fn held_finding(held: Held, severity: Severity) -> Finding {
    let why = match &held.why {
        Some(why) => format!("it was applied and undone, so it is not applied again: {why}."),
        None => "a rollback went away from it, so it is not applied again.".to_owned(),
    };
    let fix = "Change the documents, or apply it with --retry.";
    let origin = Origin::object("rollback");
    Finding::new(severity, "HeldByRollback", origin, why, fix).about(held.digests.configuration)
}

fn files_of(listing: &Listing) -> &[File] {
    match listing {
        Listing::Files(files) => files,
        Listing::Unreadable(_) => &[],
    }
}
