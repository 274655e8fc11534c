//! A process that strace kills at a call, or one of whose calls it makes fail.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::apply_support::Scratch;

/// Says to this binary that it is a victim, and on which host.
pub const ROOT: &str = "CRASH_ROOT";
/// What a victim does.
pub const ACTION: &str = "CRASH_ACTION";

/// The calls that change a file system, or make a change durable.
pub const CALLS: [&str; 12] = [
    "openat",
    "write",
    "fchown",
    "fchmod",
    "fchmodat",
    "fsync",
    "linkat",
    "symlinkat",
    "mkdirat",
    "renameat",
    "unlinkat",
    "fsetxattr",
];

/// How a victim that was not killed says what came of it.
pub const DONE: i32 = 0;
pub const UNTIDIED: i32 = 10;
pub const REFUSED: i32 = 11;
pub const UNFINISHED: i32 = 12;

/// What a fault injection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    Missed,
    Killed,
    Exit(i32),
}

/// Keeps a victim from having threads, in which strace counts calls anew: it has to do without.
pub const ONE_THREAD: &str = "clone,clone3:error=EAGAIN";

/// A process that does `action` on `host`.
pub fn process(program: &str, host: &Scratch, action: &str) -> Command {
    let mut command = Command::new(program);
    command.env(ROOT, host.outer()).env(ACTION, action);
    command
}

/// Runs `action` on `host` in a process of its own under strace with `inject`, in one thread.
pub fn victim(host: &Scratch, action: &str, inject: &str) -> Hit {
    fate(process("strace", host, action), &[inject, ONE_THREAD])
}

/// What becomes of a victim, which `strace` starts with these faults.
pub fn fate(mut strace: Command, injects: &[&str]) -> Hit {
    let log = tempfile::NamedTempFile::new().unwrap();
    let calls: Vec<_> = injects.iter().map(|inject| inject.split(':').next().unwrap()).collect();
    let status = strace
        .args(["-f", "-qq", "-o"])
        .arg(log.path())
        .args(["-e", &format!("trace={}", calls.join(",")), "-e", "signal=none"])
        .args(injects.iter().flat_map(|inject| ["-e".to_owned(), format!("inject={inject}")]))
        .arg(std::env::current_exe().unwrap())
        .stderr(std::process::Stdio::null())
        .status()
        .expect("this suite needs strace");
    let log = std::fs::read_to_string(log.path()).unwrap();
    let is_hit = |line: &str| line.contains("(INJECTED)") && !line.contains("clone");
    match (status.code(), status.signal()) {
        (None, Some(9)) => Hit::Killed,
        (Some(137), _) => Hit::Killed,
        (Some(_), _) if !log.lines().any(is_hit) => Hit::Missed,
        // The loader or the runtime of the victim could not even start.
        (Some(code), _) if ![DONE, UNTIDIED, REFUSED, UNFINISHED].contains(&code) => {
            Hit::Exit(REFUSED)
        }
        (Some(code), _) => Hit::Exit(code),
        other => panic!("strace ended with {other:?}"),
    }
}

/// Does `work` with each of `items`, with as many at once as there are processors.
pub fn with_each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut results = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.push(work(item));
        }
        results
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().unwrap().get();
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}
