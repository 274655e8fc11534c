//! The model and the host's own base files become the files a node needs.

pub mod fileset;

pub use fileset::{FileSet, Want};
