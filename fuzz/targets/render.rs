//! A render over a base that the engine reads yields files that the engine reads, and that
//! accept nothing which the documents refuse.
//!
//! The input has three parts with a line `===` between: the configuration, one item a line
//! (see [`Lines`]), registries.conf and policy.json.

#![no_main]

use image_config_agent::decode::{Context, SourceFile, decode};
use image_config_agent::engine::{File, Policy, Registries};
use image_config_agent::model::finding::any_error;
use image_config_agent::model::{ClusterConfig, Meaning, Reference};
use image_config_agent::render::{self, Bases, CertsOnHost, Want};
use image_config_agent_fuzz::images;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, "\n===\n");
    let lines = Lines::of(parts.next().unwrap_or_default());
    let bases = Bases {
        registries_conf: File::new("/registries.conf", parts.next().unwrap_or_default()),
        policies: vec![File::new(
            "/policy.json",
            parts.next().unwrap_or(render::policy::DEFAULT_POLICY),
        )],
        search_drop_in: "/search.conf".into(),
        certs_d: "/certs.d".into(),
        certs: CertsOnHost::default(),
    };
    let accepted = Registries::parse(&bases.registries_conf, &[]).is_ok()
        && bases.policies.iter().all(|policy| Policy::parse(policy).is_ok());
    let Some(config) = lines.config().filter(|_| accepted) else { return };
    check(&config, &bases, images(lines.names.iter().map(String::as_str)));
});

fn check(config: &ClusterConfig, bases: &Bases, images: Vec<Reference>) {
    let (meaning, _) = Meaning::of(config);
    let rendered = render::render(&meaning, bases);
    let refused = rendered.findings.iter().find(|finding| finding.name == "EngineRefuses");
    assert!(refused.is_none(), "{refused:?}\n{:?}", render::write(&meaning, bases));
    let Some(Want::File { bytes, .. }) = rendered.files.get("/policy.json".as_ref()) else {
        return;
    };
    let policy = Policy::parse(&File::new("/policy.json", bytes.clone())).unwrap();
    for image in images {
        let decision = policy.decide("docker", &image);
        let passes = decision.allowed || decision.signature_required;
        assert!(!passes || meaning.pull(&image).accepted, "{image} is accepted");
    }
}

/// `insecure SCOPE`, `blocked SCOPE`, `allowed SCOPE`, `search HOST`, `release IMAGE`, and
/// `digest|tag SOURCE POLICY MIRROR...`.
#[derive(Default)]
struct Lines {
    insecure: Vec<Value>,
    blocked: Vec<Value>,
    allowed: Vec<Value>,
    search: Vec<Value>,
    digest: Vec<Value>,
    tag: Vec<Value>,
    release: Option<String>,
    /// All names in it.
    names: Vec<String>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let mut lines = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(kind), Some(name)) = (words.next(), words.next()) else { continue };
            lines.names.push(name.to_owned());
            match kind {
                "insecure" => lines.insecure.push(name.into()),
                "blocked" => lines.blocked.push(name.into()),
                "allowed" => lines.allowed.push(name.into()),
                "search" => lines.search.push(name.into()),
                "digest" => lines.digest.push(set(name, words)),
                "tag" => lines.tag.push(set(name, words)),
                "release" => lines.release = Some(name.to_owned()),
                _ => {}
            }
        }
        lines
    }

    /// What decode lets pass.
    fn config(&self) -> Option<ClusterConfig> {
        let list = |list: &[Value]| (!list.is_empty()).then(|| list.to_vec());
        let object = |kind: &str, name: &str, spec: Value| {
            let version = "config.openshift.io/v1";
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})
        };
        let sources = json!({
            "insecureRegistries": list(&self.insecure),
            "blockedRegistries": list(&self.blocked),
            "allowedRegistries": list(&self.allowed),
            "containerRuntimeSearchRegistries": list(&self.search),
        });
        let items = json!([
            object("Image", "cluster", json!({"registrySources": sources})),
            object("ImageDigestMirrorSet", "d", json!({"imageDigestMirrors": self.digest})),
            object("ImageTagMirrorSet", "t", json!({"imageTagMirrors": self.tag})),
        ]);
        let documents = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let file = SourceFile { name: "f".to_owned(), bytes: documents.to_string().into_bytes() };
        let context = Context { release_image: self.release.clone(), ..Context::default() };
        let decoded = decode(&[file], &context);
        (!any_error(&decoded.findings)).then_some(decoded.config)
    }
}

fn set<'a>(source: &str, mut words: impl Iterator<Item = &'a str>) -> Value {
    let policy = match words.next() {
        Some("never") => "NeverContactSource",
        Some("allow") => "AllowContactingSource",
        _ => "",
    };
    json!({"source": source, "mirrorSourcePolicy": policy, "mirrors": words.collect::<Vec<_>>()})
}
