//! The registries.conf that a render starts from: read for its entries, edited in place, so
//! that its text, comments and order survive.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TomlError, Value, value};

/// What stands above the entries that are appended to a base.
pub(super) const HEADING: &str = "\
# From here on: the cluster's image configuration, written by image-config-agent.
# Changes made here are undone; change the cluster's objects instead.
";

/// One `[[registry]]`, with what counts for each kind of pull.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Where it leads; empty for a wildcard that leads to the place that was named.
    pub location: String,
    /// Plain HTTP and unverified TLS are fine there.
    pub insecure: bool,
    /// The place must not be contacted.
    pub blocked: bool,
    /// Mirrors of pulls by digest.
    pub digest: Vec<Mirror>,
    /// Mirrors of pulls by tag.
    pub tag: Vec<Mirror>,
}

/// One `[[registry.mirror]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Where it is.
    pub location: String,
    /// Plain HTTP and unverified TLS are fine there.
    pub insecure: bool,
}

impl Entry {
    /// The name by which the library tells whether two entries are of one place.
    #[must_use]
    pub fn place<'a>(&'a self, prefix: &'a str) -> &'a str {
        if self.location.is_empty() { prefix } else { &self.location }
    }

    /// Whether an image below `other_prefix` fares alike under both.
    #[must_use]
    pub fn says_the_same(&self, other: &Self, prefix: &str, other_prefix: &str) -> bool {
        let leads_elsewhere = |entry: &Self, prefix: &str| entry.place(prefix) != prefix;
        self.insecure == other.insecure
            && self.blocked == other.blocked
            && self.digest == other.digest
            && self.tag == other.tag
            && !leads_elsewhere(self, prefix)
            && !leads_elsewhere(other, other_prefix)
    }
}

/// A base, parsed.
pub struct BaseFile {
    text: String,
    document: DocumentMut,
    /// Whether the document differs from the text in how it writes the entries.
    is_rewritten: bool,
    /// Prefix and entry of each table, in the order of the file.
    entries: Vec<(String, Entry)>,
}

impl BaseFile {
    /// Reads a base that the engine has accepted.
    ///
    /// # Errors
    /// It is not TOML.
    pub fn parse(text: &str) -> Result<Self, TomlError> {
        let mut document: DocumentMut = text.parse()?;
        let is_rewritten = into_tables(&mut document);
        let tables = registry_tables(document.as_table());
        let entries = tables.into_iter().flatten().map(read_entry).collect();
        Ok(Self { text: text.to_owned(), document, is_rewritten, entries })
    }

    /// Prefix and entry of each table, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(prefix, entry)| (prefix.as_str(), entry))
    }

    /// The prefixes in the order of the file.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(prefix, _)| prefix.as_str())
    }

    /// The text that was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes out all tables with one of these prefixes.
    pub fn remove(&mut self, prefixes: &[String]) {
        if prefixes.is_empty() {
            return;
        }
        if let Some(tables) = registry_tables_mut(self.document.as_table_mut()) {
            let mut entries = self.entries.iter();
            tables.retain(|_| entries.next().is_some_and(|(prefix, _)| !prefixes.contains(prefix)));
        }
        self.entries.retain(|(prefix, _)| !prefixes.contains(prefix));
        self.text = self.document.to_string();
    }

    /// Whether the file is of version 1 of the format, which newer engines refuse and to which
    /// nothing can be added.
    #[must_use]
    pub fn is_version_1(&self) -> bool {
        let Some(key) = key_of(self.document.as_table(), "registries") else { return false };
        let Some(table) = self.document.get(&key).and_then(Item::as_table_like) else {
            return false;
        };
        table.iter().any(|(_, item)| item.as_table_like().is_some_and(|lists| !lists.is_empty()))
    }

    /// The text with every entry as `wanted` has it: tables of the base are edited where they
    /// stand, others are appended. None if nothing differs.
    pub fn write(&mut self, wanted: &BTreeMap<String, Entry>) -> Option<String> {
        let mut standing: HashMap<&str, &Entry> = HashMap::new();
        for (prefix, entry) in &self.entries {
            standing.entry(prefix).or_insert(entry);
        }
        let added: Vec<_> =
            wanted.iter().filter(|(prefix, _)| !standing.contains_key(prefix.as_str())).collect();
        let is_edited = standing.iter().any(|(prefix, entry)| wanted.get(*prefix) != Some(entry));
        if !is_edited && added.is_empty() {
            return None;
        }
        let mut text = if is_edited || self.is_rewritten || standing.len() < self.entries.len() {
            self.edit(wanted);
            self.document.to_string()
        } else {
            self.text.clone()
        };
        if !added.is_empty() {
            if !text.is_empty() {
                text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
            }
            text.push_str(HEADING);
        }
        for (prefix, entry) in added {
            append(&mut text, prefix, entry);
        }
        Some(text)
    }

    /// Edits the tables that differ. Of several with one prefix the first counts; the others are
    /// taken out, since the library refuses the file where they contradict an entry that does.
    fn edit(&mut self, wanted: &BTreeMap<String, Entry>) {
        let Some(tables) = registry_tables_mut(self.document.as_table_mut()) else { return };
        let mut seen = HashSet::new();
        let mut entries = self.entries.iter();
        tables.retain(|_| entries.next().is_some_and(|(prefix, _)| seen.insert(prefix.as_str())));
        let mut seen = HashSet::new();
        let entries = self.entries.iter().filter(|(prefix, _)| seen.insert(prefix.as_str()));
        for (table, (prefix, entry)) in tables.iter_mut().zip(entries) {
            if let Some(wanted) = wanted.get(prefix).filter(|wanted| *wanted != entry) {
                edit_table(table, prefix, entry, wanted);
            }
        }
    }
}

