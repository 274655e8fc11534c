//! Documents of any size, in shapes that each lean on another part of the agent.

use std::fmt::Write as _;

/// What the entries of a configuration have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All kinds of entries side by side, some within others.
    Mixed,
    /// Sources with two mirrors each.
    Mirrors,
    /// Insecure and blocked registries, repositories and tags.
    Lists,
    /// Chains of sources and listed scopes, each inside the one before.
    Nested,
    /// A few sources that all objects have mirrors for.
    Merge,
    /// One source, with as many mirrors as entries.
    Chain,
    /// An allow list.
    Allowed,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 7] = [
        Self::Mixed,
        Self::Mirrors,
        Self::Lists,
        Self::Nested,
        Self::Merge,
        Self::Chain,
        Self::Allowed,
    ];

    /// The shape's name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Mirrors => "mirrors",
            Self::Lists => "lists",
            Self::Nested => "nested",
            Self::Merge => "merge",
            Self::Chain => "chain",
            Self::Allowed => "allowed",
        }
    }

    /// YAML documents with so many entries: items of lists and mirrored sources.
    pub fn documents(self, entries: usize) -> String {
        let mut lists = Lists::default();
        for index in 0..entries {
            match self {
                Self::Mixed => mixed(&mut lists, index),
                Self::Mirrors => lists.digest.push(mirrors(index)),
                Self::Lists => listed(&mut lists, index),
                Self::Nested => nested(&mut lists, index),
                Self::Merge => merge(&mut lists, index),
                Self::Chain => chain(&mut lists, index),
                Self::Allowed => lists.allowed.push(place(index)),
            }
        }
        lists.to_yaml()
    }
}

/// A source, its mirrors and its mirrorSourcePolicy.
type Set = (String, Vec<String>, &'static str);

#[derive(Default)]
struct Lists {
    insecure: Vec<String>,
    blocked: Vec<String>,
    allowed: Vec<String>,
    digest: Vec<Set>,
    tag: Vec<Set>,
}

/// A host, a host with port, a repository, a wildcard or a tag.
fn place(index: usize) -> String {
    match index % 8 {
        0 => format!("reg{index}.example.com"),
        1 => format!("reg{index}.example.com:5000"),
        2 => format!("*.zone{index}.example.com"),
        3 => format!("reg{}.example.com/team/app{index}:v1", index % 50),
        _ => format!("reg{}.example.com/team{}/app{index}", index % 100, index % 7),
    }
}

fn mixed(lists: &mut Lists, index: usize) {
    match index % 10 {
        0 | 1 => lists.insecure.push(place(index / 2)),
        2 | 3 => lists.blocked.push(place(index + 3)),
        4..8 => lists.digest.push(mirrors(index)),
        8 => lists.tag.push(mirrors(index - 1)),
        _ => lists.tag.push(mirrors(index)),
    }
}

fn mirrors(index: usize) -> Set {
    let source = format!("src{}.example.com/team{}/app{index}", index % 100, index % 7);
    let mirror = |number: usize| format!("mirror{number}.corp.example:8443/copy/app{index}");
    let policy =
        if index.is_multiple_of(5) { "NeverContactSource" } else { "AllowContactingSource" };
    (source, (0..2).map(mirror).collect(), policy)
}

fn listed(lists: &mut Lists, index: usize) {
    let list = if index.is_multiple_of(2) { &mut lists.insecure } else { &mut lists.blocked };
    list.push(place(index / 2));
}

/// Chains of eight: `host`, `host/a0`, `host/a0/a1` and so on.
fn nested(lists: &mut Lists, index: usize) {
    let (chain, depth) = (index / 8, index % 8);
    let mut scope = format!("src{chain}.zone{}.example.com", chain % 10);
    for level in 0..depth {
        let _ = write!(scope, "/a{level}");
    }
    let mirror = format!("mirror.corp.example/chain{chain}/level{depth}");
    match depth {
        2 => lists.insecure.push(scope),
        5 => lists.blocked.push(scope),
        3 | 6 => lists.tag.push((scope, vec![mirror], "AllowContactingSource")),
        _ => lists.digest.push((scope, vec![mirror], "AllowContactingSource")),
    }
}

/// Ten sources, each with lists of three of a hundred mirrors.
fn merge(lists: &mut Lists, index: usize) {
    let mirror = |step: usize| format!("mirror{}.corp.example/copy", (index / 10 + step * 7) % 100);
    let source = format!("src{}.example.com", index % 10);
    lists.digest.push((source, (0..3).map(mirror).collect(), "AllowContactingSource"));
}

/// A source whose every list begins where the one before ended.
fn chain(lists: &mut Lists, index: usize) {
    let mirror = |number: usize| format!("mirror{number}.corp.example");
    let mirrors = vec![mirror(index), mirror(index + 1), "last.corp.example".to_owned()];
    lists.digest.push(("src.example.com".to_owned(), mirrors, "AllowContactingSource"));
}

impl Lists {
    fn to_yaml(&self) -> String {
        let mut yaml = String::from(
            "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata:\n  name: cluster\n\
             spec:\n  registrySources:\n    containerRuntimeSearchRegistries: [reg0.example.com]\n",
        );
        for (name, list) in [
            ("insecureRegistries", &self.insecure),
            ("blockedRegistries", &self.blocked),
            ("allowedRegistries", &self.allowed),
        ] {
            if !list.is_empty() {
                let _ = writeln!(yaml, "    {name}:");
                list.iter().for_each(|entry| item(&mut yaml, "    ", entry));
            }
        }
        sets(&mut yaml, "ImageDigestMirrorSet", "imageDigestMirrors", &self.digest);
        sets(&mut yaml, "ImageTagMirrorSet", "imageTagMirrors", &self.tag);
        yaml
    }
}

/// A hundred sources an object, as people keep them.
fn sets(yaml: &mut String, kind: &str, field: &str, sets: &[Set]) {
    for (number, sets) in sets.chunks(100).enumerate() {
        let _ = write!(
            yaml,
            "---\napiVersion: config.openshift.io/v1\nkind: {kind}\nmetadata:\n  \
             name: set-{number}\nspec:\n  {field}:\n"
        );
        for (source, mirrors, policy) in sets {
            let _ = write!(yaml, "  - source: {source}\n    mirrors:\n");
            mirrors.iter().for_each(|mirror| item(yaml, "    ", mirror));
            let _ = writeln!(yaml, "    mirrorSourcePolicy: {policy}");
        }
    }
}

fn item(yaml: &mut String, indent: &str, text: &str) {
    // A wildcard would be an alias without quotes.
    let _ = writeln!(yaml, "{indent}- \"{text}\"");
}
