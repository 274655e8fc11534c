//! Reading the settings, and remembering where each comes from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml_edit::{Array, Document, Item, Value};

use super::Settings;
use super::keys::{ENVIRONMENT, keys};
use crate::engine::Position;
use crate::host::{Content, Node, Root};

/// The file that is read first.
pub const MAIN_FILE: &str = "/etc/image-config-agent/config.toml";

/// Where drop-in files lie below the root. All are read in the order of their names; of several
/// with one name, only the one in the last of these directories, as systemd has it.
pub const DIRECTORIES: [&str; 3] = [
    "/usr/lib/image-config-agent/config.d",
    "/run/image-config-agent/config.d",
    "/etc/image-config-agent/config.d",
];

/// What is wrong with the settings: all of it, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(Vec<String>);

/// The settings, and where they come from.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// By the name of the key: `FILE:LINE`, a variable, or `--set`. What is not here is a default.
    pub origins: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Reads the files below `root`, then `environment`, then `flags` of the form `KEY=VALUE`.
    ///
    /// # Errors
    /// Everything that is wrong in any of them.
    pub fn load(
        root: &Root,
        environment: impl Iterator<Item = (OsString, OsString)>,
        flags: &[String],
    ) -> Result<Self, SettingsError> {
        Loaded::load(root, environment, flags).map(|loaded| loaded.settings)
    }

    /// The same where files or environment may be wrong: what is right of them counts, and what is
    /// wrong is told. For what must go on all the same, as giving the host its files back (rule X3).
    ///
    /// # Errors
    /// Everything that is wrong in `flags`.
    pub fn load_what_is_right(
        root: &Root,
        environment: impl Iterator<Item = (OsString, OsString)>,
        flags: &[String],
    ) -> Result<(Self, Vec<String>), SettingsError> {
        let mut loader = Loader::before_flags(root, environment);
        let wrong = std::mem::take(&mut loader.problems);
        loader.flags(flags);
        if !loader.problems.is_empty() {
            return Err(SettingsError(loader.problems));
        }
        let clashes = loader.clashes();
        Ok((loader.loaded.settings, [wrong, clashes].concat()))
    }
}

impl Loaded {
    /// As [`Settings::load`], with where each setting comes from.
    ///
    /// # Errors
    /// Everything that is wrong in any of them.
    pub fn load(
        root: &Root,
        environment: impl Iterator<Item = (OsString, OsString)>,
        flags: &[String],
    ) -> Result<Self, SettingsError> {
        let mut loader = Loader::before_flags(root, environment);
        loader.flags(flags);
        loader.end()
    }
}

/// Whether Kubernetes sets a variable of this name for some Service, as `NAME_SERVICE_HOST` or
/// `NAME_PORT_443_TCP_ADDR`: where the name of the Service begins as the agent's does it looks like
/// a setting, and is none (rule K6).
fn is_service_link(name: &str) -> bool {
    let is_of_a_port = |(_, rest): (&str, &str)| {
        let mut parts = rest.split('_');
        let port = parts.next().unwrap_or_default();
        !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!(parts.next(), None | Some("PROTO" | "ADDR"))
    };
    ["_SERVICE_HOST", "_PORT"].iter().any(|end| name.ends_with(end))
        || name.contains("_SERVICE_PORT_")
        || name.rsplit_once("_PORT_").is_some_and(is_of_a_port)
}

/// Whether a drop-in says nothing but that those of its name in earlier directories do not count, as
/// systemd has it.
fn is_masked(root: &Root, path: &Path) -> bool {
    // What cannot be looked at is said when it is read.
    root.node(path).is_ok_and(|node| node == Some(Node::Link(PathBuf::from("/dev/null"))))
}

#[derive(Default)]
struct Loader {
    loaded: Loaded,
    problems: Vec<String>,
}

impl Loader {
    fn before_flags(root: &Root, environment: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut loader = Self::default();
        loader.file(root, Path::new(MAIN_FILE));
        for path in loader.drop_ins(root) {
            loader.file(root, &path);
        }
        loader.environment(environment);
        loader
    }

    fn environment(&mut self, environment: impl Iterator<Item = (OsString, OsString)>) {
        let named = environment.map(|(name, value)| (name.to_string_lossy().into_owned(), value));
        let mut ours: Vec<_> = named.filter(|(name, _)| name.starts_with(ENVIRONMENT)).collect();
        ours.sort();
        for (name, value) in ours {
            let key = keys().find(|key| key.variable() == name);
            match (key, value.into_string()) {
                (Some(key), Ok(value)) => self.set(&name, key.name, &Value::from(value)),
                (Some(_), Err(_)) => self.problems.push(format!("{name}: the value is not UTF-8")),
                (None, _) if is_service_link(&name) => {}
                (None, _) => self.problems.push(format!("{name}: no setting has this name")),
            }
        }
    }

