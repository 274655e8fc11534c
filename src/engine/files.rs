//! The files that the engine reads, as values, and what can be wrong with one.

use std::fmt;
use std::path::{Path, PathBuf};

/// What was found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing is there.
    Absent,
    /// The file's bytes.
    Bytes(Vec<u8>),
    /// Something is there that cannot be read as a file, and why: a directory, a loop of
    /// links, no permission, an IO error.
    Unreadable(String),
}

/// One file: where it is, and what was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where the engine looks for it.
    pub path: PathBuf,
    /// What is there.
    pub content: Content,
}

impl File {
    /// A file with these bytes.
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: Content::Bytes(bytes.into()) }
    }

    /// A path at which nothing is.
    pub fn absent(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), content: Content::Absent }
    }

    /// A path at which something is that cannot be read.
    pub fn unreadable(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), content: Content::Unreadable(reason.into()) }
    }

    /// The bytes; `None` where there is no file.
    pub(super) fn read(&self) -> Result<Option<&[u8]>, FileError> {
        match &self.content {
            Content::Absent => Ok(None),
            Content::Bytes(bytes) => Ok(Some(bytes)),
            Content::Unreadable(reason) => {
                Err(Fault::new(Problem::Unreadable(reason.clone())).in_file(&self.path))
            }
        }
    }
}

/// A place in a text, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The place of a byte, where what is no UTF-8 counts as one character a byte.
    pub(crate) fn of(text: &[u8], offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let line = before.get(line_start..).unwrap_or_default();
        Self {
            line: before.iter().filter(|b| **b == b'\n').count() + 1,
            column: line
                .utf8_chunks()
                .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
                .sum::<usize>()
                + 1,
        }
    }
}

/// Why the engine cannot use a file. It then fails every pull, not only those that the entry
/// is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Where in the file, if that is known.
    pub position: Option<Position>,
    /// The key that is wrong, if it is one: `registry.location`, or `transports.docker`.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl FileError {
    /// What is wrong and where in the file, without the file's name.
    #[must_use]
    pub fn in_words(&self) -> String {
        let at = |Position { line, column }| format!("line {line}, column {column}: ");
        let key = |key: &String| format!("{key}: ");
        let at = self.position.map(at).unwrap_or_default();
        format!("{at}{}{}", self.key.as_ref().map(key).unwrap_or_default(), self.problem)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for FileError {}

/// What is wrong with a file, an entry or a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file is there and cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A policy.json has to exist.
    #[error("there is no such file, and no image is accepted without it")]
    Missing,
    /// The text does not follow the grammar of TOML or JSON, as the engine's decoder has it.
    #[error("{0}")]
    Syntax(String),
    /// A value has a type that its key does not take.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What the key takes.
        expected: &'static str,
        /// What is written.
        found: &'static str,
    },
    /// A key is written in several spellings that differ in case, with different values.
    #[error("is written in several spellings, of which the engine takes one at random")]
    Ambiguous,
    /// A value, or a combination of values, that the engine refuses.
    #[error("{0}")]
    Refused(String),
}

/// A problem before it is known in which file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) position: Option<Position>,
    pub(super) key: Option<String>,
    pub(super) problem: Problem,
}

impl Fault {
    pub(super) fn new(problem: Problem) -> Self {
        Self { position: None, key: None, problem }
    }

    pub(super) fn refused(problem: impl Into<String>) -> Self {
        Self::new(Problem::Refused(problem.into()))
    }

    pub(super) fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn in_file(self, path: &Path) -> FileError {
        let Self { position, key, problem } = self;
        FileError { path: path.to_owned(), position, key, problem }
    }
}

/// A problem with a value, on its way out of the values around it.
#[derive(Debug)]
pub(super) struct Misfit {
    /// The keys that lead to the value, innermost first; `[…]` is an index or a scope.
    path: Vec<String>,
    /// The byte at which the value starts.
    offset: usize,
    problem: Problem,
}

impl Misfit {
    pub(super) fn new(offset: usize, problem: Problem) -> Self {
        Self { path: Vec::new(), offset, problem }
    }

    pub(super) fn syntax(offset: usize, problem: impl Into<String>) -> Self {
        Self::new(offset, Problem::Syntax(problem.into()))
    }

    /// The same further on in the text, after so many bytes.
    pub(super) fn shifted(mut self, bytes: usize) -> Self {
        self.offset += bytes;
        self
    }

    pub(super) fn refused(offset: usize, problem: impl Into<String>) -> Self {
        Self::new(offset, Problem::Refused(problem.into()))
    }

    pub(super) fn type_of(offset: usize, expected: &'static str, found: &'static str) -> Self {
        Self::new(offset, Problem::Type { expected, found })
    }

    pub(super) fn below(mut self, key: impl Into<String>) -> Self {
        self.path.push(key.into());
        self
    }

    /// The same with its place in the text that it was found in.
    pub(super) fn into_fault(self, text: &[u8]) -> Fault {
        let mut key = String::new();
        for part in self.path.iter().rev() {
            if !key.is_empty() && !part.starts_with('[') {
                key.push('.');
            }
            key.push_str(part);
        }
        let position = Some(Position::of(text, self.offset));
        Fault { position, key: Some(key).filter(|key| !key.is_empty()), problem: self.problem }
    }
}
