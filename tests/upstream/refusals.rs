//! The classes of lines that one side refuses as a whole, and the other does not.

use image_config_agent::model::Scope;
use serde_json::Value;

use super::line::Line;

/// A reason for which upstream treats a line as a whole otherwise, and how to tell it.
struct LineClass {
    name: &'static str,
    explains: fn(&Line) -> bool,
}

/// Where we refuse a line that upstream renders.
const WE_REFUSE: [LineClass; 5] = [
    LineClass { name: "LeftToTheApiServer", explains: left_to_the_api_server },
    LineClass { name: "SearchListUnchecked", explains: search_list_unchecked },
    LineClass { name: "NoPlaceLeft", explains: |line| all_errors(line, "NoPlaceLeft") },
    LineClass { name: "NoDocument", explains: |line| line.objects.is_empty() },
    LineClass { name: "WrongImageName", explains: |line| all_errors(line, "WrongImageName") },
];

/// Where upstream fails on a line that we render.
const UPSTREAM_FAILS: [LineClass; 4] = [
    LineClass { name: "ImagePolicyErrors", explains: image_policy_errors },
    LineClass { name: "TwoBlockedAncestors", explains: two_blocked_ancestors },
    LineClass { name: "WildcardSourceFatal", explains: wildcard_source_fatal },
    LineClass { name: "WildcardPanic", explains: wildcard_panic },
];

/// Where both render, but upstream's files are nothing to compare with, or not all of them.
const FILES_DIFFER: [LineClass; 2] = [
    LineClass { name: "NoImageNoMirrors", explains: no_image_no_mirrors },
    LineClass { name: "AtomicScopeUnreadable", explains: atomic_scope_unreadable },
];

/// A reason for which an error of the API server is none of ours.
struct ApiClass {
    name: &'static str,
    explains: fn(&Line, &str) -> bool,
}

/// What the API server refuses and we do not.
const API_REFUSES: [ApiClass; 2] = [
    ApiClass { name: "EmptyListIsUnset", explains: empty_list_is_unset },
    ApiClass { name: "TagOrDigestAccepted", explains: tag_or_digest_accepted },
];

/// How a line fares as a whole on both sides.
pub enum Outcome {
    /// Both refuse it.
    BothRefuse,
    /// They part, and these classes say why.
    Differs(Vec<&'static str>),
    /// Both have files that can be compared by reference.
    Comparable,
}

impl Outcome {
    pub fn of(line: &Line) -> Self {
        let among = |classes: &[LineClass]| {
            let explaining = classes.iter().filter(|class| (class.explains)(line));
            explaining.map(|class| class.name).collect::<Vec<_>>()
        };
        match (line.errors.is_empty(), &line.upstream.error) {
            (false, Some(_)) => Self::BothRefuse,
            (false, None) => Self::Differs(among(&WE_REFUSE)),
            (true, Some(_)) => Self::Differs(among(&UPSTREAM_FAILS)),
            (true, None) => {
                let files = &line.upstream.files;
                let is_readable = files.registries.is_ok() && files.policy.is_ok();
                match among(&FILES_DIFFER) {
                    classes if classes.is_empty() && is_readable => Self::Comparable,
                    classes => Self::Differs(classes),
                }
            }
        }
    }
}

/// The classes that explain why one of the API server's errors is none of ours; `None` where
/// it is.
pub fn explain_api_error(line: &Line, error: &str) -> Option<Vec<&'static str>> {
    if is_our_error(line, error) {
        return None;
    }
    let explaining = API_REFUSES.iter().filter(|class| (class.explains)(line, error));
    Some(explaining.map(|class| class.name).collect())
}

fn is_our_error(line: &Line, error: &str) -> bool {
    let has = |name: &str| line.errors.iter().any(|finding| finding.name == name);
    if error.starts_with("Only one of") {
        return has("AllowedAndBlocked") || has("EmptySearchList");
    }
    if error.ends_with("minItems 1") {
        return has("EmptySearchList");
    }
    let value = quoted(error);
    line.errors.iter().any(|finding| finding.value == value)
}

