//! Reading the settings, and remembering where each comes from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, Value};

use super::Settings;
use super::keys::{ENVIRONMENT, keys};
use crate::engine::Position;
use crate::host::{Content, Root};

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
        by_name.retain(|name, _| name.as_encoded_bytes().ends_with(b".toml"));
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
mod tests {
    use super::*;
    use crate::settings::{DriftAction, Guard};

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
        let variables = variables.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let root = Root::open(root.path()).unwrap();
        Settings::load(&root, variables, &flags).map_err(|error| error.to_string())
    }

    #[test]
    fn later_sources_win() {
        let vendor = (
            "usr/lib/image-config-agent/config.d/05.toml",
            "[paths]\npolicy = '/a'\ncerts_d = '/c'",
        );
        let admin =
            ("etc/image-config-agent/config.d/10.toml", "paths.policy = '/b'\nguard = 'warn'");
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
            "etc/image-config-agent/config.d/x.toml",
            "gaurd = 'off'\n[paths]\npolicy = 'relative'\ncerts_d = 1",
        );
        let variables = [("IMAGE_CONFIG_AGENT_NONSENSE", "1")];
        let error = load(&[file], &variables, &["guard=maybe", "guard"]).unwrap_err();
        for part in
            ["gaurd", "paths.policy", "paths.certs_d", "NONSENSE", "write enforce", "KEY=VALUE"]
        {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn k6_names_of_service_links_are_no_unknown_settings() {
        let links = [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_WEB",
            "PORT",
            "PORT_443_TCP",
            "PORT_443_TCP_PROTO",
            "PORT_443_TCP_PORT",
            "PORT_443_TCP_ADDR",
            // Of a Service image-config-agent-metrics.
            "METRICS_SERVICE_HOST",
            "METRICS_SERVICE_PORT_HTTP",
            "METRICS_PORT",
            "METRICS_PORT_53_UDP_ADDR",
        ];
        let names = links.map(|name| format!("IMAGE_CONFIG_AGENT_{name}"));
        let variables: Vec<_> =
            names.iter().map(|name| (name.as_str(), "tcp://10.0.0.1")).collect();
        assert_eq!(load(&[], &variables, &[]), Ok(Settings::default()));
        for name in ["SERVICE_HOSTS", "PORT_X_TCP", "PORT_443", "PORT_443_HTTP", "PORTS"] {
            let error = load(&[], &[(&format!("IMAGE_CONFIG_AGENT_{name}"), "x")], &[]);
            assert!(error.unwrap_err().contains("no setting has this name"), "{name}");
        }
    }

    #[test]
    fn a_table_that_is_written_as_a_list_is_a_mistake() {
        let file = "etc/image-config-agent/config.d/x.toml";
        let text = "guard = 'off'\n[[paths]]\npolicy = '/x'\n[[nonsense]]\n";
        let error = load(&[(file, text)], &[], &[]).unwrap_err();
        assert_eq!(
            error,
            "/etc/image-config-agent/config.d/x.toml:2: paths: write [paths], once\n\
             /etc/image-config-agent/config.d/x.toml:4: nonsense: no setting has this name"
        );
    }

    #[test]
    fn what_is_right_counts_where_all_must_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("etc/image-config-agent/config.toml");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // The last line goes with no other, which does not matter either.
        let text = "gaurd = 'off'\ndrift = 'report'\nsource.order = ['endpoint']\n";
        std::fs::write(file, text).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let load = |flags: &[&str]| {
            let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
            Settings::load_what_is_right(&root, std::iter::empty(), &flags)
        };
        let (settings, wrong) = load(&["guard=warn"]).unwrap();
        assert_eq!((settings.drift, settings.guard), (DriftAction::Report, Guard::Warn));
        assert_eq!(wrong.len(), 2);
        for (line, problem) in
            wrong.iter().zip(["config.toml:1: gaurd", "config.toml:3: source.order"])
        {
            assert!(line.contains(problem), "{line}");
        }
        assert!(load(&["guard=maybe"]).unwrap_err().to_string().contains("write enforce"));
    }

    #[test]
    fn a_mistake_is_said_with_its_line() {
        let file = "etc/image-config-agent/config.d/x.toml";
        let error = |text| load(&[(file, text)], &[], &[]).unwrap_err();
        assert_eq!(
            error("guard = 'off'\n\n[runtime]\nspeed = 1\naction = 'stop'\n"),
            "/etc/image-config-agent/config.d/x.toml:4: runtime.speed: no setting has this name\n\
             /etc/image-config-agent/config.d/x.toml:5: runtime.action: write restart or reload or auto"
        );
        assert!(
            error("[gaurd]\n").starts_with("/etc/image-config-agent/config.d/x.toml:1: gaurd:")
        );
        let broken = error("guard = 'off'\nguard\n");
        assert!(broken.starts_with("/etc/image-config-agent/config.d/x.toml:2: "), "{broken}");
    }

    #[test]
    fn a_drop_in_of_a_later_directory_masks_one_of_its_name() {
        let vendor =
            ("usr/lib/image-config-agent/config.d/10.toml", "guard = 'off'\ndrift = 'report'");
        let admin = ("etc/image-config-agent/config.d/10.toml", "guard = 'warn'");
        let settings = load(&[vendor, admin], &[], &[]).unwrap();
        assert_eq!((settings.guard, settings.drift), (Guard::Warn, DriftAction::Heal));
        // Otherwise all count in the order of their names, after the main file.
        let main = ("etc/image-config-agent/config.toml", "guard = 'warn'");
        let settings = load(&[vendor, main], &[], &[]).unwrap();
        assert_eq!((settings.guard, settings.drift), (Guard::Off, DriftAction::Report));
    }

    #[test]
    fn paths_cannot_climb() {
        assert!(load(&[], &[], &["paths.policy=/etc/../x"]).is_err());
    }

    #[test]
    fn every_key_can_be_set() {
        for key in keys() {
            let value = match key.name {
                "guard" => "off",
                "drift" => "report",
                "runtime.manager" => "none",
                "runtime.action" => "auto",
                "runtime.unit" => "x.service",
                "node.drain" => "always",
                "node.max_unavailable" => "10%",
                "node.max_degraded" => "3",
                "node.pool" => "zone=a,!spare",
                "kube.namespace" => "x",
                "metrics.listen" => "unix:/run/x.sock",
                "log.filter" => "warn,x=debug",
                "log.format" => "json",
                "source.order" => "files,endpoint",
                "endpoint.allow_http" | "report.allow_http" => "true",
                "endpoint.url" | "report.url" => "https://a.io/x",
                "report.method" => "POST",
                name if name.ends_with("_seconds") => "7",
                "kube.node" => "a.b-1",
                "kube.on_missing" => "revert",
                "kube.release_image" => "true",
                "kube.manage_mco_nodes" => "true",
                "guard_images" | "agent_image" => "a.io/x:1",
                _ => "/x",
            };
            let settings = load(&[], &[(&key.variable(), value)], &others(key.name)).unwrap();
            assert_ne!(settings, Settings::default(), "{}", key.name);
            assert_eq!((key.show)(&settings), value, "{}", key.name);
        }
    }

    /// What a setting cannot be without.
    fn others(name: &str) -> Vec<&'static str> {
        match name {
            "source.order" => vec!["endpoint.url=https://a.io/x"],
            "endpoint.client_certificate" => vec!["endpoint.client_key=/x"],
            "endpoint.client_key" => vec!["endpoint.client_certificate=/x"],
            "endpoint.user" => vec!["endpoint.password_file=/x"],
            "endpoint.password_file" => vec!["endpoint.user=x"],
            "report.client_certificate" => vec!["report.client_key=/x"],
            "report.client_key" => vec!["report.client_certificate=/x"],
            "report.user" => vec!["report.password_file=/x"],
            "report.password_file" => vec!["report.user=x"],
            _ => Vec::new(),
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        for (flags, problem) in [
            (&["source.order=endpoint"][..], "endpoint.url"),
            (&["source.order=files,files"], "each once"),
            (&["endpoint.url=http://a.io/x"], "allow_http"),
            (&["endpoint.url=ftp://a.io/x"], "https://"),
            (&["endpoint.url=https://u:secret@a.io/x"], "settings of their own"),
            (&["report.url=nonsense"], "no URL"),
            (&["endpoint.client_key=/x"], "client_certificate"),
            (&["report.user=x"], "password_file"),
            (&["report.user=x", "report.password_file=/x", "report.token_file=/x"], "not both"),
        ] {
            let error = load(&[], &[], flags).unwrap_err();
            assert!(error.contains(problem) && !error.contains("secret"), "{flags:?}: {error}");
        }
        // Where it stands, and for the name that this node has.
        let file =
            ("etc/image-config-agent/config.d/x.toml", "\n[endpoint]\nurl = 'https://{node}/x'");
        load(&[file], &[], &["kube.node=n1"]).unwrap();
        let error = load(&[file], &[], &["kube.node=1.2.3.4.5"]).unwrap_err();
        let begin = "/etc/image-config-agent/config.d/x.toml:3: endpoint.url: it is no URL";
        assert!(error.starts_with(begin), "{error}");
        let through = ["endpoint.url=http://a.io/{node}", "endpoint.socket=/x"];
        let settings = load(&[], &[], &through).unwrap();
        let url = settings.endpoint.server.url("n1").unwrap().unwrap();
        assert_eq!(url.as_str(), "http://a.io/n1");
    }
}
