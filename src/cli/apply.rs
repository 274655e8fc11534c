//! `apply`, `rollback`, `revert`: what changes a host.

use std::time::Duration;

use clap::Args;
use image_config_agent::apply::{Outcome, Recovery, Session, held, is_interrupted};
use image_config_agent::host::Root;
use image_config_agent::model::Severity;
use image_config_agent::plan::{Impact, RuntimeNeed};
use image_config_agent::proposal::{Documents, HostFiles, Proposal};

use super::{Exit, FormatArgs, HostArgs, ReportArgs, output};

/// How long another agent's transaction is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Applies documents.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent apply -f cluster.yaml --root /mnt/host")]
pub struct Apply {
    #[command(flatten)]
    args: ReportArgs,
    /// Apply even if the host can then not pull an image that it needs
    #[arg(long)]
    accept_lockout: bool,
    /// Apply again what a rollback went away from
    #[arg(long)]
    retry: bool,
}

impl Apply {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.args.host.open()?;
        let host = HostFiles::read(&root, &settings);
        let documents = host.documents(&self.args.input.input());
        // What is refused leaves no trace, not even a lock; a change half-done may be what is
        // refused, and is ended first.
        let refused = self.propose(&root, host, documents.clone())?;
        if !refused.is_applicable() && !is_interrupted(&root)? {
            return self.refuse(&refused);
        }
        let session = Session::open(&root, PATIENCE)?;
        report_recovery(&session);
        // Read again under the lock: now nobody else is changing it.
        let proposal = self.propose(&root, HostFiles::read(&root, &settings), documents)?;
        if !proposal.is_applicable() {
            return self.refuse(&proposal);
        }
        let impact = proposal.impact();
        let outcome = session.apply(proposal.request())?;
        self.print(&proposal, &outcome, Some(&impact))?;
        Ok(Exit::of(&proposal.findings, Exit::Yes))
    }

    /// What the documents mean for the host, and what the guard says of it.
    fn propose(
        &self,
        root: &Root,
        host: HostFiles,
        documents: Documents,
    ) -> anyhow::Result<Proposal> {
        let mut proposal = Proposal::of(root, host, documents)?;
        if proposal.is_applicable() {
            let lock_outs = proposal.lock_outs(root, self.accept_lockout);
            proposal.findings.extend(lock_outs);
        }
        if proposal.is_applicable() && !self.retry {
            let hold = proposal.hold(root, Severity::Error)?;
            proposal.findings.extend(hold);
        }
        Ok(proposal)
    }

    fn refuse(&self, proposal: &Proposal) -> anyhow::Result<Exit> {
        self.print(proposal, &Outcome::default(), None)?;
        Ok(Exit::Error)
    }

    fn print(
        &self,
        proposal: &Proposal,
        outcome: &Outcome,
        impact: Option<&Impact>,
    ) -> anyhow::Result<()> {
        if self.args.format.is_json() {
            return output::json(&output::proposal_json(proposal, outcome, impact));
        }
        output::findings(&proposal.findings);
        let Some(impact) = impact else { return Ok(()) };
        output::outcome(outcome)?;
        if outcome.changes.is_empty() { Ok(()) } else { engine_hint(impact) }
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
    output::print(&format!("CRI-O obeys after: systemctl {verb} crio ({reason})\n"))
}

fn report_recovery(session: &Session<'_>) {
    match session.recovery() {
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
        let (root, _) = self.host.open()?;
        let session = Session::open(&root, PATIENCE)?;
        report_recovery(&session);
        let outcome = session.rollback()?;
        if self.format.is_json() {
            output::json(&output::outcome_json(&outcome.unwrap_or_default()))?;
            return Ok(Exit::Yes);
        }
        match outcome {
            None => output::print("nothing to do: there is no step to go back\n")?,
            Some(outcome) => {
                output::outcome(&outcome)?;
                report_hold(&root)?;
            }
        }
        Ok(Exit::Yes)
    }
}

fn report_hold(root: &Root) -> anyhow::Result<()> {
    if let Some(held) = held(root)? {
        output::print(&format!(
            "held: {} is not applied again until it changes or apply --retry\n",
            held.configuration
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
        let (root, _) = self.host.open()?;
        let session = Session::open(&root, PATIENCE)?;
        report_recovery(&session);
        let outcome = session.revert()?;
        if self.format.is_json() {
            output::json(&output::outcome_json(&outcome))?;
        } else {
            output::outcome(&outcome)?;
        }
        Ok(Exit::Yes)
    }
}
