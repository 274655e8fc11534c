//! One transaction of the files (rule H1): an apply, a roll-back, a revert, a heal.

use std::path::Path;
use std::time::Duration;

use image_config_agent::apply::{
    ApplyError, Drift, Recovery, Request, STATE_DIR, Session, Warning, drift, preview,
};
use image_config_agent::host::Root;

use crate::apply_support::{
    CA_A, CA_B, POLICY, REGISTRIES, Scratch, digests, first_set, host, second_set,
};
use crate::victim::{
    CALLS, DONE, Hit, REFUSED, UNFINISHED, UNTIDIED, fate, process, victim, with_each,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    First,
    Second,
    Rollback,
    Revert,
    Heal,
    Recover,
}

impl Action {
    const CHANGES: [Self; 5] =
        [Self::First, Self::Second, Self::Rollback, Self::Revert, Self::Heal];

    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::CHANGES.into_iter().chain([Self::Recover]);
        all.find(|action| action.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::First => "First",
            Self::Second => "Second",
            Self::Rollback => "Rollback",
            Self::Revert => "Revert",
            Self::Heal => "Heal",
            Self::Recover => "Recover",
        }
    }

    /// A host right before the action.
    fn before(self) -> Scratch {
        let host = host();
        let earlier: &[Self] = match self {
            Self::First | Self::Recover => &[],
            Self::Second | Self::Heal => &[Self::First],
            Self::Rollback | Self::Revert => &[Self::First, Self::Second],
        };
        for action in earlier {
            assert_eq!(action.run(&host.root()), DONE);
        }
        if self == Self::Heal {
            // Others change what is ours, remove it, and put a link in its place.
            host.write(REGISTRIES, "foreign");
            std::fs::remove_file(host.at(CA_B)).unwrap();
            std::fs::remove_file(host.at(POLICY)).unwrap();
            host.link(POLICY, "/usr/lib/policy.json");
        }
        host
    }

    pub fn run(self, root: &Root) -> i32 {
        let code = |error: ApplyError| match error {
            ApplyError::Unfinished { .. } => UNFINISHED,
            _ => REFUSED,
        };
        let session = match Session::open(root, Duration::ZERO) {
            Ok(session) => session,
            Err(error) => return code(error),
        };
        let apply = |files, name| {
            session.apply(Request {
                files: &files,
                digests: &digests(name),
                keep: &[],
                is_partial: false,
            })
        };
        let outcome = match self {
            Self::First => apply(first_set(), "1"),
            Self::Second => apply(second_set(), "2"),
            Self::Rollback => session.rollback().map(Option::unwrap),
            Self::Revert => session.revert(),
            Self::Heal => drift(root).and_then(|drift| {
                let paths: Vec<_> = drift.into_iter().map(|drift| drift.path).collect();
                session.heal(&paths)
            }),
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

/// The whole tree but the lock and the directories that it needs.
pub fn tree(host: &Scratch) -> Vec<String> {
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
struct Ends {
    before: Vec<String>,
    after: Vec<String>,
    /// What others changed beforehand.
    drift: Vec<Drift>,
}

impl Ends {
    fn of(action: Action) -> Self {
        let host = action.before();
        let (before, drift) = (tree(&host), drift(&host.root()).unwrap());
        assert_eq!(action.run(&host.root()), DONE);
        let after = tree(&host);
        assert_ne!(before, after);
        Self { before, after, drift }
    }
}

/// Starts again, as after a crash, and asserts that the host is wholly old or wholly new.
fn assert_whole(host: &Scratch, ends: &Ends, what: &str) -> Recovery {
    let root = host.root();
    let recovery = Session::open(&root, Duration::ZERO).unwrap().recovery();
    let found = tree(host);
    let is_old = found == ends.before;
    assert!(is_old || found == ends.after, "{what}: {recovery:?}\n{}", found.join("\n"));
    match recovery {
        Recovery::Nothing => {}
        Recovery::Finished => assert!(!is_old, "{what}"),
        Recovery::Undone => assert!(is_old, "{what}"),
    }
    assert_eq!(drift(&root).unwrap(), if is_old { &ends.drift[..] } else { &[] }, "{what}");
    recovery
}

/// Each change with each of the calls.
fn changes_and_calls() -> Vec<(Action, &'static str)> {
    let with_calls = |action| CALLS.map(|call| (action, call));
    Action::CHANGES.into_iter().flat_map(with_calls).collect()
}

pub fn h1_crash_at_any_syscall_leaves_old_or_new() {
    let all = changes_and_calls();
    let seen = with_each(&all, |(action, call)| kill_at_each(*action, call)).concat();
    for kind in [Recovery::Nothing, Recovery::Finished, Recovery::Undone] {
        let count = seen.iter().filter(|&&recovery| recovery == kind).count();
        println!("  {count} of {} kills: {kind:?}", seen.len());
        assert!(count > 10, "kills do not reach every phase");
    }
}

fn kill_at_each(action: Action, call: &str) -> Vec<Recovery> {
    let ends = Ends::of(action);
    let mut seen = Vec::new();
    for n in 1.. {
        let host = action.before();
        let what = format!("{action:?} killed at {call} {n}");
        match victim(&host, action.name(), &format!("{call}:signal=SIGKILL:when={n}")) {
            Hit::Killed => seen.push(assert_whole(&host, &ends, &what)),
            Hit::Missed => {
                assert_eq!(tree(&host), ends.after, "{what}");
                break;
            }
            Hit::Exit(code) => panic!("{what}: exit {code}"),
        }
    }
    seen
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
    let all: Vec<_> = FIRST_FAULTS
        .iter()
        .flat_map(|first| calls.iter().map(move |call| (*first, *call)))
        .collect();
    let ends = Ends::of(Action::Second);
    let hits = with_each(&all, |(first, call)| {
        let hit_at = |(fault, more): &(&str, &str)| {
            let is_hit = |n: &usize| {
                let inject = format!("{call}:{fault}:when={n}{more}");
                is_recovery_hit(&ends, first, &inject)
            };
            (1..).take_while(is_hit).count()
        };
        faults.iter().map(hit_at).sum::<usize>()
    });
    let hits: usize = hits.into_iter().sum();
    println!("  {hits} faults in a recovery");
    assert!(hits > 100, "faults do not reach the recovery");
}

/// Whether there was a call left for the second fault to hit; the host is whole, hit or not.
fn is_recovery_hit(ends: &Ends, first: &str, second: &str) -> bool {
    let host = Action::Second.before();
    assert_ne!(victim(&host, Action::Second.name(), first), Hit::Missed, "{first}");
    let hit = victim(&host, Action::Recover.name(), second);
    assert_whole(&host, ends, &format!("{first}, then recovery with {second}"));
    hit != Hit::Missed
}

pub fn h1_crash_in_the_recovery_leaves_old_or_new() {
    fault_the_recovery(&CALLS, &[("signal=SIGKILL", "")]);
}

pub fn h1_an_error_in_the_recovery_leaves_old_or_new() {
    let calls = ["fsync", "renameat", "unlinkat", "mkdirat"];
    fault_the_recovery(&calls, &[("error=EIO", ""), ("error=EIO", "+")]);
}

/// Every call fails once, or from then on, with `error`.
fn fail_everywhere(error: &str) {
    let all = changes_and_calls();
    let seen = with_each(&all, |(action, call)| fail_at_each(*action, call, error)).concat();
    for code in [DONE, UNTIDIED, REFUSED, UNFINISHED] {
        let count = seen.iter().filter(|&&hit| hit == Hit::Exit(code)).count();
        println!("  {count} of {} {error}: exit {code}", seen.len());
    }
    assert!(seen.contains(&Hit::Exit(REFUSED)), "no fault was noticed");
}

fn fail_at_each(action: Action, call: &str, error: &str) -> Vec<Hit> {
    let ends = Ends::of(action);
    let mut seen = Vec::new();
    for (n, more) in (1..).flat_map(|n| [(n, ""), (n, "+")]) {
        let host = action.before();
        let inject = format!("{call}:error={error}:when={n}{more}");
        let hit = victim(&host, action.name(), &inject);
        if hit == Hit::Missed {
            break;
        }
        let what = format!("{action:?} with {inject}");
        assert_as_said(hit, &tree(&host), &ends, &what);
        assert_whole(&host, &ends, &what);
        seen.push(hit);
    }
    seen
}

/// What a victim says of how far it came is so.
fn assert_as_said(hit: Hit, now: &[String], ends: &Ends, what: &str) {
    match hit {
        Hit::Exit(REFUSED) => assert_eq!(managed(now), managed(&ends.before), "{what}"),
        Hit::Exit(DONE) => assert_eq!(now, ends.after, "{what}"),
        Hit::Exit(UNTIDIED) => {
            // Directories that are to go may still be there, empty.
            let files = |tree| -> Vec<&String> {
                managed(tree).into_iter().filter(|line| !line.ends_with(" dir")).collect()
            };
            assert_eq!(files(now), files(&ends.after), "{what}");
        }
        Hit::Exit(UNFINISHED) => {}
        other => panic!("{what}: {other:?}"),
    }
}

pub fn h1_an_error_of_the_disk_leaves_the_host_unchanged_or_applied() {
    fail_everywhere("EIO");
}

pub fn h1_a_full_disk_leaves_the_host_unchanged_or_applied() {
    fail_everywhere("ENOSPC");
}

pub fn h1_a_disk_that_gets_read_only_leaves_the_host_unchanged_or_applied() {
    fail_everywhere("EROFS");
}

pub fn h1_a_refusal_of_the_kernel_leaves_the_host_unchanged_or_applied() {
    fail_everywhere("EACCES");
}

pub fn h1_a_read_only_disk_leaves_the_host_unchanged() {
    for action in Action::CHANGES {
        let ends = Ends::of(action);
        let host = action.before();
        let inject = "linkat,symlinkat,mkdirat,renameat,unlinkat:error=EROFS";
        assert_eq!(victim(&host, action.name(), inject), Hit::Exit(REFUSED));
        // Such a disk would not let the draft be made either, and lets nobody remove it.
        let draft = "/var/lib/image-config-agent/journal.draft ";
        let mut left = tree(&host);
        left.retain(|entry| !entry.starts_with(draft));
        assert_eq!(left, ends.before);
    }
}

/// Threads wait for the disk together; whichever of them meets a fault.
pub fn h1_a_fault_in_any_thread_leaves_old_or_new() {
    for action in Action::CHANGES {
        let ends = Ends::of(action);
        for n in 1..=4 {
            for fault in ["signal=SIGKILL", "error=EIO", "error=ENOSPC"] {
                let host = action.before();
                let inject = format!("fsync:{fault}:when={n}");
                assert_ne!(
                    fate(process("strace", &host, action.name()), &[&inject]),
                    Hit::Missed,
                    "{inject}"
                );
                assert_whole(&host, &ends, &format!("{action:?} with {inject}"));
            }
        }
    }
}

pub fn h1_files_are_durable_before_the_journal_says_so() {
    let host = Action::First.before();
    let log = tempfile::NamedTempFile::new().unwrap();
    let status = process("strace", &host, Action::First.name())
        .args(["-f", "-y", "-e", "trace=openat,fsync,renameat", "-o"])
        .arg(log.path())
        .arg(std::env::current_exe().unwrap())
        .status()
        .expect("this suite needs strace");
    assert!(status.success());
    let log = std::fs::read_to_string(log.path()).unwrap();
    let has = |line: &str, what: &str| what.split('*').all(|part| line.contains(part));
    let position = |what: &str| log.lines().position(|line| has(line, what));
    // A call that another thread's came in between of ends on a line of its own.
    let end_of = |what: &str| {
        let begun = position(what)?;
        let mut rest = log.lines().enumerate().skip(begun);
        let (_, line) = rest.next()?;
        if !line.ends_with("<unfinished ...>") {
            return Some(begun);
        }
        let thread = line.split(' ').next()?;
        rest.find(|(_, line)| line.starts_with(thread) && line.contains("fsync resumed"))
            .map(|(at, _)| at)
    };
    let commit = position("renameat*journal-commit.json").unwrap();
    let created: Vec<_> =
        log.lines().filter(|line| line.contains("O_CREAT") && line.contains(".new\"")).collect();
    assert!(created.len() > 10, "{}", created.len());
    for line in created {
        // openat(3</dir>, "name", …) = 4</dir/name>
        let file = line.rsplit('<').next().unwrap().trim_end_matches('>');
        let dir = Path::new(file).parent().unwrap().display();
        for what in [format!("fsync(*<{file}>"), format!("fsync(*<{dir}>")] {
            assert!(end_of(&what).unwrap_or_else(|| panic!("no {what}")) < commit, "{what}");
        }
    }
    let synced = |line: &&str| line.contains("fsync(") && line.contains("image-config-agent>");
    let after = log.lines().skip(commit).filter(synced).count();
    assert!(after >= 3, "the journal's own renames are made durable, {after}");
}

pub fn h11_a_foreign_owner_is_a_warning_and_taken_from() {
    let host = Action::Second.before();
    std::os::unix::fs::chown(host.at(CA_A), Some(1234), Some(1234)).expect("this suite needs root");
    let (root, digests, files) = (host.root(), digests("1"), first_set());
    let outcome =
        preview(&root, Request { files: &files, digests: &digests, keep: &[], is_partial: false })
            .unwrap();
    let [change] = outcome.changes.as_slice() else { panic!("{:?}", outcome.changes) };
    assert_eq!(change.path.to_str().unwrap(), CA_A);
    let [Warning::ForeignOwner { path, owner }] = outcome.warnings.as_slice() else {
        panic!("{:?}", outcome.warnings)
    };
    assert_eq!((path.to_str().unwrap(), owner.uid, owner.gid), (CA_A, 1234, 1234));
}

/// A kernel without SELinux keeps a label as any attribute, but takes it from root alone.
pub fn h1_a_label_of_selinux_is_kept() {
    let host = Action::Second.before();
    let label = b"system_u:object_r:container_file_t:s0\0";
    let of = |path: &str| xattr::get(host.at(path), "security.selinux").unwrap();
    xattr::set(host.at(REGISTRIES), "security.selinux", label).expect("this suite needs root");
    let (root, digests, files) = (host.root(), digests("2"), second_set());
    let mut session = Session::open(&root, Duration::ZERO).unwrap();
    let outcome = session
        .apply(Request { files: &files, digests: &digests, keep: &[], is_partial: false })
        .unwrap();
    assert!(outcome.changes.iter().any(|change| change.path == Path::new(REGISTRIES)));
    assert_eq!(of(REGISTRIES).as_deref(), Some(&label[..]));
    session.rollback().unwrap();
    assert_eq!(of(REGISTRIES).as_deref(), Some(&label[..]));
}
