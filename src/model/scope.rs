//! A scope: the part of the registry name space that an entry of a list speaks of.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::successors;
use std::sync::Arc;

use super::reference::{
    LEGACY_DEFAULT_HOST, Reference, is_digest, is_domain, is_path, is_tag, names_registry,
};

/// `host[:port]`, `host[:port]/path`, `host[:port]/path:tag`, `host[:port]/path@digest`, or
/// `*.domain`, which stands for every host below that domain at any depth and port.
///
/// The grammar is that of `registrySources` and of mirror sources in the OpenShift API
/// (`config.openshift.io/v1`), plus tags and digests (rule D3).
#[derive(Clone)]
pub struct Scope {
    text: Arc<str>,
    /// Where the repository ends and `:tag` or `@digest` begins; the length if neither is there.
    repository: usize,
}

/// Why a text is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// `http://…` and the like.
    #[error("it carries a URI scheme; registries are named by host alone")]
    Scheme,
    /// Longer than any name can be.
    #[error("it is longer than {MAX_LENGTH} characters")]
    TooLong,
    /// White space or control characters at an end or inside.
    #[error("it contains white space or control characters")]
    Space,
    /// `reg.example/`.
    #[error("it ends in a slash")]
    TrailingSlash,
    /// A `*` anywhere but as the first label of a host alone.
    #[error(
        "a wildcard stands only as the first label of a host name without port or path, as in *.example.com"
    )]
    Wildcard,
    /// The part before the first slash.
    #[error("{0:?} is not a host name with an optional port")]
    Host(String),
    /// The part after the first slash.
    #[error("{0:?} is not a repository path in lower case")]
    Path(String),
    /// The part after the last colon.
    #[error("{0:?} is not a tag")]
    Tag(String),
    /// The part after the `@`.
    #[error("{0:?} is not a digest")]
    Digest(String),
}

/// The longest name that a reference can have (docker/reference, `NameTotalLengthMax`): nothing
/// could ever match a longer scope.
const MAX_LENGTH: usize = 255;

