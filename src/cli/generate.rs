//! `generate`: shell completions and man pages, for packages.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Subcommand};
use clap_complete::Shell;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, Exit, output};
use image_config_agent::settings::keys;

/// Generates files for packages.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent generate completions bash")]
pub struct Generate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the completions of a shell
    #[command(after_help = "Example: image-config-agent generate completions zsh")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write a man page for each command
    #[command(after_help = "Example: image-config-agent generate man /usr/share/man/man1")]
    Man {
        /// The directory
        directory: PathBuf,
    },
}

impl Generate {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let mut command = Cli::command();
        match &self.what {
            What::Completions { shell } => {
                let name = command.get_name().to_owned();
                let mut script = Vec::new();
                clap_complete::generate(*shell, &mut command, name, &mut script);
                output::bytes(&script)?;
            }
            What::Man { directory } => {
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("cannot create {}", directory.display()))?;
                let command = without_help(command);
                clap_mangen::generate_to(command.clone(), directory)
                    .with_context(|| format!("cannot write below {}", directory.display()))?;
                let main = directory.join("image-config-agent.1");
                std::fs::write(&main, main_page(command)?)
                    .with_context(|| format!("cannot write {}", main.display()))?;
            }
        }
        Ok(Exit::Yes)
    }
}

/// `help` has no page, so no page may refer to one.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

/// The page of the program itself, with all settings.
fn main_page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    let mut settings = Roff::new();
    settings.control("SH", ["SETTINGS"]);
    settings.text([roman(
        "Settings are read from /etc/image-config-agent/config.toml, then from *.toml in /usr/lib, \
         /run and /etc/image-config-agent/config.d in the order of their names, then from the \
         environment, then from --set; later ones win.",
    )]);
    for key in keys() {
        settings.control("TP", []);
        settings.text([bold(key.name), roman(format!(" ({})", key.variable()))]);
        settings.text([roman(key.about)]);
    }
    settings.to_writer(&mut page)?;
    Ok(page)
}
