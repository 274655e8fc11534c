//! The real library, behind a pipe: `engine-oracle` of tests/peers.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::host::Host;

/// A host and the references to ask about.
#[derive(Debug, Clone)]
pub struct Question {
    pub host: Host,
    pub references: Vec<String>,
}

impl Question {
    pub fn line(&self) -> Value {
        let mut line = self.host.to_line();
        line["refs"] = json!(self.references);
        line
    }
}

/// A running oracle; it answers in the order in which it is asked.
pub struct Oracle {
    child: Child,
    questions: Option<BufWriter<ChildStdin>>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts the program that `ENGINE_ORACLE` names; there is no test without it.
    pub fn start() -> Self {
        let path = std::env::var_os("ENGINE_ORACLE")
            .expect("ENGINE_ORACLE has to name the engine-oracle of tests/peers (see its README)");
        let mut child = Command::new(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let questions = Some(BufWriter::new(child.stdin.take().unwrap()));
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, questions, answers }
    }

    /// Asks about one host.
    pub fn ask(&mut self, question: &Question) -> Value {
        self.ask_all(std::slice::from_ref(question)).remove(0)
    }

    /// Asks about several hosts; the oracle works on them while the next are written.
    pub fn ask_all(&mut self, questions: &[Question]) -> Vec<Value> {
        let pipe = self.questions.as_mut().unwrap();
        let answers = &mut self.answers;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for question in questions {
                    writeln!(pipe, "{}", question.line()).unwrap();
                }
                pipe.flush().unwrap();
            });
            let answer = |_| {
                let mut line = String::new();
                answers.read_line(&mut line).unwrap();
                serde_json::from_str(&line).expect("the oracle ended early")
            };
            questions.iter().map(answer).collect()
        })
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // At the end of its input the oracle removes its files and leaves.
        self.questions = None;
        let _ = self.child.wait();
    }
}
