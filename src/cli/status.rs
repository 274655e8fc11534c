//! `status`, `hold`, `release`, `retry`: talking with a running agent.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use image_config_agent::driver::control::{self, Answer, Request};
use image_config_agent::host::Root;
use image_config_agent::machine::Ending;
use image_config_agent::model::finding::printable;
use image_config_agent::report::status::FORMAT;
use image_config_agent::report::{
    Condition, LastChange, RUN_DIR, ReportStatus, SourceStatus, Status as Report, Truth,
};
use jiff::Timestamp;
use serde_json::json;

use super::{Exit, FormatArgs, HostArgs, output};

/// How long a request may take: a restart, an undo, another restart.
const PATIENCE: Duration = Duration::from_secs(600);

/// Says how the host is.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 converged; 2 not converged, or no agent is running; 1 error.
Example: image-config-agent status -o json")]
pub struct Status {
    #[command(flatten)]
    host: HostArgs,
    /// How to print the status
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "text")]
    format: StatusFormat,
}

/// How a status is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For programs, and people.
    Yaml,
}

impl Status {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, _) = self.host.open_anyway()?;
        let is_running = match control::is_running(&root) {
            // Only root may ask it.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
            answer => Some(answer.context("the agent cannot be asked")?),
        };
        let file = Path::new(RUN_DIR).join("status.json");
        let Some(bytes) = root.read(&file)? else {
            let why = match is_running {
                Some(true) => {
                    "the agent that runs has not looked yet, or cannot write it: see its log"
                }
                _ => "no agent has run since the host started",
            };
            let error = format!("{} is missing: {why}", file.display());
            match self.format {
                StatusFormat::Text => output::note(&error),
                StatusFormat::Json => output::json(&json!({ "error": error }))?,
                StatusFormat::Yaml => {
                    output::print(&serde_saphyr::to_string(&json!({ "error": error }))?)?;
                }
            }
            return Ok(Exit::No);
        };
        let status: Report = parse(&bytes)
            .with_context(|| format!("{} is no status of this agent's", file.display()))?;
        let is_alive = is_running.unwrap_or_else(|| is_agent(status.pid));
        match self.format {
            StatusFormat::Text => output::print(&text(&status, is_alive, Timestamp::now()))?,
            StatusFormat::Json => output::bytes(&bytes)?,
            StatusFormat::Yaml => output::print(&serde_saphyr::to_string(&status)?)?,
        }
        let is_well = is_alive && status.is_converged();
        Ok(if is_well { Exit::Yes } else { Exit::No })
    }
}

/// Whether the process of that number is one of this program: another may have got the number since.
fn is_agent(pid: u32) -> bool {
    let name = |process: &str| std::fs::read(format!("/proc/{process}/comm")).ok();
    name(&pid.to_string()).is_some_and(|other| Some(other) == name("self"))
}

fn parse(bytes: &[u8]) -> anyhow::Result<Report> {
    let value: serde_json::Value = serde_json::from_slice(bytes)?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format > FORMAT => {
            bail!("it has format {format}, this agent knows up to {FORMAT}")
        }
        _ => Ok(serde_json::from_value(value)?),
    }
}

fn text(status: &Report, is_alive: bool, now: Timestamp) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<13}{value}\n"));
    let agent = match is_alive {
        true => format!("{} (pid {})", status.version, status.pid),
        false => format!(
            "{}no agent is running{}; this is what the last one said",
            red(),
            red().render_reset()
        ),
    };
    line("agent", agent);
    line("written", format!("{} ago", age(now, status.written)));
    line("phase", status.phase.clone());
    let short = |digests: &Option<image_config_agent::model::Digests>| {
        let digest = digests.as_ref().map(|digests| digests.configuration.as_str());
        digest.and_then(|digest| digest.get(..12)).unwrap_or("none").to_owned()
    };
    line("observed", short(&status.observed));
    line("applied", short(&status.applied));
    for source in &status.sources {
        line("source", described(source));
    }
    if let Some(report) = &status.report {
        line("report", told(report, now));
    }
    if let Some(why) = status.node.as_ref().and_then(|node| node.untold.as_ref()) {
        line("cluster", format!("is not told all; {}", printable(why)));
    }
    if let Some(waiting) = &status.waiting {
        line("waiting", format!("{}, until {}", printable(&waiting.what), waiting.until));
    }
    if let Some(last) = &status.last_change {
        line("last change", changed(last, now));
    }
    text.push_str(&conditions(&status.conditions, now));
    for file in &status.files {
        let because = printable(&file.because.join(", "));
        text.push_str(&format!("  {} ({because})\n", printable(&file.path.display().to_string())));
    }
    for finding in &status.findings {
        text.push_str(&format!("{finding}\n"));
    }
    text
}

