//! Random configurations, references and bases around a small set of names, so that they meet.

use image_config_agent::model::config::{Entry, MirrorSet, PullKind, SourcePolicy};
use image_config_agent::model::{ClusterConfig, Origin, Reference, Scope};
use proptest::prelude::*;
use proptest::sample::select;

const HOSTS: [&str; 9] = [
    "quay.io",
    "reg.corp.io",
    "a.corp.io",
    "corp.io",
    "reg.corp.io:5000",
    "localhost",
    "localhost:5000",
    "docker.io",
    "b.a.corp.io:8443",
];
const WILDCARDS: [&str; 4] = ["*.io", "*.corp.io", "*.a.corp.io", "*.example.com"];
const PATHS: [&str; 6] = ["", "/ns", "/ns/app", "/ns/app/sub", "/other", "/library/app"];
const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

fn repository() -> impl Strategy<Value = String> {
    (select(&HOSTS[..]), select(&PATHS[..])).prop_map(|(host, path)| format!("{host}{path}"))
}

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

/// A scope without tag or digest.
fn source() -> impl Strategy<Value = Scope> {
    prop_oneof![4 => repository(), 1 => select(&WILDCARDS[..]).prop_map(String::from)]
        .prop_map(|text| scope(&text))
}

fn image_scope() -> impl Strategy<Value = Scope> {
    (select(&HOSTS[..]), select(&PATHS[1..]), select(&[":v1", ":latest"][..]), any::<bool>())
        .prop_map(|(host, path, tag, by_digest)| {
            let version = if by_digest { format!("@{DIGEST}") } else { tag.to_owned() };
            scope(&format!("{host}{path}{version}"))
        })
}

fn entries(most: usize) -> impl Strategy<Value = Vec<Entry>> {
    let any_scope = prop_oneof![4 => source(), 1 => image_scope()];
    let entry =
        any_scope.prop_map(|scope| Entry { scope, origin: Origin::object("Image/cluster") });
    prop::collection::vec(entry, 0..most)
}

fn mirror_set() -> impl Strategy<Value = MirrorSet> {
    let kind = select(&[PullKind::Digest, PullKind::Tag][..]);
    let mirrors = prop::collection::vec(repository().prop_map(|text| scope(&text)), 0..4);
    (kind, source(), mirrors).prop_map(|(kind, source, mirrors)| MirrorSet {
        kind,
        // One policy a source, or the documents would contradict each other.
        policy: match source.as_str().len() % 4 {
            0 => SourcePolicy::Never,
            1 => SourcePolicy::Allow,
            _ => SourcePolicy::Unset,
        },
        source,
        mirrors,
        origin: Origin::object("ImageDigestMirrorSet/x"),
    })
}

/// A configuration as `decode` lets it pass.
pub fn config() -> impl Strategy<Value = ClusterConfig> {
    let lists = (entries(5), entries(5), any::<bool>(), any::<bool>());
    (lists, prop::collection::vec(mirror_set(), 0..6), prop::option::of(reference())).prop_map(
        |((insecure, listed, is_allowed, is_blocked), mirrors, release)| ClusterConfig {
            insecure,
            blocked: if is_blocked && !is_allowed { listed.clone() } else { Vec::new() },
            allowed: (is_allowed && !is_blocked).then_some(listed),
            mirrors,
            release: release.map(|reference| (reference, Origin::object("ClusterVersion/version"))),
            ..ClusterConfig::default()
        },
    )
}

/// Registries that short names are looked for in.
pub fn search_list() -> impl Strategy<Value = Option<Vec<Entry>>> {
    let entry = select(&HOSTS[..])
        .prop_map(|host| Entry { scope: scope(host), origin: Origin::object("Image/cluster") });
    prop::option::of(prop::collection::vec(entry, 1..4))
}

/// A reference with a tag or a digest.
pub fn reference() -> impl Strategy<Value = Reference> {
    let paths = select(
        &["/ns", "/ns/app", "/ns/app/sub", "/ns/app/x", "/other/x", "/app", "/library/app"][..],
    );
    let version =
        prop_oneof![Just(":v1".to_owned()), Just(":latest".to_owned()), Just(format!("@{DIGEST}"))];
    let host =
        prop_oneof![8 => select(&HOSTS[..]), 1 => select(&["x.example.com", "reg.io.corp.io"][..])];
    (host, paths, version).prop_map(|(host, path, version)| {
        Reference::parse(&format!("{host}{path}{version}")).unwrap()
    })
}

/// A host's own files.
#[derive(Debug, Clone)]
pub struct HostBase {
    /// registries.conf.
    pub registries: String,
    /// policy.json.
    pub policy: String,
}

/// Bases that the engine accepts.
pub fn host_base() -> impl Strategy<Value = HostBase> {
    (prop::collection::vec(registry(), 0..5), policy()).prop_filter_map(
        "the engine refuses it",
        |(registries, policy)| {
            let registries = format!(
                "# own\nunqualified-search-registries = [\"docker.io\"]\n{}",
                registries.concat()
            );
            let file = image_config_agent::engine::File::new("/r", registries.clone());
            image_config_agent::engine::Registries::parse(&file, &[]).ok()?;
            Some(HostBase { registries, policy })
        },
    )
}

fn registry() -> impl Strategy<Value = String> {
    let mirror = (repository(), any::<bool>(), select(&["", "all", "digest-only", "tag-only"][..]));
    let mirrors = prop::collection::vec(mirror, 0..3);
    let location = prop::option::weighted(0.3, repository());
    (source(), location, any::<[bool; 3]>(), mirrors).prop_map(|(prefix, location, flags, mirrors)| {
        let [insecure, blocked, digest_only] = flags;
        let mut text = format!("\n[[registry]] # own\nprefix = \"{prefix}\"\n");
        if let Some(location) = location.or_else(|| (!prefix.is_wildcard()).then(|| prefix.to_string())) {
            text += &format!("location = \"{location}\"\n");
        }
        text += &format!("insecure = {insecure}\nblocked = {blocked}\nmirror-by-digest-only = {digest_only}\n");
        for (location, insecure, pull) in mirrors {
            text += &format!("[[registry.mirror]]\nlocation = \"{location}\"\ninsecure = {insecure}\n");
            if !digest_only && !pull.is_empty() {
                text += &format!("pull-from-mirror = \"{pull}\"\n");
            }
        }
        text
    })
}

fn policy() -> impl Strategy<Value = String> {
    let requirement = select(
        &[
            r#"[{"type":"insecureAcceptAnything"}]"#,
            r#"[{"type":"reject"}]"#,
            r#"[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]"#,
        ][..],
    );
    let scopes = prop_oneof![
        4 => source().prop_map(|scope| scope.to_string()),
        1 => image_scope().prop_map(|scope| scope.to_string()),
        1 => Just(String::new()),
    ];
    let docker = prop::collection::btree_map(scopes, requirement.clone(), 0..5);
    (requirement, docker).prop_map(|(default, docker)| {
        let docker: Vec<String> =
            docker.iter().map(|(scope, r)| format!("\"{scope}\": {r}")).collect();
        format!(
            "{{\"default\": {default}, \"transports\": {{\"docker\": {{{}}}}}}}",
            docker.join(", ")
        )
    })
}
