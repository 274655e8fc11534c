//! A page that shows commands: documents to write, commands to run, and what they print.
//!
//! - ```` ```yaml NAME ```` is a document, which lies as NAME in the folder where the commands run.
//! - ```` ```console ```` is run on a host, ```` ```console cluster ```` in a cluster: a line after `$ ` is a command,
//!   the lines below it are what it prints.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A path of this project.
pub fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn read(path: &str) -> String {
    std::fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Holds a page to what it should be, or with `UPDATE` set makes it so.
pub fn hold(path: &str, wanted: &str) {
    if std::env::var_os("UPDATE").is_some() && read(path) != wanted {
        std::fs::write(at(path), wanted).unwrap();
    }
    let page = read(path);
    let other = page.lines().zip(wanted.lines()).find(|(is, should)| !is_alike(is, should));
    let advice = "run this test once more with UPDATE=1, and read what it wrote";
    assert!(page == wanted, "{path} is not what it should be: {advice}; {other:?}");
}

/// The how-tos.
pub fn howtos() -> Vec<String> {
    let files = std::fs::read_dir(at("docs/howto")).unwrap();
    let mut names: Vec<String> = files
        .map(|file| format!("docs/howto/{}", file.unwrap().file_name().into_string().unwrap()))
        .collect();
    names.sort();
    names
}

/// Where a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Host,
    Cluster,
}

pub enum Piece {
    /// What nobody runs, to the letter.
    Prose(String),
    Document {
        name: String,
        text: String,
    },
    Step(Step),
}

pub struct Step {
    pub place: Place,
    /// As a shell takes it; it may go over several lines.
    pub command: String,
    pub output: String,
}

pub struct Page {
    pub pieces: Vec<Piece>,
}

impl Page {
    /// Blocks of other kinds are prose.
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut prose = String::new();
        let mut lines = text.split_inclusive('\n');
        while let Some(line) = lines.next() {
            prose.push_str(line);
            let Some(info) = line.trim_end().strip_prefix("```") else { continue };
            let block = lines.by_ref().take_while(|line| line.trim_end() != "```");
            let block: String = block.collect();
            pieces.push(Piece::Prose(std::mem::take(&mut prose)));
            match info.split_once(' ') {
                None if info == "console" => pieces.extend(steps(Place::Host, &block)),
                Some(("console", "cluster")) => pieces.extend(steps(Place::Cluster, &block)),
                Some(("yaml", name)) => {
                    pieces.push(Piece::Document { name: name.to_owned(), text: block });
                }
                _ => prose.push_str(&block),
            }
            prose.push_str("```\n");
        }
        pieces.push(Piece::Prose(prose));
        Self { pieces }
    }

    /// Writes the documents and runs the commands of a place, in order. What prints something else
    /// than the page says is taken over.
    pub fn play(&mut self, place: Place, scene: &Scene, mut run: impl FnMut(&Step) -> String) {
        for piece in &mut self.pieces {
            match piece {
                Piece::Document { name, text } => {
                    std::fs::write(scene.work().join(name), text).unwrap();
                }
                Piece::Step(step) if step.place == place => {
                    let printed = run(step);
                    if !is_alike(&printed, &step.output) {
                        step.output = printed;
                    }
                }
                _ => {}
            }
        }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Prose(text) | Piece::Document { text, .. } => f.write_str(text),
            Piece::Step(step) => write!(f, "$ {}\n{}", step.command, step.output),
        })
    }
}

fn steps(place: Place, block: &str) -> impl Iterator<Item = Piece> {
    let (before, steps) = block.split_once("$ ").unwrap();
    assert_eq!(before, "", "output of no command");
    steps.split("\n$ ").map(move |step| {
        // What is broken with a backslash goes on.
        let end = step.match_indices('\n').find(|(at, _)| !step[..*at].ends_with('\\'));
        let (command, output) = end.map_or((step, ""), |(at, _)| (&step[..at], &step[at + 1..]));
        let output = match output {
            "" => String::new(),
            text => format!("{}\n", text.trim_end_matches('\n')),
        };
        Piece::Step(Step { place, command: command.to_owned(), output })
    })
}

/// Whether two outputs are the same, but for times, process ids, and the columns that they move.
pub fn is_alike(one: &str, other: &str) -> bool {
    let blurred = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split_whitespace().map(blurred).collect()).collect()
    };
    blurred(one) == blurred(other)
}

fn blurred(word: &str) -> String {
    let is_time = |c: char| c.is_ascii_digit() || "smh".contains(c);
    match word.trim_start_matches(|c: char| c.is_ascii_digit()) {
        ")" if word.len() > 1 => "PID)".to_owned(),
        rest if rest.len() < word.len() && !rest.is_empty() && word.chars().all(is_time) => {
            "TIME".to_owned()
        }
        _ => word.to_owned(),
    }
}

/// A host below a scratch folder, a folder to work in, and programs to run there.
pub struct Scene {
    dir: tempfile::TempDir,
    root: PathBuf,
    variables: Vec<(String, String)>,
}

impl Scene {
    /// On the host whose root this is. There the agent's documents are the host's.
    pub fn on(root: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("work")).unwrap();
        let documents = root.join("etc/image-config-agent/cluster.d");
        std::fs::create_dir_all(&documents).unwrap();
        let documents = documents.to_str().unwrap().to_owned();
        let variables = vec![("IMAGE_CONFIG_AGENT_SOURCE_FILES".to_owned(), documents)];
        let scene = Self { dir, root: root.to_owned(), variables };
        let agent = env!("CARGO_BIN_EXE_image-config-agent");
        let root = root.display();
        scene.program(
            "image-config-agent",
            &format!(
                "case \"$*\" in explain* | rollout* | *--root*) exec {agent} \"$@\" ;; esac\n\
                 exec {agent} \"$@\" --root {root}"
            ),
        );
        scene
    }

    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Puts a shell script on PATH.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A shell command in the folder to work in. What it names below /etc is the host's; /tmp/host is the host.
    pub fn command(&self, text: &str) -> Command {
        let root = self.root.to_str().unwrap();
        let text = text
            .replace(" /etc/", &format!(" {root}/etc/"))
            .replace(" /tmp/host", &format!(" {root}"));
        let mut command = Command::new("/bin/sh");
        command.env_clear().env("NO_COLOR", "1").envs(self.variables.iter().cloned());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.dir.path().display()));
        command.args(["-c", &text]).current_dir(self.work()).stdin(Stdio::null());
        command
    }

    /// What a terminal shows of a command.
    pub fn run(&self, step: &Step) -> String {
        // What shows how far something is goes away once it is there.
        let all = if step.command.contains(" --watch") { "2>/dev/null" } else { "2>&1" };
        let output = self.command(&format!("{{ {}\n}} {all}", step.command)).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        printed.replace(self.root.to_str().unwrap(), "")
    }
}