impl Scope {
    /// Reads a scope. Where it has both a tag and a digest the tag is dropped, as CRI-O does
    /// for images: [`Scope::dropped_tag`] tells.
    ///
    /// # Errors
    /// Says which part is not of the grammar.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        // Nearly all are hosts and repositories, in which nothing is left to look for.
        let is_repository = match text.split_once('/') {
            Some((host, path)) => is_domain(host) && is_path(path),
            None => is_domain(text),
        };
        if is_repository && text.len() <= MAX_LENGTH {
            return Ok(Self::whole(text));
        }
        check_characters(text)?;
        if let Some(domain) = text.strip_prefix("*.") {
            let hosts_only = is_domain(domain) && !domain.contains(':');
            return if hosts_only { Ok(Self::whole(text)) } else { Err(ScopeError::Wildcard) };
        }
        if text.contains('*') {
            return Err(ScopeError::Wildcard);
        }
        let Some((host, rest)) = text.split_once('/') else {
            return if is_domain(text) {
                Ok(Self::whole(text))
            } else {
                Err(ScopeError::Host(text.to_owned()))
            };
        };
        if !is_domain(host) {
            return Err(ScopeError::Host(host.to_owned()));
        }
        Self::with_path(host, rest)
    }

    fn with_path(host: &str, rest: &str) -> Result<Self, ScopeError> {
        let (named, digest) = match rest.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (rest, None),
        };
        let (path, tag) = match named.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (named, None),
        };
        if !is_path(path) {
            return Err(ScopeError::Path(path.to_owned()));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ScopeError::Tag(tag.to_owned()));
        }
        if let Some(digest) = digest.filter(|digest| !is_digest(digest)) {
            return Err(ScopeError::Digest(digest.to_owned()));
        }
        let repository = host.len() + 1 + path.len();
        let text = match (tag, digest) {
            (_, Some(digest)) => format!("{host}/{path}@{digest}"),
            (Some(tag), None) => format!("{host}/{path}:{tag}"),
            (None, None) => format!("{host}/{path}"),
        };
        Ok(Self { text: text.into(), repository })
    }

    fn whole(text: &str) -> Self {
        Self { text: text.into(), repository: text.len() }
    }

    /// The scope of the repository that `reference` names.
    #[must_use]
    pub fn of_repository(reference: &Reference) -> Self {
        Self::whole(reference.name())
    }

    /// The scope one level up by path: `a.io/b` of `a.io/b/c`; none above a host.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.repository().rsplit_once('/')?;
        Some(Self::whole(parent))
    }

    /// The whole scope as it stands in the files.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scope without tag or digest: what registries.conf can match.
    #[must_use]
    pub fn repository(&self) -> &str {
        self.text.get(..self.repository).unwrap_or(&self.text)
    }

    /// The part before the first slash, port included; `*.domain` for a wildcard.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text.split('/').next().unwrap_or(&self.text)
    }

    /// Whether it is narrower than a repository.
    #[must_use]
    pub fn is_single_image(&self) -> bool {
        self.repository < self.text.len()
    }

    /// Whether it is `*.domain`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.text.starts_with("*.")
    }

    /// Whether `text`, which parsed to this scope, had a tag beside its digest.
    #[must_use]
    pub fn dropped_tag(&self, text: &str) -> bool {
        text.len() != self.text.len()
    }

    /// Whether any reference can lie in it: a host of one label without port is taken for a
    /// path on docker.io, and index.docker.io for docker.io, so nothing is ever named so.
    #[must_use]
    pub fn is_nameable(&self) -> bool {
        let host = self.host();
        names_registry(host) && host != LEGACY_DEFAULT_HOST
    }

    /// The name right below docker.io, tag and digest included, if that is what it is: a namespace of
    /// others, since images without a namespace are those of `docker.io/library`.
    #[must_use]
    pub fn docker_name(&self) -> Option<&str> {
        let name = self.as_str().strip_prefix("docker.io/")?;
        (!name.contains('/') && name != "library").then_some(name)
    }

    /// Whether policy.json would let this scope speak for `reference`: the image itself, its
    /// repository or a parent path, the host with that very port, or a wildcard
    /// (containers-policy.json(5), "docker:").
    #[must_use]
    pub fn covers_image(&self, reference: &Reference) -> bool {
        if self.is_single_image() {
            return self.as_str() == reference.to_string();
        }
        self.covers_exact_port(reference.name())
    }

    /// Whether registries.conf would let an entry of this scope speak for `name`, a repository
    /// or another scope: as in policy.json, but a host without port covers all its ports
    /// (containers-registries.conf(5), "prefix").
    #[must_use]
    pub fn covers_name(&self, name: &str) -> bool {
        if self.is_single_image() {
            return self.as_str() == name;
        }
        if self.covers_exact_port(name) {
            return true;
        }
        self.is_bare_host() && name.strip_prefix(self.as_str()).is_some_and(|r| r.starts_with(':'))
    }

    /// [`Scope::covers_name`] where a host without port is that host on its default port alone.
    #[must_use]
    pub fn covers_exact_port(&self, name: &str) -> bool {
        if let Some(suffix) = self.text.strip_prefix('*') {
            let host = name.split(['/', ':', '@']).next().unwrap_or(name);
            return host.len() > suffix.len() && host.ends_with(suffix);
        }
        match name.strip_prefix(self.repository()) {
            Some("") => true,
            Some(rest) => rest.starts_with(['/', '@']) || rest.starts_with(':') && self.has_path(),
            None => false,
        }
    }

    /// [`names_above`] of this scope, tag and digest left off.
    pub fn ancestors(&self) -> impl Iterator<Item = Cow<'_, str>> {
        names_above(self.repository())
    }

    fn has_path(&self) -> bool {
        self.text.contains('/')
    }

    fn is_bare_host(&self) -> bool {
        !self.text.contains([':', '/'])
    }
}

// A scope is its text: maps of scopes are asked by the text alone.
impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Scope {}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A scope above a name.
#[derive(Clone, Copy)]
pub(super) enum Above<'a> {
    Name(&'a str),
    /// A wildcard, by what follows its `*.`.
    Domain(&'a str),
}

impl<'a> Above<'a> {
    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Name(name) => Cow::Borrowed(name),
            Self::Domain(domain) => Cow::Owned(format!("*.{domain}")),
        }
    }
}

