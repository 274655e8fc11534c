//! Rule H1 at every crash point and every error of the disk.
//!
//! This binary starts itself again under strace, which kills it at the N-th call of a kind, or
//! makes that call fail, for N = 1, 2, … until a run is not hit any more. Whatever happened, after
//! the next start the whole tree, state included, is either the one before or the one after.
//! It needs strace and root, and fails without them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apply_support;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use apply_support::{CA_A, Scratch, digests, first_set, host, second_set};
use image_config_agent::apply::{
    ApplyError, Recovery, Request, STATE_DIR, Session, Warning, drift, preview,
};
use image_config_agent::host::Root;

const ROOT: &str = "APPLY_CRASH_ROOT";
const ACTION: &str = "APPLY_CRASH_ACTION";

/// The calls that change a file system, or make a change durable.
const CALLS: [&str; 13] = [
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
    "flock",
    "fsetxattr",
];

/// How a victim that was not killed says what came of it.
const DONE: i32 = 0;
const UNTIDIED: i32 = 10;
const REFUSED: i32 = 11;
const UNFINISHED: i32 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    First,
    Second,
    Rollback,
    Revert,
    Recover,
}

impl Action {
    const CHANGES: [Self; 4] = [Self::First, Self::Second, Self::Rollback, Self::Revert];

    /// A host right before the action.
    fn before(self) -> Scratch {
        let host = host();
        let earlier: &[Self] = match self {
            Self::First | Self::Recover => &[],
            Self::Second => &[Self::First],
            Self::Rollback | Self::Revert => &[Self::First, Self::Second],
        };
        for action in earlier {
            assert_eq!(action.run(&host.root()), DONE);
        }
        host
    }

    fn run(self, root: &Root) -> i32 {
        let code = |error: ApplyError| match error {
            ApplyError::Unfinished { .. } => UNFINISHED,
            _ => REFUSED,
        };
        let session = match Session::open(root, Duration::ZERO) {
            Ok(session) => session,
            Err(error) => return code(error),
        };
        let apply = |files, name| {
            session.apply(Request { files: &files, digests: &digests(name), keep: &[] })
        };
        let outcome = match self {
            Self::First => apply(first_set(), "1"),
            Self::Second => apply(second_set(), "2"),
            Self::Rollback => session.rollback().map(Option::unwrap),
            Self::Revert => session.revert(),
            Self::Recover => return DONE,
        };
        match outcome {
            Ok(outcome) if outcome.warnings.iter().any(is_untidied) => UNTIDIED,
            Ok(_) => DONE,
            Err(error) => code(error),
        }
    }
}

fn is_untidied(warning: &Warning) -> bool {
    matches!(warning, Warning::Untidied(_))
}

/// What a fault injection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    Missed,
    Killed,
    Exit(i32),
}

/// Runs `action` on `host` in a process of its own under strace with `inject`.
fn victim(host: &Scratch, action: Action, inject: &str) -> Hit {
    let log = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(log.path())
        .args(["-e", &format!("trace={}", inject.split(':').next().unwrap()), "-e", "signal=none"])
        .args(["-e", &format!("inject={inject}")])
        .arg(std::env::current_exe().unwrap())
        .env(ROOT, host.outer())
        .env(ACTION, format!("{action:?}"))
        .stderr(std::process::Stdio::null())
        .status()
        .expect("this suite needs strace");
    let log = std::fs::read_to_string(log.path()).unwrap();
    match (status.code(), status.signal()) {
        (None, Some(9)) => Hit::Killed,
        (Some(137), _) => Hit::Killed,
        (Some(_), _) if !log.contains("(INJECTED)") => Hit::Missed,
        // The loader or the runtime of the victim could not even start.
        (Some(code), _) if ![DONE, UNTIDIED, REFUSED, UNFINISHED].contains(&code) => {
            Hit::Exit(REFUSED)
        }
        (Some(code), _) => Hit::Exit(code),
        other => panic!("strace ended with {other:?}"),
    }
}

/// The whole tree but the lock and the directories that it needs.
fn tree(host: &Scratch) -> Vec<String> {
    let needed = |line: &String| {
        let path = Path::new(line.split(' ').next().unwrap());
        Path::new(STATE_DIR).starts_with(path) || path == Path::new(STATE_DIR).join("lock")
    };
    host.tree("").into_iter().filter(|line| !needed(line)).collect()
}

/// The managed part of a tree, without second and staged names.
fn managed(tree: &[String]) -> Vec<&String> {
    let ours =
        |line: &&String| !line.starts_with("/var") && !line.contains("/.image-config-agent.");
    tree.iter().filter(ours).collect()
}

/// The trees before and after the action.
fn ends(action: Action) -> (Vec<String>, Vec<String>) {
    let host = action.before();
    let before = tree(&host);
    assert_eq!(action.run(&host.root()), DONE);
    let after = tree(&host);
    assert_ne!(before, after);
    (before, after)
}

