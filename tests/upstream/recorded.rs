//! The answers that the real library gave for upstream's files.

use image_config_agent::engine::pull_reference;
use serde_json::{Value, json};

use super::answers::{Answer, Place, Verdict};
use super::line::Files;

/// Every way in which the engine's answers for these files are not the recorded ones.
pub fn differences(files: &Files, recorded: &Value) -> Vec<String> {
    let is_error = |key: &str| json!(!recorded[key].is_null());
    let mut pairs = vec![
        ("registries", json!(files.registries.is_err()), is_error("registriesError")),
        ("policy", json!(files.policy.is_err()), is_error("policyError")),
    ];
    if files.registries.is_ok() {
        pairs.push(("search", json!(files.search()), recorded["search"].clone()));
        for theirs in recorded["refs"].as_array().unwrap() {
            let text = theirs["ref"].as_str().unwrap();
            let ours = Answer::of(files, &pull_reference(text).unwrap());
            pairs.push((
                text,
                places(&ours),
                json!([theirs["sourcesError"].is_null(), sources(theirs)]),
            ));
            if let Some(Verdict { allowed, scope, .. }) = &ours.verdict {
                let theirs = &theirs["policy"];
                pairs.push((
                    text,
                    json!([allowed, scope]),
                    json!([theirs["allowed"], theirs["scope"]]),
                ));
            }
        }
    }
    let differing = pairs.into_iter().filter(|(_, ours, theirs)| ours != theirs);
    differing.map(|(what, ours, theirs)| format!("{what}: {ours}, recorded {theirs}")).collect()
}

fn places(answer: &Answer) -> Value {
    let place = |Place { reference, insecure, blocked }: &Place| {
        json!([reference.to_string(), insecure, blocked])
    };
    let places = answer.places.iter().flatten().map(place).collect::<Vec<_>>();
    json!([answer.places.is_ok(), places])
}

fn sources(answer: &Value) -> Value {
    let sources = answer["sources"].as_array().into_iter().flatten();
    sources.map(|source| json!([source["ref"], source["insecure"], source["blocked"]])).collect()
}
