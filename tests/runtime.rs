//! The engine is told, and its answer believed, only as far as systemd and the engine bear it out.

#![allow(clippy::unwrap_used)] // a test may panic

mod runtime_support;

use std::fs;
use std::time::Duration;

use image_config_agent::runtime::{
    ActiveState, Confirmation, Load, Runtime, RuntimeError, RuntimeSettings, Tell, Unit,
};
use runtime_support::{DONE, Fake, Host, Job, RELOADED, running};
use tokio::net::UnixListener;

const SHORT: Duration = Duration::from_millis(200);
const APPLIED: &str = r#"time="t" level=info msg="Applied new registry configuration: []""#;

async fn unit(host: &Host) -> Unit {
    host.runtime().unit().await.unwrap().unwrap()
}

async fn tell(host: &Host, how: Tell) -> Result<Confirmation, RuntimeError> {
    host.runtime().tell(how, &unit(host).await).await
}

/// The error, and whether it is passing.
async fn failure(host: &Host, how: Tell) -> (RuntimeError, bool) {
    let error = tell(host, how).await.unwrap_err();
    let passing = error.is_passing();
    (error, passing)
}

#[tokio::test]
async fn h6_what_systemd_says_of_a_unit() {
    let host = Host::new();
    let service = |name: &str| vec![format!("{name}.service")];
    host.unit("crio.service", Fake { required_by: service("kubelet"), ..running() });
    host.unit(
        "kubelet.service",
        // Around in a circle, as After= and Requires= may lead.
        Fake { bound_by: service("helper"), required_by: service("crio"), ..running() },
    );
    host.unit("helper.service", Fake { required_by: service("idle"), ..running() });
    host.unit("idle.service", Fake { active: "inactive", ..running() });
    let unit = unit(&host).await;
    assert_eq!((unit.load, unit.active), (Load::Loaded, ActiveState::Active));
    assert_eq!(unit.invocation, "01".repeat(16));
    assert_eq!(unit.dependents, ["helper.service", "kubelet.service"]);
    let since = unit.last_read.unwrap().elapsed().unwrap();
    assert!(
        since.abs_diff(RELOADED) < Duration::from_millis(900),
        "a reload is later than the start"
    );
}

/// What was read before the clock was set has a time of no use.
#[tokio::test]
async fn h9_a_clock_that_was_set_since_says_nothing_of_what_was_read() {
    let host = Host::new();
    host.unit("crio.service", Fake { clock_set_by: Duration::from_secs(60), ..running() });
    assert_eq!(unit(&host).await.last_read, None);
}

#[tokio::test]
async fn h6_a_unit_that_is_unknown_masked_or_without_its_file() {
    let host = Host::new();
    host.unit("masked.service", Fake { load: "masked", active: "inactive", ..running() });
    host.unit("deleted.service", Fake { load: "not-found", ..running() });
    let load = async |name: &str| {
        let settings = RuntimeSettings { unit: name.into(), ..host.settings.clone() };
        let unit = Runtime::new(settings).unit().await.unwrap();
        unit.map(|unit| unit.load)
    };
    assert_eq!(load("podman-has-none.service").await, None);
    assert_eq!(load("masked.service").await, Some(Load::Masked));
    assert_eq!(load("deleted.service").await, Some(Load::NotFound), "it still runs");
}

#[tokio::test]
async fn h5_a_restart_waits_for_its_own_job_and_for_the_socket() {
    let host = Host::without_socket();
    // It accepts before it serves.
    host.serve(vec!["", "500 Starting\r\ncontent-length: 0\r\n\r\n"]);
    assert_eq!(tell(&host, Tell::Restart).await, Ok(Confirmation::Confirmed));
    assert_eq!(host.told(), ["reset crio.service", "restart crio.service"]);
}

