//! The rendered files mean what upstream's mean, on every line of the render corpora, but for
//! the classes of docs/upstream.md, which are counted there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/corpus.rs"]
mod corpus;
mod upstream;

use corpus::corpus;
use upstream::answers::Case;
use upstream::classes::explain;
use upstream::line::{Line, Template, Upstream};
use upstream::recorded;
use upstream::references::references;
use upstream::refusals::{Outcome, explain_api_error};
use upstream::tally::{Tally, documented};

#[test]
fn upstream_agrees_but_for_named_classes() {
    let template = Template::read();
    let mut tally = Tally::default();
    for name in ["docs", "random", "quirks", "invalid"] {
        for value in corpus(&format!("render-{name}.jsonl.gz")) {
            compare(&Line::read(&value, &template), &mut tally);
        }
    }
    let rows = tally.rows();
    for (name, (lines, times)) in &rows {
        println!("{name}: {lines} lines, {times} times");
    }
    let shown = tally.unexplained.iter().take(20).map(|text| format!("{text}\n"));
    let unexplained = tally.unexplained.len();
    assert!(unexplained == 0, "{unexplained} unexplained:\n{}", shown.collect::<String>());
    let documented = documented("Where the files mean something else");
    assert_eq!(rows, documented, "docs/upstream.md counts otherwise");
}

fn compare(line: &Line, tally: &mut Tally) {
    for error in &line.upstream.api_errors {
        match explain_api_error(line, error) {
            None => tally.count("ApiErrorShared", &line.id),
            Some(classes) => tally.explained(&line.id, &classes, || format!("API: {error}")),
        }
    }
    match Outcome::of(line) {
        Outcome::BothRefuse => return tally.count("RefusedByBoth", &line.id),
        Outcome::Differs(classes) => {
            tally.explained(&line.id, &classes, || {
                let Upstream { error, files, .. } = &line.upstream;
                let unreadable = (files.registries.as_ref().err(), files.policy.as_ref().err());
                format!("{:?}, but upstream: {error:?}, {unreadable:?}", line.errors)
            });
            if classes != ["AtomicScopeUnreadable"] {
                return;
            }
        }
        Outcome::Comparable => {}
    }
    if line.ours.search() != line.upstream.files.search() {
        tally.explained(&line.id, &[], || "the search list".to_owned());
    }
    let mut is_alike = line.upstream.files.policy.is_ok();
    for reference in references(&line.config) {
        tally.count("ReferencesCompared", &line.id);
        is_alike &= compare_answers(&Case::of(line, &reference), tally);
    }
    if is_alike {
        tally.count("LinesAlike", &line.id);
    }
}

/// Whether the answers are the same.
fn compare_answers(case: &Case<'_>, tally: &mut Tally) -> bool {
    let differences = case.differences();
    let is_alike = differences.is_empty();
    for aspect in differences {
        let classes = if case.is_meant(&aspect) { explain(case, &aspect) } else { Vec::new() };
        tally.explained(&case.line.id, &classes, || {
            let Case { reference, ours, theirs, .. } = case;
            format!("{reference}: {aspect:?}: {ours}, but upstream: {theirs}")
        });
    }
    is_alike
}

/// What stands for upstream above is what the real library makes of upstream's files.
#[test]
fn upstream_files_give_the_recorded_answers() {
    let template = Template::read();
    let mut differences = Vec::new();
    let mut compared = 0;
    for value in corpus("render-quirks.jsonl.gz").filter(|value| !value["pull"].is_null()) {
        let line = Line::read(&value, &template);
        let found = recorded::differences(&line.upstream.files, &value["pull"]);
        differences.extend(found.into_iter().map(|text| format!("{}: {text}\n", line.id)));
        compared += 1;
    }
    assert!(differences.is_empty(), "{}", differences.concat());
    assert_eq!(compared, 45);
}
