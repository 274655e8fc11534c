//! Random hosts as people set them up, and as they go wrong.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::host::Host;
use super::{generate_policy, generate_registries};

const HOSTS: &str = "reg1.io docker.io index.docker.io reg.example.com reg.example.com:5000 \
    a.corp.local b.a.corp.local reg.io.corp.io localhost localhost:5000 10.0.0.1:5000 \
    Reg.Example.com reg2.io mirror.corp.io";
const WILDCARDS: &str =
    "*.corp.local *.a.corp.local *.io *.example.com *.corp.io *.com *.local *.EXAMPLE.com *.";
const PATHS: &str = "/ns /ns/app /ns/app/deep /library /ns/ /";
/// What is wrong, or means something else than meets the eye.
const ODD_HOSTS: &str = "io corp [::1]:5000 under_score.example *.local:5000 *corp.local \
    https://reg1.io http://a reg1.io. - * host:port";
const ODD_ENDS: &str = "/App // /ns/ /a_b :v1 :latest : @sha256:00 /ns/app:v1 /a..b";
const DIGEST: &str = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A random host. Most of its files can be read.
pub fn host(rng: &mut Rng) -> Host {
    let mut drop_ins = BTreeMap::new();
    for _ in 0..[0, 0, 0, 1, 1, 2][rng.usize(..6)] {
        let name = word(rng, "10-a.conf 20-b.conf 30.conf .hidden.conf x.conf.d/y.conf README");
        drop_ins.insert(name.to_owned(), generate_registries::file(rng).into_bytes());
    }
    let mut links = BTreeMap::new();
    if one_in(rng, 60) {
        let target = word(rng, "/nonexistent . 15-link.conf");
        links.insert("15-link.conf".to_owned(), target.to_owned());
    }
    let registries = (!one_in(rng, 30)).then(|| generate_registries::file(rng).into_bytes());
    let policy = (!one_in(rng, 60)).then(|| generate_policy::file(rng).into_bytes());
    Host { registries, drop_ins, links, policy }
}

/// A place in a registry; now and then an odd one.
pub fn name(rng: &mut Rng) -> String {
    if one_in(rng, 80) {
        return format!("{}{}", word(rng, ODD_HOSTS), word(rng, ODD_ENDS));
    }
    let host = if one_in(rng, 80) { word(rng, ODD_HOSTS) } else { word(rng, HOSTS) };
    let path = match rng.usize(..80) {
        0 => word(rng, ODD_ENDS).to_owned(),
        1..40 => format!("{}{}", word(rng, PATHS), rng.u8(..9)),
        40..55 => word(rng, PATHS).to_owned(),
        _ => String::new(),
    };
    format!("{host}{path}")
}

/// A place, or a wildcard for hosts.
pub fn scope(rng: &mut Rng) -> String {
    if one_in(rng, 4) { word(rng, WILDCARDS).to_owned() } else { name(rng) }
}

/// References that the files may have something to say about.
pub fn references(rng: &mut Rng, host: &Host, count: usize) -> Vec<String> {
    let files = host.drop_ins.values().chain(&host.registries).chain(&host.policy);
    let text: Vec<u8> = files.flatten().copied().collect();
    let text = String::from_utf8_lossy(&text);
    let is_part = |c: char| c.is_alphanumeric() || "._-:/@*[]".contains(c);
    let words: Vec<&str> = text
        .split(|c| !is_part(c))
        .filter(|word| word.contains(['.', '/', ':']) && word.len() < 250)
        .collect();
    (0..count).map(|_| reference(rng, &words)).collect()
}

fn reference(rng: &mut Rng, words: &[&str]) -> String {
    let base = match rng.usize(..8) {
        0 => word(rng, "ubi9 org/app:v1 app library/nginx localhost a:5").to_owned(),
        1 => name(rng),
        _ if words.is_empty() => name(rng),
        _ => words[rng.usize(..words.len())].trim_end_matches('/').to_owned(),
    };
    let base = match base.strip_prefix('*') {
        Some(suffix) => format!("{}{suffix}", word(rng, "sub a.b reg.io x.corp")),
        None => base,
    };
    let prefix = if one_in(rng, 5) { word(rng, "sub. x a.io.") } else { "" };
    let suffix = match rng.usize(..12) {
        0..3 => "",
        3 => word(rng, ":5000/app x/app /a@sha256:1 /a:v1@d /App / :"),
        _ => word(rng, "/app:v1 /ns/app :v1 /app /deep/app:2"),
    };
    let digest = if one_in(rng, 3) { DIGEST } else { "" };
    let mut reference = format!("{prefix}{base}{suffix}{digest}");
    if one_in(rng, 10) {
        let slip = pick(rng, &['.', '_', '-', ':', '/', '@', 'A', '0', ' ', '\u{e9}', '\n']);
        let places: Vec<_> = reference.char_indices().map(|(place, _)| place).collect();
        reference.insert(if places.is_empty() { 0 } else { pick(rng, &places) }, slip);
    }
    reference
}

/// One of the words of a text.
pub fn word<'a>(rng: &mut Rng, words: &'a str) -> &'a str {
    pick(rng, &words.split_whitespace().collect::<Vec<_>>())
}

/// One of the items.
pub fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.usize(..items.len())]
}

/// True once in so many times.
pub fn one_in(rng: &mut Rng, times: usize) -> bool {
    rng.usize(..times) == 0
}
