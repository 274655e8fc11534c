//! `render`: the files that documents mean for a host.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use image_config_agent::proposal::Proposal;

use super::{Exit, HostArgs, InputArgs, output};

/// Prints or writes the files.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: image-config-agent render -f examples/mirroring/input -o /tmp/files"
)]
pub struct Render {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    host: HostArgs,
    /// Write the files below this directory instead of printing them
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Render {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.host.open()?;
        let proposal = Proposal::make(&root, &settings, &self.input.input())?;
        output::findings(&proposal.findings);
        if !proposal.is_applicable() {
            return Ok(Exit::Error);
        }
        for (path, _) in proposal.files.iter() {
            let Some(bytes) = proposal.content(path) else { continue };
            match &self.output {
                Some(directory) => write(directory, path, bytes)?,
                None => print(path, bytes)?,
            }
        }
        Ok(Exit::of(&proposal.findings, Exit::Yes))
    }
}

/// Absolute paths are mirrored below the directory (rule X1).
fn write(directory: &Path, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let below = path.strip_prefix("/").unwrap_or(path);
    let target = directory.join(below);
    let parent = target.parent().unwrap_or(directory);
    std::fs::create_dir_all(parent)
        .with_context(|| format!("cannot create {}", parent.display()))?;
    std::fs::write(&target, bytes).with_context(|| format!("cannot write {}", target.display()))
}

fn print(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    output::bytes(format!("==> {} <==\n", path.display()).as_bytes())?;
    output::bytes(bytes)?;
    output::bytes(b"\n")
}
