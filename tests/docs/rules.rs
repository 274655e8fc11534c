//! The documents about the rules are true to the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use image_config_agent::explain::{CONDITIONS, FINDINGS};

use crate::page::{at, read};

/// The parts of a line between back quotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn every_rule_names_its_tests() {
    let text = read("docs/behaviour.md");
    let mut rule = String::new();
    let mut shown = 0;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("**") {
            assert_eq!(rule, "", "the rule is shown by no test");
            rule = heading.split(' ').next().unwrap().to_lowercase();
        } else if line.starts_with("Shown by: ") {
            let mut parts = quoted(line);
            assert_eq!(parts.next(), Some(format!("{rule}_").as_str()));
            let files: Vec<&str> = parts.collect();
            assert!(!files.is_empty(), "{line}");
            for file in files {
                assert!(read(file).contains(&format!("fn {rule}_")), "{file} does not show {rule}");
            }
            rule.clear();
            shown += 1;
        }
    }
    assert_eq!((rule.as_str(), shown > 25), ("", true));
}

/// Words of the code that are written as findings are, and are none.
const OTHER_WORDS: [&str; 12] = [
    "AllowContactingSource",
    "ClusterImagePolicy",
    "ClusterVersion",
    "ConfigMap",
    "ImageContentSourcePolicy",
    "ImageDigestMirrorSet",
    "ImagePolicy",
    "ImageTagMirrorSet",
    "NeverContactSource",
    "PreserveOriginal",
    "RuntimeReady",
    "SourceReady",
];

#[test]
fn every_finding_is_explained() {
    let mut sources = Vec::new();
    let src = at("src");
    collect(&src, &mut sources);
    // systemd's and Kubernetes' names and the reasons of conditions are written in the same way.
    let others = ["cluster", "driver", "explain", "node", "report", "runtime", "source/kube"];
    sources.retain(|path| others.iter().all(|dir| !path.starts_with(src.join(dir))));
    let texts: Vec<String> = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let words = texts.iter().flat_map(|text| text.split('"')).filter(|word| is_name(word));
    let mut raised: BTreeSet<&str> = words.filter(|word| !OTHER_WORDS.contains(word)).collect();
    // Of those directories only what is plainly a finding, or why a source gives nothing.
    let others = code_of(&["driver", "source/kube"]);
    for call in ["Trouble::silence(", "Finding::new("] {
        let arguments = others.split(call).skip(1).filter_map(|call| call.split('"').nth(1));
        raised.extend(arguments.filter(|word| word.chars().all(|c| c.is_ascii_alphabetic())));
    }
    let client = read("src/cluster/client.rs");
    raised.extend(body(&client, "fn reason(").split('"').skip(1).step_by(2));
    let entries = FINDINGS.iter().flat_map(|group| group.entries);
    let explained: BTreeSet<&str> = entries.map(|entry| entry.name).collect();
    let difference: Vec<_> = raised.symmetric_difference(&explained).collect();
    assert!(difference.is_empty(), "in the code or explained alone: {difference:?}");
}

/// What stands in directories of src, without unit tests.
fn code_of(directories: &[&str]) -> String {
    let mut files = Vec::new();
    directories.iter().for_each(|directory| collect(&at("src").join(directory), &mut files));
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let code = |text: String| text.split("#[cfg(test)]").next().unwrap().to_owned();
    texts.map(code).collect()
}

/// The body of a method.
fn body<'t>(text: &'t str, begin: &str) -> &'t str {
    let (_, rest) = text.split_once(begin).unwrap();
    rest.split("\n    }\n").next().unwrap()
}

/// Each condition is computed by a function of its name.
#[test]
fn every_reason_is_explained() {
    let code = read("src/report/conditions.rs");
    for group in &CONDITIONS {
        let mut function = String::new();
        for c in group.title.chars() {
            let separator = if c.is_uppercase() && !function.is_empty() { "_" } else { "" };
            function.extend([separator, &c.to_lowercase().to_string()]);
        }
        let words = body(&code, &format!("fn {function}(&self")).split('"').skip(1).step_by(2);
        let is_reason = |word: &&str| {
            word.starts_with(char::is_uppercase) && word.chars().all(|c| c.is_ascii_alphabetic())
        };
        let given: BTreeSet<&str> =
            words.filter(is_reason).filter(|word| *word != "AsExpected").collect();
        let explained: BTreeSet<&str> = group.entries.iter().map(|entry| entry.name).collect();
        assert_eq!(given, explained, "{}", group.title);
        assert!(group.entries.iter().all(|entry| entry.place == group.title));
    }
}

/// Two words or more in CamelCase; `Overridden` is the one finding of a single word.
fn is_name(word: &str) -> bool {
    let humps = word.chars().filter(char::is_ascii_uppercase).count();
    word == "Overridden"
        || humps > 1
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_alphabetic())
            && word.chars().any(|c| c.is_ascii_lowercase())
            && !word.chars().nth(1).unwrap().is_ascii_uppercase()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // What systemd calls its methods looks like a finding; src/runtime raises none.
        if path.ends_with("src/runtime") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[test]
fn alerts_and_the_dashboard_ask_for_metrics_that_exist() {
    let listed = read("docs/metrics.md");
    for file in ["prometheusrule.yaml", "dashboard.json"] {
        let text = read(&format!("packaging/kubernetes/monitoring/{file}"));
        let is_part = |c: char| !(c.is_ascii_lowercase() || c == '_');
        let asked = text.split(is_part).filter(|word| word.starts_with("image_config_agent_"));
        let asked: BTreeSet<&str> = asked.collect();
        assert!(asked.len() > 2, "{file}");
        for name in asked {
            assert!(listed.contains(&format!("| `{name}` |")), "{file} asks for {name}");
        }
    }
}
