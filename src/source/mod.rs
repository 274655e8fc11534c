//! Where documents come from. Nothing is decided here: bytes come in, or the reason why not.

pub mod file;
