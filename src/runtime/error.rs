//! Why the engine was not told, or did not take it, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use super::unit::ActiveState;
use crate::model::finding::printable;

/// Why systemd or the engine did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// The bus, or systemd on it, is not there.
    #[error(
        "systemd cannot be reached on the system bus: {why}; look at dbus.service, and at \
         whether the agent may open the bus's socket"
    )]
    Bus {
        /// What the connection says.
        why: String,
    },
    /// A wait ended without an answer.
    #[error(
        "waited {waited:?} for {what}, in vain; look at systemctl status and systemctl list-jobs"
    )]
    Deadline {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
    },
    /// systemd answered a call with an error.
    #[error("systemd refuses {call} of {unit}: {why} ({name})")]
    Refused {
        /// The method.
        call: &'static str,
        /// The unit that was meant.
        unit: String,
        /// The name of the error on the bus.
        name: String,
        /// What systemd says of it.
        why: String,
    },
    /// A job ended otherwise than done.
    #[error("the {job} of {unit} ended as {result}{evidence}; see journalctl -u {unit}")]
    Job {
        /// `start`, `restart` or `reload`.
        job: &'static str,
        /// The unit.
        unit: String,
        /// The job's result, as systemd calls it.
        result: String,
        /// What is known of the cause: empty, or begins with a colon.
        evidence: String,
    },
    /// The job is done, and yet the unit does not run.
    #[error(
        "{unit} is {state} ({sub}) although it was told to run{evidence}; see journalctl -u {unit}"
    )]
    NotActive {
        /// The unit.
        unit: String,
        /// Its state.
        state: ActiveState,
        /// The state as its type of unit has it.
        sub: String,
        /// What is known of the cause: empty, or begins with a colon.
        evidence: String,
    },
    /// The job is done, and yet the same process runs.
    #[error("{unit} was not really restarted: its InvocationID is as before; restart it by hand")]
    SameInvocation {
        /// The unit.
        unit: String,
    },
    /// The engine's socket gives no answer.
    #[error(
        "no answer to GET {path} on {} for {:.1} s: {why}; see whether the engine runs and \
         listens there", socket.display(), waited.as_secs_f64()
    )]
    Silent {
        /// The engine's socket.
        socket: PathBuf,
        /// What was asked for.
        path: &'static str,
        /// For how long.
        waited: Duration,
        /// What the last try ran into.
        why: String,
    },
    /// The engine's socket answers, but not with what was asked for.
    #[error("GET {path} on {} is answered with {why}; see the engine's log", socket.display())]
    BadAnswer {
        /// The engine's socket.
        socket: PathBuf,
        /// What was asked for.
        path: &'static str,
        /// The answer, in a word or two.
        why: String,
    },
    /// The engine read its files again and refuses them; it goes on with the old ones.
    #[error("the engine refuses the files: {message}")]
    Rejected {
        /// What it logged.
        message: String,
    },
    /// The engine cannot read its own settings again, which it does before it comes to the files. It
    /// goes on as it was; started anew it would die of them.
    #[error(
        "the engine cannot read its own settings again, and never came to the files: {message}; mend \
         crio.conf, then run image-config-agent retry"
    )]
    Unsettled {
        /// What it logged.
        message: String,
    },
    /// systemd says something that this agent cannot read.
    #[error("systemd's answer cannot be read: {why}; this is a defect of the agent, report it")]
    Unreadable {
        /// What about it.
        why: String,
    },
}

/// Errors of systemd that say that the machine is going down, and nothing of the unit.
const GOING_DOWN: [&str; 2] =
    ["org.freedesktop.systemd1.TransactionIsDestructive", "org.freedesktop.systemd1.ShuttingDown"];

impl RuntimeError {
    /// Whether the same may succeed when it is tried again, with the same files (rule H5).
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Bus { .. } | Self::Deadline { .. } | Self::Silent { .. } => true,
            Self::Refused { name, .. } => GOING_DOWN.contains(&name.as_str()),
            // Somebody else's job replaced it, or its own JobTimeoutSec ended it.
            Self::Job { result, .. } => matches!(result.as_str(), "canceled" | "timeout"),
            Self::NotActive { .. }
            | Self::SameInvocation { .. }
            | Self::BadAnswer { .. }
            | Self::Rejected { .. }
            | Self::Unsettled { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    /// The error of a method call about a unit.
    pub(super) fn of_call(call: &'static str, unit: &str, error: zbus::Error) -> Self {
        let refused = |name: String, why: String| Self::Refused {
            call,
            unit: printable(unit),
            name,
            why: printable(&why),
        };
        match error {
            zbus::Error::MethodError(name, why, _) => {
                refused(name.to_string(), why.unwrap_or_default())
            }
            zbus::Error::FDO(error) => match *error {
                error if is_absence(&error) => Self::Bus { why: printable(&error.to_string()) },
                zbus::fdo::Error::ZBus(error) => Self::of_call(call, unit, error),
                error => refused("org.freedesktop.DBus.Error".to_owned(), error.to_string()),
            },
            zbus::Error::InputOutput(_)
            | zbus::Error::Connection(..)
            | zbus::Error::Handshake(_)
            | zbus::Error::Address(_) => Self::Bus { why: printable(&error.to_string()) },
            other => Self::Unreadable { why: printable(&format!("{call} of {unit}: {other}")) },
        }
    }

    /// The same error with what is known of its cause.
    pub(super) fn with_evidence(mut self, found: String) -> Self {
        if let Self::Job { evidence, .. } | Self::NotActive { evidence, .. } = &mut self {
            *evidence = found;
        }
        self
    }
}

/// Whether an error of the bus says that systemd, or the bus, is not there now.
fn is_absence(error: &zbus::fdo::Error) -> bool {
    use zbus::fdo::Error;
    matches!(
        error,
        Error::NoReply(_)
            | Error::ServiceUnknown(_)
            | Error::NameHasNoOwner(_)
            | Error::NoServer(_)
            | Error::Disconnected(_)
            | Error::Timeout(_)
            | Error::TimedOut(_)
            | Error::IOError(_)
            | Error::NoMemory(_)
            | Error::LimitsExceeded(_)
    )
}
