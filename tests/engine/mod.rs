//! What the tests of the engine share.

pub mod answer;
pub mod host;
