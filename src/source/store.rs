//! What a source gave last, kept below the state directory: it is obeyed over restarts, and for as
//! long as the source gives nothing newer (rules D5, E1).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::apply::ApplyError;
use crate::apply::state::{self, STATE_DIR, sha256};
use crate::decode::SourceFile;
use crate::host::Root;

/// What is known of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The last good documents.
    pub documents: Vec<SourceFile>,
    /// The rest.
    pub notes: Notes,
}

/// What is known of a source beside its documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// What tells the documents from others, as their sender names them.
    pub revision: Option<String>,
    /// What the sender needs to be told to answer that nothing has changed: texts by their names.
    #[serde(default)]
    pub validators: BTreeMap<String, String>,
    /// The key that signed the documents; none where nobody looked for a signature (rule E2).
    #[serde(default)]
    pub signer: Option<String>,
    /// The highest serial that was accepted, by the key that signed it (rule E2).
    #[serde(default)]
    pub serials: BTreeMap<String, Accepted>,
}

/// Signed bytes that were accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Their serial.
    pub serial: u64,
    /// Their digest, in hexadecimal.
    pub sha256: String,
}

/// The file of a source.
#[derive(Serialize, Deserialize)]
struct File {
    documents: Vec<Document>,
    #[serde(flatten)]
    notes: Notes,
}

/// Since when a source has given nothing good.
#[derive(Serialize, Deserialize)]
struct Silence {
    since: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Document {
    name: String,
    sha256: String,
}

/// Where what a source gave is kept.
#[derive(Debug)]
pub struct Store {
    root: Root,
    name: &'static str,
}

impl Store {
    /// The store of the source of this name below `root`.
    ///
    /// # Errors
    /// The root is gone.
    pub fn open(root: &Path, name: &'static str) -> Result<Self, ApplyError> {
        Ok(Self { root: Root::open(root)?, name })
    }

    /// What is kept; `None` where the source has never given anything.
    ///
    /// # Errors
    /// The files cannot be read, are damaged, or are of a newer agent.
    pub fn load(&self) -> Result<Option<Kept>, ApplyError> {
        self.read().map_err(|error| match error {
            ApplyError::Damaged { file, why } => {
                let way = format!("`image-config-agent source reset {}` forgets it", self.name);
                ApplyError::Damaged { file, why: format!("{why} ({way})") }
            }
            error => error,
        })
    }

    fn read(&self) -> Result<Option<Kept>, ApplyError> {
        let Some(file) = state::load::<File>(&self.root, &self.file())? else { return Ok(None) };
        let read = |document: Document| -> Result<SourceFile, ApplyError> {
            let path = self.content(&document.sha256);
            let damaged = |why: &str| ApplyError::Damaged { file: path.clone(), why: why.into() };
            let bytes = self.root.read(&path)?.ok_or_else(|| damaged("it is missing"))?;
            if sha256(&bytes) != document.sha256 {
                return Err(damaged("its digest is another"));
            }
            Ok(SourceFile { name: document.name, bytes })
        };
        let documents = file.documents.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Some(Kept { documents, notes: file.notes }))
    }

    /// Whether the source has ever given anything.
    ///
    /// # Errors
    /// The directory cannot be searched.
    pub fn is_there(&self) -> Result<bool, ApplyError> {
        Ok(self.root.node(&self.file())?.is_some())
    }

    /// For how long the source has given nothing good, by the clock of the day, which alone goes on
    /// over a restart; none where all was well, or where nobody noted it.
    ///
    /// # Errors
    /// The file cannot be read, or is of a newer agent.
    pub fn silent_for(&self) -> Result<Option<Duration>, ApplyError> {
        let silence = match state::load::<Silence>(&self.root, &self.silence()) {
            // It is counted anew.
            Err(ApplyError::Damaged { .. }) => None,
            silence => silence?,
        };
        let lasting = |silence: Silence| Timestamp::now().duration_since(silence.since);
        // A clock that was put back counts as none.
        Ok(silence.map(|silence| lasting(silence).try_into().unwrap_or_default()))
    }

    /// Notes for how long the source has given nothing good, or that all is well.
    ///
    /// # Errors
    /// The disk fails.
    pub fn note_silence(&self, lasting: Option<Duration>) -> Result<(), ApplyError> {
        let file = self.silence();
        match lasting {
            Some(lasting) => {
                let now = Timestamp::now();
                let since = now.checked_sub(lasting).unwrap_or(now);
                self.make_way(&file)?;
                state::save(&self.root, &file, &Silence { since })
            }
            None if self.root.remove(&file)? => Ok(self.root.sync(&directory())?),
            None => Ok(()),
        }
    }

    /// Makes it durable. After a crash either what was kept before is there whole, or this.
    ///
    /// # Errors
    /// The disk fails.
    pub fn save(&self, kept: &Kept) -> Result<(), ApplyError> {
        self.make_way(&self.content("x"))?;
        let mut documents = Vec::new();
        for document in &kept.documents {
            let sha256 = sha256(&document.bytes);
            let path = self.content(&sha256);
            if self.root.node(&path)?.is_none() {
                self.root.replace(&path, &document.bytes)?;
            }
            documents.push(Document { name: document.name.clone(), sha256 });
        }
        let file = File { documents, notes: kept.notes.clone() };
        state::save(&self.root, &self.file(), &file)?;
        self.prune(&file.documents)
    }

