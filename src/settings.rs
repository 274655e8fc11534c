//! The agent's own settings: drop-in TOML files, then the environment, then flags; what comes
//! later wins. All that is wrong with them is said at once.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use toml_edit::{DocumentMut, Item, Value};

use crate::host::{Content, Paths, Root};
use crate::model::Reference;
use crate::model::reference::is_short_name;
use crate::plan::RuntimeAction;

/// Where drop-in files lie below the root, in the order in which they are read.
const DIRECTORIES: [&str; 3] = [
    "/usr/lib/image-config-agent/conf.d",
    "/run/image-config-agent/conf.d",
    "/etc/image-config-agent/conf.d",
];

const ENVIRONMENT: &str = "IMAGE_CONFIG_AGENT_";

/// What becomes of a change that would lock the host out (rule H8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guard {
    /// It is refused.
    #[default]
    Enforce,
    /// It is made, with a warning.
    Warn,
    /// Nobody looks.
    Off,
}

/// What becomes of files of ours that others change (rule H9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriftAction {
    /// They are put right.
    #[default]
    Heal,
    /// It is said.
    Report,
}

/// The engine, and how it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Whether systemd is asked at all; unset: for the root `/` it is (rule X2).
    pub is_managed: Option<bool>,
    /// What the engine is told.
    pub action: RuntimeAction,
    /// Its unit.
    pub unit: String,
    /// Its socket, below the root.
    pub socket: PathBuf,
    /// How long a restart may take until the engine answers.
    pub restart_deadline: Duration,
    /// How long a reload may take until the engine confirms it.
    pub reload_deadline: Duration,
}

/// All settings, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Every path that is read or written, as the host sees it.
    pub paths: Paths,
    /// Where the ConfigMap that `additionalTrustedCA` names lives.
    pub trusted_ca_namespace: String,
    /// What becomes of a change that would lock the host out.
    pub guard: Guard,
    /// Images that the host cannot live without, beside those found on it.
    pub guard_images: Vec<String>,
    /// Files and directories of documents that `run` obeys.
    pub sources: Vec<PathBuf>,
    /// The release payload's image, which is never locked out.
    pub release_image: Option<String>,
    /// The engine, and how it is told.
    pub runtime: Runtime,
    /// What becomes of files of ours that others change.
    pub drift: DriftAction,
    /// How long documents must have stayed as they are before they count.
    pub quiet: Duration,
    /// How often all is looked at again although nobody said that anything changed.
    pub recheck: Duration,
    /// The image that the agent itself runs from, if it runs from one.
    pub agent_image: Option<String>,
    /// Where the kubelet finds static pods: directories or files.
    pub static_pods: Vec<PathBuf>,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            is_managed: None,
            action: RuntimeAction::default(),
            unit: "crio.service".to_owned(),
            socket: PathBuf::from("/var/run/crio/crio.sock"),
            restart_deadline: Duration::from_secs(90),
            reload_deadline: Duration::from_secs(15),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            paths: Paths::default(),
            trusted_ca_namespace: "openshift-config".to_owned(),
            guard: Guard::default(),
            guard_images: Vec::new(),
            sources: vec![PathBuf::from("/etc/image-config-agent/cluster.d")],
            release_image: None,
            runtime: Runtime::default(),
            drift: DriftAction::default(),
            quiet: Duration::from_secs(1),
            recheck: Duration::from_secs(600),
            agent_image: None,
            // Of kubeadm and OpenShift.
            static_pods: vec!["/etc/kubernetes/manifests".into()],
        }
    }
}

/// One setting.
pub struct Key {
    /// Its dotted name in TOML and after `--set`.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    set: fn(&mut Settings, &Value) -> Result<(), String>,
}

