//! What there is to know about the engine's files, one test a fact.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "engine_behaviour/refusals.rs"]
mod refusals;
#[path = "engine_behaviour/requirements.rs"]
mod requirements;
#[path = "engine_behaviour/texts.rs"]
mod texts;

use std::path::Path;

use image_config_agent::engine::short_names::{self, CandidateOrigin, ShortNameError};
use image_config_agent::engine::{
    File, FileError, Kind, Level, Origin, Policy, Problem, Registries, ShortNameMode,
    pull_reference,
};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn registries(text: &str) -> Registries {
    Registries::parse(&File::new("registries.conf", text), &[]).unwrap()
}

fn refused(text: &str) -> FileError {
    Registries::parse(&File::new("registries.conf", text), &[]).unwrap_err()
}

fn prefix_for(text: &str, name: &str) -> Option<String> {
    registries(text).find(name).map(|registry| registry.prefix.clone())
}

/// Each source as `name`, with `!` in front if blocked and `~` if insecure.
fn sources(registries: &Registries, reference: &str) -> Vec<String> {
    let sources = registries.sources(&pull_reference(reference).unwrap()).unwrap();
    let mark = |flag, mark| if flag { mark } else { "" };
    let show = |source: &image_config_agent::engine::Source| {
        format!("{}{}{}", mark(source.blocked, "!"), mark(source.insecure, "~"), source.reference)
    };
    sources.iter().map(show).collect()
}

fn policy(text: &str) -> Result<Policy, FileError> {
    Policy::parse(&File::new("policy.json", text))
}

#[test]
fn the_longest_prefix_wins_and_stops_at_boundaries() {
    let text = "[[registry]]\nlocation = 'reg.example'\n[[registry]]\nlocation = 'reg.example/ns'";
    for (name, prefix) in [
        ("reg.example/ns/app", Some("reg.example/ns")),
        ("reg.example/nsx", Some("reg.example")),
        ("reg.example:5000/app", Some("reg.example")),
        ("reg.example.org/app", None),
    ] {
        assert_eq!(prefix_for(text, name).as_deref(), prefix, "{name}");
    }
}

#[test]
fn a_wildcard_is_for_subdomains_of_any_depth() {
    let text = "[[registry]]\nprefix = '*.corp.local'";
    for (name, found) in [
        ("a.corp.local/app", true),
        ("a.b.corp.local:5000/app", true),
        ("corp.local/app", false),
        ("a.corp.local.org/app", false),
        ("reg1.io/a.corp.local/app", false),
    ] {
        assert_eq!(prefix_for(text, name).is_some(), found, "{name}");
    }
}

#[test]
fn a_wildcard_looks_at_the_first_match_only() {
    let text = "[[registry]]\nprefix = '*.io'";
    assert!(prefix_for(text, "reg.io/app").is_some());
    assert!(prefix_for(text, "reg.io.corp.io/app").is_none());
}

#[test]
fn a_wildcard_beats_a_literal_prefix_of_its_length() {
    let text = "[[registry]]\nlocation = 'a.corp.local'\n[[registry]]\nprefix = '*.corp.local'";
    assert_eq!(prefix_for(text, "a.corp.local/app").as_deref(), Some("*.corp.local"));
}

#[test]
fn mirrors_come_first_and_blocked_is_judged_on_the_place() {
    let registries = registries(
        "[[registry]]\nprefix = 'a.example'\nlocation = 'b.example/a'\nblocked = true\n\
         [[registry.mirror]]\nlocation = 'c.example'\ninsecure = true\n\
         [[registry.mirror]]\nlocation = 'd.example'\npull-from-mirror = 'digest-only'\n\
         [[registry]]\nlocation = 'c.example'\nblocked = true",
    );
    assert_eq!(
        sources(&registries, "a.example/app"),
        ["!~c.example/app:latest", "b.example/a/app:latest"]
    );
    let by_digest = format!("a.example/app@{DIGEST}");
    assert_eq!(sources(&registries, &by_digest).len(), 3);
    assert!(registries.push_target(&pull_reference("a.example/app").unwrap()).blocked);
}

