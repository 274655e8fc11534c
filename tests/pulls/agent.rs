//! The binary under test: what it renders, and what it says of a pull.

use serde::Deserialize;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const AGENT: &str = env!("CARGO_BIN_EXE_image-config-agent");

/// What `check -o json` says of a reference.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub verdict: String,
    /// Pushes have none: the engine asks the policy for pulls alone.
    policy: Option<Policy>,
    pub sources: Vec<Source>,
    /// What a short name may stand for, in the order in which it is tried.
    #[serde(default)]
    pub candidates: Vec<Answer>,
}

#[derive(Debug, Deserialize)]
struct Policy {
    allowed: bool,
}

impl Answer {
    /// Whether policy.json accepts the image.
    pub fn is_accepted(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.allowed)
    }
}

#[derive(Debug, Deserialize)]
pub struct Source {
    #[serde(rename = "ref")]
    pub reference: String,
    pub insecure: bool,
    pub blocked: bool,
}

impl Source {
    /// The host and port that a pull from this source talks to.
    pub fn registry(&self) -> &str {
        self.reference.split('/').next().unwrap()
    }
}

/// Renders `documents` over the base files below `root` into `out`.
pub fn render(documents: &[String], root: &Path, out: &Path) {
    let dir = tempfile::tempdir().unwrap();
    for (number, document) in documents.iter().enumerate() {
        fs::write(dir.path().join(format!("{number}.yaml")), document).unwrap();
    }
    let output = run(Command::new("timeout")
        .args(["60", AGENT, "render", "-f"])
        .arg(dir.path())
        .arg("--root")
        .arg(root)
        .arg("-o")
        .arg(out));
    assert_eq!(output.status.code(), Some(0), "render: {}", text(&output.stderr));
}

/// Asks what the files below `root` make of a pull of `reference` by podman: CRI-O would refuse to
/// choose between two search registries.
pub fn check(root: &Path, reference: &str) -> Answer {
    ask(root, &["--for", "podman", reference])
}

/// Asks what the files below `root` make of a push to `reference`.
pub fn check_push(root: &Path, reference: &str) -> Answer {
    ask(root, &["--push", reference])
}

fn ask(root: &Path, args: &[&str]) -> Answer {
    let output = run(Command::new("timeout")
        .args(["60", AGENT, "check", "-o", "json", "--root"])
        .arg(root)
        .args(args));
    let answer: Answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("check {args:?}: {error}: {} {}", text(&output.stdout), text(&output.stderr))
    });
    let expected = if answer.verdict == "allowed" { 0 } else { 2 };
    assert_eq!(output.status.code(), Some(expected), "check {args:?}: {answer:?}");
    answer
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
