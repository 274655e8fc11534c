//! What a set of files changes on a host, what that costs, and what must not happen. Pure: the
//! host comes in as values.

pub mod diff;
pub mod guard;
pub mod impact;
pub mod overrides;
mod probes;
pub mod view;

pub use impact::{Asked, Drain, Impact, RuntimeAction, RuntimeNeed, Tell};
pub use view::View;