    /// Forgets which serials were accepted (rule E2), and what would spare the sender an answer; the
    /// documents stay in force until there are newer ones. What is damaged is forgotten whole.
    ///
    /// # Errors
    /// The disk fails, or the files are of a newer agent.
    pub fn reset(&self) -> Result<(), ApplyError> {
        match self.load() {
            Ok(None) => Ok(()),
            Ok(Some(kept)) => {
                let Notes { revision, signer, .. } = kept.notes;
                let notes = Notes { revision, signer, ..Notes::default() };
                self.save(&Kept { notes, ..kept })
            }
            Err(ApplyError::Damaged { .. }) => {
                self.root.remove(&self.file())?;
                self.root.sync(&directory())?;
                self.prune(&[])
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the contents that nothing names any more.
    fn prune(&self, named: &[Document]) -> Result<(), ApplyError> {
        let directory = directory().join(self.name);
        for name in self.root.list(&directory)?.into_iter().flatten() {
            if !named.iter().any(|document| *document.sha256 == name) {
                self.root.remove(&directory.join(name))?;
            }
        }
        Ok(())
    }

    /// Makes the directories that a file needs.
    fn make_way(&self, file: &Path) -> Result<(), ApplyError> {
        for missing in self.root.way_to(file)?.1 {
            self.root.make_dir(&missing)?;
            self.root.sync(missing.parent().unwrap_or(&missing))?;
        }
        Ok(())
    }

    fn silence(&self) -> PathBuf {
        directory().join(format!("{}.silence.json", self.name))
    }

    fn file(&self) -> PathBuf {
        directory().join(format!("{}.json", self.name))
    }

    fn content(&self, sha256: &str) -> PathBuf {
        directory().join(self.name).join(sha256)
    }
}

fn directory() -> PathBuf {
    Path::new(STATE_DIR).join("sources")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(texts: &[&str]) -> Kept {
        let document = |text: &&str| SourceFile {
            name: format!("of {text}"),
            bytes: text.as_bytes().to_vec(),
        };
        let accepted = Accepted { serial: 7, sha256: "x".into() };
        let notes = Notes {
            revision: Some("r".into()),
            validators: BTreeMap::from([("etag".into(), "\"1\"".into())]),
            signer: Some("KEY".into()),
            serials: BTreeMap::from([("KEY".into(), accepted)]),
        };
        Kept { documents: texts.iter().map(document).collect(), notes }
    }

    fn texts(store: &Store) -> Option<Vec<Vec<u8>>> {
        let kept = store.load().unwrap()?;
        Some(kept.documents.into_iter().map(|document| document.bytes).collect())
    }

    #[test]
    fn d5_what_a_source_gave_is_there_again_whole_and_alone() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), "endpoint").unwrap();
        assert!(store.load().unwrap().is_none());
        store.save(&kept(&["a", "b"])).unwrap();
        store.save(&kept(&["b", "c"])).unwrap();
        assert_eq!(texts(&store), Some(vec![b"b".to_vec(), b"c".to_vec()]));
        assert_eq!(store.load().unwrap().unwrap().notes, kept(&[]).notes);
        let contents = root.path().join("var/lib/image-config-agent/sources/endpoint");
        assert_eq!(contents.read_dir().unwrap().count(), 2);
        assert!(!Store::open(root.path(), "kube").unwrap().is_there().unwrap());
    }

    #[test]
    fn e1_a_silence_is_known_over_restarts_until_it_ends() {
        let root = tempfile::tempdir().unwrap();
        let lasting = || Store::open(root.path(), "kube").unwrap().silent_for().unwrap();
        let note = |lasting| Store::open(root.path(), "kube").unwrap().note_silence(lasting);
        assert_eq!(lasting(), None);
        note(None).unwrap();
        note(Some(Duration::from_secs(60))).unwrap();
        assert!(lasting().is_some_and(|lasting| lasting >= Duration::from_secs(60)));
        assert!(lasting().is_some_and(|lasting| lasting < Duration::from_secs(90)));
        note(None).unwrap();
        assert_eq!(lasting(), None);
        // The clock of the day was put back since.
        let file = root.path().join("var/lib/image-config-agent/sources/kube.silence.json");
        std::fs::write(file, r#"{"format":1,"since":"2199-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(lasting(), Some(Duration::ZERO));
    }

    #[test]
    fn e2_a_reset_forgets_serials_and_keeps_the_documents() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), "endpoint").unwrap();
        store.reset().unwrap();
        assert!(!store.is_there().unwrap());
        store.save(&kept(&["a"])).unwrap();
        store.reset().unwrap();
        let notes = store.load().unwrap().unwrap().notes;
        assert_eq!((notes.serials.len(), notes.validators.len()), (0, 0));
        assert_eq!(notes.signer.as_deref(), Some("KEY"));
        assert_eq!(texts(&store), Some(vec![b"a".to_vec()]));
        // What is damaged cannot be kept.
        let file = root.path().join("var/lib/image-config-agent/sources/endpoint.json");
        std::fs::write(&file, "{").unwrap();
        store.reset().unwrap();
        assert!(!store.is_there().unwrap());
    }

    #[test]
    fn d5_contents_that_were_damaged_are_not_taken_for_good() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), "endpoint").unwrap();
        store.save(&kept(&["a"])).unwrap();
        let contents = root.path().join("var/lib/image-config-agent/sources/endpoint");
        let content = contents.read_dir().unwrap().next().unwrap().unwrap().path();
        std::fs::write(&content, "b").unwrap();
        assert!(matches!(store.load(), Err(ApplyError::Damaged { .. })));
        std::fs::remove_file(&content).unwrap();
        assert!(matches!(store.load(), Err(ApplyError::Damaged { .. })));
    }

    #[test]
    fn h12_a_store_of_a_newer_agent_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), "endpoint").unwrap();
        store.save(&kept(&["a"])).unwrap();
        let file = root.path().join("var/lib/image-config-agent/sources/endpoint.json");
        std::fs::write(&file, "{\"format\": 99}").unwrap();
        assert!(matches!(store.load(), Err(ApplyError::Newer { .. })));
    }
}
