//! The references by which two sets of files are compared: around every name in the objects.

use std::collections::BTreeSet;

use image_config_agent::engine::pull_reference;
use image_config_agent::model::{ClusterConfig, Reference, Scope};

const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

/// References around every scope, source and mirror of `config`, the release image, and some
/// that have nothing to do with it.
pub fn references(config: &ClusterConfig) -> Vec<Reference> {
    let lists = [Some(&config.insecure), Some(&config.blocked), config.allowed.as_ref()];
    let listed = lists.into_iter().flatten().flatten().map(|entry| &entry.scope);
    let mirrored = config.mirrors.iter().flat_map(|set| set.mirrors.iter().chain([&set.source]));
    let mut texts = BTreeSet::from(["unrelated.example/app:v1".to_owned()]);
    for scope in listed.chain(mirrored) {
        around(scope, &mut texts);
    }
    if let Some((release, _)) = &config.release {
        texts.insert(release.to_string());
        around(&Scope::of_repository(release), &mut texts);
        around(&Scope::of_repository(release).parent().unwrap(), &mut texts);
    }
    texts.iter().filter_map(|text| pull_reference(text).ok()).collect()
}

fn around(scope: &Scope, texts: &mut BTreeSet<String>) {
    if scope.is_single_image() {
        texts.insert(scope.to_string());
    }
    let name = scope.repository();
    let (host, path) = name.split_once('/').map_or((name, None), |(host, path)| (host, Some(path)));
    for host in hosts(host) {
        match path {
            None => versions(&[format!("{host}/ns/app"), format!("{host}/app")], texts),
            Some(path) => versions(
                &[
                    format!("{host}/{path}"),
                    format!("{host}/{path}/deeper/app"),
                    format!("{host}/{path}-sibling"),
                ],
                texts,
            ),
        }
    }
}

/// The host with and without a port; hosts under a wildcard, and the domain itself.
fn hosts(host: &str) -> Vec<String> {
    let names = match host.strip_prefix("*.") {
        Some(domain) => {
            let label = domain.split('.').next().unwrap_or(domain);
            vec![
                domain.to_owned(),
                format!("reg.{domain}"),
                format!("a.b.{domain}"),
                format!("reg.{label}.{domain}"),
            ]
        }
        None => vec![host.split(':').next().unwrap_or(host).to_owned(), host.to_owned()],
    };
    names.iter().flat_map(|name| [name.clone(), with_port(name)]).collect()
}

fn with_port(host: &str) -> String {
    if host.contains(':') { host.to_owned() } else { format!("{host}:5000") }
}

fn versions(names: &[String], texts: &mut BTreeSet<String>) {
    for name in names {
        texts.insert(format!("{name}:v1"));
        texts.insert(format!("{name}@{DIGEST}"));
    }
}
