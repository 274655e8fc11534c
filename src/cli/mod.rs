//! The command line: one file a subcommand. Results go to standard output, findings and errors to
//! standard error.

mod access;
mod apply;
mod base;
mod check;
mod config;
mod crds;
mod explain;
mod generate;
mod log;
mod output;
mod plan;
mod render;
mod rollout;
mod run;
mod source;
mod status;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use image_config_agent::driver::control::Request;
use image_config_agent::driver::{block_on, engine_settings, said_last};
use image_config_agent::host::Root;
use image_config_agent::model::Finding;
use image_config_agent::model::finding::any_error;
use image_config_agent::proposal::{HostFiles, Input};
use image_config_agent::settings::{Loaded, Settings, SettingsError};

/// Exit codes that scripts can rely on (rule X1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Yes, or nothing to do.
    Yes = 0,
    /// An error.
    Error = 1,
    /// The answer is no.
    No = 2,
    /// The command line or the settings are wrong.
    Usage = 64,
}

impl Exit {
    /// `otherwise`, unless a finding is an error: that counts even where all is done all the
    /// same (rule R4).
    fn of(findings: &[Finding], otherwise: Self) -> Self {
        if any_error(findings) { Self::Error } else { otherwise }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Makes this host's container engine obey the cluster's image configuration.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Exit codes: 0 yes, or nothing to do; 1 error; 2 the answer is no; 64 usage.
Example: image-config-agent plan -f cluster.yaml"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print or write the files that documents mean for a host; touch nothing else
    Render(render::Render),
    /// Say all that is wrong with documents
    Validate(validate::Validate),
    /// Show what documents would change on a host, and what that costs
    Plan(plan::Plan),
    /// Apply documents to a host once, as one transaction
    Apply(apply::Apply),
    /// Serve: obey documents for as long as the host runs
    Run(run::Run),
    /// Say how the host is, and what the running agent does and waits for
    Status(status::Status),
    /// Make the running agent change nothing until `release`
    #[command(after_help = "Example: image-config-agent hold")]
    Hold(status::Ask),
    /// Let the running agent change things again
    #[command(after_help = "Example: image-config-agent release")]
    Release(status::Ask),
    /// Make the running agent try again what was undone, rolled back or is contested
    #[command(after_help = "Example: image-config-agent retry")]
    Retry(status::Ask),
    /// Steer where documents come from
    Source(source::Source),
    /// Go one step back, to the files before the last change
    Rollback(apply::Rollback),
    /// Give every file back to the host
    Revert(apply::Revert),
    /// Show or steer the roll-out in a whole cluster
    Rollout(rollout::Rollout),
    /// Show or change what the host itself says where the agent writes
    Base(base::Base),
    /// Say what happens when this host pulls an image
    Check(check::Check),
    /// Say what a finding or a reason of a condition means, and what to do
    Explain(explain::Explain),
    /// Show the agent's own settings
    Config(config::Config),
    /// Print the CustomResourceDefinitions for a cluster that is not OpenShift
    Crds(crds::Crds),
    /// Print shell completions or write man pages
    Generate(generate::Generate),
}

impl Cli {
    /// Runs the command; errors are printed.
    #[must_use]
    pub fn run(self) -> Exit {
        let result = match self.command {
            Command::Render(command) => command.run(),
            Command::Validate(command) => command.run(),
            Command::Plan(command) => command.run(),
            Command::Apply(command) => command.run(),
            Command::Run(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Hold(command) => command.run(&Request::Hold),
            Command::Release(command) => command.run(&Request::Release),
            Command::Retry(command) => command.run(&Request::Retry),
            Command::Source(command) => command.run(),
            Command::Rollback(command) => command.run(),
            Command::Revert(command) => command.run(),
            Command::Rollout(command) => command.run(),
            Command::Base(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Crds(command) => command.run(),
            Command::Generate(command) => command.run(),
        };
        result.unwrap_or_else(|error| {
            output::error(&error);
            if error.is::<SettingsError>() { Exit::Usage } else { Exit::Error }
        })
    }
}

/// Which host, and how it is laid out.
#[derive(Debug, Args)]
struct HostArgs {
    /// The host's root directory
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// A setting, as KEY=VALUE; image-config-agent(1) lists the keys
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl HostArgs {
    fn open(&self) -> anyhow::Result<(Root, Settings)> {
        let root = self.root()?;
        let settings = self.settings_on(&root)?;
        Ok((root, settings))
    }

    fn settings_on(&self, root: &Root) -> anyhow::Result<Settings> {
        Ok(Settings::load(root, std::env::vars_os(), &self.settings)?)
    }

    /// The same for a command that must work with wrong settings too: what is right of them counts.
    fn open_anyway(&self) -> anyhow::Result<(Root, Settings)> {
        let root = self.root()?;
        let environment = std::env::vars_os();
        let (settings, wrong) = Settings::load_what_is_right(&root, environment, &self.settings)?;
        wrong.iter().for_each(|line| output::warning(line));
        Ok((root, settings))
    }

    /// The settings, with where each comes from.
    fn settings(&self) -> anyhow::Result<Loaded> {
        Ok(Loaded::load(&self.root()?, std::env::vars_os(), &self.settings)?)
    }

    fn root(&self) -> anyhow::Result<Root> {
        Root::open(&self.root)
            .with_context(|| format!("--root {} cannot be used", self.root.display()))
    }
}

/// The files of a host, by the settings that its engine says it runs with (rule R10).
fn host_files(root: &Root, settings: &Settings) -> HostFiles {
    let asked = block_on(engine_settings(root, settings)).map_err(anyhow::Error::from);
    let answer = asked.and_then(|answer| Ok(answer?)).unwrap_or_else(|error| {
        output::warning(&format!("{error}; what it said last, or its settings files, stand in"));
        None
    });
    HostFiles::read(root, settings, answer.or_else(|| said_last(root)).as_deref())
}

/// The documents.
#[derive(Debug, Args)]
struct InputArgs {
    /// A file or directory of YAML or JSON documents; - is standard input; may be repeated
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    /// The image of the release payload, which is never locked out
    #[arg(long, value_name = "REF")]
    release_image: Option<String>,
}

impl InputArgs {
    fn input(&self) -> Input {
        Input { paths: self.files.clone(), release_image: self.release_image.clone() }
    }
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// Of commands that report on documents for a host.
#[derive(Debug, Args)]
struct ReportArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Args)]
struct FormatArgs {
    /// How to print the result
    #[arg(
        short = 'o',
        long = "output",
        global = true,
        value_name = "FORMAT",
        default_value = "text"
    )]
    format: Format,
}

impl FormatArgs {
    fn is_json(&self) -> bool {
        self.format == Format::Json
    }
}
