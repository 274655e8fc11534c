//! `config`: the agent's own settings.

use clap::{Args, Subcommand};
use image_config_agent::model::finding::printable;
use image_config_agent::settings::{Key, Loaded, keys};
use serde_json::{Value, json};

use super::{Exit, FormatArgs, HostArgs, output};

/// Shows settings.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent config show")]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every setting with its value and where that comes from
    #[command(after_help = "Example: image-config-agent config show")]
    Show(Show),
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
}

impl Config {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let Command::Show(show) = &self.command;
        let loaded = show.host.settings()?;
        if show.format.is_json() {
            let settings: Vec<Value> = keys().map(|key| json(&loaded, key)).collect();
            output::json(&settings)?;
        } else {
            keys().try_for_each(|key| output::print(&line(&loaded, key)))?;
        }
        Ok(Exit::Yes)
    }
}

fn origin<'l>(loaded: &'l Loaded, key: &Key) -> &'l str {
    loaded.origins.get(key.name).map_or("default", String::as_str)
}

fn line(loaded: &Loaded, key: &Key) -> String {
    let value = printable(&(key.show)(&loaded.settings));
    format!("{} = {value:?}  # {}\n", key.name, origin(loaded, key))
}

fn json(loaded: &Loaded, key: &Key) -> Value {
    json!({
        "name": key.name,
        "value": (key.show)(&loaded.settings),
        "from": origin(loaded, key),
        "variable": key.variable(),
    })
}
