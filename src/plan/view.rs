//! A host as an engine sees it, before or after a change.

use std::path::Path;

use crate::engine::certs::{CertsDir, Listing};
use crate::engine::{Content, File, FileError, Policy, Registries};
use crate::render::Want;

/// The files that decide over pulls, unread.
#[derive(Debug, Clone)]
pub struct EngineFiles {
    /// registries.conf.
    pub registries_conf: File,
    /// Its drop-ins, in name order.
    pub drop_ins: Vec<File>,
    /// policy.json by which this engine judges.
    pub policy: File,
    /// certs.d, in the order in which they are asked.
    pub certs: Vec<CertsDir>,
}

/// What the engine makes of them.
#[derive(Debug, Clone)]
pub struct View {
    /// The places, or why the engine has none.
    pub registries: Result<Registries, FileError>,
    /// The files behind them, where the engine refuses one: all that can be compared then.
    pub unread: Vec<File>,
    /// What is accepted, or why nothing is.
    pub policy: Result<Policy, FileError>,
    /// Which CAs count.
    pub certs: Vec<CertsDir>,
}

impl EngineFiles {
    /// These files after `files` were written over them. `base` tells what a path holds once it
    /// is the host's own again.
    #[must_use]
    pub fn with<'a>(
        mut self,
        files: impl Iterator<Item = (&'a Path, &'a Want)>,
        base: impl Fn(&Path) -> Content,
    ) -> Self {
        for (path, want) in files {
            let content = match want {
                Want::File { bytes, .. } => Content::Bytes(bytes.clone()),
                Want::Base => base(path),
            };
            self.set(path, content);
        }
        self
    }

    fn set(&mut self, path: &Path, content: Content) {
        if path == self.registries_conf.path {
            self.registries_conf.content = content;
        } else if path == self.policy.path {
            self.policy.content = content;
        } else if let Some((host, name, dir)) = self.certs_file(path) {
            set_certificate(dir, host, name, content != Content::Absent);
        } else if path.extension().is_some_and(|extension| extension == "conf") {
            self.drop_ins.retain(|file| file.path != path);
            if content != Content::Absent {
                self.drop_ins.push(File { path: path.to_owned(), content });
                self.drop_ins.sort_by(|a, b| a.path.cmp(&b.path));
            }
        }
    }

    fn certs_file(&mut self, path: &Path) -> Option<(String, String, &mut CertsDir)> {
        let dir = self.certs.iter_mut().find(|dir| path.starts_with(&dir.path))?;
        let below = path.strip_prefix(&dir.path).ok()?;
        let host = below.parent()?.to_str()?.to_owned();
        let name = below.file_name()?.to_str()?.to_owned();
        Some((host, name, dir))
    }

    /// Reads them.
    #[must_use]
    pub fn view(self) -> View {
        let registries = Registries::parse(&self.registries_conf, &self.drop_ins);
        let unread = match registries {
            Ok(_) => Vec::new(),
            Err(_) => std::iter::once(self.registries_conf).chain(self.drop_ins).collect(),
        };
        View { registries, unread, policy: Policy::parse(&self.policy), certs: self.certs }
    }
}

fn set_certificate(dir: &mut CertsDir, host: String, name: String, is_there: bool) {
    let listing = dir.hosts.entry(host.clone()).or_insert_with(|| Listing::Files(Vec::new()));
    let Listing::Files(files) = listing else { return };
    files.retain(|file| *file != name);
    if is_there {
        files.push(name);
        files.sort();
    } else if files.is_empty() {
        dir.hosts.remove(&host);
    }
}