/// The value that an error of the API server quotes.
fn quoted(error: &str) -> Option<String> {
    let start = error.find('"')?;
    let mut values = serde_json::Deserializer::from_str(&error[start..]).into_iter::<String>();
    // Go quotes what is not printable in a way of its own.
    values.next()?.ok().or_else(|| Some(error[start..].trim_matches('"').replace("\\x00", "\0")))
}

fn empty_list_is_unset(line: &Line, error: &str) -> bool {
    let sources = line.objects.iter().map(|object| &object["spec"]["registrySources"]);
    let is_empty = |list: &Value| list.as_array().is_some_and(Vec::is_empty);
    error.starts_with("Only one of")
        && sources.into_iter().any(|sources| {
            is_empty(&sources["blockedRegistries"]) || is_empty(&sources["allowedRegistries"])
        })
}

fn tag_or_digest_accepted(_: &Line, error: &str) -> bool {
    let is_entry = error.contains("Registries: invalid entry");
    let scope = quoted(error).and_then(|text| Scope::parse(&text).ok());
    is_entry && scope.is_some_and(|scope| scope.is_single_image())
}

fn all_errors(line: &Line, name: &str) -> bool {
    !line.objects.is_empty() && line.errors.iter().all(|finding| finding.name == name)
}

/// The API server refuses what we refuse, and upstream's renderer does not look.
fn left_to_the_api_server(line: &Line) -> bool {
    line.upstream.api_errors.iter().any(|error| is_our_error(line, error))
}

fn search_list_unchecked(line: &Line) -> bool {
    all_errors(line, "InvalidSearchEntry") && line.upstream.files.registries.is_err()
}

fn upstream_says(line: &Line, text: &str) -> bool {
    line.upstream.error.as_ref().is_some_and(|error| error.contains(text))
}

fn image_policy_errors(line: &Line) -> bool {
    line.policy_scopes().next().is_some()
        && ["clusterimagepolicy scope", "clusterimagePolicy configured", "imagePolicy configured"]
            .iter()
            .any(|text| upstream_says(line, text))
}

fn two_blocked_ancestors(line: &Line) -> bool {
    let Some(release) = line.release() else { return false };
    let covering = line.config.blocked.iter().filter(|e| e.scope.covers_name(release.name()));
    upstream_says(line, "only one of AllowedRegistries or BlockedRegistries")
        && line.config.allowed.is_none()
        && covering.count() >= 2
}

fn wildcard_source_fatal(line: &Line) -> bool {
    line.config.mirrors.iter().filter(|set| set.source.is_wildcard()).any(|set| {
        let text = format!("mirrorsAdjustedForNestedScope for a wildcard scope \"{}\"", set.source);
        upstream_says(line, &text)
    })
}

/// A wildcard whose domain stands twice in the release image's host.
fn wildcard_panic(line: &Line) -> bool {
    let Some(release) = line.release() else { return false };
    let stands_twice = |scope: &Scope| {
        let domain = scope.as_str().trim_start_matches('*');
        scope.is_wildcard() && release.host().matches(domain).count() == 2
    };
    upstream_says(line, "PANIC") && line.config.blocked.iter().any(|e| stands_twice(&e.scope))
}

fn no_image_no_mirrors(line: &Line) -> bool {
    let has_image = line.objects.iter().any(|object| object["kind"] == "Image");
    !has_image && !line.config.mirrors.is_empty() && !line.upstream.wrote
}

/// What upstream wrote for the atomic transport is an entry of the objects with a tag or digest.
fn atomic_scope_unreadable(line: &Line) -> bool {
    let Err(error) = &line.upstream.files.policy else { return false };
    let sources = line.objects.iter().map(|object| &object["spec"]["registrySources"]);
    let lists = sources.flat_map(|s| [&s["blockedRegistries"], &s["allowedRegistries"]]);
    let entries = lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    let key = error.key.as_deref().unwrap_or_default();
    let is_named = |scope: &str| key == format!("transports.atomic[{scope:?}]");
    line.upstream.files.registries.is_ok()
        && entries.chain(line.policy_scopes()).any(|scope| {
            let path = scope.split_once('/').map_or("", |(_, path)| path);
            path.contains([':', '@']) && is_named(scope)
        })
}
