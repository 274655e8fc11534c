//! The driver's own file, the driver's order of things, and its heals (rules H1, H5, H9): what a
//! crash or an error cuts off, the next start goes on with.
//!
//! The engine is a double on a bus of the test's own, which says what it was told.

use std::fs;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use image_config_agent::driver::{Driver, Source, block_on};
use image_config_agent::host::Root;
use image_config_agent::machine::Kind;
use image_config_agent::plan::RuntimeAction;
use image_config_agent::proposal::{HostFiles, Input};
use image_config_agent::settings::{Runtime, Settings};

use crate::apply_support::{REGISTRIES, Scratch};
use crate::runtime_support::{Host as Engine, running};
use crate::transaction::tree;
use crate::victim::{CALLS, DONE, Hit, ONE_THREAD, REFUSED, fate, process, with_each};

/// What a victim of this file does: all that the documents ask for, or a step that somebody asks for.
const CONVERGE: &str = "Converge";
const ROLL_BACK: &str = "RollBack";
const REVERT: &str = "RevertAll";
const DOCUMENTS: &str = "/docs/image.json";
const ENGINE: &str = "/run/engine";
/// Where the driver looks for programs: nothing is there.
const NO_JOURNALCTL: &str = "/nowhere";

/// Where the driver is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// New documents, and a restart of the engine.
    Apply,
    /// A file of ours is gone. A reload follows that nobody confirms: there is no journalctl. So a
    /// restart is owed.
    Heal,
    /// One step back, and a restart of the engine.
    Rollback,
    /// All the way back, and a reload that nobody confirms.
    Revert,
}

/// Does what the documents ask for, or a step back, as a command that runs once.
pub fn go(root: &Root, action: &str) -> i32 {
    let step = match action {
        ROLL_BACK => Some(Kind::Rollback),
        REVERT => Some(Kind::Revert),
        _ => None,
    };
    let runtime = Runtime {
        is_managed: Some(true),
        action: RuntimeAction::Restart,
        socket: format!("{ENGINE}/crio.sock").into(),
        reload_deadline: Duration::from_secs(5),
        ..Runtime::default()
    };
    let settings = Settings { runtime, ..Settings::default() };
    let input = Input { paths: vec![root.path().join("docs")], release_image: None };
    let documents = HostFiles::read(root, &settings, None).documents(&input);
    let source = Source::Read(Box::new(documents));
    let mut driver = match Driver::open(root, settings, source, Duration::ZERO) {
        Ok(driver) => driver,
        Err(error) => return refused(&error.to_string()),
    };
    let once = async {
        match step {
            Some(kind) => driver.step_back_once(kind).await,
            None => driver.apply_once(false, false).await,
        }
    };
    match block_on(once) {
        Ok(once) if once.answer.ok => DONE,
        Ok(once) => refused(&format!("{}, {:?}", once.answer.message, once.findings)),
        Err(error) => refused(&error.to_string()),
    }
}

fn refused(why: &str) -> i32 {
    eprintln!("refused: {why}");
    REFUSED
}

/// Does `work` beside a bus with an engine on it, in a thread of its own: all connections end with it.
fn with_engine<T>(work: impl FnOnce(&Engine) -> T) -> T {
    let (sender, receiver) = mpsc::channel();
    let (ending, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        block_on(async {
            sender.send(Engine::new()).unwrap();
            let _ = ended.await;
        })
    });
    let result = work(&receiver.recv().unwrap());
    drop(ending);
    result
}

impl Change {
    /// What makes it.
    fn action(self) -> &'static str {
        match self {
            Self::Apply | Self::Heal => CONVERGE,
            Self::Rollback => ROLL_BACK,
            Self::Revert => REVERT,
        }
    }

    /// Whether the engine was told of it.
    fn is_told(self, engine: &Engine) -> bool {
        let how = if self == Self::Revert { "reload" } else { "restart" };
        engine.told().contains(&format!("{how} crio.service"))
    }

    /// A host right before the change.
    fn before(self, engine: &Engine) -> Scratch {
        let host = Scratch::new();
        host.write(REGISTRIES, "# The host's own.\n").mkdir("/etc/docker/certs.d");
        host.link(ENGINE, engine.dir.path());
        host.write(DOCUMENTS, blocking("a.io"));
        assert!(run(&host, engine, CONVERGE));
        match self {
            Self::Apply => drop(host.write(DOCUMENTS, blocking("b.io"))),
            Self::Heal => fs::remove_file(host.at(REGISTRIES)).unwrap(),
            Self::Rollback | Self::Revert => {
                host.write(DOCUMENTS, blocking("b.io"));
                assert!(run(&host, engine, CONVERGE));
            }
        }
        engine.unit("crio.service", running());
        engine.state.lock().unwrap().told.clear();
        host
    }
}

