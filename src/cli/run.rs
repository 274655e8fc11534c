//! `run`: the service.

use std::path::PathBuf;

use clap::Args;
use image_config_agent::driver::{self, Service};
use image_config_agent::settings::Settings;

use super::{Exit, HostArgs, log};

/// Serves.
#[derive(Debug, Args)]
#[command(after_help = "\
Signals: SIGHUP reads the settings again, SIGUSR1 looks at everything again, SIGTERM stops.
Example: image-config-agent run -f /etc/image-config-agent/cluster.d")]
pub struct Run {
    /// A file or directory of documents, in place of the setting source.files; may be repeated
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    host: HostArgs,
    /// How the log is written, in place of the setting log.format
    #[arg(long, value_name = "FORMAT", value_parser = ["pretty", "journal", "json"])]
    log_format: Option<String>,
}

impl Run {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let root = self.host.root()?;
        let format = self.log_format.iter().map(|format| format!("log.format={format}"));
        let flags: Vec<String> = self.host.settings.iter().cloned().chain(format).collect();
        let settings = || Settings::load(&root, std::env::vars_os(), &flags);
        log::begin(&settings()?)?;
        driver::run(&Service { root: &root, settings: &settings, files: self.files.clone() })?;
        Ok(Exit::Yes)
    }
}