/// Makes the entries tables of the exact name `registry`, since others are appended to them as
/// text: they may stand as an array in the base, or under a key in other case. Says whether that
/// changes anything.
fn into_tables(document: &mut DocumentMut) -> bool {
    let Some(key) = key_of(document.as_table(), "registry") else { return false };
    if key == "registry" && document.get(&key).is_some_and(Item::is_array_of_tables) {
        return false;
    }
    let item = document.remove(&key).unwrap_or_default();
    if let Ok(tables) = item.into_array_of_tables() {
        document.insert("registry", Item::ArrayOfTables(tables));
    }
    true
}

/// The key of `table` that the library takes for `name`: keys fold case, but an exact one wins.
fn key_of(table: &Table, name: &str) -> Option<String> {
    if table.contains_key(name) {
        return Some(name.to_owned());
    }
    table.iter().map(|(key, _)| key).find(|key| key.eq_ignore_ascii_case(name)).map(str::to_owned)
}

fn get<'a>(table: &'a Table, name: &str) -> Option<&'a Item> {
    table.get(&key_of(table, name)?)
}

fn registry_tables(document: &Table) -> Option<&ArrayOfTables> {
    get(document, "registry")?.as_array_of_tables()
}

fn registry_tables_mut(document: &mut Table) -> Option<&mut ArrayOfTables> {
    let key = key_of(document, "registry")?;
    document.get_mut(&key)?.as_array_of_tables_mut()
}

fn text_at(table: &Table, name: &str) -> String {
    let text = get(table, name).and_then(Item::as_str).unwrap_or_default();
    text.trim_end_matches('/').to_owned()
}

fn flag_at(table: &Table, name: &str) -> bool {
    get(table, name).and_then(Item::as_bool).unwrap_or_default()
}

fn read_entry(table: &Table) -> (String, Entry) {
    let location = text_at(table, "location");
    let prefix = match text_at(table, "prefix") {
        prefix if prefix.is_empty() => location.clone(),
        prefix => prefix,
    };
    let mut entry = Entry {
        location,
        insecure: flag_at(table, "insecure"),
        blocked: flag_at(table, "blocked"),
        ..Entry::default()
    };
    let digest_only = flag_at(table, "mirror-by-digest-only");
    let mirrors = get(table, "mirror").cloned().and_then(|item| item.into_array_of_tables().ok());
    for mirror_table in mirrors.iter().flatten() {
        let mirror = Mirror {
            location: text_at(mirror_table, "location"),
            insecure: flag_at(mirror_table, "insecure"),
        };
        let pull = text_at(mirror_table, "pull-from-mirror");
        if pull != "tag-only" {
            entry.digest.push(mirror.clone());
        }
        if pull != "digest-only" && !digest_only {
            entry.tag.push(mirror);
        }
    }
    (prefix, entry)
}

fn edit_table(table: &mut Table, prefix: &str, former: &Entry, wanted: &Entry) {
    if former.location != wanted.location {
        set(table, "prefix", prefix.into());
        set(table, "location", wanted.location.as_str().into());
    }
    for (name, former, wanted) in [
        ("insecure", former.insecure, wanted.insecure),
        ("blocked", former.blocked, wanted.blocked),
    ] {
        if former != wanted {
            set(table, name, wanted.into());
        }
    }
    if (&former.digest, &former.tag) == (&wanted.digest, &wanted.tag) {
        return;
    }
    for name in ["mirror", "mirror-by-digest-only"] {
        while let Some(key) = key_of(table, name) {
            table.remove(&key);
        }
    }
    let listing = Listing::of(wanted);
    if listing.digest_only {
        set(table, "mirror-by-digest-only", true.into());
    }
    let mut mirrors = ArrayOfTables::new();
    for (mirror, pull) in listing.mirrors {
        let mut one = Table::new();
        one.insert("location", value(mirror.location.as_str()));
        if mirror.insecure {
            one.insert("insecure", value(true));
        }
        if let Some(pull) = pull {
            one.insert("pull-from-mirror", value(pull));
        }
        mirrors.push(one);
    }
    table.insert("mirror", Item::ArrayOfTables(mirrors));
}

