//! `render`: the files that documents mean for a host.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use image_config_agent::host::{Owner, Root};
use image_config_agent::proposal::Proposal;

use super::{Exit, HostArgs, InputArgs, output};

/// Prints or writes the files.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: image-config-agent render -f examples/mirroring/input -o rendered"
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
        // The process ends with the command: to take thousands of entries apart first is no use.
        let proposal = Proposal::make(&root, &settings, &self.input.input())?;
        let proposal = ManuallyDrop::new(proposal);
        output::findings(&proposal.findings);
        if !proposal.is_applicable() {
            return Ok(Exit::Error);
        }
        let output = self.output.as_deref().map(open).transpose()?;
        for (path, _) in proposal.files.iter() {
            let Some(bytes) = proposal.content(path) else { continue };
            match &output {
                Some(directory) => write(directory, path, bytes)?,
                None => print(path, bytes)?,
            }
        }
        Ok(Exit::of(&proposal.findings, Exit::Yes))
    }
}

/// Absolute paths are mirrored below the directory (rule X1). No link leads out of it, and none
/// is written through: what stands at a path is replaced.
fn write(directory: &Root, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    for missing in directory.way_to(path)?.1 {
        directory.make_dir(&missing)?;
    }
    let mut staged = path.as_os_str().to_owned();
    staged.push(".new");
    let staged = PathBuf::from(staged);
    directory.remove(&staged)?;
    directory.create(&staged, bytes, 0o644, Owner::ours())?;
    directory.rename(&staged, path)?;
    Ok(())
}

fn open(directory: &Path) -> anyhow::Result<Root> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(Root::open(directory)?)
}

fn print(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    output::bytes(format!("==> {} <==\n", path.display()).as_bytes())?;
    output::bytes(bytes)?;
    output::bytes(b"\n")
}