/// Starts again, as after a crash, and asserts that the host is wholly old or wholly new.
fn assert_whole(host: &Scratch, ends: &(Vec<String>, Vec<String>), what: &str) -> Recovery {
    let root = host.root();
    let recovery = Session::open(&root, Duration::ZERO).unwrap().recovery();
    let found = tree(host);
    assert!(found == ends.0 || found == ends.1, "{what}: {recovery:?}\n{}", found.join("\n"));
    match recovery {
        Recovery::Nothing => {}
        Recovery::Finished => assert_eq!(found, ends.1, "{what}"),
        Recovery::Undone => assert_eq!(found, ends.0, "{what}"),
    }
    assert_eq!(drift(&root).unwrap(), [], "{what}");
    recovery
}

fn h1_crash_at_any_syscall_leaves_old_or_new() {
    let mut seen = Vec::new();
    for action in Action::CHANGES {
        let ends = ends(action);
        for call in CALLS {
            for n in 1.. {
                let host = action.before();
                let what = format!("{action:?} killed at {call} {n}");
                match victim(&host, action, &format!("{call}:signal=SIGKILL:when={n}")) {
                    Hit::Killed => seen.push(assert_whole(&host, &ends, &what)),
                    Hit::Missed => {
                        assert_eq!(tree(&host), ends.1, "{what}");
                        break;
                    }
                    Hit::Exit(code) => panic!("{what}: exit {code}"),
                }
            }
        }
    }
    for kind in [Recovery::Nothing, Recovery::Finished, Recovery::Undone] {
        let count = seen.iter().filter(|&&recovery| recovery == kind).count();
        println!("  {count} of {} kills: {kind:?}", seen.len());
        assert!(count > 10, "kills do not reach every phase");
    }
}

/// Where a first fault falls: while staging, between renames, while tidying up, while undoing.
const FIRST_FAULTS: [&str; 5] = [
    "linkat:signal=SIGKILL:when=4",
    "renameat:signal=SIGKILL:when=6",
    "renameat:signal=SIGKILL:when=12",
    "unlinkat:signal=SIGKILL:when=30",
    "renameat:error=EIO:when=6+",
];

/// A recovery meets one more fault of each kind at each of these calls.
fn fault_the_recovery(calls: &[&str], faults: &[(&str, &str)]) {
    let ends = ends(Action::Second);
    let mut hits = 0;
    for (first, call) in FIRST_FAULTS.iter().flat_map(|f| calls.iter().map(move |c| (*f, *c))) {
        for (fault, more) in faults {
            for n in 1.. {
                let host = Action::Second.before();
                assert_ne!(victim(&host, Action::Second, first), Hit::Missed, "{first}");
                let inject = format!("{call}:{fault}:when={n}{more}");
                let hit = victim(&host, Action::Recover, &inject);
                assert_whole(&host, &ends, &format!("{first}, then recovery with {inject}"));
                if hit == Hit::Missed {
                    break;
                }
                hits += 1;
            }
        }
    }
    println!("  {hits} faults in a recovery");
    assert!(hits > 100, "faults do not reach the recovery");
}

fn h1_crash_in_the_recovery_leaves_old_or_new() {
    fault_the_recovery(&CALLS, &[("signal=SIGKILL", "")]);
}

fn h1_an_error_in_the_recovery_leaves_old_or_new() {
    let calls = ["fsync", "renameat", "unlinkat", "mkdirat"];
    fault_the_recovery(&calls, &[("error=EIO", ""), ("error=EIO", "+")]);
}

/// Every call of a kind fails once, or from then on, with `error`.
fn fail_everywhere(errors: &[(&str, &[&str])]) {
    let mut seen = Vec::new();
    for action in Action::CHANGES {
        let ends = ends(action);
        for (error, calls) in errors {
            for call in *calls {
                for (n, more) in (1..).flat_map(|n| [(n, ""), (n, "+")]) {
                    let host = action.before();
                    let inject = format!("{call}:error={error}:when={n}{more}");
                    let what = format!("{action:?} with {inject}");
                    let hit = victim(&host, action, &inject);
                    let now = tree(&host);
                    match hit {
                        Hit::Missed => break,
                        Hit::Exit(REFUSED) => {
                            assert_eq!(managed(&now), managed(&ends.0), "{what}");
                        }
                        Hit::Exit(DONE) => assert_eq!(now, ends.1, "{what}"),
                        Hit::Exit(UNTIDIED) => {
                            // Directories that are to go may still be there, empty.
                            let files = |tree| -> Vec<&String> {
                                let kept = managed(tree).into_iter();
                                kept.filter(|line| !line.ends_with(" dir")).collect()
                            };
                            assert_eq!(files(&now), files(&ends.1), "{what}");
                        }
                        Hit::Exit(UNFINISHED) => {}
                        other => panic!("{what}: {other:?}"),
                    }
                    assert_whole(&host, &ends, &what);
                    seen.push(hit);
                }
            }
        }
    }
    for code in [DONE, UNTIDIED, REFUSED, UNFINISHED] {
        let count = seen.iter().filter(|&&hit| hit == Hit::Exit(code)).count();
        println!("  {count} of {} faults: exit {code}", seen.len());
    }
    assert!(seen.contains(&Hit::Exit(REFUSED)), "no fault was noticed");
}

