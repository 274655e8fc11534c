//! `apply`, `rollback`, `revert`: what changes a host.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use image_config_agent::apply::{Recovery, held, is_interrupted};
use image_config_agent::driver::control::{self, Answer, Request};
use image_config_agent::driver::{Driver, Once, Source, block_on};
use image_config_agent::host::Root;
use image_config_agent::machine::Kind;
use image_config_agent::model::Severity;
use image_config_agent::model::finding::any_error;
use image_config_agent::plan::{Impact, RuntimeNeed};
use image_config_agent::proposal::{Input, Proposal};
use image_config_agent::settings::{Settings, SourceName};
use serde_json::json;

use super::{Exit, FormatArgs, HostArgs, host_files, output, status};

/// How long another agent's transaction is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Applies documents.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent apply -f cluster.yaml --root /mnt/host")]
pub struct Apply {
    /// A file or directory of documents, in place of the setting source.files; may be repeated
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    /// The image of the release payload, which is never locked out
    #[arg(long, value_name = "REF")]
    release_image: Option<String>,
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Apply even if the host can then not pull an image that it needs
    #[arg(long)]
    accept_lockout: bool,
    /// Apply again what a rollback went away from
    #[arg(long)]
    retry: bool,
}

impl Apply {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.host.open()?;
        if self.files.is_empty() {
            let (accept_lockout, retry) = (self.accept_lockout, self.retry);
            let request = Request::Apply { accept_lockout, retry };
            if let Some(answer) = status::ask(&root, &request)? {
                return status::print(&answer, self.format.is_json());
            }
        } else if control::is_running(&root)? {
            bail!(
                "an agent is running and obeys its own sources: without -f this command makes it look at \
                 them now; to apply other documents, stop it first"
            );
        }
        if self.files.is_empty() && settings.order != [SourceName::Files] {
            bail!(
                "no agent is running, and the documents do not come from files alone: start it, or give -f"
            );
        }
        let input = self.input(&settings);
        let host = host_files(&root, &settings);
        let documents = host.documents(&input);
        // What is refused leaves no trace, not even a lock; a change half-done may be what is
        // refused, and is ended first.
        let mut refused = Proposal::of(&root, host, documents)?;
        let of_hold = (!self.retry).then_some(Severity::Error);
        refused.judge(&root, self.accept_lockout, of_hold)?;
        if !refused.is_applicable() && !is_interrupted(&root)? {
            let message = refused.obstacle().map(ToString::to_string).unwrap_or_default();
            let answer = Answer { ok: false, message };
            let digest = refused.documents.digest();
            let findings = refused.findings.clone();
            self.print(digest, &Once { answer, findings, ..Once::default() })?;
            return Ok(Exit::Error);
        }
        let digest = refused.documents.digest().map(str::to_owned);
        let source = Source::Read(Box::new(refused.documents));
        let mut driver = Driver::open(&root, settings, source, PATIENCE)?;
        report_recovery(driver.recovery());
        let once = block_on(driver.apply_once(self.accept_lockout, self.retry))?;
        self.print(digest.as_deref(), &once)?;
        Ok(Self::exit_of(&once))
    }

    fn input(&self, settings: &Settings) -> Input {
        let paths = if self.files.is_empty() { &settings.sources } else { &self.files };
        let release_image = self.release_image.as_ref().or(settings.release_image.as_ref());
        Input { paths: paths.clone(), release_image: release_image.cloned() }
    }

    /// What the findings do not say is said here.
    fn exit_of(once: &Once) -> Exit {
        if any_error(&once.findings) { Exit::Error } else { exit(once) }
    }

    fn print(&self, digest: Option<&str>, once: &Once) -> anyhow::Result<()> {
        let Once { findings, impact, .. } = once;
        if self.format.is_json() {
            let more = [
                ("digest", json!(digest)),
                ("impact", json!(impact)),
                ("findings", json!(findings)),
            ];
            return output::json(&output::with(output::once_json(once), more));
        }
        output::findings(findings);
        let Some(impact) = impact else { return Ok(()) };
        output::once(once)?;
        match once.told {
            _ if once.outcome.changes.is_empty() => Ok(()),
            Some(milliseconds) => {
                output::print(&format!("the engine was told: {milliseconds} ms\n"))
            }
            None => engine_hint(impact),
        }
    }
}

/// The engine is not told by this command: it says what the engine needs.
fn engine_hint(impact: &Impact) -> anyhow::Result<()> {
    let verb = match impact.runtime {
        RuntimeNeed::None => return Ok(()),
        RuntimeNeed::Reload => "reload",
        RuntimeNeed::Restart => "restart",
    };
    let reason = &impact.runtime_reason;
    if impact.is_readable() {
        output::print(&format!("CRI-O obeys after: systemctl {verb} crio ({reason})\n"))
    } else {
        output::print(&format!(
            "CRI-O obeys once its files are mended, after: systemctl restart crio ({reason})\n"
        ))
    }
}

fn report_recovery(recovery: Recovery) {
    match recovery {
        Recovery::Nothing => {}
        Recovery::Finished => output::note("an interrupted change was finished first"),
        Recovery::Undone => output::note("an interrupted change was undone first"),
    }
}

/// Goes one step back.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent rollback")]
pub struct Rollback {
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
}

impl Rollback {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let root = self.host.root()?;
        if let Some(answer) = status::ask(&root, &Request::Rollback)? {
            return status::print(&answer, self.format.is_json());
        }
        let settings = self.host.settings_on(&root)?;
        let driver = Driver::open(&root, settings, Source::Nowhere, PATIENCE)?;
        let once = step_back(driver, Kind::Rollback)?;
        if self.format.is_json() {
            output::json(&output::once_json(&once))?;
        } else if once.answer.ok && once.outcome.changes.is_empty() {
            output::print(&format!("{}\n", once.answer.message))?;
        } else {
            output::once(&once)?;
            report_hold(&root)?;
        }
        Ok(exit(&once))
    }
}

/// Goes back while no agent runs.
fn step_back(mut driver: Driver<'_>, kind: Kind) -> anyhow::Result<Once> {
    report_recovery(driver.recovery());
    Ok(block_on(driver.step_back_once(kind))?)
}

fn exit(once: &Once) -> Exit {
    if once.answer.ok {
        return Exit::Yes;
    }
    output::note(&once.answer.message);
    Exit::Error
}

fn report_hold(root: &Root) -> anyhow::Result<()> {
    if let Some(held) = held(root)? {
        output::print(&format!(
            "held: {} is not applied again until it changes or apply --retry\n",
            held.digests.configuration
        ))?;
    }
    Ok(())
}

/// Gives every file back.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent revert")]
pub struct Revert {
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
}

impl Revert {
    pub fn run(&self) -> anyhow::Result<Exit> {
        // The state knows what is to be given back; a slip in the settings must not keep it.
        let (root, settings) = self.host.open_anyway()?;
        if let Some(answer) = status::ask(&root, &Request::Revert)? {
            return status::print(&answer, self.format.is_json());
        }
        let (driver, discarded) = Driver::open_to_revert(&root, settings, PATIENCE)?;
        for file in discarded {
            output::warning(&format!("{} was damaged; revert does without it", file.display()));
        }
        let once = step_back(driver, Kind::Revert)?;
        if self.format.is_json() {
            output::json(&output::once_json(&once))?;
        } else {
            output::once(&once)?;
        }
        if once.answer.ok && once.is_untaken {
            output::warning(&once.answer.message);
        }
        Ok(exit(&once))
    }
}