/// Every scope without tag or digest that covers `name` in registries.conf: itself first, then
/// from the narrowest to the widest.
pub fn names_above(name: &str) -> impl Iterator<Item = Cow<'_, str>> {
    above_name(name).map(Above::into_text)
}

/// Every scope that covers the scope `scope` in policy.json: as [`names_above`], but a host
/// with a port is not covered by the host alone, and a tag or digest is by its repository.
pub fn scopes_above(scope: &str) -> impl Iterator<Item = Cow<'_, str>> {
    above_scope(scope).map(Above::into_text)
}

/// [`names_above`] as parts of `name`, since a text of its own for each would cost more than the
/// look-up that it is for. They are found byte by byte: names are short.
pub(super) fn above_name(name: &str) -> impl Iterator<Item = Above<'_>> {
    names_up(name).map(Above::Name).chain(domains_above(name))
}

/// [`scopes_above`] as parts of `scope`.
pub(super) fn above_scope(scope: &str) -> impl Iterator<Item = Above<'_>> {
    let path = scope.bytes().position(|b| b == b'/').unwrap_or(scope.len());
    let end = scope.bytes().skip(path).position(|b| b == b':' || b == b'@');
    let repository = end.and_then(|end| scope.get(..path + end));
    let names = successors(Some(repository.unwrap_or(scope)), |name| {
        name.get(..name.bytes().rposition(|b| b == b'/')?)
    });
    let image = repository.map(|_| Above::Name(scope));
    image.into_iter().chain(names.map(Above::Name)).chain(domains_above(scope))
}

/// `name`, a scope or a reference inside `source`, as it is called at `mirror`: the mirror
/// stands in place of the source, or of the whole host where the source is a wildcard.
#[must_use]
pub fn substitute(name: &str, source: &Scope, mirror: &Scope) -> String {
    let rest = if source.is_wildcard() {
        name.find([':', '/']).map_or("", |end| name.get(end..).unwrap_or_default())
    } else {
        name.get(source.as_str().len()..).unwrap_or_default()
    };
    [mirror.as_str(), rest].concat()
}

fn domains_above(name: &str) -> impl Iterator<Item = Above<'_>> {
    let end = name.bytes().position(|b| b == b'/').unwrap_or(name.len());
    wildcards_up(name.get(..end).unwrap_or(name)).map(Above::Domain)
}

/// `h:1/a/b`, `h:1/a`, `h:1`, `h`.
fn names_up(name: &str) -> impl Iterator<Item = &str> {
    let last = |name: &str, byte| name.bytes().rposition(|b| b == byte);
    successors(Some(name), move |name| name.get(..last(name, b'/').or_else(|| last(name, b':'))?))
}

/// The domains above a host, narrowest first: `b.c` and `c` of `a.b.c:1` and of `*.a.b.c` too,
/// whose first domain is `a.b.c` itself and no level up.
fn wildcards_up(host: &str) -> impl Iterator<Item = &str> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let end = name.bytes().position(|b| b == b':').unwrap_or(name.len());
    successors(name.get(..end), |name| {
        let dot = name.bytes().position(|b| b == b'.')?;
        name.get(dot + 1..)
    })
    .skip(1)
}