fn blocking(registry: &str) -> String {
    let spec = format!(r#"{{"registrySources": {{"blockedRegistries": ["{registry}"]}}}}"#);
    format!(
        r#"{{"apiVersion": "config.openshift.io/v1", "kind": "Image",
            "metadata": {{"name": "cluster"}}, "spec": {spec}}}"#
    )
}

/// A process that finds the bus.
fn driver(program: &str, host: &Scratch, engine: &Engine, action: &str) -> Command {
    let mut command = process(program, host, action);
    let bus = engine.settings.bus.as_ref().unwrap();
    command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
    command
}

/// Runs the driver, whom nothing befalls; whether it did what was to be done.
fn run(host: &Scratch, engine: &Engine, action: &str) -> bool {
    let this = std::env::current_exe().unwrap();
    let mut driver = driver(this.to_str().unwrap(), host, engine, action);
    driver.env("PATH", NO_JOURNALCTL).status().unwrap().success()
}

/// Cuts the driver off, starts it again, and asserts that all is then as it should be.
fn cut_off(engine: &Engine, change: Change, after: &[String], inject: &str) -> Hit {
    let host = change.before(engine);
    let mut strace = driver("strace", &host, engine, change.action());
    strace.args(["-E", &format!("PATH={NO_JOURNALCTL}")]);
    let hit = fate(strace, &[inject, ONE_THREAD]);
    let what = format!("{change:?} with {inject}: {hit:?}");
    if change == Change::Rollback {
        // A step that has begun is gone on with, whoever starts next.
        let memory = host.at("/var/lib/image-config-agent/driver.json");
        let has_begun = fs::read_to_string(memory).is_ok_and(|text| text.contains("rollback"));
        run(&host, engine, CONVERGE);
        assert!(!has_begun || files(&host) == after, "{what}: {:?}", files(&host));
    }
    assert!(run(&host, engine, change.action()), "{what}");
    assert_eq!(files(&host), after, "{what}");
    assert!(change.is_told(engine), "{what}: {:?}", engine.told());
    hit
}

/// Cuts the driver off at every call, one after the other; how often.
fn everywhere(faults: &[(&str, &str)]) {
    let changes = [Change::Apply, Change::Heal, Change::Rollback, Change::Revert];
    let all: Vec<_> = changes
        .into_iter()
        .flat_map(|change| {
            faults.iter().flat_map(move |fault| CALLS.map(|call| (change, fault, call)))
        })
        .collect();
    let hits = with_each(&all, |(change, (fault, more), call)| {
        with_engine(|engine| {
            let after = undisturbed(engine, *change);
            let is_hit = |n: &usize| {
                let inject = format!("{call}:{fault}:when={n}{more}");
                cut_off(engine, *change, &after, &inject) != Hit::Missed
            };
            (1..).take_while(is_hit).count()
        })
    });
    let hits: usize = hits.into_iter().sum();
    println!("  {hits} faults in the driver");
    assert!(hits > 100, "faults do not reach the driver");
}

/// The tree after a change that nothing befell.
fn undisturbed(engine: &Engine, change: Change) -> Vec<String> {
    let host = change.before(engine);
    assert!(run(&host, engine, change.action()));
    assert!(change.is_told(engine), "{change:?}");
    files(&host)
}

/// The tree, but for what the engine said of itself: after one more restart that is of another invocation.
fn files(host: &Scratch) -> Vec<String> {
    let said = "/var/lib/image-config-agent/engine.json ";
    tree(host).into_iter().filter(|entry| !entry.starts_with(said)).collect()
}

pub fn h1_a_driver_that_crashes_anywhere_is_gone_on_with() {
    everywhere(&[("signal=SIGKILL", "")]);
}

/// A disk gets full, or read-only, for as long as the driver runs; the other errors pass.
pub fn h1_a_driver_that_meets_an_error_anywhere_is_gone_on_with() {
    let faults =
        [("error=EIO", ""), ("error=ENOSPC", "+"), ("error=EROFS", "+"), ("error=EACCES", "")];
    everywhere(&faults);
}