impl Key {
    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{ENVIRONMENT}{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// Every setting there is.
pub const KEYS: [Key; 27] = [
    Key {
        name: "trusted_ca_namespace",
        about: "namespace of the ConfigMap that additionalTrustedCA names",
        set: |s, v| text(v).map(|name| s.trusted_ca_namespace = name),
    },
    Key {
        name: "guard",
        about: "enforce, warn or off: what becomes of a change that would lock the host out",
        set: |s, v| {
            let words = [("enforce", Guard::Enforce), ("warn", Guard::Warn), ("off", Guard::Off)];
            word(v, &words).map(|guard| s.guard = guard)
        },
    },
    Key {
        name: "guard_images",
        about: "images that the host cannot live without (a list; comma-separated in flags)",
        set: |s, v| list(v, image).map(|images| s.guard_images = images),
    },
    Key {
        name: "agent_image",
        about: "the agent's own image, which the guard protects; a DaemonSet sets it",
        set: |s, v| image(v).map(|image| s.agent_image = Some(image)),
    },
    Key {
        name: "static_pods",
        about: "directories or files of static pods, which the guard protects (a list; comma-separated in flags)",
        set: |s, v| list(v, path).map(|paths| s.static_pods = paths),
    },
    Key {
        name: "source.files",
        about: "files and directories of documents that the service obeys (a list)",
        set: |s, v| list(v, path).map(|paths| s.sources = paths),
    },
    Key {
        name: "source.quiet_seconds",
        about: "how long documents must have stayed as they are before they count",
        set: |s, v| seconds(v).map(|quiet| s.quiet = quiet),
    },
    Key {
        name: "source.recheck_seconds",
        about: "how often all is looked at again without an occasion",
        set: |s, v| seconds(v).map(|recheck| s.recheck = recheck),
    },
    Key {
        name: "release_image",
        about: "the image of the release payload, which is never locked out",
        set: |s, v| text(v).map(|image| s.release_image = Some(image)),
    },
    Key {
        name: "drift",
        about: "heal or report: what becomes of our files that others change",
        set: |s, v| {
            word(v, &[("heal", DriftAction::Heal), ("report", DriftAction::Report)])
                .map(|drift| s.drift = drift)
        },
    },
    Key {
        name: "runtime.manager",
        about: "systemd or none: who is asked to restart the engine; unset: systemd where the root is /",
        set: |s, v| {
            word(v, &[("systemd", true), ("none", false)]).map(|is| s.runtime.is_managed = Some(is))
        },
    },
    Key {
        name: "runtime.action",
        about: "restart, reload or auto (the least that a change needs): what the engine is told",
        set: |s, v| {
            let words = [
                ("restart", RuntimeAction::Restart),
                ("reload", RuntimeAction::Reload),
                ("auto", RuntimeAction::Auto),
            ];
            word(v, &words).map(|action| s.runtime.action = action)
        },
    },
    Key {
        name: "runtime.unit",
        about: "the engine's unit",
        set: |s, v| unit(v).map(|unit| s.runtime.unit = unit),
    },
    Key {
        name: "runtime.socket",
        about: "the engine's socket",
        set: |s, v| path(v).map(|path| s.runtime.socket = path),
    },
    Key {
        name: "runtime.restart_seconds",
        about: "how long a restart may take until the engine answers",
        set: |s, v| seconds(v).map(|time| s.runtime.restart_deadline = time),
    },
    Key {
        name: "runtime.reload_seconds",
        about: "how long a reload may take until the engine confirms it",
        set: |s, v| seconds(v).map(|time| s.runtime.reload_deadline = time),
    },
    Key {
        name: "paths.policy",
        about: "policy.json",
        set: |s, v| path(v).map(|path| s.paths.policy = path),
    },
    Key {
        name: "paths.vendor_policy",
        about: "the vendor's policy.json",
        set: |s, v| path(v).map(|path| s.paths.vendor_policy = path),
    },
    Key {
        name: "paths.registries_conf",
        about: "registries.conf",
        set: |s, v| path(v).map(|path| s.paths.registries_conf = path),
    },
    Key {
        name: "paths.vendor_registries_conf",
        about: "the vendor's registries.conf",
        set: |s, v| path(v).map(|path| s.paths.vendor_registries_conf = path),
    },
    Key {
        name: "paths.registries_conf_d",
        about: "the directory of drop-ins to registries.conf",
        set: |s, v| path(v).map(|path| s.paths.registries_conf_d = path),
    },
    Key {
        name: "paths.search_drop_in",
        about: "the drop-in for the search list",
        set: |s, v| path(v).map(|path| s.paths.search_drop_in = path),
    },
    Key {
        name: "paths.certs_d",
        about: "the directory of trusted CAs",
        set: |s, v| path(v).map(|path| s.paths.certs_d = path),
    },
    Key {
        name: "paths.masking_certs_d",
        about: "the directory of trusted CAs that masks the former",
        set: |s, v| path(v).map(|path| s.paths.masking_certs_d = path),
    },
    Key {
        name: "paths.crio_conf",
        about: "CRI-O's crio.conf",
        set: |s, v| path(v).map(|path| s.paths.crio_conf = path),
    },
    Key {
        name: "paths.crio_conf_d",
        about: "CRI-O's drop-ins",
        set: |s, v| path(v).map(|path| s.paths.crio_conf_d = path),
    },
    Key {
        name: "paths.crio_policies",
        about: "CRI-O's policies by namespace",
        set: |s, v| path(v).map(|path| s.paths.crio_policies = path),
    },
];

/// What is wrong with the settings: all of it, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(Vec<String>);

impl Settings {
    /// Reads the drop-ins below `root`, then `environment`, then `flags` of the form `KEY=VALUE`.
    ///
    /// # Errors
    /// Everything that is wrong in any of them.
    pub fn load(
        root: &Root,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, SettingsError> {
        let mut loader = Loader { settings: Self::default(), problems: Vec::new() };
        for directory in DIRECTORIES.map(Path::new) {
            loader.directory(root, directory);
        }
        let mut variables: Vec<_> =
            environment.filter(|(name, _)| name.starts_with(ENVIRONMENT)).collect();
        variables.sort();
        for (name, value) in variables.iter().filter(|(name, _)| !is_service_link(name)) {
            match KEYS.iter().find(|key| key.variable() == *name) {
                Some(key) => loader.set(name, key.name, &Value::from(value)),
                None => loader.problems.push(format!("{name}: no setting has this name")),
            }
        }
        for flag in flags {
            match flag.split_once('=') {
                Some((key, value)) => loader.set("--set", key, &Value::from(value)),
                None => loader.problems.push(format!("--set {flag}: write KEY=VALUE")),
            }
        }
        if loader.problems.is_empty() {
            Ok(loader.settings)
        } else {
            Err(SettingsError(loader.problems))
        }
    }
}

/// Kubernetes sets variables for a Service of the agent's name; they are no settings.
fn is_service_link(name: &str) -> bool {
    let name = name.strip_prefix(ENVIRONMENT).unwrap_or(name);
    name.starts_with("SERVICE_") || name == "PORT" || name.starts_with("PORT_")
}

struct Loader {
    settings: Settings,
    problems: Vec<String>,
}

impl Loader {
    fn directory(&mut self, root: &Root, directory: &Path) {
        let names = match root.list(directory) {
            Ok(names) => names.unwrap_or_default(),
            Err(error) => return self.problems.push(error.to_string()),
        };
        for name in names.iter().filter(|name| name.as_encoded_bytes().ends_with(b".toml")) {
            let path = directory.join(name);
            match root.content(&path) {
                Content::Absent => {}
                Content::Unreadable(why) => {
                    self.problems.push(format!("{}: {why}", path.display()));
                }
                Content::Bytes(bytes) => self.file(&path, &bytes),
            }
        }
    }

    fn file(&mut self, path: &Path, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        match text.parse::<DocumentMut>() {
            Ok(document) => self.table(&path.display().to_string(), "", document.as_item()),
            Err(error) => self.problems.push(format!("{}: {error}", path.display())),
        }
    }

    fn table(&mut self, file: &str, prefix: &str, item: &Item) {
        for (key, item) in item.as_table_like().into_iter().flat_map(|table| table.iter()) {
            let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            match item.as_value() {
                Some(value) if !value.is_inline_table() => self.set(file, &name, value),
                _ => self.table(file, &name, item),
            }
        }
    }

    fn set(&mut self, from: &str, name: &str, value: &Value) {
        let result = match KEYS.iter().find(|key| key.name == name) {
            Some(key) => (key.set)(&mut self.settings, value),
            None => Err("no setting has this name".to_owned()),
        };
        if let Err(problem) = result {
            self.problems.push(format!("{from}: {name}: {problem}"));
        }
    }
}

fn text(value: &Value) -> Result<String, String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| "write a text".to_owned())
}

fn path(value: &Value) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(value)?);
    let is_plain =
        path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && is_plain {
        Ok(path)
    } else {
        Err("write an absolute path without ..".to_owned())
    }
}

