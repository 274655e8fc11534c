//! Names of images: `host[:port]/path[:tag][@digest]`.
//!
//! The grammar and the normalising of familiar names (`ubi9` is
//! `docker.io/library/ubi9`) are those of containers/image, package
//! `docker/reference`, so that a name means here what it means to the engine.

use std::fmt;
use std::str::FromStr;

/// The host that a name without one belongs to.
const DEFAULT_HOST: &str = "docker.io";
/// What Docker Hub was called once; read as [`DEFAULT_HOST`].
pub(crate) const LEGACY_DEFAULT_HOST: &str = "index.docker.io";
/// Where Docker Hub keeps repositories of one component.
const OFFICIAL_NAMESPACE: &str = "library/";
/// The longest name, host included, in bytes (`NameTotalLengthMax`).
const NAME_MAX: usize = 255;
/// The longest tag, in bytes.
const TAG_MAX: usize = 128;

/// Why a text is no image reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text does not follow the grammar.
    #[error("it is not of the form [HOST[:PORT]/]PATH[:TAG][@DIGEST]")]
    Format,
    /// The repository has upper-case letters; only host and tag may have them.
    #[error("the repository name has upper-case letters")]
    UpperCase,
    /// 64 hexadecimal digits alone are an image ID, not a name.
    #[error("it is an image ID of 64 hexadecimal digits, not a name")]
    Identifier,
    /// Host and path together are too long.
    #[error("the name is longer than 255 characters")]
    NameTooLong,
    /// The name is short for another one (see [`Reference::parse_canonical`]).
    #[error("it is short for another name and has to be written out, with its registry")]
    NotCanonical,
    /// The digest does not follow the grammar.
    #[error("the digest is not of the form ALGORITHM:HEX in lower case")]
    DigestFormat,
    /// The digest has too many or too few digits for its algorithm.
    #[error("the digest has the wrong length for its algorithm")]
    DigestLength,
    /// The digest's algorithm is not sha256, sha384 or sha512.
    #[error("the digest is neither sha256, sha384 nor sha512")]
    DigestAlgorithm,
}

/// The digest of a manifest: `sha256:` (or sha384, sha512) and lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// Reads a digest as go-digest's `Parse` does.
    ///
    /// # Errors
    /// [`ReferenceError::DigestFormat`], [`ReferenceError::DigestLength`] or
    /// [`ReferenceError::DigestAlgorithm`].
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (algorithm, hex) = text.split_once(':').ok_or(ReferenceError::DigestFormat)?;
        if algorithm.is_empty() || hex.is_empty() {
            return Err(ReferenceError::DigestFormat);
        }
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err(ReferenceError::DigestAlgorithm),
        };
        if hex.len() != length {
            return Err(ReferenceError::DigestLength);
        }
        if !hex.bytes().all(is_lower_hex) {
            return Err(ReferenceError::DigestFormat);
        }
        Ok(Self(text.to_owned()))
    }

    /// The digest as it is written, algorithm included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// An image by its full name, perhaps with a tag, a digest or both.
