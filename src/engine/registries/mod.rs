//! registries.conf and its drop-ins: which places a name is pulled from.
//!
//! The rules are those of containers-registries.conf(5) and of the library's package
//! `pkg/sysregistriesv2`, whose functions are named where a rule is theirs.

mod decode;
mod entry;
mod find;
mod sources;

pub use entry::{Mirror, PullFromMirror, Registry};
pub use sources::{Origin, Source, SourcesError};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::decode::Written;
use super::files::{Fault, File, FileError};
use crate::model::Reference;
use crate::model::reference::{is_domain, names_registry};

/// What all files of one host say together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    /// By prefix. Of equal prefixes the last file's stands, whole.
    entries: BTreeMap<String, Registry>,
    search: Option<SearchList>,
    short_name_mode: Option<ShortNameMode>,
    aliases: BTreeMap<String, Alias>,
}

/// Where short names are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchList {
    /// `host[:port]`, in the order in which they are tried.
    pub registries: Vec<String>,
    /// The file that set the list; the last one that does wins, an empty list included.
    pub file: PathBuf,
}

/// A name that stands for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// What it stands for, without tag or digest; `None` takes back an alias of an earlier file.
    pub target: Option<Reference>,
    /// The file that set it.
    pub file: PathBuf,
}

/// What becomes of a short name that could mean several images (`short-name-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShortNameMode {
    /// All of them are tried.
    Disabled,
    /// Somebody is asked where there is a terminal; all of them are tried where there is none.
    #[default]
    Permissive,
    /// Somebody is asked, so that it is an error for an engine without a terminal.
    Enforcing,
}

impl Registries {
    /// Reads the main file and the drop-ins, which come in the order of their names
    /// (`tryUpdatingCache`).
    ///
    /// Files that are absent count as empty: the engine passes over dangling links too.
    ///
    /// # Errors
    /// The first file that the library refuses. It then uses none of them.
    pub fn parse(main: &File, drop_ins: &[File]) -> Result<Self, FileError> {
        let mut merged = Self::parse_file(main, true)?;
        for file in drop_ins {
            merged.update(Self::parse_file(file, false)?);
        }
        Ok(merged)
    }

    /// Reads a main file by its bytes, without drop-ins.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of_bytes(bytes: &[u8], path: &Path) -> Result<Self, FileError> {
        Self::parse_bytes(bytes, path, true)
    }

    fn parse_file(file: &File, is_main: bool) -> Result<Self, FileError> {
        match file.read()? {
            None => Ok(Self::default()),
            Some(bytes) => Self::parse_bytes(bytes, &file.path, is_main),
        }
    }

    /// One file alone; only the main file may be of the old format (`loadConfigFile`).
    fn parse_bytes(bytes: &[u8], path: &Path, is_main: bool) -> Result<Self, FileError> {
        Written::decode(bytes)
            .and_then(|written| Self::from_written(written, is_main, path))
            .map_err(|fault| fault.in_file(path))
    }

    fn from_written(mut written: Written, is_main: bool, file: &Path) -> Result<Self, Fault> {
        if written.v1.is_set() {
            if !is_main {
                return Err(Fault::refused(
                    "a drop-in must not use the old format, [registries.*]",
                )
                .key("registries"));
            }
            if written.has_v2() {
                return Err(Fault::refused("the old and the new format must not be mixed")
                    .key("registries"));
            }
            written = convert_v1(written)?;
        }
        let entries = entry::read_all(written.registries.unwrap_or_default(), file)?;
        let search = written.search.map(|list| read_search(list, file)).transpose()?;
        let short_name_mode = written
            .short_name_mode
            .filter(|mode| !mode.is_empty())
            .map(|mode| ShortNameMode::parse(&mode))
            .transpose()?;
        let aliases = written.aliases.unwrap_or_default();
        let aliases = aliases
            .into_iter()
            .map(|(name, target)| read_alias(name, &target.unwrap_or_default(), file))
            .collect::<Result<_, _>>()?;
        Ok(Self { entries, search, short_name_mode, aliases })
    }

    /// Adds a later file (`updateWithConfigurationFrom`).
    fn update(&mut self, later: Self) {
        self.entries.extend(later.entries);
        self.aliases.extend(later.aliases);
        self.search = later.search.or_else(|| self.search.take());
        self.short_name_mode = later.short_name_mode.or(self.short_name_mode);
    }

    /// The `[[registry]]` entries in force, by prefix.
    pub fn entries(&self) -> impl Iterator<Item = &Registry> {
        self.entries.values()
    }

    /// The search list and the file that set it; `None` where no file does.
    pub fn search(&self) -> Option<&SearchList> {
        self.search.as_ref()
    }

    /// The short-name mode; CRI-O's own `short_name_mode` overrides it.
    pub fn short_name_mode(&self) -> ShortNameMode {
        self.short_name_mode.unwrap_or_default()
    }

    /// The alias of this name, which is without registry, tag and digest.
    pub fn alias(&self, name: &str) -> Option<&Alias> {
        self.aliases.get(name)
    }
}

