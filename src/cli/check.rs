//! `check`: what happens when this host pulls an image.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use image_config_agent::check::{
    Answer, Host, PolicyAnswer, ShortName, SourceAnswer, Verdict, import,
};
use image_config_agent::model::Finding;
use image_config_agent::model::finding::printable;
use image_config_agent::proposal::{Documents, Engine, Input, Proposal};

use super::{Exit, FormatArgs, HostArgs, host_files, output};

/// Answers for references.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 2 where any of the images is not pulled.
Example: image-config-agent check -f cluster.yaml quay.io/ns/app:v1")]
pub struct Check {
    /// Documents to answer for in place of the files on disk; may be repeated
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// The image of the release payload, which is never locked out
    #[arg(long, value_name = "REF")]
    release_image: Option<String>,
    #[command(flatten)]
    host: HostArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Whether a user may import the image as an image stream (needs -f)
    #[arg(long, conflicts_with = "push", requires = "files")]
    import: bool,
    /// Whether the image can be pushed from this host
    #[arg(long)]
    push: bool,
    /// Whose policy.json is meant where CRI-O has its own
    #[arg(long = "for", value_name = "ENGINE", value_parser = ["crio", "podman"], default_value = "crio")]
    engine: String,
    /// The images; - reads them from standard input, one a line
    #[arg(value_name = "REF", required = true)]
    references: Vec<String>,
}

impl Check {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (root, settings) = self.host.open()?;
        let input = Input { paths: self.files.clone(), release_image: self.release_image.clone() };
        let references = self.references()?;
        if self.import {
            let documents = Documents::read(&input, &settings, None);
            output::warnings(&documents.findings);
            if image_config_agent::model::finding::any_error(&documents.findings) {
                return Ok(Exit::Error);
            }
            let answers = references.iter().map(|text| import(text, &documents.config));
            return self.print(answers);
        }
        let engine = if self.engine == "podman" { Engine::Podman } else { Engine::Crio };
        let (files, crio_mode, meaning, findings) = if input.paths.is_empty() {
            let host = host_files(&root, &settings);
            let unreadable: Vec<Finding> = host.unreadable_settings().collect();
            output::findings(&unreadable);
            if !unreadable.is_empty() {
                return Ok(Exit::Error);
            }
            (host.engine_files(engine), host.short_name_mode(), None, Vec::new())
        } else {
            let proposal = Proposal::make(&root, host_files(&root, &settings), &input)?;
            output::warnings(&proposal.findings);
            if !proposal.is_applicable() {
                return Ok(Exit::Error);
            }
            let mode = proposal.host.short_name_mode();
            let files = proposal.engine_files(engine);
            // While the roll-out is paused the files are not what the documents mean.
            let is_theirs = !proposal.is_behind();
            let meaning = Some(proposal.documents.meaning).filter(|_| is_theirs);
            (files, mode, meaning, proposal.findings)
        };
        let policy_file = files.policy.path.display().to_string();
        let view = files.view();
        let host = Host {
            view: &view,
            policy_file,
            registries_conf: &settings.paths.registries_conf,
            short_name_mode: (engine == Engine::Crio).then_some(crio_mode),
            meaning: meaning.as_ref(),
        };
        let answer = |text: &String| if self.push { host.push(text) } else { host.pull(text) };
        Ok(Exit::of(&findings, self.print(references.iter().map(answer))?))
    }

    fn references(&self) -> anyhow::Result<Vec<String>> {
        let mut references = Vec::new();
        for text in &self.references {
            if text == "-" {
                let lines = std::io::read_to_string(std::io::stdin().lock())
                    .context("standard input cannot be read")?;
                let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
                references.extend(lines.map(str::to_owned));
            } else {
                references.push(text.clone());
            }
        }
        if references.is_empty() {
            bail!("there is no reference on standard input");
        }
        Ok(references)
    }

    fn print(&self, answers: impl Iterator<Item = Answer>) -> anyhow::Result<Exit> {
        let mut exit = Exit::Yes;
        for answer in answers {
            if !answer.is_yes() {
                exit = Exit::No;
            }
            if self.format.is_json() {
                output::json(&answer)?;
            } else {
                output::print(&text(&answer, 0))?;
            }
        }
        Ok(exit)
    }
}

