//! `plan`: what documents would change on a host, and what that costs.

use std::path::Path;

use clap::Args;
use image_config_agent::apply::Outcome;
use image_config_agent::host::{Content, Root};
use image_config_agent::model::Severity;
use image_config_agent::plan::{Impact, RuntimeNeed, diff};
use image_config_agent::proposal::Proposal;

use super::{Exit, ReportArgs, output};

/// Shows what would change.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 2 where something would change.
Example: image-config-agent plan -f cluster.yaml")]
pub struct Plan {
    #[command(flatten)]
    args: ReportArgs,
}

impl Plan {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.args.host.open()?;
        let mut proposal = Proposal::make(&root, &settings, &self.args.input.input())?;
        if !proposal.is_applicable() {
            return self.refuse(&proposal);
        }
        proposal.judge(&root, false, Some(Severity::Warning))?;
        let outcome = proposal.outcome(&root)?;
        let impact = proposal.impact();
        if self.args.format.is_json() {
            output::json(&report(&proposal, &outcome, Some(&impact)))?;
        } else {
            print(&root, &proposal, &outcome, &impact)?;
        }
        let answer = if outcome.changes.is_empty() { Exit::Yes } else { Exit::No };
        Ok(Exit::of(&proposal.findings, answer))
    }

    fn refuse(&self, proposal: &Proposal) -> anyhow::Result<Exit> {
        if self.args.format.is_json() {
            output::json(&report(proposal, &Outcome::default(), None))?;
        } else {
            output::findings(&proposal.findings);
        }
        Ok(Exit::Error)
    }
}

fn print(
    root: &Root,
    proposal: &Proposal,
    outcome: &Outcome,
    impact: &Impact,
) -> anyhow::Result<()> {
    output::findings(&proposal.findings);
    for change in &outcome.changes {
        let before = live(root, &change.path);
        output::diff(&diff::unified(
            &change.path,
            before.as_deref(),
            proposal.content(&change.path),
        ))?;
    }
    if outcome.changes.is_empty() {
        return output::print("nothing to do: this host is as the documents want it\n");
    }
    let runtime = match impact.runtime {
        RuntimeNeed::None => "none",
        RuntimeNeed::Reload => "reload",
        RuntimeNeed::Restart => "restart",
    };
    let drain = if impact.drain.needed { "yes" } else { "no" };
    output::print(&format!(
        "runtime: {runtime} ({})\ndrain: {drain} ({})\ndigest: {}\n",
        impact.runtime_reason, impact.drain.reason, proposal.documents.digests.configuration
    ))
}

fn live(root: &Root, path: &Path) -> Option<Vec<u8>> {
    match root.content(path) {
        Content::Bytes(bytes) => Some(bytes),
        Content::Absent | Content::Unreadable(_) => None,
    }
}

fn report(proposal: &Proposal, outcome: &Outcome, impact: Option<&Impact>) -> serde_json::Value {
    let digests = &proposal.documents.digests;
    output::change_json(&proposal.findings, digests, outcome, impact)
}