#[tokio::test]
async fn h5_a_restart_that_did_not_take() {
    let host = Host::new();
    fs::write(host.log(2), "one\nloading \u{202e}registries failed\n").unwrap();
    host.job(Job::Ends("failed", "failed", true));
    let (error, passing) = failure(&host, Tell::Restart).await;
    let RuntimeError::Job { ref result, ref evidence, .. } = error else { panic!("{error}") };
    assert_eq!((result.as_str(), passing), ("failed", false));
    assert_eq!(evidence, r": result exit-code, status 3 | one | loading \u{202e}registries failed");

    // Somebody else's job took its place: nothing is known of the files.
    host.job(Job::Ends("canceled", "active", false));
    assert!(matches!(failure(&host, Tell::Restart).await, (RuntimeError::Job { .. }, true)));

    host.job(Job::Ends("done", "failed", true));
    let (error, passing) = failure(&host, Tell::Restart).await;
    let RuntimeError::NotActive { state, .. } = error else { panic!("{error}") };
    assert_eq!((state, passing), (ActiveState::Failed, false));

    host.job(Job::Ends("done", "active", false));
    let (error, passing) = failure(&host, Tell::Restart).await;
    assert!(matches!(error, RuntimeError::SameInvocation { .. }), "{error}");
    assert!(!passing);
}

#[tokio::test]
async fn h5_an_engine_that_does_not_answer() {
    let mut host = Host::without_socket();
    host.settings.answer_deadline = SHORT;
    let silent = failure(&host, Tell::Restart).await;
    assert!(matches!(silent, (RuntimeError::Silent { .. }, true)), "{silent:?}");

    let listener = UnixListener::bind(&host.settings.socket).unwrap();
    let hangs = failure(&host, Tell::Restart).await;
    assert!(matches!(hangs, (RuntimeError::Silent { .. }, true)), "{hangs:?}");
    drop(listener);

    fs::remove_file(&host.settings.socket).unwrap();
    host.serve(vec!["500 No\r\ncontent-length: 0\r\n\r\n"; 50]);
    let refuses = failure(&host, Tell::Restart).await;
    assert!(matches!(refuses, (RuntimeError::BadAnswer { .. }, false)), "{refuses:?}");
}

#[tokio::test]
async fn h13_a_job_that_never_ends() {
    let mut host = Host::new();
    host.settings.restart_deadline = SHORT;
    host.job(Job::Hangs);
    let hangs = failure(&host, Tell::Restart).await;
    assert!(matches!(hangs, (RuntimeError::Deadline { .. }, true)), "{hangs:?}");
}

#[tokio::test]
async fn h13_a_bus_that_accepts_and_says_nothing() {
    let mut host = Host::new();
    host.stop_bus();
    fs::remove_file(host.dir.path().join("bus")).unwrap();
    let _silent = UnixListener::bind(host.dir.path().join("bus")).unwrap();
    let asked =
        tokio::time::timeout(Duration::from_secs(60), async { host.runtime().unit().await });
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, RuntimeError::Deadline { .. }) && error.is_passing(), "{error}");
}

#[tokio::test]
async fn h5_a_bus_that_goes_away_is_passing() {
    let mut host = Host::new();
    host.job(Job::LosesBus);
    let lost = failure(&host, Tell::Restart).await;
    assert!(matches!(lost, (RuntimeError::Bus { .. }, true)), "{lost:?}");

    host.stop_bus();
    let error = host.runtime().unit().await.unwrap_err();
    assert!(matches!(error, RuntimeError::Bus { .. }) && error.is_passing(), "{error}");

    host.start_bus();
    host.job(DONE);
    assert_eq!(tell(&host, Tell::Restart).await, Ok(Confirmation::Confirmed));
}

