//! Who signed a bundle, and whether it is a new one (rule E2). Pure.

use minisign_verify::{Error, PublicKey, Signature};

use crate::source::Trouble;
use crate::source::store::Accepted;

/// Keys that may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Vec<(String, PublicKey)>);

impl Keys {
    /// Reads a file of minisign keys: one a line, or as minisign writes them, with comments.
    ///
    /// # Errors
    /// A line that is no key, or no key at all.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| {
            !line.is_empty() && !line.starts_with('#') && !line.starts_with("untrusted comment:")
        });
        let key = |line: &str| match PublicKey::from_base64(line) {
            Ok(key) => Ok((line.to_owned(), key)),
            Err(_) => Err(format!("{line:?} is no minisign public key")),
        };
        let keys = lines.map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err("it holds no key".to_owned()) } else { Ok(Self(keys)) }
    }

    /// Whether a key of this name is among them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// The key that signed exactly these bytes.
    ///
    /// # Errors
    /// None did.
    pub fn signer(&self, bytes: &[u8], signature: &[u8]) -> Result<&str, Trouble> {
        let altered = |why: &str| Trouble::refusal("BundleAltered", format!("the bundle {why}"));
        let signature = std::str::from_utf8(signature)
            .ok()
            .and_then(|text| Signature::decode(text).ok())
            .ok_or_else(|| altered("has a signature that minisign did not write"))?;
        let mut why = altered("is signed with a key that is not among endpoint.public_keys");
        for (name, key) in &self.0 {
            match key.verify(bytes, &signature, false) {
                Ok(()) => return Ok(name),
                Err(Error::UnexpectedKeyId) => {}
                Err(Error::UnexpectedAlgorithm | Error::UnsupportedLegacyMode) => {
                    why = altered("is signed in the legacy format of minisign: sign it with -H");
                }
                Err(_) => why = altered("is not what was signed"),
            }
        }
        Err(why)
    }
}

/// Whether a signed bundle may take the place of what was accepted from its signer before.
///
/// # Errors
/// It has no serial, a lower one, or the same with other bytes.
pub fn admit(
    serial: Option<u64>,
    sha256: &str,
    highest: Option<&Accepted>,
) -> Result<Accepted, Trouble> {
    let Some(serial) = serial else {
        let message = "the bundle is signed but has no serial: add a document of the kind Bundle";
        return Err(Trouble::refusal("SerialMissing", message));
    };
    match highest {
        Some(highest) if serial < highest.serial => Err(Trouble::refusal(
            "BundleReplayed",
            format!(
                "the bundle has the serial {serial}, and {} was accepted before",
                highest.serial
            ),
        )),
        Some(highest) if serial == highest.serial && sha256 != highest.sha256 => {
            Err(Trouble::refusal(
                "SerialReused",
                format!("the bundle has the serial {serial}, which another bundle had before"),
            ))
        }
        _ => Ok(Accepted { serial, sha256: sha256.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of minisign's own documentation.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==";

    #[test]
    fn e2_a_signature_is_of_exactly_these_bytes_by_one_of_the_keys() {
        let keys = Keys::parse(&format!("untrusted comment: ours\n{KEY}\n")).unwrap();
        assert_eq!(keys.signer(b"test", SIGNATURE.as_bytes()), Ok(KEY));
        let refused = |bytes: &[u8], signature: &str| {
            let trouble = keys.signer(bytes, signature.as_bytes()).unwrap_err();
            assert!(trouble.is_refusal && trouble.reason == "BundleAltered", "{trouble:?}");
            trouble.message
        };
        assert!(refused(b"Test", SIGNATURE).contains("not what was signed"));
        assert!(
            refused(b"test", &SIGNATURE.replace("file:test", "file:other")).contains("not what")
        );
        assert!(refused(b"test", &SIGNATURE.replacen("RUQf6L", "RUQf6M", 1)).contains("key that"));
        assert!(refused(b"test", "nonsense").contains("minisign did not write"));
        assert!(Keys::parse("# none\n").is_err());
        assert!(Keys::parse("nonsense\n").is_err());
    }

    #[test]
    fn e2_serials_never_go_back() {
        let highest = Accepted { serial: 7, sha256: "a".into() };
        let reason = |serial, sha256| {
            let result = admit(serial, sha256, Some(&highest));
            result.err().map(|trouble| trouble.reason.into_owned())
        };
        assert_eq!(reason(Some(6), "b").as_deref(), Some("BundleReplayed"));
        assert_eq!(reason(Some(7), "b").as_deref(), Some("SerialReused"));
        assert_eq!(reason(None, "b").as_deref(), Some("SerialMissing"));
        assert_eq!(reason(Some(7), "a"), None);
        assert_eq!(reason(Some(8), "b"), None);
        assert!(admit(Some(0), "b", None).is_ok());
    }
}
