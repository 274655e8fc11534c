//! `plan`: what documents would change on a host, and what that costs.

use std::path::Path;

use clap::Args;
use image_config_agent::apply::Outcome;
use image_config_agent::host::{Content, Root};
use image_config_agent::plan::{Impact, RuntimeNeed, diff};
use image_config_agent::proposal::Proposal;
use serde_json::json;

use super::{Exit, FormatArgs, HostArgs, InputArgs, output};

/// Shows what would change.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 2 where something would change.
Example: image-config-agent plan -f cluster.yaml")]
pub struct Plan {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
}

impl Plan {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.host.open()?;
        let mut proposal = Proposal::make(&root, &settings, &self.input.input())?;
        if !proposal.is_applicable() {
            self.refuse(&proposal);
            return Ok(Exit::Error);
        }
        let lock_outs = proposal.lock_outs(&root);
        proposal.findings.extend(lock_outs);
        let outcome = proposal.outcome(&root)?;
        let impact = proposal.impact();
        if self.format.is_json() {
            println!("{}", report(&proposal, &outcome, Some(&impact)));
        } else {
            print(&root, &proposal, &outcome, &impact);
        }
        Ok(match (proposal.is_applicable(), outcome.changes.is_empty()) {
            (false, _) => Exit::Error,
            (true, true) => Exit::Yes,
            (true, false) => Exit::No,
        })
    }

    fn refuse(&self, proposal: &Proposal) {
        if self.format.is_json() {
            println!("{}", report(proposal, &Outcome::default(), None));
        } else {
            output::findings(&proposal.findings);
        }
    }
}

fn report(proposal: &Proposal, outcome: &Outcome, impact: Option<&Impact>) -> serde_json::Value {
    let mut report = output::outcome_json(outcome);
    if let Some(object) = report.as_object_mut() {
        object.insert("digest".into(), json!(proposal.documents.digests.configuration));
        object.insert("impact".into(), json!(impact));
        object.insert("findings".into(), json!(proposal.findings));
    }
    report
}

fn print(root: &Root, proposal: &Proposal, outcome: &Outcome, impact: &Impact) {
    output::findings(&proposal.findings);
    for change in &outcome.changes {
        let before = live(root, &change.path);
        output::diff(&diff::unified(
            &change.path,
            before.as_deref(),
            proposal.content(&change.path),
        ));
    }
    if outcome.changes.is_empty() {
        println!("nothing to do: this host is as the documents want it");
        return;
    }
    let runtime = match impact.runtime {
        RuntimeNeed::None => "none",
        RuntimeNeed::Reload => "reload",
        RuntimeNeed::Restart => "restart",
    };
    println!("runtime: {runtime} ({})", impact.runtime_reason);
    let drain = if impact.drain.needed { "yes" } else { "no" };
    println!("drain: {drain} ({})", impact.drain.reason);
    println!("digest: {}", proposal.documents.digests.configuration);
}

fn live(root: &Root, path: &Path) -> Option<Vec<u8>> {
    match root.content(path) {
        Content::Bytes(bytes) => Some(bytes),
        Content::Absent | Content::Unreadable(_) => None,
    }
}
