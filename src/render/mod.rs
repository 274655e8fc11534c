//! The model and the host's own base files become the files a node needs.

pub mod base;
pub mod fileset;
pub mod policy;
pub mod registries;

pub use fileset::{FileSet, Want};
