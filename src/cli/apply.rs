//! `apply`, `rollback`, `revert`: what changes a host.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use image_config_agent::apply::{Outcome, Recovery, Session, held};
use image_config_agent::host::Root;
use image_config_agent::plan::{Impact, RuntimeNeed};
use image_config_agent::proposal::Proposal;
use serde_json::json;

use super::{Exit, FormatArgs, HostArgs, InputArgs, output};

/// How long another agent's transaction is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Applies documents.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent apply -f cluster.yaml --root /mnt/host")]
pub struct Apply {
    #[command(flatten)]
    input: InputArgs,
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
        // The lock first: what is read afterwards is what nobody else is changing.
        let session = Session::open(&root, PATIENCE)?;
        report_recovery(&session);
        let mut proposal = Proposal::make(&root, &settings, &self.input.input())?;
        if proposal.is_applicable() && !self.accept_lockout {
            let lock_outs = proposal.lock_outs(&root);
            proposal.findings.extend(lock_outs);
        }
        if !proposal.is_applicable() {
            self.print(&proposal, &Outcome::default(), None);
            return Ok(Exit::Error);
        }
        let digests = &proposal.documents.digests;
        if !self.retry
            && let Some(held) = held(&root)?
            && held.without_cas == digests.without_cas
        {
            bail!(
                "a rollback went away from this configuration ({}); change the documents, or \
                 apply it with --retry",
                held.configuration
            );
        }
        let impact = proposal.impact();
        let outcome = session.apply(proposal.request())?;
        self.print(&proposal, &outcome, Some(&impact));
        let is_overridden = image_config_agent::model::finding::any_error(&proposal.findings);
        Ok(if is_overridden { Exit::Error } else { Exit::Yes })
    }

    fn print(&self, proposal: &Proposal, outcome: &Outcome, impact: Option<&Impact>) {
        if self.format.is_json() {
            let mut report = output::outcome_json(outcome);
            if let Some(object) = report.as_object_mut() {
                object.insert("digest".into(), json!(proposal.documents.digests.configuration));
                object.insert("impact".into(), json!(impact));
                object.insert("findings".into(), json!(proposal.findings));
            }
            println!("{report}");
            return;
        }
        output::findings(&proposal.findings);
        let Some(impact) = impact else { return };
        output::outcome(outcome);
        if !outcome.changes.is_empty() {
            engine_hint(impact);
        }
    }
}

/// The engine is not told by this command: it says what the engine needs.
fn engine_hint(impact: &Impact) {
    let verb = match impact.runtime {
        RuntimeNeed::None => return,
        RuntimeNeed::Reload => "reload",
        RuntimeNeed::Restart => "restart",
    };
    println!("CRI-O obeys after: systemctl {verb} crio ({})", impact.runtime_reason);
}

fn report_recovery(session: &Session<'_>) {
    match session.recovery() {
        Recovery::Nothing => {}
        Recovery::Finished => eprintln!("an interrupted change was finished first"),
        Recovery::Undone => eprintln!("an interrupted change was undone first"),
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
        let (root, _) = self.host.open()?;
        let session = Session::open(&root, PATIENCE)?;
        report_recovery(&session);
        let outcome = session.rollback()?;
        if self.format.is_json() {
            println!("{}", output::outcome_json(&outcome.unwrap_or_default()));
            return Ok(Exit::Yes);
        }
        match outcome {
            None => println!("nothing to do: there is no step to go back"),
            Some(outcome) => {
                output::outcome(&outcome);
                report_hold(&root)?;
            }
        }
        Ok(Exit::Yes)
    }
}

fn report_hold(root: &Root) -> anyhow::Result<()> {
    if let Some(held) = held(root)? {
        println!(
            "held: {} is not applied again until it changes or apply --retry",
            held.configuration
        );
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
        let (root, _) = self.host.open()?;
        let session = Session::open(&root, PATIENCE)?;
        report_recovery(&session);
        let outcome = session.revert()?;
        if self.format.is_json() {
            println!("{}", output::outcome_json(&outcome));
        } else {
            output::outcome(&outcome);
        }
        Ok(Exit::Yes)
    }
}
