//! Counts by class, and the table of them in docs/upstream.md.

use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../docs/upstream.md");

/// How often a class was seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    lines: BTreeSet<String>,
    times: usize,
}

/// All classes seen, and what none or several of them explain.
#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<String, Count>,
    pub unexplained: Vec<String>,
}

impl Tally {
    /// Counts something that is no difference.
    pub fn count(&mut self, what: &str, line: &str) {
        let count = self.counts.entry(what.to_owned()).or_default();
        count.lines.insert(line.to_owned());
        count.times += 1;
    }

    /// Counts a difference by its class, of which there must be exactly one.
    pub fn explained(&mut self, line: &str, classes: &[&str], what: impl FnOnce() -> String) {
        match classes {
            [class] => self.count(class, line),
            _ => self.unexplained.push(format!("{line}: {}: explained by {classes:?}", what())),
        }
    }

    /// Name, lines and times of every class, as in the table.
    pub fn rows(&self) -> BTreeMap<String, (usize, usize)> {
        let row =
            |(name, count): (&String, &Count)| (name.clone(), (count.lines.len(), count.times));
        self.counts.iter().map(row).collect()
    }
}

/// The rows of a part of docs/upstream.md that begin with a name, a number of lines and a number of
/// times.
pub fn documented(part: &str) -> BTreeMap<String, (usize, usize)> {
    let (_, text) = PAGE.split_once(&format!("\n# {part}\n")).unwrap();
    let text = text.split("\n# ").next().unwrap();
    let number = |text: &str| text.replace(',', "").parse::<usize>().ok();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(|cell| cell.trim());
        let name = cells.next()?.trim_end_matches('`').to_owned();
        Some((name, (number(cells.next()?)?, number(cells.next()?)?)))
    };
    text.lines().filter_map(row).collect()
}
