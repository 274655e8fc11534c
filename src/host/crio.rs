//! CRI-O's own settings, as far as they bear on images.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, TableLike};

use super::root::Root;
use super::walk::{Listing, walk};
use crate::engine::{Content, File, Position};
use crate::model::Paths;

/// What CRI-O's settings say; `None` where no file sets it and CRI-O's default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crio {
    /// The policy it judges images by; unset or empty: the library's standard path (R10).
    pub signature_policy: Option<PathBuf>,
    /// Where policies a namespace lie.
    pub signature_policy_dir: Option<PathBuf>,
    /// What becomes of short names: `enforcing` by default (R11).
    pub short_name_mode: Option<String>,
    /// The image of the pods' pause container.
    pub pause_image: Option<String>,
    /// At a level above info a reload cannot be confirmed (H7).
    pub log_level: Option<String>,
    /// A pattern that log lines must match (H7).
    pub log_filter: Option<String>,
    /// Files that are there but cannot be read or parsed: CRI-O would not start with them.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Crio {
    /// Reads crio.conf, then every file below crio.conf.d.
    ///
    /// CRI-O takes each regular file there whatever its name, also in sub-directories, in
    /// the order of Go's filepath.Walk; the last that sets a key wins
    /// (`pkg/config/config.go`, `UpdateFromPath`).
    #[must_use]
    pub fn read(root: &Root, paths: &Paths) -> Self {
        let mut crio = Self::default();
        crio.merge(&paths.crio_conf, root.content(&paths.crio_conf));
        match walk(root, &paths.crio_conf_d, true, &|_| true) {
            Listing::Files(files) => {
                for File { path, content } in files {
                    crio.merge(&path, content);
                }
            }
            Listing::Unreadable(why) => crio.unreadable.push((paths.crio_conf_d.clone(), why)),
        }
        crio
    }

    /// Takes over what the engine itself says (`GET /config` on its socket): its command line has
    /// the last word over the files. What cannot be read is passed over.
    ///
    /// `log_level` and `log_filter` stay as the files have them: on SIGHUP CRI-O takes these two from its
    /// files, without its command line, before it comes to the registries (`pkg/config/reload.go`,
    /// `Reload`). So they decide whether a reload can be confirmed (H7).
    pub fn overrule(&mut self, answer: &[u8]) {
        let mut said = Self::default();
        said.merge(Path::new("/config"), Content::Bytes(answer.to_vec()));
        self.signature_policy = said.signature_policy.or(self.signature_policy.take());
        self.signature_policy_dir = said.signature_policy_dir.or(self.signature_policy_dir.take());
        self.short_name_mode = said.short_name_mode.or(self.short_name_mode.take());
        self.pause_image = said.pause_image.or(self.pause_image.take());
    }

    /// Takes over what one file sets.
    fn merge(&mut self, path: &Path, content: Content) {
        let parsed = match content {
            Content::Absent => return,
            Content::Unreadable(why) => Err(why),
            Content::Bytes(bytes) => parse(bytes),
        };
        let document = match parsed {
            Ok(document) => document,
            Err(why) => return self.unreadable.push((path.to_owned(), why)),
        };
        let Some(crio) = get(document.as_table(), "crio").and_then(Item::as_table_like) else {
            return;
        };
        let text = |table: &str, key: &str| -> Option<String> {
            let table = get(crio, table)?.as_table_like()?;
            Some(get(table, key)?.as_str()?.to_owned())
        };
        let set = |field: &mut Option<String>, table, key| {
            if let Some(value) = text(table, key) {
                *field = Some(value);
            }
        };
        let set_path = |field: &mut Option<PathBuf>, key| {
            if let Some(value) = text("image", key) {
                *field = (!value.is_empty()).then(|| value.into());
            }
        };
        set_path(&mut self.signature_policy, "signature_policy");
        set_path(&mut self.signature_policy_dir, "signature_policy_dir");
        set(&mut self.short_name_mode, "image", "short_name_mode");
        set(&mut self.pause_image, "image", "pause_image");
        set(&mut self.log_level, "runtime", "log_level");
        set(&mut self.log_filter, "runtime", "log_filter");
    }
}

fn parse(bytes: Vec<u8>) -> Result<DocumentMut, String> {
    let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    text.parse::<DocumentMut>().map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        match error.span() {
            Some(span) => {
                let Position { line, column } = Position::of(text.as_bytes(), span.start);
                format!("{message}, at line {line}, column {column}")
            }
            None => message,
        }
    })
}

/// The value of a key, which the library of CRI-O finds in any case of letters.
fn get<'t>(table: &'t dyn TableLike, key: &str) -> Option<&'t Item> {
    table.get(key).or_else(|| {
        table.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, item)| item)
    })
}
