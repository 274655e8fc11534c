//! The sections of the OpenShift chapter, one folder of `examples/` each: the documents in `input/`,
//! rendered over `base/`, mean the files in `expected/`, and `check` answers as `checks.jsonl` says.
//!
//! Files are compared by what they mean, certificates by their bytes. `examples/README.md` says what
//! a folder holds; where the chapter contradicts itself, the folder's own README says what was mended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

/// How many folders there are, so that a lost one is noticed.
const EXAMPLES: usize = 10;

#[test]
fn every_section_of_the_chapter_has_its_example() -> Result<()> {
    let examples = examples()?;
    assert_eq!(examples.len(), EXAMPLES, "{examples:#?}");
    for example in examples {
        for part in ["README.md", "base", "checks.jsonl", "expected", "input"] {
            assert!(example.join(part).exists(), "{} lacks {part}", example.display());
        }
    }
    Ok(())
}

#[test]
fn render_writes_what_the_chapter_prints() -> Result<()> {
    for_each_example(|example, root| {
        let out = TempDir::new()?;
        let run = agent(example, "render", root).arg("-o").arg(out.path()).output()?;
        ensure!(run.status.success(), "render failed: {}", stderr(&run));

        let base = files_below(&example.join("base"))?;
        let expected = files_below(&example.join("expected"))?;
        let rendered = files_below(out.path())?;
        let paths: BTreeSet<_> =
            base.keys().chain(expected.keys()).chain(rendered.keys()).collect();
        for path in paths {
            // A file that keeps the meaning of its base may be left out on either side.
            let meant = expected.get(path).or(base.get(path));
            let written = rendered.get(path).or(base.get(path));
            match (meant, written) {
                (Some(meant), Some(written)) => {
                    let (meant, written) = (Meaning::of(path, meant)?, Meaning::of(path, written)?);
                    ensure!(
                        meant == written,
                        "{}: expected {meant:#?}\nrendered {written:#?}",
                        path.display()
                    );
                }
                (Some(_), None) => anyhow::bail!("{} is missing", path.display()),
                (None, _) => anyhow::bail!("{} should not be there", path.display()),
            }
        }
        Ok(())
    })
}

#[test]
fn check_answers_what_the_chapter_promises() -> Result<()> {
    for_each_example(|example, root| {
        let checks = fs::read_to_string(example.join("checks.jsonl"))?;
        let checks: Vec<Check> =
            checks.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        ensure!(!checks.is_empty(), "checks.jsonl is empty");

        for question in [Question::Pull, Question::Import, Question::Push] {
            let asked: Vec<&Check> = checks.iter().filter(|c| c.question() == question).collect();
            if !asked.is_empty() {
                compare_answers(example, root, question, &asked)?;
            }
        }
        Ok(())
    })
}

/// Asks about all references at once, and compares each answer in the fields that the check gives.
fn compare_answers(
    example: &Path,
    root: &Path,
    question: Question,
    checks: &[&Check],
) -> Result<()> {
    let run = agent(example, "check", root)
        .args(["-o", "json"])
        .args(question.flag())
        .args(checks.iter().map(|check| &check.reference))
        .output()?;
    let all_allowed = checks.iter().all(|check| check.verdict == "allowed");
    let code = if all_allowed { 0 } else { 2 };
    ensure!(
        run.status.code() == Some(code),
        "check {question:?}: expected exit code {code}, got {}: {}",
        run.status,
        stderr(&run)
    );

    let stdout = String::from_utf8(run.stdout)?;
    let answers: Vec<Value> = stdout
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context(stdout.clone())?;
    ensure!(answers.len() == checks.len(), "check {question:?}: one line for each: {stdout}");
    for (check, answer) in checks.iter().zip(&answers) {
        let expected = check.answer();
        ensure!(
            agrees(&expected, answer),
            "check {question:?}: expected {expected:#}\nanswered {answer:#}"
        );
    }
    Ok(())
}

/// A line of `checks.jsonl`.
#[derive(Deserialize)]
struct Check {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    import: bool,
    #[serde(default)]
    push: bool,
    verdict: String,
    /// Further fields of the answer.
    #[serde(flatten)]
    details: serde_json::Map<String, Value>,
}

