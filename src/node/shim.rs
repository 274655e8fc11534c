//! Stands in for slot.rs until that lands; whoever lands it deletes this file.
#![allow(missing_docs, clippy::unused_async)]
use super::{Node, NodeError};
#[derive(Debug)]
pub struct Claim {
    pub target: String,
    pub obeys_brake: bool,
    pub is_degraded_here: bool,
}
#[derive(Debug)]
pub enum Claimed {
    Taken,
    NotYet(String),
}
impl Node {
    pub fn pool(&self) -> String {
        String::new()
    }
    pub async fn claim(&self, _c: &Claim) -> Result<Claimed, NodeError> {
        Ok(Claimed::Taken)
    }
    pub async fn renew(&self) -> Result<bool, NodeError> {
        Ok(true)
    }
    pub async fn free(&self) -> Result<(), NodeError> {
        Ok(())
    }
    pub async fn manager(&self) -> Result<Option<String>, NodeError> {
        Ok(None)
    }
    pub fn renew_every(&self) -> std::time::Duration {
        std::time::Duration::from_secs(10)
    }
}
