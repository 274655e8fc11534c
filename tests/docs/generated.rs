//! The parts of pages that come from the code. Each stands between two lines,
//! `<!-- from the code: NAME -->` and `<!-- until here -->`.

use std::fmt::Write as _;

use image_config_agent::explain::{CONDITIONS, Entry, FINDINGS};
use image_config_agent::settings::{GROUPS, Settings};

use crate::page::{hold, read};

/// Holds the part `name` of a page to `text`.
fn hold_part(path: &str, name: &str, text: &str) {
    let page = read(path);
    let begin = format!("<!-- from the code: {name} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{path} lacks {begin}"));
    let (_, after) = rest.split_once("<!-- until here -->").unwrap();
    hold(path, &format!("{before}{begin}\n{text}\n<!-- until here -->{after}"));
}

#[test]
fn settings_are_those_of_the_code() {
    let defaults = Settings::default();
    let mut text = String::new();
    for group in &GROUPS {
        let title = group.title;
        writeln!(text, "## {title}\n\n| key | default | what it is about |\n|---|---|---|")
            .unwrap();
        for key in group.keys {
            let value = (key.show)(&defaults);
            let value = if value.is_empty() { "unset".to_owned() } else { format!("`{value}`") };
            writeln!(text, "| `{}` | {value} | {} |", key.name, key.about).unwrap();
        }
        text.push('\n');
    }
    hold_part("docs/settings.md", "settings", text.trim_end());
}

#[test]
fn findings_and_conditions_are_those_of_the_code() {
    let mut text = String::new();
    for group in &CONDITIONS {
        writeln!(text, "## `{}`\n\n| reason | status | cause | what to do |", group.title).unwrap();
        text.push_str("|---|---|---|---|\n");
        for Entry { name, weight, cause, remedy, .. } in group.entries {
            writeln!(text, "| `{name}` | `{weight}` | {cause} | {remedy} |").unwrap();
        }
        text.push('\n');
    }
    hold_part("docs/findings.md", "conditions", text.trim_end());
    text.clear();
    for group in &FINDINGS {
        writeln!(
            text,
            "## {}\n\n| name | severity | object.field | cause | what to do |",
            group.title
        )
        .unwrap();
        text.push_str("|---|---|---|---|---|\n");
        for Entry { name, weight, place, cause, remedy } in group.entries {
            writeln!(text, "| `{name}` | {weight} | {place} | {cause} | {remedy} |").unwrap();
        }
        text.push('\n');
    }
    hold_part("docs/findings.md", "findings", text.trim_end());
}
