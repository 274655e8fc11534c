//! `crds`: the CustomResourceDefinitions for a cluster.

use clap::Args;
use image_config_agent::cluster::crds;

use super::{Exit, output};

/// Prints definitions.
#[derive(Debug, Args)]
#[command(after_help = "\
On OpenShift only NodeImageConfig is needed: it brings the other kinds itself.
Example: image-config-agent crds | kubectl apply -f -")]
pub struct Crds {}

impl Crds {
    #[expect(clippy::unused_self, reason = "as all commands are called")]
    pub fn run(&self) -> anyhow::Result<Exit> {
        output::print(&crds::yaml()?)?;
        Ok(Exit::Yes)
    }
}