fn h1_an_error_of_the_disk_leaves_the_host_unchanged_or_applied() {
    fail_everywhere(&[(
        "EIO",
        &[
            "openat",
            "write",
            "fchmod",
            "fsync",
            "linkat",
            "symlinkat",
            "mkdirat",
            "renameat",
            "unlinkat",
        ],
    )]);
}

fn h1_a_full_disk_leaves_the_host_unchanged_or_applied() {
    fail_everywhere(&[("ENOSPC", &["write", "linkat", "mkdirat", "renameat"])]);
}

fn h1_a_read_only_disk_leaves_the_host_unchanged() {
    for action in Action::CHANGES {
        let ends = ends(action);
        let host = action.before();
        let inject = "linkat,symlinkat,mkdirat,renameat,unlinkat:error=EROFS";
        assert_eq!(victim(&host, action, inject), Hit::Exit(REFUSED));
        assert_eq!(tree(&host), ends.0);
    }
}

fn h1_files_are_durable_before_the_journal_says_so() {
    let host = Action::First.before();
    let log = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=openat,fsync,renameat", "-o"])
        .arg(log.path())
        .arg(std::env::current_exe().unwrap())
        .env(ROOT, host.outer())
        .env(ACTION, "First")
        .status()
        .expect("this suite needs strace");
    assert!(status.success());
    let log = std::fs::read_to_string(log.path()).unwrap();
    let position =
        |what: &str| log.lines().position(|line| what.split('*').all(|part| line.contains(part)));
    let commit = position("renameat*journal-commit.json").unwrap();
    let created: Vec<_> =
        log.lines().filter(|line| line.contains("O_CREAT") && line.contains(".new\"")).collect();
    assert!(created.len() > 10, "{}", created.len());
    for line in created {
        // openat(3</dir>, "name", …) = 4</dir/name>
        let file = line.rsplit('<').next().unwrap().trim_end_matches('>');
        let dir = Path::new(file).parent().unwrap().display();
        for what in [format!("fsync(*<{file}>"), format!("fsync(*<{dir}>")] {
            assert!(position(&what).unwrap_or_else(|| panic!("no {what}")) < commit, "{what}");
        }
    }
    let synced = |line: &&str| line.contains("fsync(") && line.contains("image-config-agent>");
    let after = log.lines().skip(commit).filter(synced).count();
    assert!(after >= 3, "the journal's own renames are made durable, {after}");
}

fn h11_a_foreign_owner_is_a_warning() {
    let host = Action::Second.before();
    std::os::unix::fs::chown(host.at(CA_A), Some(1234), Some(1234)).expect("this suite needs root");
    let (root, digests, files) = (host.root(), digests("1"), first_set());
    let outcome = preview(&root, Request { files: &files, digests: &digests, keep: &[] }).unwrap();
    assert_eq!(outcome.changes, []);
    let [Warning::ForeignOwner { path, owner }] = outcome.warnings.as_slice() else {
        panic!("{:?}", outcome.warnings)
    };
    assert_eq!((path.to_str().unwrap(), owner.uid, owner.gid), (CA_A, 1234, 1234));
}

/// A name and a test, as libtest prints them.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => { [$((stringify!($name), $name as fn())),+] };
}

fn main() -> ExitCode {
    if let (Some(root), Ok(action)) = (std::env::var_os(ROOT), std::env::var(ACTION)) {
        let root = Root::open(Path::new(&root)).unwrap();
        let all = [Action::CHANGES.as_slice(), &[Action::Recover]].concat();
        let action = all.into_iter().find(|a| format!("{a:?}") == action).unwrap();
        return ExitCode::from(u8::try_from(action.run(&root)).unwrap());
    }
    // The same calls in the same order on any file system; memory is ten times as fast.
    if Path::new("/dev/shm").is_dir() {
        tempfile::env::override_temp_dir(Path::new("/dev/shm")).unwrap();
    }
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests![
        h1_crash_at_any_syscall_leaves_old_or_new,
        h1_crash_in_the_recovery_leaves_old_or_new,
        h1_an_error_in_the_recovery_leaves_old_or_new,
        h1_an_error_of_the_disk_leaves_the_host_unchanged_or_applied,
        h1_a_full_disk_leaves_the_host_unchanged_or_applied,
        h1_a_read_only_disk_leaves_the_host_unchanged,
        h1_files_are_durable_before_the_journal_says_so,
        h11_a_foreign_owner_is_a_warning,
    ] {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let ok = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    let verdict = if failed == 0 && passed > 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed");
    if verdict == "ok" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