#[test]
fn one_place_without_a_valid_name_voids_all() {
    let registries = registries(
        "[[registry]]\nlocation = 'a.example'\n[[registry.mirror]]\nlocation = 'mirror'",
    );
    let reference = pull_reference("a.example/app").unwrap();
    let error = registries.sources(&reference).unwrap_err();
    assert_eq!(error.location, "mirror");
    assert_eq!(registries.find("a.example/app").unwrap().mirrors.len(), 1);
}

#[test]
fn a_later_file_replaces_an_entry_whole_and_is_named() {
    let main = File::new(
        "main",
        "unqualified-search-registries = ['a.example']\n[[registry]]\nlocation = 'a.example'\nblocked = true",
    );
    let drop_in = File::new("drop-in", "[[registry]]\nlocation = 'a.example'\ninsecure = true");
    let registries = Registries::parse(&main, &[drop_in]).unwrap();
    let entry = registries.find("a.example/app").unwrap();
    assert!(entry.insecure && !entry.blocked);
    assert_eq!(entry.file, Path::new("drop-in"));
    assert_eq!(registries.search().unwrap().file, Path::new("main"));
    let source = &registries.sources(&pull_reference("a.example/app").unwrap()).unwrap()[0];
    assert_eq!(source.origin, Origin::Location);
}

#[test]
fn files_that_cannot_be_read_say_where_and_why() {
    assert_eq!(
        refused("[[registry]]\nlocation = 5").to_string(),
        "registries.conf:2:12: registry.location: expected a string, found an integer"
    );
    assert_eq!(refused("x = 1\nx = 2").position.map(|p| p.line), Some(2));
    assert!(matches!(refused("a = \"\u{1}\"").problem, Problem::Syntax(_)));
    let error = policy(r#"{"default": [{"type": "reject", "why": 1}]}"#).unwrap_err();
    assert_eq!(error.key.as_deref(), Some("default[0].why"));
    let directory = File::unreadable("x.conf", "is a directory");
    let error = Registries::parse(&File::absent("main"), &[directory]).unwrap_err();
    assert_eq!(error.to_string(), "x.conf: cannot be read: is a directory");
}

#[test]
fn keys_fold_case_but_two_spellings_may_not_differ() {
    assert!(registries("[[Registry]]\nLOCATION = 'a.example'").find("a.example/app").is_some());
    let error = refused("[[registry]]\nlocation = 'a.example'\nLocation = 'b.example'");
    assert_eq!(error.problem, Problem::Ambiguous);
}

#[test]
fn arrays_may_be_redefined_and_nothing_else() {
    let text = "unqualified-search-registries = ['a.example']\n\
                unqualified-search-registries = ['b.example']";
    assert_eq!(registries(text).search().unwrap().registries, ["b.example"]);
    assert!(matches!(refused("x = 'a'\nx = 'b'").problem, Problem::Syntax(_)));
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let deep = 100_000;
    let texts = [
        format!("x = {}", "[".repeat(deep)),
        format!("x = {}", "{x=".repeat(deep)),
        format!("{}x = 1", "x.".repeat(deep)),
        format!("[{}x]", "x.".repeat(deep)),
    ];
    for text in texts {
        assert!(matches!(refused(&text).problem, Problem::Syntax(_)));
    }
    for open in ["[", "{\"x\":"] {
        assert!(policy(&format!("{{\"default\": {}", open.repeat(deep))).is_err());
    }
}

#[test]
fn many_entries_take_no_more_than_their_time() {
    let entries = (0..50_000).map(|i| format!("[[registry]]\nlocation = 'r{i}.example/ns'\n"));
    let registries = registries(&entries.collect::<String>());
    for i in 0..50_000 {
        assert!(registries.find(&format!("r{i}.example/ns/app")).is_some());
    }
}

#[test]
fn short_names_go_by_alias_then_by_the_search_list() {
    let registries = registries(
        "unqualified-search-registries = ['a.example', 'docker.io']\n\
         [aliases]\n'ubi9' = 'reg.example/ubi9'\n'none' = ''",
    );
    let resolve = |text| short_names::resolve(text, &registries, ShortNameMode::Enforcing).unwrap();
    let alias = resolve("ubi9:v1");
    assert_eq!(alias.origin, CandidateOrigin::Alias("registries.conf".into()));
    assert_eq!(alias.references[0].to_string(), "reg.example/ubi9:v1");
    let search = resolve("none");
    assert_eq!(search.references[0].to_string(), "a.example/none:latest");
    assert_eq!(search.references[1].to_string(), "docker.io/library/none:latest");
    assert!(search.ambiguous && !alias.ambiguous);
    let full = resolve("localhost/app");
    assert_eq!((full.origin, full.references.len()), (CandidateOrigin::Name, 1));
    let nothing = Registries::default();
    assert_eq!(
        short_names::resolve("app", &nothing, nothing.short_name_mode()),
        Err(ShortNameError::NoCandidates)
    );
}

#[test]
fn a_policy_goes_from_the_image_to_its_parents() {
    let list = |kind| format!(r#"[{{"type": "{kind}"}}]"#);
    let (accept, reject) = (list("insecureAcceptAnything"), list("reject"));
    let policy = policy(&format!(
        r#"{{"default": {reject}, "transports": {{"docker": {{
            "a.example": {accept}, "a.example/ns": {reject}, "a.example/ns/app:v1": {accept},
            "*.b.example": {accept}
        }}}}}}"#
    ))
    .unwrap();
    for (reference, level, scope, allowed) in [
        ("a.example/app", Level::TransportScope, "a.example", true),
        ("a.example/ns/app", Level::TransportScope, "a.example/ns", false),
        ("a.example/ns/app:v1", Level::TransportScope, "a.example/ns/app:v1", true),
        ("x.b.example:5000/app", Level::TransportScope, "*.b.example", true),
        ("a.example:5000/app", Level::Default, "", false),
    ] {
        let reference = pull_reference(reference).unwrap();
        let decision = policy.decide("docker", &reference);
        assert_eq!((decision.level, decision.scope, decision.allowed), (level, scope, allowed));
        assert_eq!(policy.decide("atomic", &reference).level, Level::Default);
    }
}

