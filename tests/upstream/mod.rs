//! What the comparison with upstream is made of.

pub mod answers;
pub mod classes;
pub mod line;
pub mod recorded;
pub mod references;
pub mod refusals;
pub mod tally;