///
/// [`Display`](fmt::Display) writes `name[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    name: String,
    /// Length of the host at the start of `name`; 0 where there is none.
    host_len: usize,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a reference and writes familiar names out, as `ParseNormalizedNamed` does.
    ///
    /// `ubi9` becomes `docker.io/library/ubi9`. No tag is added: see
    /// [`with_default_tag`](Self::with_default_tag).
    ///
    /// # Errors
    /// Whatever makes the library refuse the text.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(ReferenceError::Identifier);
        }
        let (host, rest) = match text.split_once('/') {
            Some((first, rest)) if names_registry(first) => (first, rest),
            _ => (DEFAULT_HOST, text),
        };
        let host = if host == LEGACY_DEFAULT_HOST { DEFAULT_HOST } else { host };
        let namespace =
            if host == DEFAULT_HOST && !rest.contains('/') { OFFICIAL_NAMESPACE } else { "" };
        let repository = rest.split_once(':').map_or(rest, |(before, _)| before);
        if repository.chars().any(char::is_uppercase) {
            return Err(ReferenceError::UpperCase);
        }
        Self::parse_exact(&format!("{host}/{namespace}{rest}"))
    }

    /// Reads a reference that is already written out, as `ParseNamed` does.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`ReferenceError::NotCanonical`] for a familiar name.
    pub fn parse_canonical(text: &str) -> Result<Self, ReferenceError> {
        let reference = Self::parse(text)?;
        if reference.to_string() == text {
            Ok(reference)
        } else {
            Err(ReferenceError::NotCanonical)
        }
    }

    /// Reads a reference as it stands, without a default host (the library's `Parse`).
    ///
    /// A name's first component becomes its host only if others follow and it reads as one.
    pub(crate) fn parse_exact(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is the port's.
        let (name, tag) = match rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            Some((name, tag)) => (name, Some(tag)),
            None => (rest, None),
        };
        let host_len = match name.split_once('/') {
            Some((host, path)) if is_domain(host) && is_path(path) => host.len(),
            _ if is_path(name) => 0,
            _ => return Err(ReferenceError::Format),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) || digest.is_some_and(|d| !looks_like_digest(d)) {
            return Err(ReferenceError::Format);
        }
        if name.len() > NAME_MAX {
            return Err(ReferenceError::NameTooLong);
        }
        Ok(Self {
            name: name.to_owned(),
            host_len,
            tag: tag.map(str::to_owned),
            digest: digest.map(Digest::parse).transpose()?,
        })
    }

    /// Host and path: `reg1.io/org/app`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry's host, with its port if one is given.
    ///
    /// Empty in the one case in which the library sees none: a first component such as
    /// `under_score.example`, which only a repository may be called.
    pub fn host(&self) -> &str {
        self.name.get(..self.host_len).unwrap_or_default()
    }

    /// The repository's path below the host: `org/app`.
    pub fn path(&self) -> &str {
        let start = if self.host_len == 0 { 0 } else { self.host_len + 1 };
        self.name.get(start..).unwrap_or_default()
    }

    /// The tag, if one is given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// With the tag `latest` where there is neither tag nor digest (`TagNameOnly`).
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// As CRI-O pulls it: it drops a tag beside a digest, each time that it has found out what a name
    /// means.
    #[must_use]
    pub fn pinned(mut self) -> Self {
        if self.digest.is_some() {
            self.tag = None;
        }
        self
    }

    /// This name with the tag and digest of another reference.
    #[must_use]
    pub(crate) fn with_version_of(&self, other: &Self) -> Self {
        Self { tag: other.tag.clone(), digest: other.digest.clone(), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Whether the text is `host[:port]` as a whole (`DomainRegexp`).
pub fn is_domain(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &[u8]| {
        label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && !label.is_empty()
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    host.as_bytes().split(|b| *b == b'.').all(is_label)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether the text is a repository's path: components of lower-case letters and digits,
/// inside which `.`, `_`, `__` or dashes may separate.
pub fn is_path(text: &str) -> bool {
    text.as_bytes().split(|b| *b == b'/').all(is_path_component)
}

fn is_path_component(text: &[u8]) -> bool {
    let is_word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_separator =
        |run: &[u8]| matches!(run, b"" | b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-');
    text.first().is_some_and(is_word)
        && text.last().is_some_and(is_word)
        && (text.iter().all(is_word) || text.split(is_word).all(is_separator))
}

/// Whether the text is a tag: a letter, digit or `_`, then up to 127 of these, `.` and `-`.
pub fn is_tag(text: &str) -> bool {
    text.len() <= TAG_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// Whether the text is a digest that the engine accepts.
pub fn is_digest(text: &str) -> bool {
    Digest::parse(text).is_ok()
}

/// Whether the text is a name without a registry, which aliases and the search list complete
/// (`shortnames.IsShortName`).
///
/// What is no reference at all is no short name. One with a digest is, whatever that
/// function's comment says.
pub fn is_short_name(text: &str) -> bool {
    Reference::parse_exact(text).is_ok_and(|reference| !names_registry(reference.host()))
}

/// Whether a first component is taken for a registry rather than for a part of the path.
pub(crate) fn names_registry(component: &str) -> bool {
    component.contains(['.', ':']) || component == "localhost"
}

/// The outer form of a digest in a reference (`DigestRegexp`), whatever the algorithm.
fn looks_like_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(is_word)
        && hex.len() >= 32
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn parts(text: &str) -> (String, String, Option<String>) {
        let reference = Reference::parse(text).unwrap();
        let tag = reference.tag().map(str::to_owned);
        (reference.host().to_owned(), reference.path().to_owned(), tag)
    }

    #[test]
    fn familiar_names_are_written_out() {
        for (familiar, full) in [
            ("ubi9", "docker.io/library/ubi9"),
            ("org/app:v1", "docker.io/org/app:v1"),
            ("docker.io/ubi9", "docker.io/library/ubi9"),
            ("index.docker.io/ubi9", "docker.io/library/ubi9"),
            ("localhost/app", "localhost/app"),
            ("localhost:8080", "docker.io/library/localhost:8080"),
            ("HOST.example:5000/app:V1", "HOST.example:5000/app:V1"),
        ] {
            assert_eq!(Reference::parse(familiar).unwrap().to_string(), full, "{familiar}");
        }
    }

    #[test]
    fn parts_are_told_apart() {
        assert_eq!(
            parts("reg.example:5000/a/b:v1"),
            ("reg.example:5000".into(), "a/b".into(), Some("v1".into()))
        );
        assert_eq!(
            parts("under_score.example/app"),
            (String::new(), "under_score.example/app".into(), None)
        );
        let both = Reference::parse(&format!("reg.example/app:v1@{DIGEST}")).unwrap();
        assert_eq!(both.digest().unwrap().as_str(), DIGEST);
        assert_eq!(both.pinned().to_string(), format!("reg.example/app@{DIGEST}"));
    }

    #[test]
    fn latest_is_added_to_a_bare_name_only() {
        let with_default = |text| Reference::parse(text).unwrap().with_default_tag().to_string();
        assert_eq!(with_default("reg.example/app"), "reg.example/app:latest");
        assert_eq!(with_default("reg.example/app:v1"), "reg.example/app:v1");
        let digested = format!("reg.example/app@{DIGEST}");
        assert_eq!(with_default(&digested), digested);
    }

    #[test]
    fn errors_name_the_reason() {
        use ReferenceError::*;
        let upper_digest = DIGEST.to_uppercase().replace("SHA", "sha");
        for (text, error) in [
            ("", Format),
            ("reg.example/", Format),
            ("reg.example//app", Format),
            ("reg.example/app:", Format),
            ("reg.example/app:-v", Format),
            ("reg.example:port/app", Format),
            ("reg.example/a..b", Format),
            ("reg.example/App", UpperCase),
            (&DIGEST[7..], Identifier),
            (&format!("reg.example/{}", "a".repeat(244)), NameTooLong),
            (&format!("reg.example/app@{DIGEST}0"), DigestLength),
            (&format!("reg.example/app@{upper_digest}"), DigestFormat),
            (&format!("reg.example/app@md5:{}", "0".repeat(32)), DigestAlgorithm),
        ] {
            assert_eq!(Reference::parse(text), Err(error), "{text}");
        }
        assert!(Reference::parse(&format!("reg.example/{}", "a".repeat(243))).is_ok());
    }

    #[test]
    fn canonical_means_written_out() {
        assert!(Reference::parse_canonical("docker.io/library/ubi9").is_ok());
        for text in ["ubi9", "docker.io/ubi9", "host/app"] {
            assert_eq!(
                Reference::parse_canonical(text),
                Err(ReferenceError::NotCanonical),
                "{text}"
            );
        }
    }

    #[test]
    fn short_names_lack_a_registry() {
        let digested = format!("app@{DIGEST}");
        for text in ["app", "org/app:v1", "host/app", &digested] {
            assert!(is_short_name(text), "{text}");
        }
        for text in ["reg.example/app", "reg:5000/app", "localhost/app", "", "App"] {
            assert!(!is_short_name(text), "{text}");
        }
    }

    #[test]
    fn predicates_hold_for_whole_texts() {
        assert!(is_domain("Reg.example:5000") && is_domain("a-b"));
        for text in ["", "a.", "-a", "a-", "a:", "a:b", "a:1:2", "[::1]", "a_b", "a\n"] {
            assert!(!is_domain(text), "{text:?}");
        }
        assert!(is_path("a/b__c/d---e.f"));
        for text in ["", "/", "a/", "a___b", "a_.b", "A", "a\u{e9}"] {
            assert!(!is_path(text), "{text:?}");
        }
        assert!(is_tag("_V1.x-y") && is_tag(&"t".repeat(128)) && !is_tag(&"t".repeat(129)));
        assert!(is_digest(DIGEST) && !is_digest("sha256:00"));
    }
}
