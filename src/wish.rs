//! What a look asks for: the change to make next, as a pure function of what was seen.

use crate::machine::{Change, Kind};
use crate::model::Digests;
use crate::plan::{Asked, Tell};

/// How the engine stands before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is none to be told, or it is stopped and stays so (rule H6).
    Silent,
    /// Nobody could ask.
    Unreachable,
    /// It runs.
    Running,
    /// It should run, and does not (rule H6).
    Failing,
}

/// What a look showed, as far as it decides.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Somebody said `hold` (rule X3).
    pub is_held: bool,
    /// What the documents mean, if that can be applied and is not.
    pub target: Option<Digests>,
    /// What applying it asks to be told to the engine.
    pub asked: Asked,
    /// Files of ours that others changed and that are to be put right (rule H9).
    pub heals: bool,
    /// Whether the engine may have read what others wrote.
    pub has_read_foreign: bool,
    /// The engine has yet to be restarted for an earlier change.
    pub owes_restart: bool,
    /// Whether it can read its files as they are.
    pub is_readable: bool,
    /// How the engine stands.
    pub standing: Standing,
    /// The active units that need the engine's (rule H5).
    pub dependents: Vec<String>,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// Nothing yet: the engine would have to be told, and cannot be.
    Wait,
    /// This change; then a restart is owed, or not.
    Change {
        /// The change.
        change: Change,
        /// Whether the engine is to be restarted once it can read its files.
        owes_restart: bool,
    },
}

impl Seen {
    /// The change to make next.
    #[must_use]
    pub fn wish(self) -> Wish {
        let owed = self.owes_restart;
        match &self.target {
            _ if self.is_held => Wish::Nothing,
            Some(_) => match self.asked {
                Asked::Now(_) if self.standing == Standing::Unreachable => Wish::Wait,
                Asked::Now(tell) => self.change(Kind::Apply, Some(tell), owed),
                Asked::Nothing => self.change(Kind::Apply, None, owed),
                Asked::Later => self.change(Kind::Apply, None, true),
            },
            None if self.heals => {
                let is_told = self.has_read_foreign && self.is_readable;
                self.change(Kind::Heal, is_told.then_some(Tell::Reload), owed)
            }
            None if owed && self.is_readable && self.standing == Standing::Running => {
                self.change(Kind::Restart, Some(Tell::Restart), owed)
            }
            None => Wish::Nothing,
        }
    }

    fn change(self, kind: Kind, tell: Option<Tell>, owes_restart: bool) -> Wish {
        let target = self.target.filter(|_| kind == Kind::Apply);
        let change = change(kind, target, tell, self.standing, self.dependents);
        Wish::Change { change, owes_restart }
    }
}

/// A change of an engine that stands so: one that is stopped is told nothing (rule H6).
#[must_use]
pub fn change(
    kind: Kind,
    target: Option<Digests>,
    tell: Option<Tell>,
    standing: Standing,
    dependents: Vec<String>,
) -> Change {
    let is_told = matches!(standing, Standing::Running | Standing::Failing);
    let was_failing = standing == Standing::Failing;
    Change { kind, target, tell: tell.filter(|_| is_told), was_failing, dependents }
}