fn set(table: &mut Table, name: &str, to: Value) {
    let key = key_of(table, name).unwrap_or_else(|| name.to_owned());
    match table.get_mut(&key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = to;
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(&key, Item::Value(to));
        }
    }
}

/// How the mirrors of an entry are written down: a list for digests alone in one word, else
/// each with the pulls that it serves (rule R6).
struct Listing<'a> {
    digest_only: bool,
    mirrors: Vec<(&'a Mirror, Option<&'static str>)>,
}

impl<'a> Listing<'a> {
    fn of(entry: &'a Entry) -> Self {
        if entry.tag.is_empty() {
            let mirrors = entry.digest.iter().map(|mirror| (mirror, None)).collect();
            return Self { digest_only: !entry.digest.is_empty(), mirrors };
        }
        let digest = entry.digest.iter().map(|mirror| (mirror, Some("digest-only")));
        let tag = entry.tag.iter().map(|mirror| (mirror, Some("tag-only")));
        Self { digest_only: false, mirrors: digest.chain(tag).collect() }
    }
}

/// Writes a new entry as text: at thousands of entries building a document first would cost
/// more than everything else together.
fn append(text: &mut String, prefix: &str, entry: &Entry) {
    text.push_str("\n[[registry]]\n");
    if entry.location != prefix {
        line(text, "  prefix", prefix);
    }
    if !entry.location.is_empty() {
        line(text, "  location", &entry.location);
    }
    if entry.insecure {
        text.push_str("  insecure = true\n");
    }
    if entry.blocked {
        text.push_str("  blocked = true\n");
    }
    let listing = Listing::of(entry);
    if listing.digest_only {
        text.push_str("  mirror-by-digest-only = true\n");
    }
    for (mirror, pull) in listing.mirrors {
        text.push_str("\n  [[registry.mirror]]\n");
        line(text, "    location", &mirror.location);
        if mirror.insecure {
            text.push_str("    insecure = true\n");
        }
        if let Some(pull) = pull {
            line(text, "    pull-from-mirror", pull);
        }
    }
}

fn line(text: &mut String, name: &str, to: &str) {
    // What comes from a base can hold anything; scopes hold nothing that needs an escape.
    let is_plain = |b: &u8| (b' '..=b'~').contains(b) && !matches!(b, b'"' | b'\\');
    if to.as_bytes().iter().all(is_plain) {
        for part in [name, " = \"", to, "\"\n"] {
            text.push_str(part);
        }
    } else {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} = {}", Value::from(to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{File, Registries};

    /// The base with an entry for b.io added to it, as the engine reads it.
    fn with_another(base: &str) -> (String, Registries) {
        let mut file = BaseFile::parse(base).unwrap();
        let mut wanted: BTreeMap<String, Entry> =
            file.entries().map(|(prefix, entry)| (prefix.to_owned(), entry.clone())).collect();
        let added = Entry { location: "b.io".to_owned(), blocked: true, ..Entry::default() };
        wanted.insert("b.io".to_owned(), added);
        let text = file.write(&wanted).unwrap();
        let read = Registries::parse(&File::new("/r", text.as_str()), &[]);
        (text.clone(), read.unwrap_or_else(|error| panic!("{error} in {text}")))
    }

    #[test]
    fn r3_entries_are_added_to_a_base_however_it_writes_its_own() {
        for base in [
            "[[registry]] # own\nlocation = \"a.io\"\n",
            "registry = [{location = \"a.io\"}]\nshort-name-mode = \"enforcing\"\n",
            "[[Registry]]\nLocation = \"a.io\"\n[aliases]\nx = \"a.io/x\"\n",
            "registry = [{location = \"a.io\", mirror = [{location = \"m.io\"}]}]",
        ] {
            let (text, registries) = with_another(base);
            assert!(registries.is_blocked("b.io/x"), "{text}");
            assert!(registries.find("a.io/x").is_some(), "{text}");
        }
    }

    #[test]
    fn r3_an_empty_list_of_entries_gives_way() {
        let (text, registries) = with_another("registry = []\ncredential-helpers = [\"x\"]\n");
        assert!(registries.is_blocked("b.io/x") && text.contains("credential-helpers"), "{text}");
    }
}
