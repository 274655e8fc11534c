//! One line of a corpus: what this project makes of its objects, and what upstream makes of them.

use std::path::Path;

use image_config_agent::decode::{self, Context, SourceFile};
use image_config_agent::engine::{File, FileError, Policy, Registries};
use image_config_agent::model::{ClusterConfig, Finding, Meaning, Reference, Severity};
use image_config_agent::render::{self, Bases, CertsOnHost, FileSet, Want};
use serde_json::{Value, json};

const SEARCH: &str = "/etc/containers/registries.conf.d/01-image-searchRegistries.conf";

/// The files that both start from.
pub struct Template {
    registries: String,
    policy: String,
}

impl Template {
    pub fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/template.json");
        let template: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let text = |name: &str| template[name].as_str().unwrap().to_owned();
        Self { registries: text("registries.conf"), policy: text("policy.json") }
    }

    fn bases(&self) -> Bases {
        Bases {
            registries_conf: File::new("/etc/containers/registries.conf", &*self.registries),
            policies: vec![File::new("/etc/containers/policy.json", &*self.policy)],
            search_drop_in: SEARCH.into(),
            certs_d: "/etc/docker/certs.d".into(),
            certs: CertsOnHost::default(),
        }
    }
}

/// What the engine makes of a set of files.
pub struct Files {
    pub registries: Result<Registries, FileError>,
    pub policy: Result<Policy, FileError>,
}

impl Files {
    fn of(registries: &File, policy: &File, search: Option<File>) -> Self {
        Self {
            registries: Registries::parse(registries, search.as_slice()),
            policy: Policy::parse(policy),
        }
    }

    pub fn search(&self) -> Option<&[String]> {
        Some(&self.registries.as_ref().ok()?.search()?.registries)
    }
}

/// A line of a corpus.
pub struct Line {
    pub id: String,
    pub objects: Vec<Value>,
    pub config: ClusterConfig,
    pub meaning: Meaning,
    /// Our findings that keep everything from being written.
    pub errors: Vec<Finding>,
    /// Mirrors that we leave out, because no image can be named there.
    pub unusable_mirrors: Vec<String>,
    pub ours: Files,
    pub upstream: Upstream,
}

/// What upstream makes of a line.
pub struct Upstream {
    /// Why it gave up.
    pub error: Option<String>,
    /// What the API server would have refused.
    pub api_errors: Vec<String>,
    /// Whether it wrote anything at all.
    pub wrote: bool,
    pub files: Files,
}

impl Line {
    pub fn read(line: &Value, template: &Template) -> Self {
        let objects = line["objects"].as_array().unwrap().clone();
        let (config, mut findings) = decode(&objects, line["releaseImage"].as_str());
        let (meaning, found) = Meaning::of(&config);
        let bases = template.bases();
        let rendered = render::render(&meaning, &bases);
        findings.extend(found.into_iter().chain(rendered.findings));
        let unusable = findings.iter().filter(|finding| finding.name == "UnusableMirror");
        Self {
            id: line["id"].as_str().unwrap().to_owned(),
            unusable_mirrors: unusable.filter_map(|finding| finding.value.clone()).collect(),
            ours: ours(&rendered.files, &bases),
            upstream: Upstream::read(&line["expect"], &bases),
            errors: findings.into_iter().filter(|f| f.severity == Severity::Error).collect(),
            objects,
            config,
            meaning,
        }
    }

    pub fn release(&self) -> Option<&Reference> {
        self.config.release.as_ref().map(|(release, _)| release)
    }

    /// Whether the objects block a scope by this very name.
    pub fn lists_blocked(&self, scope: &str) -> bool {
        self.config.blocked.iter().any(|entry| entry.scope.as_str() == scope)
    }

    /// The scopes of ClusterImagePolicy and ImagePolicy objects.
    pub fn policy_scopes(&self) -> impl Iterator<Item = &str> {
        let policies = self.objects.iter().filter(|object| is_image_policy(object));
        let scopes = policies.filter_map(|object| object["spec"]["scopes"].as_array());
        scopes.flatten().filter_map(Value::as_str)
    }
}

impl Upstream {
    /// A file that upstream does not write is that of the template.
    fn read(expect: &Value, bases: &Bases) -> Self {
        let text = |path: &Path| expect[path.file_name().unwrap().to_str().unwrap()].as_str();
        let (main, policy) = (&bases.registries_conf, &bases.policies[0]);
        let written = [&main.path, &policy.path, &bases.search_drop_in].map(|path| text(path));
        let over = |base: &File, text: Option<&str>| {
            text.map_or_else(|| base.clone(), |text| File::new(&base.path, text))
        };
        let search = written[2].map(|text| File::new(SEARCH, text));
        let errors = expect["apiErrors"].as_array().into_iter().flatten();
        Self {
            error: expect["error"].as_str().map(str::to_owned),
            api_errors: errors.map(|error| error.as_str().unwrap().to_owned()).collect(),
            wrote: written.iter().any(Option::is_some),
            files: Files::of(&over(main, written[0]), &over(policy, written[1]), search),
        }
    }
}

fn decode(objects: &[Value], release: Option<&str>) -> (ClusterConfig, Vec<Finding>) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let file = SourceFile { name: "objects.json".to_owned(), bytes: list.to_string().into() };
    let context = Context { release_image: release.map(str::to_owned), ..Context::default() };
    let decoded = decode::decode(&[file], &context);
    (decoded.config, decoded.findings)
}

fn ours(files: &FileSet, bases: &Bases) -> Files {
    let written = |path: &Path| match files.get(path) {
        Some(Want::File { bytes, .. }) => Some(File::new(path, bytes.clone())),
        _ => None,
    };
    let over = |base: &File| written(&base.path).unwrap_or_else(|| base.clone());
    let search = written(&bases.search_drop_in);
    Files::of(&over(&bases.registries_conf), &over(&bases.policies[0]), search)
}

fn is_image_policy(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("ClusterImagePolicy" | "ImagePolicy"))
}
