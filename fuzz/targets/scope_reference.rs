//! Scopes and references: what is read is written alike, and the ways to ask whether a scope
//! covers a name agree.

#![no_main]

use image_config_agent::model::scope::{names_above, scopes_above};
use image_config_agent::model::{Reference, Scope};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    let scope = Scope::parse(first).ok();
    let reference = Reference::parse(second).ok();
    if let Some(scope) = &scope {
        check_scope(scope);
    }
    if let Some(reference) = &reference {
        check_reference(reference);
    }
    if let (Some(scope), Some(reference)) = (&scope, &reference) {
        check_both(scope, reference);
    }
});

fn check_scope(scope: &Scope) {
    let text = scope.as_str();
    assert_eq!(Scope::parse(text).as_ref(), Ok(scope));
    assert!(scope.covers_name(text), "{scope}");
    assert_eq!(scope.ancestors().next().as_deref(), Some(scope.repository()));
    assert_eq!(scopes_above(text).next().as_deref(), Some(text));
    for above in scope.ancestors().skip(1) {
        let above = Scope::parse(&above).unwrap();
        assert!(above.covers_name(scope.repository()), "{above}, {scope}");
        assert!(!scope.covers_name(above.as_str()), "{above}, {scope}");
    }
    if let Some(parent) = scope.parent() {
        assert!(parent.covers_name(scope.repository()), "{parent}, {scope}");
    }
}

fn check_reference(reference: &Reference) {
    let text = reference.to_string();
    assert_eq!(Reference::parse(&text).as_ref(), Ok(reference));
    assert_eq!(Reference::parse_canonical(&text).as_ref(), Ok(reference));
    assert!(Scope::of_repository(reference).covers_image(reference), "{reference}");
}

fn check_both(scope: &Scope, reference: &Reference) {
    if scope.is_single_image() {
        let is_same = scope.as_str() == reference.to_string();
        assert_eq!(scope.covers_image(reference), is_same, "{scope}, {reference}");
        return;
    }
    let (text, name) = (scope.as_str(), reference.name());
    let is_above = names_above(name).any(|above| above == text);
    assert_eq!(scope.covers_name(name), is_above, "{scope}, {reference}");
    let is_above = scopes_above(name).any(|above| above == text);
    assert_eq!(scope.covers_image(reference), is_above, "{scope}, {reference}");
}
