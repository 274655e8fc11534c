//! `run`: the service.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use image_config_agent::driver::{self, Service};
use image_config_agent::settings::Settings;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use super::{Exit, HostArgs};

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
    /// How the log is written; by default for people on a terminal, else for the journal
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people: time and colour.
    Pretty,
    /// For the journal, which has times of its own.
    Journal,
    /// For programs: an object a line.
    Json,
}

impl Run {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.host.open()?;
        self.log(&settings.log_filter)?;
        let settings = || Settings::load(&root, std::env::vars(), &self.host.settings);
        driver::run(&Service { root: &root, settings: &settings, files: self.files.clone() })?;
        Ok(Exit::Yes)
    }

    fn log(&self, filter: &str) -> anyhow::Result<()> {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let by_default = if is_terminal { LogFormat::Pretty } else { LogFormat::Journal };
        let filter = EnvFilter::try_new(filter)
            .with_context(|| format!("the setting log.filter cannot be {filter:?}"))?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(is_terminal);
        match self.log_format.unwrap_or(by_default) {
            LogFormat::Pretty => log.with_timer(SystemTime).init(),
            LogFormat::Journal => log.without_time().init(),
            LogFormat::Json => log.json().init(),
        }
        Ok(())
    }
}
