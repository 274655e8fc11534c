//! The agent as its users meet it: the binary, a scratch folder that plays the host, and
//! documents beside it.
// Each test target uses its part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image_config_agent::explain::{Entry, explain};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const REGISTRIES: &str = "/etc/containers/registries.conf";
pub const SEARCH: &str = "/etc/containers/registries.conf.d/01-image-searchRegistries.conf";
pub const POLICY: &str = "/etc/containers/policy.json";
pub const CRIO_POLICY: &str = "/etc/crio/policy.json";
pub const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

/// Two self-signed certificates, for localhost and of no use.
pub const CA: &str = include_str!("ca.crt");
pub const OTHER_CA: &str = include_str!("other-ca.crt");

pub fn image(sources: Value) -> Value {
    image_spec(json!({ "registrySources": sources }))
}

pub fn image_spec(spec: Value) -> Value {
    json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Image",
        "metadata": {"name": "cluster"}, "spec": spec,
    })
}

/// An ImageDigestMirrorSet of one source.
pub fn idms(name: &str, mirrors: Value) -> Value {
    mirror_set(
        "config.openshift.io/v1",
        "ImageDigestMirrorSet",
        "imageDigestMirrors",
        name,
        mirrors,
    )
}

/// An ImageTagMirrorSet of one source.
pub fn itms(name: &str, mirrors: Value) -> Value {
    mirror_set("config.openshift.io/v1", "ImageTagMirrorSet", "imageTagMirrors", name, mirrors)
}

/// An ImageContentSourcePolicy of one source.
pub fn icsp(name: &str, mirrors: Value) -> Value {
    let (version, kind) = ("operator.openshift.io/v1alpha1", "ImageContentSourcePolicy");
    mirror_set(version, kind, "repositoryDigestMirrors", name, mirrors)
}

fn mirror_set(version: &str, kind: &str, list: &str, name: &str, mirrors: Value) -> Value {
    json!({
        "apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": {list: [mirrors]},
    })
}

pub fn config_map(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "openshift-config"}, "data": data,
    })
}

/// The Image that trusts the ConfigMap `ca`, and that ConfigMap.
pub fn trusting(data: Value) -> [Value; 2] {
    [image_spec(json!({"additionalTrustedCA": {"name": "ca"}})), config_map("ca", data)]
}

pub struct Host {
    dir: TempDir,
}

impl Host {
    /// An empty host, and no documents.
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::create_dir(dir.path().join("docs")).unwrap();
        Self { dir }
    }

    /// A host with `documents`.
    pub fn with(documents: &[Value]) -> Self {
        let host = Self::new();
        host.documents(documents);
        host
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub fn docs(&self) -> PathBuf {
        self.dir.path().join("docs")
    }

    /// Where a path of the host lies.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// These in place of all documents.
    pub fn documents(&self, documents: &[Value]) -> &Self {
        fs::remove_dir_all(self.docs()).unwrap();
        fs::create_dir(self.docs()).unwrap();
        for (index, document) in documents.iter().enumerate() {
            self.document(&format!("{index:03}.json"), document.to_string());
        }
        self
    }

    pub fn document(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.docs().join(name), bytes).unwrap();
        self
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
        self
    }

    pub fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn link(&self, path: &str, target: &str) -> &Self {
        let at = self.at(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
        self
    }

    pub fn mkdir(&self, path: &str) -> &Self {
        fs::create_dir_all(self.at(path)).unwrap();
        self
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap()
    }

    pub fn exists(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// The requirements in policy.json of `transport` for `scope`, in a word.
    pub fn policy(&self, transport: &str, scope: &str) -> Option<String> {
        let policy = self.json(POLICY);
        let requirements = policy["transports"][transport].get(scope)?;
        Some(requirements[0]["type"].as_str().unwrap().to_owned())
    }

    /// Everything below the root: kinds, modes, times, bytes.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        collect(&self.root(), &mut files);
        files
    }

    /// The host's own files, without the agent's state: kinds, modes, bytes.
    pub fn own_files(&self) -> BTreeMap<PathBuf, String> {
        let state = self.at("/var");
        let without_times =
            |text: String| text.split_once('|').map(|(_, rest)| rest.to_owned()).unwrap();
        let files = self.snapshot().into_iter().filter(|(path, _)| !path.starts_with(&state));
        files.map(|(path, text)| (path, without_times(text))).collect()
    }

    /// The agent with `arguments` on this host.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, "")
    }

    /// The same with something on standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        let root = self.root();
        agent(|agent| agent.args(arguments).arg("--root").arg(root), input)
    }

    /// A command on the documents, reported as JSON.
    pub fn on_documents(&self, command: &str) -> Run {
        let docs = self.docs();
        let docs = docs.to_str().unwrap();
        match command {
            "render" => self.run(&["render", "-f", docs]),
            _ => self.run(&[command, "-f", docs, "-o", "json"]),
        }
    }

    /// Applies the documents.
    pub fn apply(&self) -> Run {
        self.on_documents("apply")
    }

    /// Plans the documents.
    pub fn plan(&self) -> Run {
        self.on_documents("plan")
    }

    /// What the files on disk mean for one image.
    pub fn check(&self, reference: &str) -> Value {
        self.run(&["check", "-o", "json", reference]).json()
    }

    /// The verdict of [`Host::check`].
    pub fn verdict(&self, reference: &str) -> String {
        self.check(reference)["verdict"].as_str().unwrap().to_owned()
    }

    /// The places of [`Host::check`], each with its flags.
    pub fn places(&self, reference: &str) -> Vec<String> {
        let answer = self.check(reference);
        answer["sources"].as_array().unwrap().iter().map(place).collect()
    }
}