fn image(value: &Value) -> Result<String, String> {
    let image = text(value)?;
    if Reference::parse(&image).is_ok() && !is_short_name(&image) {
        Ok(image)
    } else {
        Err("write the full name of an image, with its registry".to_owned())
    }
}

/// `item` of each; a text is a list with commas between.
fn list<T>(value: &Value, item: fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        Value::Array(array) => array.iter().map(item).collect(),
        _ => text(value)?.split(',').map(|part| item(&Value::from(part.trim()))).collect(),
    }
}

/// One of some words, each with what it stands for.
fn word<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("write {}", words.join(" or "))
    })
}

fn unit(value: &Value) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let name = text(value)?;
    if name.ends_with(".service") && name.chars().all(is_plain) {
        Ok(name)
    } else {
        Err("write the name of a .service".to_owned())
    }
}

/// Whole seconds, up to a day, as a number or as a text.
fn seconds(value: &Value) -> Result<Duration, String> {
    let number = value.as_integer().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    match number.and_then(|number| u64::try_from(number).ok()) {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("write a number of seconds from 1 to 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        files: &[(&str, &str)],
        variables: &[(&str, &str)],
        flags: &[&str],
    ) -> Result<Settings, String> {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let root = Root::open(root.path()).unwrap();
        Settings::load(&root, variables, &flags).map_err(|error| error.to_string())
    }

    #[test]
    fn later_sources_win() {
        let vendor =
            ("usr/lib/image-config-agent/conf.d/10.toml", "[paths]\npolicy = '/a'\ncerts_d = '/c'");
        let admin =
            ("etc/image-config-agent/conf.d/10.toml", "paths.policy = '/b'\nguard = 'warn'");
        let settings = load(&[vendor, admin], &[], &[]).unwrap();
        assert_eq!(settings.paths.policy, Path::new("/b"));
        assert_eq!(settings.paths.certs_d, Path::new("/c"));
        assert_eq!(settings.guard, Guard::Warn);
        let variable = ("IMAGE_CONFIG_AGENT_PATHS_POLICY", "/v");
        assert_eq!(load(&[admin], &[variable], &[]).unwrap().paths.policy, Path::new("/v"));
        let flagged = load(&[admin], &[variable], &["paths.policy=/f"]).unwrap();
        assert_eq!(flagged.paths.policy, Path::new("/f"));
    }

    #[test]
    fn all_mistakes_are_said_at_once() {
        let file = (
            "etc/image-config-agent/conf.d/x.toml",
            "gaurd = 'off'\n[paths]\npolicy = 'relative'\ncerts_d = 1",
        );
        let variables =
            [("IMAGE_CONFIG_AGENT_NONSENSE", "1"), ("IMAGE_CONFIG_AGENT_SERVICE_HOST", "x")];
        let error = load(&[file], &variables, &["guard=maybe", "guard"]).unwrap_err();
        for part in
            ["gaurd", "paths.policy", "paths.certs_d", "NONSENSE", "write enforce", "KEY=VALUE"]
        {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("SERVICE_HOST"));
    }

    #[test]
    fn paths_cannot_climb() {
        assert!(load(&[], &[], &["paths.policy=/etc/../x"]).is_err());
    }

    #[test]
    fn every_key_can_be_set() {
        for key in KEYS {
            let value = match key.name {
                "guard" => "off",
                "drift" => "report",
                "runtime.manager" => "none",
                "runtime.action" => "auto",
                "runtime.unit" => "x.service",
                name if name.ends_with("_seconds") => "7",
                "guard_images" | "agent_image" => "a.io/x:1",
                _ => "/x",
            };
            let settings = load(&[], &[(&key.variable(), value)], &[]).unwrap();
            assert_ne!(settings, Settings::default(), "{}", key.name);
        }
    }

    #[test]
    fn every_key_is_documented() {
        let document = std::fs::read_to_string("docs/settings.md").unwrap();
        for key in KEYS {
            let row = format!("| `{}` | `{}` | {} |", key.name, key.variable(), key.about);
            assert!(document.contains(&row), "{row}");
        }
    }
}