fn check_characters(text: &str) -> Result<(), ScopeError> {
    if text.is_empty() {
        return Err(ScopeError::Empty);
    }
    let name = text.split('@').next().unwrap_or(text);
    if name.rsplit_once(':').map_or(name, |(name, _)| name).len() > MAX_LENGTH {
        return Err(ScopeError::TooLong);
    }
    if text.contains("://") {
        return Err(ScopeError::Scheme);
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(ScopeError::Space);
    }
    if text.ends_with('/') {
        return Err(ScopeError::TrailingSlash);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    #[test]
    fn d3_reads_what_the_chapter_lists() {
        for text in ["example.com", "*.example.com", "reg1.io/myrepo/myapp:latest", "svc:5000"] {
            assert_eq!(scope(text).as_str(), text);
        }
    }

    #[test]
    fn drops_a_tag_beside_a_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let text = format!("reg.io/app:v1@{digest}");
        assert_eq!(scope(&text).as_str(), format!("reg.io/app@{digest}"));
        assert!(scope(&text).dropped_tag(&text));
    }

    #[test]
    fn d3_says_what_is_wrong() {
        let cases = [
            ("", ScopeError::Empty),
            ("http://reg.io", ScopeError::Scheme),
            ("reg.io/", ScopeError::TrailingSlash),
            (" reg.io", ScopeError::Space),
            ("reg.io\n[[registry]]", ScopeError::Space),
            ("*", ScopeError::Wildcard),
            ("*.", ScopeError::Wildcard),
            ("a*.example.com", ScopeError::Wildcard),
            ("*.example.com/ns", ScopeError::Wildcard),
            ("*.example.com:5000", ScopeError::Wildcard),
            ("reg.io:port", ScopeError::Host("reg.io:port".into())),
            ("-bad.io/x", ScopeError::Host("-bad.io".into())),
            ("reg.io/NS", ScopeError::Path("NS".into())),
            ("reg.io/ns:a:b", ScopeError::Tag("a:b".into())),
            ("reg.io/ns@sha256:abc", ScopeError::Digest("sha256:abc".into())),
        ];
        for (text, error) in cases {
            assert_eq!(Scope::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Scope::parse(&"a".repeat(256)), Err(ScopeError::TooLong));
        let longest = format!("reg.io/{}", "a".repeat(248));
        assert_eq!(scope(&format!("{longest}:v1")).repository(), longest);
        assert_eq!(Scope::parse(&format!("{longest}a:v1")), Err(ScopeError::TooLong));
    }

    #[test]
    fn covers_images_as_policy_json_does() {
        let image = |text: &str| Reference::parse(text).unwrap();
        let covered = [
            ("example.com", "example.com/a:1"),
            ("example.com/a", "example.com/a:1"),
            ("example.com/a", "example.com/a/b:1"),
            ("example.com/a:1", "example.com/a:1"),
            ("*.com", "a.example.com:5000/x:1"),
        ];
        for (scope_text, image_text) in covered {
            assert!(scope(scope_text).covers_image(&image(image_text)), "{scope_text}");
        }
        let outside = [
            ("example.com", "example.com:5000/a:1"),
            ("example.com/a", "example.com/ab:1"),
            ("example.com/a:1", "example.com/a:2"),
            ("*.example.com", "example.com/a:1"),
            ("*.com", "com/a:1"),
        ];
        for (scope_text, image_text) in outside {
            assert!(!scope(scope_text).covers_image(&image(image_text)), "{scope_text}");
        }
    }

    #[test]
    fn covers_names_as_registries_conf_does() {
        assert!(scope("example.com").covers_name("example.com:5000/a"));
        assert!(!scope("example.com").covers_exact_port("example.com:5000/a"));
        assert!(!scope("example.com:5000").covers_name("example.com:50001/a"));
        assert!(scope("*.corp").covers_name("*.a.corp"));
        assert!(scope("*.corp").covers_name("*.corp"));
        assert!(!scope("*.corp").covers_name("corp"));
        assert!(!scope("reg.io/a").covers_name("reg.io/ab"));
    }

    #[test]
    fn ancestors_are_all_that_cover() {
        let up = |text: &str| scope(text).ancestors().map(String::from).collect::<Vec<_>>();
        assert_eq!(
            up("a.b.c:1/x/y"),
            ["a.b.c:1/x/y", "a.b.c:1/x", "a.b.c:1", "a.b.c", "*.b.c", "*.c"]
        );
        assert_eq!(up("*.b.c"), ["*.b.c", "*.c"]);
    }

    #[test]
    fn scopes_above_go_from_the_image_up() {
        let up = |text: &str| scopes_above(text).map(String::from).collect::<Vec<_>>();
        assert_eq!(up("a.b:1/x/y:t"), ["a.b:1/x/y:t", "a.b:1/x/y", "a.b:1/x", "a.b:1", "*.b"]);
        assert_eq!(up("a.b:1"), ["a.b:1", "*.b"]);
    }

    #[test]
    fn one_label_hosts_are_never_named() {
        assert!(!scope("internal/ns").is_nameable());
        assert!(scope("localhost/ns").is_nameable());
        assert!(scope("internal:5000").is_nameable());
    }
}
