//! policy.json: which images may run (containers-policy.json(5), the library's `signature`).

mod fields;
mod json;
mod requirement;
mod scope;

pub use requirement::{Kind, Requirement};

use std::collections::BTreeMap;
use std::path::Path;

use self::fields::{Fields, Read};
use self::json::Json;
use self::requirement::read_list;
use super::files::{Fault, File, FileError, Misfit, Problem};
use crate::model::Reference;

/// A transport's requirements by scope; the scope `""` is the transport's default.
type Scopes = BTreeMap<String, Vec<Requirement>>;

/// What a policy.json says.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    default: Vec<Requirement>,
    transports: BTreeMap<String, Scopes>,
}

/// Which part of a policy an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// A scope of the transport.
    TransportScope,
    /// The scope `""` of the transport.
    TransportDefault,
    /// The default for everything.
    Default,
}

impl Level {
    /// `transport-scope`, `transport-default` or `default`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TransportScope => "transport-scope",
            Self::TransportDefault => "transport-default",
            Self::Default => "default",
        }
    }
}

/// What a policy says about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'a> {
    /// Where in the policy the answer stands.
    pub level: Level,
    /// The scope there; empty but for [`Level::TransportScope`].
    pub scope: &'a str,
    /// All of these have to be fulfilled.
    pub requirements: &'a [Requirement],
    /// The image may run as it is, signed or not.
    pub allowed: bool,
    /// The image may run if it has the signatures that the requirements ask for, not otherwise.
    pub signature_required: bool,
}

impl Policy {
    /// Reads a policy.json (`NewPolicyFromFile`).
    ///
    /// # Errors
    /// The library refuses the file, or there is none. No image is accepted then.
    pub fn parse(file: &File) -> Result<Self, FileError> {
        match file.read()? {
            None => Err(Fault::new(Problem::Missing).in_file(&file.path)),
            Some(bytes) => Self::of_bytes(bytes, &file.path),
        }
    }

    /// Reads a policy.json by its bytes.
    ///
    /// # Errors
    /// The library refuses the file.
    pub fn of_bytes(bytes: &[u8], path: &Path) -> Result<Self, FileError> {
        json::parse(bytes)
            .and_then(|json| Self::read(&json))
            .map_err(|misfit| misfit.into_fault(bytes).in_file(path))
    }

    fn read(json: &Json<'_>) -> Read<Self> {
        let fields = Fields::of(json)?;
        fields.are_among(&["default", "transports"])?;
        let Some(default) = fields.get("default") else {
            return Err(fields.fault("the key \"default\" is missing"));
        };
        let default = read_list(default).map_err(|misfit| misfit.below("default"))?;
        let transports = match fields.get("transports") {
            None => BTreeMap::new(),
            Some(transports) => {
                read_transports(transports).map_err(|misfit| misfit.below("transports"))?
            }
        };
        Ok(Self { default, transports })
    }

    /// What holds where no transport and scope says otherwise.
    pub fn default_requirements(&self) -> &[Requirement] {
        &self.default
    }

    /// The requirements of a scope as it is written; `""` is the transport's default.
    pub fn requirements(&self, transport: &str, scope: &str) -> Option<&[Requirement]> {
        self.transports.get(transport)?.get(scope).map(Vec::as_slice)
    }

    /// Every transport, scope and list of requirements, in this order.
    pub fn scopes(&self) -> impl Iterator<Item = (&str, &str, &[Requirement])> {
        self.transports.iter().flat_map(|(transport, scopes)| {
            scopes.iter().map(|(scope, list)| (transport.as_str(), scope.as_str(), list.as_slice()))
        })
    }

    /// Whether an image may run that a transport (`docker`, or `atomic`) knows by this reference
    /// (`requirementsForImageRef`, `IsRunningImageAllowed`).
    ///
    /// The reference is the name that was asked for, not that of a mirror, and one that
    /// [`pull_reference`](crate::engine::pull_reference) returns.
    pub fn decide(&self, transport: &str, reference: &Reference) -> Decision<'_> {
        let (level, scope, requirements) = self.section(transport, reference);
        let all = |fulfilled: fn(Kind) -> bool| requirements.iter().all(|r| fulfilled(r.kind));
        let allowed = all(|kind| kind == Kind::Accept);
        let possible = all(|kind| kind == Kind::Accept || kind.wants_signature());
        Decision { level, scope, requirements, allowed, signature_required: possible && !allowed }
    }

    fn section(&self, transport: &str, reference: &Reference) -> (Level, &str, &[Requirement]) {
        let found = self.transports.get(transport).and_then(|scopes| {
            let most_specific = scope::scopes_of(reference)
                .find_map(|scope| scopes.get_key_value(&scope))
                .map(|(scope, list)| (Level::TransportScope, scope.as_str(), list.as_slice()));
            let default =
                || scopes.get("").map(|list| (Level::TransportDefault, "", list.as_slice()));
            most_specific.or_else(default)
        });
        found.unwrap_or((Level::Default, "", &self.default))
    }
}

fn read_transports(json: &Json<'_>) -> Read<BTreeMap<String, Scopes>> {
    let read = |(transport, json)| {
        let scopes = read_scopes(transport, json).map_err(|misfit| misfit.below(transport))?;
        Ok((transport.to_owned(), scopes))
    };
    Fields::of(json)?.iter().map(read).collect()
}

fn read_scopes(transport: &str, json: &Json<'_>) -> Read<Scopes> {
    let read = |(scope, json): (&str, &Json<'_>)| {
        if !scope::is_valid(transport, scope) {
            let problem = format!("the transport {transport:?} does not take such a scope");
            return Err(Misfit::refused(json.offset, problem).below(format!("[{scope:?}]")));
        }
        let list = read_list(json).map_err(|misfit| misfit.below(format!("[{scope:?}]")))?;
        Ok((scope.to_owned(), list))
    };
    Fields::of(json)?.iter().map(read).collect()
}
