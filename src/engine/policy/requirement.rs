//! One requirement of a policy: its kinds, and which keys each may and must have.
//!
//! The rules are those of `policy_config.go` and `policy_config_sigstore.go`. As there, `null`
//! is an empty text where a text is expected, and no list where a list is.

use std::borrow::Cow;

use super::fields::{Fields, Read};
use super::json::{Json, Value};
use crate::engine::files::Misfit;
use crate::model::Reference;
use crate::model::reference::{is_domain, is_path};

/// A requirement of containers-policy.json(5).
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// What it asks for.
    pub kind: Kind,
    /// The whole object as JSON, its keys in order.
    pub json: Cow<'static, str>,
}

const ACCEPT: &str = r#"{"type":"insecureAcceptAnything"}"#;
const REJECT: &str = r#"{"type":"reject"}"#;

/// What a requirement asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `insecureAcceptAnything`: nothing.
    Accept,
    /// `reject`: the impossible.
    Reject,
    /// `signedBy`: a simple signature by a key.
    SignedBy,
    /// `signedBaseLayer`: never implemented by the library, so that it refuses every image.
    SignedBaseLayer,
    /// `sigstoreSigned`: a sigstore signature.
    SigstoreSigned,
}

impl Kind {
    /// Whether a signature can fulfil it.
    pub fn wants_signature(self) -> bool {
        matches!(self, Self::SignedBy | Self::SigstoreSigned)
    }
}

/// Reads a list of requirements, which must not be empty.
pub(super) fn read_list(json: &Json<'_>) -> Result<Vec<Requirement>, Misfit> {
    let Value::Array(items) = &json.value else {
        return Err(Misfit::type_of(json.offset, "an array of requirements", json.kind()));
    };
    if items.is_empty() {
        let problem = "a list of requirements must not be empty";
        return Err(Misfit::refused(json.offset, problem));
    }
    let read = |(index, item)| read(item).map_err(|misfit| misfit.below(format!("[{index}]")));
    items.iter().enumerate().map(read).collect()
}

fn read(json: &Json<'_>) -> Result<Requirement, Misfit> {
    let fields = Fields::of(json)?;
    let kind = match fields.text("type")? {
        "insecureAcceptAnything" => {
            fields.are_exactly(&["type"])?;
            Kind::Accept
        }
        "reject" => {
            fields.are_exactly(&["type"])?;
            Kind::Reject
        }
        "signedBaseLayer" => {
            fields.are_exactly(&["type", "baseLayerIdentity"])?;
            fields.read("baseLayerIdentity", check_identity)?;
            Kind::SignedBaseLayer
        }
        "signedBy" => {
            check_signed_by(&fields)?;
            Kind::SignedBy
        }
        "sigstoreSigned" => {
            check_sigstore_signed(&fields)?;
            Kind::SigstoreSigned
        }
        other => return Err(fields.refused("type", format!("{other:?} is no known requirement"))),
    };
    // Thousands of scopes share these two.
    let json = match kind {
        Kind::Accept => ACCEPT.into(),
        Kind::Reject => REJECT.into(),
        _ => json.to_serde().to_string().into(),
    };
    Ok(Requirement { kind, json })
}

fn check_signed_by(fields: &Fields<'_>) -> Result<(), Misfit> {
    fields.are_among(&["type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"])?;
    let key_type = fields.text("keyType")?;
    const KEY_TYPES: [&str; 4] =
        ["GPGKeys", "signedByGPGKeys", "X509Certificates", "signedByX509CAs"];
    if !KEY_TYPES.contains(&key_type) {
        return Err(fields.refused("keyType", format!("{key_type:?} is no known type of key")));
    }
    fields.read("signedIdentity", check_identity)?;
    let keys = ["keyPath", "keyPaths", "keyData"];
    let set =
        [fields.has_text("keyPath")?, fields.has_texts("keyPaths")?, fields.has_bytes("keyData")?];
    // The library counts a key that is there and empty as given here, but not as usable.
    let given = keys.into_iter().filter(|key| fields.has(key)).count();
    if given != 1 || !set.contains(&true) {
        return Err(fields.fault("exactly one of keyPath, keyPaths and keyData is needed"));
    }
    Ok(())
}

