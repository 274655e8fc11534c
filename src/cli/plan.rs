//! `plan`: what documents would change on a host, and what that costs.

use clap::Args;
use image_config_agent::apply::Outcome;
use image_config_agent::forecast::Forecast;
use image_config_agent::host::{Content, Root};
use image_config_agent::model::Severity;
use image_config_agent::plan::guard::Guarded;
use image_config_agent::plan::{Asked, Impact, RuntimeNeed, Tell, diff};
use image_config_agent::proposal::Proposal;
use image_config_agent::settings::Settings;
use serde_json::{Value, json};

use super::{Exit, ReportArgs, host_files, output};

/// Shows what would change.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 2 where something would change.
Example: image-config-agent plan -f cluster.yaml")]
pub struct Plan {
    #[command(flatten)]
    args: ReportArgs,
}

/// What a plan says beside the findings.
struct Said {
    outcome: Outcome,
    /// The change of each path, line by line.
    diffs: Vec<String>,
    impact: Impact,
    forecast: Forecast,
}

impl Plan {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.args.host.open()?;
        let host = host_files(&root, &settings);
        let mut proposal = Proposal::make(&root, host, &self.args.input.input())?;
        if !proposal.is_applicable() {
            return self.refuse(&proposal, &settings);
        }
        proposal.judge(&root, false, Some(Severity::Warning))?;
        let outcome = proposal.outcome(&root)?;
        let impact = proposal.impact();
        let forecast = Forecast::of(&impact, &settings, settings.manages_engine(root.path()));
        let said = Said { diffs: diffs(&root, &proposal, &outcome), outcome, impact, forecast };
        if self.args.format.is_json() {
            output::json(&report(&proposal, &settings, Some(&said)))?;
        } else {
            print(&proposal, &settings, &said)?;
        }
        let answer = if said.outcome.changes.is_empty() { Exit::Yes } else { Exit::No };
        Ok(Exit::of(&proposal.findings, answer))
    }

    fn refuse(&self, proposal: &Proposal, settings: &Settings) -> anyhow::Result<Exit> {
        if self.args.format.is_json() {
            output::json(&report(proposal, settings, None))?;
        } else {
            output::findings(&proposal.findings);
        }
        Ok(Exit::Error)
    }
}

fn print(proposal: &Proposal, settings: &Settings, said: &Said) -> anyhow::Result<()> {
    output::findings(&proposal.findings);
    said.diffs.iter().try_for_each(|diff| output::diff(diff))?;
    if said.outcome.changes.is_empty() {
        return output::print("nothing to do: this host is as the documents want it\n");
    }
    let Said { impact, forecast, .. } = said;
    let line = |what: &str, needs: &str, why: &str, will: &str, because: &str| {
        output::print(&format!("{what}: {needs} ({why}), will be: {will} ({because})\n"))
    };
    let (needs, will) = (needed(impact.runtime), told(forecast.runtime));
    line("runtime", needs, &impact.runtime_reason, will, &forecast.runtime_reason)?;
    let needs = if impact.drain.needed { "needed" } else { "not needed" };
    let will = if forecast.drain { "yes" } else { "no" };
    line("drain", needs, &impact.drain.reason, will, &forecast.drain_reason)?;
    let digest = &proposal.documents.digests.configuration;
    output::print(&format!("guard: {}\ndigest: {digest}\n", guard(settings, proposal.guarded)))
}

fn needed(need: RuntimeNeed) -> &'static str {
    match need {
        RuntimeNeed::None => "needs none",
        RuntimeNeed::Reload => "needs reload",
        RuntimeNeed::Restart => "needs restart",
    }
}

fn told(asked: Asked) -> &'static str {
    match asked {
        Asked::Nothing => "none",
        Asked::Now(Tell::Reload) => "reload",
        Asked::Now(Tell::Restart) => "restart",
        Asked::Later => "restart once the engine can read its files",
    }
}

fn guard(settings: &Settings, guarded: Option<Guarded>) -> String {
    let mode = settings.shown("guard");
    let Some(Guarded { kept, lost }) = guarded else { return mode };
    let images = |count, one: &str, more: &str| match count {
        1 => format!("1 image {one}"),
        _ => format!("{count} images {more}"),
    };
    let kept = images(kept, "stays within reach", "stay within reach");
    match lost {
        0 => format!("{mode}, {kept}"),
        _ => format!("{mode}, {kept}, {}", images(lost, "is lost", "are lost")),
    }
}

fn diffs(root: &Root, proposal: &Proposal, outcome: &Outcome) -> Vec<String> {
    let of = |path| {
        let before = match root.content(path) {
            Content::Bytes(bytes) => Some(bytes),
            Content::Absent | Content::Unreadable(_) => None,
        };
        diff::unified(path, before.as_deref(), proposal.content(path))
    };
    outcome.changes.iter().map(|change| of(&change.path)).collect()
}

/// The JSON of a plan; of one that is refused, without what it says.
fn report(proposal: &Proposal, settings: &Settings, said: Option<&Said>) -> Value {
    let nothing = Outcome::default();
    let outcome = output::outcome_json(said.map_or(&nothing, |said| &said.outcome));
    let mut report = output::with(
        outcome,
        [
            ("digest", json!(proposal.documents.digest())),
            ("impact", json!(said.map(|said| &said.impact))),
            ("forecast", json!(said.map(|said| forecast_json(&said.forecast)))),
            ("guard", guard_json(settings, proposal.guarded)),
            ("findings", json!(proposal.findings)),
        ],
    );
    let changes = report.get_mut("changes").and_then(Value::as_array_mut).into_iter().flatten();
    for (change, diff) in changes.zip(said.iter().flat_map(|said| &said.diffs)) {
        *change = output::with(change.take(), [("diff", json!(diff))]);
    }
    report
}

fn forecast_json(forecast: &Forecast) -> Value {
    json!({
        "runtime": told(forecast.runtime),
        "runtimeReason": forecast.runtime_reason,
        "drain": {"done": forecast.drain, "reason": forecast.drain_reason},
    })
}

fn guard_json(settings: &Settings, guarded: Option<Guarded>) -> Value {
    let counts = json!(guarded.unwrap_or_default());
    output::with(counts, [("mode", json!(settings.shown("guard")))])
}