impl ShortNameMode {
    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "disabled" => Ok(Self::Disabled),
            "permissive" => Ok(Self::Permissive),
            "enforcing" => Ok(Self::Enforcing),
            _ => Err(Fault::refused(format!(
                "{text:?} is none of \"disabled\", \"permissive\" and \"enforcing\""
            ))
            .key("short-name-mode")),
        }
    }
}

/// Rewrites the old format into the new one (`ConvertToV2`).
fn convert_v1(written: Written) -> Result<Written, Fault> {
    let mut flags = BTreeMap::<String, (bool, bool)>::new();
    for location in written.v1.block.unwrap_or_default() {
        flags.entry(entry::read_location(location, "registries.block")?).or_default().0 = true;
    }
    for location in written.v1.insecure.unwrap_or_default() {
        flags.entry(entry::read_location(location, "registries.insecure")?).or_default().1 = true;
    }
    let registry = |(location, (blocked, insecure))| decode::WrittenRegistry {
        endpoint: decode::WrittenEndpoint {
            location: Some(location),
            insecure: Some(insecure),
            pull_from_mirror: None,
        },
        blocked: Some(blocked),
        ..Default::default()
    };
    Ok(Written {
        registries: Some(flags.into_iter().map(registry).collect()),
        search: written.v1.search,
        ..Default::default()
    })
}

fn read_search(list: Vec<String>, file: &Path) -> Result<SearchList, Fault> {
    const KEY: &str = "unqualified-search-registries";
    let registries = list
        .into_iter()
        .map(|entry| {
            let host = entry::read_location(entry.clone(), KEY)?;
            if is_domain(&host) {
                Ok(host)
            } else {
                Err(Fault::refused(format!("{entry:?} is not of the form HOST[:PORT]")).key(KEY))
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(SearchList { registries, file: file.to_owned() })
}

/// `validateShortName` and `parseShortNameValue`.
fn read_alias(name: String, target: &str, file: &Path) -> Result<(String, Alias), Fault> {
    let refused = |problem: String| Fault::refused(problem).key(format!("aliases.{name:?}"));
    let is_bare = |name: &Reference| name.tag().is_none() && name.digest().is_none();
    let parsed = Reference::parse_exact(&name)
        .map_err(|error| refused(format!("the name cannot be an alias: {error}")))?;
    if !is_bare(&parsed) || names_registry(parsed.host()) {
        return Err(refused("an alias has neither registry nor tag nor digest".to_owned()));
    }
    let alias = |target| Alias { target, file: file.to_owned() };
    if target.is_empty() {
        return Ok((name, alias(None)));
    }
    let no_target =
        |error: String| refused(format!("{target:?} cannot be what an alias stands for: {error}"));
    let parsed = Reference::parse_exact(target).map_err(|error| no_target(error.to_string()))?;
    if !is_bare(&parsed) || !names_registry(parsed.host()) {
        return Err(no_target("it needs a registry and must not have a tag or digest".to_owned()));
    }
    let full = Reference::parse(target).map_err(|error| no_target(error.to_string()))?;
    Ok((name, alias(Some(full))))
}