impl Check {
    fn question(&self) -> Question {
        match (self.import, self.push) {
            (true, _) => Question::Import,
            (_, true) => Question::Push,
            _ => Question::Pull,
        }
    }

    /// What the answer holds, whatever else it says.
    fn answer(&self) -> Value {
        let mut fields = self.details.clone();
        fields.insert("ref".into(), self.reference.clone().into());
        fields.insert("verdict".into(), self.verdict.clone().into());
        fields.into()
    }
}

/// What `check` is asked about a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Question {
    Pull,
    Import,
    Push,
}

impl Question {
    fn flag(self) -> Option<&'static str> {
        match self {
            Question::Pull => None,
            Question::Import => Some("--import"),
            Question::Push => Some("--push"),
        }
    }
}

/// Whether `answer` has every field of `expected`, with the same value. Lists agree item by item.
fn agrees(expected: &Value, answer: &Value) -> bool {
    match (expected, answer) {
        (Value::Object(expected), Value::Object(answer)) => expected
            .iter()
            .all(|(key, value)| answer.get(key).is_some_and(|other| agrees(value, other))),
        (Value::Array(expected), Value::Array(answer)) => {
            expected.len() == answer.len()
                && expected.iter().zip(answer).all(|(value, other)| agrees(value, other))
        }
        _ => expected == answer,
    }
}

/// What a node file means, whatever its layout.
#[derive(Debug, PartialEq)]
enum Meaning {
    Policy(Value),
    Registries(Registries),
    Bytes(Vec<u8>),
}

impl Meaning {
    fn of(path: &Path, bytes: &[u8]) -> Result<Self> {
        let meaning = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => serde_json::from_slice(bytes).map(Meaning::Policy)?,
            Some("conf") => Meaning::Registries(Registries::parse(std::str::from_utf8(bytes)?)?),
            _ => Meaning::Bytes(bytes.to_vec()),
        };
        Ok(meaning)
    }
}

/// registries.conf or a drop-in. The order of registries has no meaning, that of mirrors has. An
/// absent flag is false, an absent word is empty, and an absent search list is not an empty one.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Registries {
    unqualified_search_registries: Option<Vec<String>>,
    #[serde(default)]
    short_name_mode: String,
    #[serde(default, rename = "registry")]
    registries: Vec<Registry>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Registry {
    #[serde(default)]
    prefix: String,
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default, rename = "mirror")]
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: String,
}

impl Registries {
    fn parse(text: &str) -> Result<Self> {
        let mut file: Registries = toml_edit::de::from_str(text)?;
        for registry in &mut file.registries {
            if registry.prefix.is_empty() {
                registry.prefix.clone_from(&registry.location);
            }
        }
        file.registries.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        Ok(file)
    }
}

/// The folders of `examples/` that hold documents, by name.
fn examples() -> Result<Vec<PathBuf>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut folders = Vec::new();
    for entry in fs::read_dir(examples)? {
        let path = entry?.path();
        if path.join("input").is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Runs `test` on every example, with a copy of its base as root, and reports all that fail.
fn for_each_example(test: impl Fn(&Path, &Path) -> Result<()>) -> Result<()> {
    let mut failures = Vec::new();
    for example in examples()? {
        let root = TempDir::new()?;
        for (path, bytes) in files_below(&example.join("base"))? {
            let copy = root.path().join(path);
            fs::create_dir_all(copy.parent().context("a file has a folder")?)?;
            fs::write(copy, bytes)?;
        }
        if let Err(error) = test(&example, root.path()) {
            failures.push(format!("{}: {error:#}", example.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}

/// The agent's command on the documents of `example`, below `root`.
fn agent(example: &Path, command: &str, root: &Path) -> Command {
    let mut agent = Command::new(env!("CARGO_BIN_EXE_image-config-agent"));
    agent.arg(command).arg("-f").arg(example.join("input")).arg("--root").arg(root);
    agent
}

fn stderr(run: &Output) -> String {
    String::from_utf8_lossy(&run.stderr).into_owned()
}

/// Every file below `folder`, by its path from there.
fn files_below(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder)?.to_path_buf(), fs::read(&path)?);
            }
        }
    }
    Ok(files)
}