#[tokio::test]
async fn h7_a_reload_is_what_the_journal_says() {
    let refused = r#"level=error msg="Unable to reload configuration: system registries reload failed: /etc/x: bad""#;
    let elsewhere = r#"level=error msg="Unable to reload configuration: update config: bad""#;
    let quoted = r#"level=info msg="Pulling msg=\"Applied new registry configuration""#;
    let json = r#"{"level":"info","msg":"Applied new registry configuration: []"}"#;
    let first = r#"level=info msg="Reloading configuration""#;
    // A mark of an earlier reload is there in every case, and one of an earlier invocation.
    for (lines, expected) in [
        (vec![first, APPLIED], "confirmed"),
        (vec![json], "confirmed"),
        // What fails behind the registries is not ours.
        (vec![first, APPLIED, elsewhere], "confirmed"),
        (vec![first, refused, APPLIED], "rejected"),
        // It never came to the registries, and would die of its settings if it were restarted.
        (vec![first, elsewhere], "unsettled"),
        (vec![first, quoted], "unconfirmed"),
        (vec![], "unconfirmed"),
    ] {
        let mut host = Host::new();
        fs::write(host.log(1), format!("{APPLIED}\n")).unwrap();
        fs::write(host.log(0), format!("{APPLIED}\n{APPLIED}\n")).unwrap();
        if expected == "unconfirmed" {
            host.settings.reload_deadline = SHORT;
        }
        host.state.lock().unwrap().logs = lines.iter().map(|&line| line.to_owned()).collect();
        let outcome = tell(&host, Tell::Reload).await;
        let said = match &outcome {
            Ok(Confirmation::Confirmed) => "confirmed",
            Ok(Confirmation::Unconfirmed(_)) => "unconfirmed",
            Err(RuntimeError::Rejected { .. }) => "rejected",
            Err(RuntimeError::Unsettled { .. }) => "unsettled",
            Err(_) => "something else",
        };
        assert_eq!(said, expected, "{lines:?}: {outcome:?}");
        if let Err(error) = outcome {
            assert!(error.to_string().contains(": bad"), "{error}");
            assert!(!error.is_passing());
        }
    }
}

#[tokio::test]
async fn h7_without_a_journal_nothing_is_confirmed() {
    let mut host = Host::new();
    host.state.lock().unwrap().logs = vec![APPLIED.to_owned()];
    for command in ["/nonexistent", "false"] {
        host.settings.journalctl = vec![command.into()];
        let outcome = tell(&host, Tell::Reload).await;
        assert!(matches!(outcome, Ok(Confirmation::Unconfirmed(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn h7_an_engine_that_a_reload_kills_is_not_merely_unconfirmed() {
    let mut host = Host::new();
    host.settings.reload_deadline = SHORT;
    host.job(Job::Ends("done", "failed", false));
    let died = failure(&host, Tell::Reload).await;
    assert!(matches!(died, (RuntimeError::NotActive { .. }, false)), "{died:?}");
}

#[tokio::test]
async fn h5_dependents_are_started_where_they_do_not_run() {
    let host = Host::new();
    let dead = Fake { active: "inactive", ..running() };
    host.unit("broken.service", Fake { job: Job::Ends("failed", "failed", true), ..dead.clone() });
    host.unit("kubelet.service", dead);
    host.unit("well.service", running());
    let units = ["broken", "well", "gone", "kubelet"].map(|name| format!("{name}.service"));
    let error = host.runtime().start(&units).await.unwrap_err();
    assert!(matches!(&error, RuntimeError::Job { unit, .. } if unit == "broken.service"));
    let mut told = host.told();
    told.retain(|call| call.starts_with("start"));
    assert_eq!(told, ["start broken.service", "start gone.service", "start kubelet.service"]);
    assert_eq!(host.runtime().start(&units[3..]).await, Ok(()));
}

/// Dead before the restart as after it, as a kubelet that no cluster has let in yet: that is no fault of
/// the files.
#[tokio::test]
async fn h5_a_dependent_that_dies_over_and_over_is_left_to_systemd() {
    let host = Host::new();
    let looping = Fake { active: "activating", sub: "auto-restart", ..running() };
    let dies = Job::Ends("failed", "activating", true);
    host.unit("dead.service", Fake { active: "inactive", job: dies, ..looping.clone() });
    host.unit("looping.service", looping);
    let units = ["dead", "looping"].map(|name| format!("{name}.service"));
    assert_eq!(host.runtime().start(&units).await, Ok(()));
    assert_eq!(host.told(), ["reset dead.service", "start dead.service"]);
}

#[tokio::test]
async fn r10_the_settings_of_the_engine() {
    let host = Host::without_socket();
    host.serve(vec![
        "404 None\r\ncontent-length: 0\r\n\r\n",
        "200 OK\r\ncontent-length: 99999999\r\n\r\n",
    ]);
    let runtime = host.runtime();
    assert!(matches!(runtime.config().await, Err(RuntimeError::BadAnswer { .. })));
    let cut_off = runtime.config().await;
    assert!(matches!(cut_off, Err(RuntimeError::Silent { .. })), "{cut_off:?}");
    assert_eq!(runtime.config().await, Ok(b"[crio]".to_vec()));
}