fn check_sigstore_signed(fields: &Fields<'_>) -> Result<(), Misfit> {
    fields.are_among(&[
        "type",
        "keyPath",
        "keyPaths",
        "keyData",
        "keyDatas",
        "fulcio",
        "pki",
        "rekorPublicKeyPath",
        "rekorPublicKeyPaths",
        "rekorPublicKeyData",
        "rekorPublicKeyDatas",
        "signedIdentity",
    ])?;
    fields.read("signedIdentity", check_identity)?;
    fields.read("fulcio", |json| check_fulcio(&Fields::of(json)?))?;
    fields.read("pki", |json| check_pki(&Fields::of(json)?))?;
    let (fulcio, pki) = (fields.has("fulcio"), fields.has("pki"));
    let keys = [
        fields.has_text("keyPath")?,
        fields.has_some_texts("keyPaths")?,
        fields.has_bytes("keyData")?,
        fields.has_some_bytes("keyDatas")?,
        fulcio,
        pki,
    ];
    if keys.into_iter().filter(|set| *set).count() != 1 {
        return Err(fields.fault(
            "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki is needed",
        ));
    }
    let rekor = [
        fields.has_text("rekorPublicKeyPath")?,
        fields.has_some_texts("rekorPublicKeyPaths")?,
        fields.has_bytes("rekorPublicKeyData")?,
        fields.has_some_bytes("rekorPublicKeyDatas")?,
    ];
    match rekor.into_iter().filter(|set| *set).count() {
        0 if fulcio => Err(fields.fault("fulcio needs a public key of Rekor")),
        1 if pki => Err(fields.fault("pki does not go with a public key of Rekor")),
        0 | 1 => Ok(()),
        _ => Err(fields.fault("only one of the four rekorPublicKey… may be given")),
    }
}

fn check_fulcio(fields: &Fields<'_>) -> Result<(), Misfit> {
    fields.are_among(&["caPath", "caData", "oidcIssuer", "subjectEmail"])?;
    if fields.has_text("caPath")? == fields.has_bytes("caData")? {
        return Err(fields.fault("exactly one of caPath and caData is needed"));
    }
    let (issuer, email) = (fields.has_text("oidcIssuer")?, fields.has_text("subjectEmail")?);
    if issuer && email {
        Ok(())
    } else {
        Err(fields.fault("both oidcIssuer and subjectEmail are needed"))
    }
}

fn check_pki(fields: &Fields<'_>) -> Result<(), Misfit> {
    fields.are_among(&[
        "caRootsPath",
        "caRootsData",
        "caIntermediatesPath",
        "caIntermediatesData",
        "subjectEmail",
        "subjectHostname",
    ])?;
    if fields.has_text("caRootsPath")? == fields.has_bytes("caRootsData")? {
        return Err(fields.fault("exactly one of caRootsPath and caRootsData is needed"));
    }
    if fields.has_text("caIntermediatesPath")? & fields.has_bytes("caIntermediatesData")? {
        return Err(
            fields.fault("only one of caIntermediatesPath and caIntermediatesData may be given")
        );
    }
    if fields.has_text("subjectEmail")? | fields.has_text("subjectHostname")? {
        Ok(())
    } else {
        Err(fields.fault("subjectEmail or subjectHostname is needed"))
    }
}

/// Checks a `signedIdentity` or `baseLayerIdentity` (`newPolicyReferenceMatchFromJSON`).
fn check_identity(json: &Json<'_>) -> Result<(), Misfit> {
    let fields = Fields::of(json)?;
    let reference = |key| -> Read<Reference> {
        let text = fields.text(key)?;
        Reference::parse(text)
            .map_err(|error| fields.refused(key, format!("{text:?} is no image name: {error}")))
    };
    match fields.text("type")? {
        "matchExact" | "matchRepoDigestOrExact" | "matchRepository" => {
            fields.are_exactly(&["type"])
        }
        "exactReference" => {
            fields.are_exactly(&["type", "dockerReference"])?;
            let reference = reference("dockerReference")?;
            if reference.tag().is_none() && reference.digest().is_none() {
                let problem = "a tag or digest is needed".to_owned();
                return Err(fields.refused("dockerReference", problem));
            }
            Ok(())
        }
        "exactRepository" => {
            fields.are_exactly(&["type", "dockerRepository"])?;
            reference("dockerRepository").map(|_| ())
        }
        "remapIdentity" => {
            fields.are_exactly(&["type", "prefix", "signedPrefix"])?;
            check_prefix(&fields, "prefix")?;
            check_prefix(&fields, "signedPrefix")
        }
        other => Err(fields.refused("type", format!("{other:?} is no known kind of identity"))),
    }
}

/// `validateIdentityRemappingPrefix`.
fn check_prefix(fields: &Fields<'_>, key: &str) -> Result<(), Misfit> {
    let prefix = fields.text(key)?;
    let is_name =
        prefix.split_once('/').is_some_and(|(host, path)| is_domain(host) && is_path(path));
    if is_domain(prefix) || is_name {
        Ok(())
    } else {
        Err(fields.refused(key, format!("{prefix:?} is not of the form HOST[:PORT][/PATH]")))
    }
}
