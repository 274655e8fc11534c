//! What is meant: scopes, references, mirrors, and the cluster's image configuration.

pub mod advice;
pub mod annotations;
pub mod config;
pub mod digest;
pub mod finding;
pub mod findings;
pub mod intent;
pub mod lookup;
pub mod meaning;
pub mod merge;
pub mod paths;
pub mod reference;
pub mod scope;
pub mod scope_map;

pub use config::ClusterConfig;
pub use digest::Digests;
pub use finding::{Finding, Origin, Severity};
pub use findings::Findings;
pub use lookup::Lookup;
pub use meaning::Meaning;
pub use paths::Paths;
pub use reference::{Digest, Reference};
pub use scope::{Scope, ScopeError};
pub use scope_map::ScopeMap;
