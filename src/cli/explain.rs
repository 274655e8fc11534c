//! `explain`: what a finding or a reason means, and what to do.

use anyhow::bail;
use clap::Args;
use image_config_agent::explain::{Entry, explain};

use super::{Exit, output};

/// Explains names.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent explain LockOut")]
pub struct Explain {
    /// The name of a finding, or a reason of a condition
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Explain {
    pub fn run(&self) -> anyhow::Result<Exit> {
        for name in &self.names {
            let mut entries = explain(name).peekable();
            if entries.peek().is_none() {
                bail!("no finding and no reason of a condition is named {name}");
            }
            entries.try_for_each(|entry| output::print(&text(entry)))?;
        }
        Ok(Exit::Yes)
    }
}

fn text(entry: &Entry) -> String {
    let Entry { name, weight, place, cause, remedy } = entry;
    format!("{name}, {weight}: {place}\n  cause: {cause}\n  to do: {remedy}\n")
}