    fn flags(&mut self, flags: &[String]) {
        for flag in flags {
            match flag.split_once('=') {
                Some((key, value)) => self.set("--set", key, &Value::from(value)),
                None => self.problems.push(format!("--set {flag}: write KEY=VALUE")),
            }
        }
    }

    fn end(mut self) -> Result<Loaded, SettingsError> {
        self.problems.extend(self.clashes());
        if self.problems.is_empty() { Ok(self.loaded) } else { Err(SettingsError(self.problems)) }
    }

    /// What does not go together, with where it stands.
    fn clashes(&self) -> Vec<String> {
        let said = |(key, problem): (String, String)| match self.loaded.origins.get(key.as_str()) {
            Some(origin) => format!("{origin}: {key}: {problem}"),
            None => format!("{key}: {problem}"),
        };
        self.loaded.settings.problems().into_iter().map(said).collect()
    }

    /// The drop-ins that count, in the order in which they are read.
    fn drop_ins(&mut self, root: &Root) -> Vec<PathBuf> {
        let mut by_name = BTreeMap::new();
        for directory in DIRECTORIES.map(Path::new) {
            match root.list(directory) {
                Ok(names) => by_name.extend(
                    names.into_iter().flatten().map(|name| (name.clone(), directory.join(name))),
                ),
                Err(error) => self.problems.push(error.to_string()),
            }
        }
        by_name.retain(|name, path| {
            let name = name.as_encoded_bytes();
            name.ends_with(b".toml") && !name.starts_with(b".") && !is_masked(root, path)
        });
        by_name.into_values().collect()
    }

    fn file(&mut self, root: &Root, path: &Path) {
        let file = path.display().to_string();
        let bytes = match root.content(path) {
            Content::Absent => return,
            Content::Unreadable(why) => return self.problems.push(format!("{file}: {why}")),
            Content::Bytes(bytes) => bytes,
        };
        let text = String::from_utf8_lossy(&bytes);
        let at = |start: usize| format!("{file}:{}", Position::of(text.as_bytes(), start).line);
        match Document::parse(text.as_ref()) {
            Ok(document) => self.table(&at, "", document.as_item()),
            Err(error) => {
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                let at = at(error.span().map_or(0, |span| span.start));
                self.problems.push(format!("{at}: {message}"));
            }
        }
    }

    /// Takes a table over; `at` says where an offset of the file is.
    fn table(&mut self, at: &dyn Fn(usize) -> String, prefix: &str, item: &Item) {
        for (key, item) in item.as_table_like().into_iter().flat_map(|table| table.iter()) {
            let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            let place = || at(item.span().map_or(0, |span| span.start));
            match item.as_value() {
                Some(Value::Array(array)) => self.set_list(at, &place(), &name, array),
                Some(value) if !value.is_inline_table() => self.set(&place(), &name, value),
                // A table that is no prefix of any setting is wrong even where it is empty.
                _ if !keys().any(|key| key.name.starts_with(&format!("{name}."))) => {
                    self.set(&place(), &name, &Value::from(""));
                }
                _ if item.is_array_of_tables() => {
                    self.problems.push(format!("{}: {name}: write [{name}], once", place()));
                }
                _ => self.table(at, &name, item),
            }
        }
    }

    /// Sets a list; each wrong item is said with its own line.
    fn set_list(&mut self, at: &dyn Fn(usize) -> String, from: &str, name: &str, list: &Array) {
        let key = keys().find(|key| key.name == name);
        let mut scratch = self.loaded.settings.clone();
        let mut wrong = |item: &Value| {
            let alone = Value::Array(Array::from_iter([item.clone()]));
            let problem = (key?.set)(&mut scratch, &alone).err()?;
            let line = item.span().map_or_else(|| from.to_owned(), |span| at(span.start));
            Some(format!("{line}: {name}: {problem}"))
        };
        let wrong: Vec<String> = list.iter().filter_map(&mut wrong).collect();
        if wrong.is_empty() {
            return self.set(from, name, &Value::Array(list.clone()));
        }
        self.problems.extend(wrong);
    }

    fn set(&mut self, from: &str, name: &str, value: &Value) {
        let result = match keys().find(|key| key.name == name) {
            Some(key) => (key.set)(&mut self.loaded.settings, value).map(|()| {
                self.loaded.origins.insert(key.name, from.to_owned());
            }),
            None => Err("no setting has this name".to_owned()),
        };
        if let Err(problem) = result {
            self.problems.push(format!("{from}: {name}: {problem}"));
        }
    }
}

#[cfg(test)]
mod tests;
