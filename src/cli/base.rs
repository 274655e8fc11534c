//! `base`: what the host itself says where the agent writes (rule R1).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use image_config_agent::apply::{Base as Kept, Origin, Session, adopted};
use image_config_agent::driver::control::Request;
use image_config_agent::host::{Content, Root};
use image_config_agent::plan::diff;
use image_config_agent::settings::Settings;
use serde_json::json;

use super::{Exit, FormatArgs, HostArgs, output, status};

/// Shows or changes the base.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent base diff")]
pub struct Base {
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the base of every managed file
    #[command(after_help = "Example: image-config-agent base show")]
    Show,
    /// Show what the present files have over their base
    #[command(after_help = "Example: image-config-agent base diff")]
    Diff,
    /// Make the present file, with the agent's entries taken out, the base
    #[command(
        after_help = "Example: image-config-agent base adopt /etc/containers/registries.conf"
    )]
    Adopt {
        /// The file, an absolute path as the host sees it
        #[arg(value_parser = absolute)]
        file: PathBuf,
    },
}

impl Base {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.host.open()?;
        match &self.what {
            What::Show => self.show(&root, &settings),
            What::Diff => self.diff(&root, &settings),
            What::Adopt { file } => self.adopt(&root, &settings, file),
        }
    }

    fn show(&self, root: &Root, settings: &Settings) -> anyhow::Result<Exit> {
        let base = Kept::load(root)?;
        for path in base.paths() {
            let text = match base.text(root, &settings.paths, path) {
                Content::Bytes(bytes) => Some(bytes),
                Content::Absent => None,
                Content::Unreadable(why) => {
                    bail!("the base of {} cannot be read: {why}", path.display())
                }
            };
            let origin = origin(&base, path);
            if self.format.is_json() {
                let text = text.as_deref().map(String::from_utf8_lossy);
                output::json(&json!({"path": path, "origin": origin, "text": text}))?;
                continue;
            }
            output::print(&format!("==> {} ({origin}) <==\n", path.display()))?;
            output::bytes(&text.unwrap_or_default())?;
            output::bytes(b"\n")?;
        }
        Ok(Exit::Yes)
    }

    fn diff(&self, root: &Root, settings: &Settings) -> anyhow::Result<Exit> {
        let base = Kept::load(root)?;
        for path in base.paths() {
            let bytes = |content| match content {
                Content::Bytes(bytes) => Some(bytes),
                Content::Absent | Content::Unreadable(_) => None,
            };
            let before = bytes(base.text(root, &settings.paths, path));
            let now = bytes(root.content(path));
            let diff = diff::unified(path, before.as_deref(), now.as_deref());
            if self.format.is_json() {
                output::json(&json!({"path": path, "diff": diff}))?;
            } else {
                output::diff(&diff)?;
            }
        }
        Ok(Exit::Yes)
    }

    fn adopt(&self, root: &Root, settings: &Settings, file: &Path) -> anyhow::Result<Exit> {
        let request = Request::AdoptBase { file: file.to_owned() };
        let message = match status::ask(root, &request)? {
            Some(answer) if answer.ok => answer.message,
            Some(answer) => bail!(answer.message),
            None => {
                let session = Session::open(root, super::apply::PATIENCE)?;
                let bytes = adopted(root, &settings.paths, file)
                    .with_context(|| format!("{} cannot become the base", file.display()))?;
                session.replace_base(file, bytes)?;
                format!("adopted {}; the next apply builds upon it", file.display())
            }
        };
        if self.format.is_json() {
            output::json(&json!({"path": file, "adopted": true}))?;
        } else {
            output::print(&format!("{message}\n"))?;
        }
        Ok(Exit::Yes)
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    match text.starts_with('/') {
        true => Ok(text.into()),
        false => Err(format!("it is no absolute path, as the host sees the file: /{text}?")),
    }
}

/// What stood at `path` before the agent.
fn origin(base: &Kept, path: &Path) -> String {
    match base.origin(path) {
        Some(Origin::File { .. }) => "its own file".to_owned(),
        Some(Origin::Link { target }) => format!("a link to {}", target.display()),
        Some(Origin::Absent) | None => "nothing".to_owned(),
    }
}