fn described(source: &SourceStatus) -> String {
    let mut text = format!("{}: {}", source.name, printable(&source.origin));
    if let Some(revision) = &source.revision {
        text.push_str(&format!(", revision {}", printable(revision)));
    }
    if !source.used {
        text.push_str(" (not used)");
    }
    if let Some(trouble) = &source.trouble {
        let (message, reason) = (printable(&trouble.message), printable(&trouble.reason));
        text.push_str(&format!("; {message} [{reason}]"));
        if let Some(retry) = trouble.retry {
            text.push_str(&format!(", asked again at {retry:.0}"));
        }
    }
    text
}

fn changed(last: &LastChange, now: Timestamp) -> String {
    let ending = last.ending.as_ref().map_or("under way", Ending::word);
    let ending = ending.replace('_', " ");
    let mut text = format!("{}, {} ago: {ending}", last.kind.word(), age(now, last.began));
    let times = [("files", last.files_ms), ("engine", last.engine_ms)];
    for (what, time) in times.into_iter().filter_map(|(what, time)| Some((what, time?))) {
        text.push_str(&format!(", {what} {time}ms"));
    }
    text
}

fn told(report: &ReportStatus, now: Timestamp) -> String {
    let mut text = printable(&report.url).to_string();
    if let Some(trouble) = &report.trouble {
        let (message, reason) = (printable(&trouble.message), printable(&trouble.reason));
        let since = age(now, trouble.since);
        text.push_str(&format!(" is told nothing since {since}; {message} [{reason}]"));
        if let Some(retry) = trouble.retry {
            text.push_str(&format!(", tried again at {retry:.0}"));
        }
    }
    text
}

fn conditions(conditions: &[Condition], now: Timestamp) -> String {
    let mut text = String::new();
    for condition in conditions {
        let style = match (condition.is_good(), condition.status) {
            (true, _) => Style::new().fg_color(Some(AnsiColor::Green.into())),
            (false, Truth::Unknown) => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            (false, _) => red(),
        };
        let status = format!("{:?}", condition.status);
        text.push_str(&format!(
            "{:<13}{style}{status:<8}{style:#}{:<17}{:>5}  {}\n",
            condition.kind,
            condition.reason,
            age(now, condition.last_transition_time),
            printable(&condition.message),
        ));
    }
    text
}

fn red() -> Style {
    Style::new().fg_color(Some(AnsiColor::Red.into()))
}

/// How long ago something was, in its largest unit.
pub fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Asks a running agent for something that needs no words.
#[derive(Debug, Args)]
pub struct Ask {
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
}

impl Ask {
    pub fn run(&self, request: &Request) -> anyhow::Result<Exit> {
        let (root, _) = self.host.open_anyway()?;
        match ask(&root, request)? {
            Some(answer) => print(&answer, self.format.is_json()),
            None => bail!("no agent is running for this root: start image-config-agent.service"),
        }
    }
}

/// Hands a request to the agent that runs for `root`; `None` where none runs.
pub fn ask(root: &Root, request: &Request) -> anyhow::Result<Option<Answer>> {
    control::ask(root, request, PATIENCE).context("the running agent gives no answer")
}

/// Prints what became of a request.
pub fn print(answer: &Answer, is_json: bool) -> anyhow::Result<Exit> {
    if is_json {
        output::json(answer)?;
    } else {
        output::print(&format!("{}\n", printable(&answer.message)))?;
    }
    Ok(if answer.ok { Exit::Yes } else { Exit::Error })
}
