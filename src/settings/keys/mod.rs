//! Every setting there is, in the groups in which they are documented.

mod host;
mod paths;
mod servers;
mod sources;

use std::path::{Path, PathBuf};

use toml_edit::Value;

use super::Settings;

/// One setting.
pub struct Key {
    /// Its dotted name in TOML and after `--set`.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Takes a value over, or says what to write instead.
    pub(super) set: fn(&mut Settings, &Value) -> Result<(), String>,
    /// Its value as it is written after `--set`; empty where it is unset.
    pub show: fn(&Settings) -> String,
}

impl Key {
    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{ENVIRONMENT}{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// What every variable that sets something begins with.
pub(super) const ENVIRONMENT: &str = "IMAGE_CONFIG_AGENT_";

/// Settings that belong together.
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// They, in the order in which they are shown.
    pub keys: &'static [Key],
}

/// All groups, in the order in which they are shown.
pub const GROUPS: [Group; 9] = [
    Group { title: "Where documents come from", keys: sources::SOURCES },
    Group { title: "The cluster", keys: sources::KUBE },
    Group { title: "The endpoint", keys: servers::ENDPOINT },
    Group { title: "Reports", keys: servers::REPORT },
    Group { title: "What is protected", keys: host::GUARD },
    Group { title: "The engine", keys: host::RUNTIME },
    Group { title: "The node", keys: host::NODE },
    Group { title: "Log and metrics", keys: host::WATCHED },
    Group { title: "Paths", keys: paths::PATHS },
];

/// All settings, in the order in which they are shown.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    GROUPS.iter().flat_map(|group| group.keys)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn optional(path: &Option<PathBuf>) -> String {
    path.as_deref().map(shown).unwrap_or_default()
}

fn joined(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(",")
}

/// The word that stands for a value.
fn named<T: PartialEq>(value: T, words: &[(&str, T)]) -> String {
    let word = words.iter().find(|(_, meaning)| *meaning == value);
    word.map(|(word, _)| (*word).to_owned()).unwrap_or_default()
}
