//! `rollout`: how far a whole cluster is; to pause it, and to try a node again.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use image_config_agent::cluster::{ClusterError, within};
use image_config_agent::driver::block_on;
use image_config_agent::model::annotations::PAUSED;
use image_config_agent::model::finding::printable;
use image_config_agent::report::NodeImageConfig;
use image_config_agent::report::rollout::{Rollout as Report, Row, Said, Standing};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, ObjectList, Request};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::ClusterArgs;
use super::{Exit, FormatArgs, output, status::age};

/// How long the API server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the cluster is looked at again.
const AGAIN: Duration = Duration::from_secs(2);

/// How many nodes a line about progress names.
const MOST_NAMED: usize = 3;

/// Shows and steers the roll-out in a cluster.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent rollout status")]
pub struct Rollout {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how far every node is
    #[command(after_help = "\
Exit codes: 0 all converged, but for those that are only observed; 2 not; 1 error.
Example: image-config-agent rollout status --watch")]
    Status(Status),
    /// Let no node begin a change, but for trusted CAs, until `resume`
    #[command(after_help = "Example: image-config-agent rollout pause")]
    Pause,
    /// Let nodes begin changes again
    #[command(after_help = "Example: image-config-agent rollout resume")]
    Resume,
    /// Have a node try again what was undone, rolled back or is contested
    #[command(after_help = "Example: image-config-agent rollout retry worker-3")]
    Retry {
        /// The name of the Node
        node: String,
    },
}

#[derive(Debug, Args)]
struct Status {
    /// Wait until all nodes are converged, and show how it goes
    #[arg(short, long)]
    watch: bool,
    /// With --watch: for so many seconds at most
    #[arg(long, value_name = "SECONDS", requires = "watch")]
    timeout: Option<u64>,
    #[command(flatten)]
    format: FormatArgs,
}

impl Rollout {
    pub fn run(&self) -> anyhow::Result<Exit> {
        block_on(async {
            let client = self.cluster.client().await?;
            match &self.command {
                Command::Status(status) => status.run(&client).await,
                Command::Pause => pause(&client, true).await,
                Command::Resume => pause(&client, false).await,
                Command::Retry { node } => retry(&client, node).await,
            }
        })?
    }
}

impl Status {
    async fn run(&self, client: &Client) -> anyhow::Result<Exit> {
        let mut report = look(client).await?;
        if self.watch {
            report = self.watch(client, report).await?;
        }
        self.print(&report)?;
        Ok(if report.is_converged { Exit::Yes } else { Exit::No })
    }

    /// Looks again and again, until all is done or the time is over. Where the last look failed then,
    /// what was seen before is no answer.
    async fn watch(&self, client: &Client, first: Report) -> anyhow::Result<Report> {
        let deadline = self.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let progress = Progress::new();
        let mut last = Ok(first);
        loop {
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            match &last {
                Ok(report) if is_over || report.is_converged => break,
                // A roll-out takes long: the API server may be away for a while.
                Err(error) if is_over || is_refused(error) => break,
                Ok(report) => progress.show(report)?,
                Err(error) => progress.say(&printable(&format!("{error:#}"))),
            }
            tokio::time::sleep(AGAIN).await;
            last = look(client).await;
        }
        progress.bar.finish_and_clear();
        last
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
        if self.format.is_json() {
            return output::json(report);
        }
        output::print(&format!("{}{report}\n", table(&report.nodes, Timestamp::now())))
    }
}

/// Whether waiting does not help: the credentials are not taken, or may not do it.
fn is_refused(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<ClusterError>());
    causes.any(|cause| matches!(cause, ClusterError::Refused { code: 401 | 403, .. }))
}

/// How it goes: a bar on a terminal, else a line for each thing that is new.
struct Progress {
    bar: ProgressBar,
    said: RefCell<String>,
}

impl Progress {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: ProgressBar::new(0).with_style(style), said: RefCell::default() }
    }

    fn show(&self, report: &Report) -> anyhow::Result<()> {
        self.bar.set_length(report.nodes.len().try_into()?);
        self.bar.set_position(report.count(Standing::Converged).try_into()?);
        self.say(&progress(report));
        Ok(())
    }

    fn say(&self, line: &str) {
        self.bar.set_message(line.to_owned());
        if self.bar.is_hidden() && *self.said.borrow() != line {
            output::note(line);
            self.said.replace(line.to_owned());
        }
    }
}

/// What goes on, with the names of some nodes where it does.
fn progress(report: &Report) -> String {
    let busy = report.nodes.iter().filter(|row| row.standing != Standing::Converged);
    let named = busy.take(MOST_NAMED).map(|row| {
        let what = row.why.as_ref().or(row.phase.as_ref());
        let what = what.map(|what| format!(" ({})", printable(what))).unwrap_or_default();
        format!("{}{what}", printable(&row.node))
    });
    let named: Vec<String> = named.collect();
    format!("{report}: {}", named.join(", "))
}