fn place(source: &Value) -> String {
    let flag = |name: &str| if source[name] == true { format!(" {name}") } else { String::new() };
    format!("{}{}{}", source["ref"].as_str().unwrap(), flag("insecure"), flag("blocked"))
}

fn collect(dir: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let content = if meta.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else if meta.is_file() {
            String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
        } else {
            String::new()
        };
        let time = format!("{}.{}", meta.mtime(), meta.mtime_nsec());
        files.insert(path.clone(), format!("{time}|{:o} {content}", meta.mode()));
        if meta.is_dir() {
            collect(&path, files);
        }
    }
}

/// The agent alone, free of what the environment sets.
pub fn agent(with: impl FnOnce(&mut Command) -> &mut Command, input: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image-config-agent"));
    command.env_clear().env("NO_COLOR", "1");
    let command = with(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads no input may be gone before it is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// What a run of the agent left.
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    /// Standard output, one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// The findings of a report. Each weighs what docs/findings.md says.
    #[track_caller]
    pub fn findings(&self) -> Vec<Value> {
        let findings = self.json()["findings"].as_array().unwrap().clone();
        for finding in &findings {
            let text = |key: &str| finding[key].as_str().unwrap();
            let is_explained = |entry: &Entry| entry.weight.contains(text("severity"));
            assert!(explain(text("name")).any(is_explained), "{finding}");
        }
        findings
    }

    /// The names of the findings of a report.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        let name = |finding: &Value| finding["name"].as_str().unwrap().to_owned();
        self.findings().iter().map(name).collect()
    }

    /// The one finding of this name.
    #[track_caller]
    pub fn finding(&self, name: &str) -> Value {
        let mut named: Vec<_> =
            self.findings().into_iter().filter(|finding| finding["name"] == name).collect();
        assert_eq!(named.len(), 1, "{name}: {}", self.out);
        named.remove(0)
    }

    /// Asserts one finding by severity, name and place.
    #[track_caller]
    pub fn finds(self, severity: &str, name: &str, object: &str, field: &str) -> Self {
        let finding = self.finding(name);
        assert_eq!(finding["severity"], severity, "{finding}");
        assert_eq!(finding["object"], object, "{finding}");
        assert_eq!(finding.get("field").and_then(Value::as_str).unwrap_or_default(), field);
        self
    }

    /// The paths that changed, with how.
    #[track_caller]
    pub fn changes(&self) -> Vec<String> {
        let change = |change: &Value| {
            format!("{} {}", change["change"].as_str().unwrap(), change["path"].as_str().unwrap())
        };
        self.json()["changes"].as_array().unwrap().iter().map(change).collect()
    }
}
