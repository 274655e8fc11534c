//! `render`: the files that documents mean for a host.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use image_config_agent::host::{Owner, Root};
use image_config_agent::model::finding::printable;
use image_config_agent::proposal::Proposal;

use super::{Exit, HostArgs, InputArgs, host_files, output};

/// Prints or writes the files.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent render -f cluster.yaml -o rendered")]
pub struct Render {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    host: HostArgs,
    /// Write the files below this directory instead of printing them
    #[arg(short = 'o', long = "output", value_name = "DIR", value_parser = directory)]
    output: Option<PathBuf>,
}

impl Render {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.host.open()?;
        let host = host_files(&root, &settings);
        // The process ends with the command: to take thousands of entries apart first is no use.
        let proposal = Proposal::make(&root, host, &self.input.input())?;
        let proposal = ManuallyDrop::new(proposal);
        output::findings(&proposal.findings);
        if !proposal.is_applicable() {
            return Ok(Exit::Error);
        }
        let output = self.output.as_deref().map(open).transpose()?;
        for (path, _) in proposal.files.iter() {
            match (&output, proposal.content(path)) {
                (Some(directory), Some(bytes)) => write(directory, path, bytes)?,
                // Of a former render: it would mean something that the documents do not say.
                (Some(directory), None) => drop(directory.remove(path)?),
                (None, Some(bytes)) => print(path, bytes)?,
                (None, None) => {}
            }
        }
        if let Some(directory) = &output {
            note_other_cas(directory, &settings.paths.certs_d, &proposal);
        }
        Ok(Exit::of(&proposal.findings, Exit::Yes))
    }
}

/// Elsewhere -o takes a format: whoever means that gets no directory of its name.
fn directory(text: &str) -> Result<PathBuf, String> {
    match text {
        "json" | "text" | "yaml" => Err(format!(
            "render knows no formats, -o names a directory: write ./{text} for one of that name"
        )),
        _ => Ok(text.into()),
    }
}

/// Names the CA files in the directory that are not of this render. They may be of a former one
/// or of others, so they stay.
fn note_other_cas(directory: &Root, certs_d: &Path, proposal: &Proposal) {
    for host in directory.list(certs_d).ok().flatten().unwrap_or_default() {
        for name in ["ca.crt", "image-config-agent.crt"] {
            let path = certs_d.join(&host).join(name);
            if proposal.files.get(&path).is_none() && matches!(directory.node(&path), Ok(Some(_))) {
                let path = path.display().to_string();
                output::note(&format!("not of this render, so left: {}", printable(&path)));
            }
        }
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
