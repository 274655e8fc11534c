//! Links between pages lead somewhere, and every page can be reached.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::page::{at, howtos, read};

/// Every page that has links.
fn pages() -> Vec<String> {
    let names = std::fs::read_dir(at("docs")).unwrap().map(|file| file.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".md"));
    let mut pages: Vec<String> = names.map(|name| format!("docs/{name}")).collect();
    pages.extend(howtos());
    pages.extend(["README.md", "ARCHITECTURE.md", "examples/README.md"].map(str::to_owned));
    pages
}

/// What a page links to within this project: the file, and the heading if one is named.
fn links(page: &str) -> Vec<(String, Option<String>)> {
    let text = read(page);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = targets.map(|(target, _)| target).filter(|target| !target.contains("://"));
    let resolved = targets.map(|target| {
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let file = if file.is_empty() { page.to_owned() } else { below(page, file) };
        (file, Some(heading.to_owned()).filter(|heading| !heading.is_empty()))
    });
    resolved.collect()
}

fn below(page: &str, target: &str) -> String {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{page}: {target}"),
            part => path.push(part),
        }
    }
    path.to_str().unwrap().to_owned()
}

/// As a heading is named in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        for (file, heading) in links(&page) {
            assert!(at(&file).exists(), "{page} links to {file}");
            let Some(heading) = heading else { continue };
            let text = read(&file);
            let headings = text.lines().filter(|line| line.starts_with('#'));
            let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
            assert!(anchors.any(|anchor| anchor == heading), "{page} links to {file}#{heading}");
        }
    }
}

#[test]
fn the_index_has_every_page() {
    let linked: BTreeSet<String> = links("docs/README.md").into_iter().map(|(to, _)| to).collect();
    for page in pages().into_iter().filter(|page| page.starts_with("docs/")) {
        assert!(page == "docs/README.md" || linked.contains(&page), "the index lacks {page}");
    }
    assert!(links("README.md").iter().any(|(to, _)| to == "docs/README.md"));
}