#[test]
fn a_signature_may_be_all_that_is_missing() {
    let key = r#"{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}"#;
    let reference = pull_reference("a.example/app").unwrap();
    for (requirements, signature_required) in
        [(key.to_owned(), true), (format!(r#"{key}, {{"type": "reject"}}"#), false)]
    {
        let policy = policy(&format!(r#"{{"default": [{requirements}]}}"#)).unwrap();
        let decision = policy.decide("docker", &reference);
        assert_eq!((decision.allowed, decision.signature_required), (false, signature_required));
        assert_eq!(decision.requirements[0].kind, Kind::SignedBy);
        assert!(decision.requirements[0].json.contains(r#""keyPath":"/k""#));
    }
}

#[test]
fn each_transport_checks_its_scopes() {
    let with = |transport: &str, scope: &str| {
        let accept = r#"[{"type": "insecureAcceptAnything"}]"#;
        policy(&format!(
            r#"{{"default": {accept}, "transports": {{"{transport}": {{"{scope}": {accept}}}}}}}"#
        ))
    };
    for (transport, valid, invalid) in [
        ("atomic", "a.example:5000/ns/app:v1", "a.example/app:v1"),
        ("dir", "/srv/images", "/srv/../images"),
        ("docker-daemon", "app", DIGEST),
        ("containers-storage", "[overlay@/var/lib]app", "/var/lib"),
        ("docker-archive", "", "/srv/app.tar"),
    ] {
        assert!(with(transport, valid).is_ok(), "{transport} {valid}");
        assert!(with(transport, invalid).is_err(), "{transport} {invalid}");
    }
    assert!(with("docker", "anything @ all").is_ok() && with("unheard-of", "x").is_ok());
}