fn table(rows: &[Row], now: Timestamp) -> String {
    let mut lines =
        vec![["NODE", "POOL", "PHASE", "APPLIED", "DESIRED", "RUNTIME", "AGE"].map(str::to_owned)];
    let text = |text: &Option<String>| printable(text.as_deref().unwrap_or("-"));
    let short = |digest: &Option<String>| text(digest).chars().take(12).collect();
    lines.extend(rows.iter().map(|row| {
        let age = row.since.map_or("-".to_owned(), |since| age(now, since));
        let (phase, runtime) = (text(&row.phase), text(&row.runtime));
        let (applied, desired) = (short(&row.applied), short(&row.desired));
        [printable(&row.node), text(&row.pool), phase, applied, desired, runtime, age]
    }));
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut table = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        table += cells.collect::<Vec<_>>().join("   ").trim_end();
        table.push('\n');
        let row = index.checked_sub(1).and_then(|index| rows.get(index));
        if let Some(why) = row.and_then(|row| row.why.as_ref()) {
            table += &format!("  {}\n", printable(why));
        }
    }
    table
}

/// The name of an object, which is all that is read of a Node.
#[derive(Debug, Clone, Deserialize)]
struct Named {
    metadata: Name,
}

#[derive(Debug, Clone, Deserialize)]
struct Name {
    name: String,
}

async fn look(client: &Client) -> anyhow::Result<Report> {
    // What the API server has at hand is good enough, and cheaper.
    let parameters = ListParams::default().match_any();
    // No agent runs on others.
    let of_linux = parameters.clone().labels("kubernetes.io/os!=windows");
    let nodes = Request::new(Node::url_path(&(), None)).list_metadata(&of_linux)?;
    let nodes = within(PATIENCE, client.request::<ObjectList<Named>>(nodes)).await;
    let nodes = nodes.context("the Nodes cannot be listed")?;
    let configs = Request::new(NodeImageConfig::url_path(&(), None)).list(&parameters)?;
    let configs = within(PATIENCE, client.request::<ObjectList<Value>>(configs)).await;
    let configs = configs.map_err(|error| {
        let text = match &error {
            ClusterError::Refused { code: 404, .. } => {
                "the NodeImageConfigs cannot be listed; are the CRDs of the agent installed?"
            }
            _ => "the NodeImageConfigs cannot be listed",
        };
        anyhow!(error).context(text)
    })?;
    let image = within(PATIENCE, images(client).get_metadata_opt("cluster")).await;
    let image = match image {
        // Who may see the nodes need not see the Image.
        Err(ClusterError::Refused { code: 403 | 404, .. }) => None,
        image => image.context("the Image cannot be read")?,
    };
    let is_paused =
        image.is_some_and(|image| image.annotations().get(PAUSED).is_some_and(|is| is != "false"));
    let nodes = nodes.items.into_iter().map(|node| node.metadata.name).collect();
    let said = configs.items.into_iter().filter_map(said).collect();
    Ok(Report::of(nodes, said, is_paused, Timestamp::now()))
}

/// One by one: a node that says what nobody can read hides no other.
fn said(mut object: Value) -> Option<Said> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    // Who wrote when is nobody's business here, and need not be readable.
    metadata.remove("managedFields");
    let name = metadata.get("name")?.as_str()?.to_owned();
    Some((name, serde_json::from_value(object).map_err(|error| error.to_string())))
}

fn images(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("config.openshift.io", "v1", "Image");
    Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, "images"))
}

async fn pause(client: &Client, pauses: bool) -> anyhow::Result<Exit> {
    let value = if pauses { json!("true") } else { Value::Null };
    let patch = Patch::Merge(json!({"metadata": {"annotations": {PAUSED: value}}}));
    let parameters = PatchParams::default();
    let images = images(client);
    let patched = within(PATIENCE, images.patch_metadata("cluster", &parameters, &patch)).await;
    patched.context("the Image `cluster` cannot be annotated")?;
    output::print(if pauses { "paused\n" } else { "resumed\n" })?;
    Ok(Exit::Yes)
}

async fn retry(client: &Client, node: &str) -> anyhow::Result<Exit> {
    // Any value that was not there before.
    let request = format!("{:.6}", Timestamp::now());
    let patch = Patch::Merge(json!({"spec": {"retry": request}}));
    let configs = Api::<NodeImageConfig>::all(client.clone());
    let parameters = PatchParams::default();
    let patched = within(PATIENCE, configs.patch(node, &parameters, &patch)).await;
    patched.with_context(|| {
        format!("NodeImageConfig {node:?} cannot be changed; does an agent run on that node?")
    })?;
    output::print(&format!("{} is asked to try again\n", printable(node)))?;
    Ok(Exit::Yes)
}
