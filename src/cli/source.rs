//! `source`: where documents come from.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use image_config_agent::apply::Session;
use image_config_agent::driver::control::{Answer, Request};
use image_config_agent::settings::SourceName;
use image_config_agent::source::store::Store;

use super::{Exit, FormatArgs, HostArgs, status};

/// How long an agent that is just stopping is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where documents come from.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent source reset endpoint")]
pub struct Source {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forget which serials a source gave, so that it may begin anew; its documents stay in force,
    /// unless what is kept of it is damaged
    #[command(after_help = "Example: image-config-agent source reset endpoint")]
    Reset(Reset),
}

#[derive(Debug, Args)]
struct Reset {
    /// The source
    name: Name,
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Sources of which something is kept.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// The URL of endpoint.url.
    Endpoint,
    /// The cluster of kube.*.
    Kube,
}

impl Source {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let Command::Reset(reset) = &self.command;
        let name = match reset.name {
            Name::Endpoint => SourceName::Endpoint,
            Name::Kube => SourceName::Kube,
        };
        let (root, _) = reset.host.open()?;
        if let Some(answer) = status::ask(&root, &Request::ResetSource { name })? {
            return status::print(&answer, reset.format.is_json());
        }
        let _session = Session::open(&root, PATIENCE)?;
        Store::open(root.path(), name.word())?.reset()?;
        let message = "no agent is running; the next one begins anew".to_owned();
        status::print(&Answer { ok: true, message }, reset.format.is_json())
    }
}