/// The answer for people. Candidates stand below their name, indented.
fn text(answer: &Answer, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let mut lines = vec![format!("{}: {}", answer.reference, verdict(answer))];
    match &answer.details.short_name {
        // No engine asks the library for the name as it stands.
        Some(short_name) => lines.push(meanings(short_name)),
        None => {
            lines.extend(answer.policy.as_ref().map(|policy| judged(answer, policy)));
            lines.extend(places(answer));
            lines.extend(answer.errors.iter().map(|error| format!("  error: {error}")));
        }
    }
    lines.extend(answer.details.notes.iter().map(|note| format!("  note: {note}")));
    let line = |line: &String| format!("{indent}{}\n", printable(line));
    let mut text: String = lines.iter().map(line).collect();
    for candidate in &answer.candidates {
        text += &self::text(candidate, depth + 2);
    }
    text
}

fn meanings(short_name: &ShortName) -> String {
    let from = match (short_name.from, &short_name.file) {
        (Some(from), Some(file)) => format!("{from} of {file}, "),
        _ => String::new(),
    };
    let says = match &short_name.why {
        Some(why) => format!("refused: {why}"),
        None => "tried in order".to_owned(),
    };
    format!("  as a short name ({from}mode {}): {says}", short_name.mode)
}

fn judged(answer: &Answer, policy: &PolicyAnswer) -> String {
    let file = answer.details.policy_file.as_deref().unwrap_or("policy.json");
    let rule = match policy.level {
        "transport-scope" => format!("scope {:?} of transport docker", policy.scope),
        "transport-default" => "default of transport docker".to_owned(),
        _ => "default".to_owned(),
    };
    let says = if policy.allowed {
        "accepted"
    } else if answer.details.signature_required {
        "accepted with a signature"
    } else {
        "refused"
    };
    format!("  {says} by {file}, {rule}{}", behind(answer, "policy"))
}

/// The places with a line ahead of them, where there are any.
fn places(answer: &Answer) -> Vec<String> {
    if answer.sources.is_empty() {
        return Vec::new();
    }
    let entry = answer.details.entry.as_ref().map_or(String::new(), |entry| {
        let part = |name: &str| entry.get(name).and_then(|v| v.as_str()).unwrap_or_default();
        format!(" by {}, entry {:?}", part("file"), part("prefix"))
    });
    let head = format!("  asked in order{entry}{}:", behind(answer, "entry"));
    let place = |(index, source): (usize, &SourceAnswer)| {
        let tls = if source.insecure { "insecure" } else { "secure" };
        let blocked = if source.blocked { ", blocked" } else { "" };
        let ca = answer.details.cas.get(index).and_then(Option::as_deref);
        let ca = ca.map_or(String::new(), |directory| format!(", CAs of {directory}"));
        format!("    {}. {} ({tls}{blocked}{ca})", index + 1, source.reference)
    };
    let places = answer.sources.iter().enumerate().map(place);
    std::iter::once(head).chain(places).collect()
}

fn verdict(answer: &Answer) -> &'static str {
    let has_other_meanings = !answer.candidates.is_empty() || answer.details.short_name.is_some();
    match answer.verdict {
        _ if has_other_meanings && answer.is_yes() => "allowed, as one of what it can mean",
        _ if has_other_meanings => "refused, whatever it can mean",
        Verdict::Allowed if answer.details.signature_required => "allowed, if it is signed",
        Verdict::Allowed => "allowed",
        Verdict::Rejected => "rejected",
        Verdict::Blocked => "blocked",
        Verdict::Invalid => "invalid",
    }
}

/// Who is behind the answer of the policy, or behind the places: fields of objects, or the host.
fn behind(answer: &Answer, what: &'static str) -> String {
    let details = &answer.details;
    let origins = if what == "policy" { &details.policy_origins } else { &details.source_origins };
    if details.hosts_own.contains(&what) {
        return " (the host's own entry)".to_owned();
    }
    if origins.is_empty() {
        return String::new();
    }
    let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
    format!(" ({})", origins.join(", "))
}
