//! A host's files as a line of JSON gives them, for the engine and for its peer alike.

use std::collections::BTreeMap;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use image_config_agent::engine::File;
use serde_json::{Map, Value, json};

/// The files of a host, by what they are to the engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Host {
    pub registries: Option<Vec<u8>>,
    /// By name; a `/` in it is a file in a sub-directory.
    pub drop_ins: BTreeMap<String, Vec<u8>>,
    /// Symbolic links among the drop-ins, with their targets.
    pub links: BTreeMap<String, String>,
    pub policy: Option<Vec<u8>>,
}

impl Host {
    pub fn from_line(line: &Value) -> Self {
        let each = |key: &str, read: fn(&Value) -> Vec<u8>| {
            let files = line[key].as_object().into_iter().flatten();
            files.map(|(name, value)| (name.clone(), read(value))).collect::<BTreeMap<_, _>>()
        };
        let one = |key: &str| match &line[key] {
            Value::Null => Some(&line[format!("{key}.b64")]).filter(|v| !v.is_null()).map(encoded),
            value => Some(text(value)),
        };
        let mut drop_ins = each("dropins", text);
        drop_ins.extend(each("dropins.b64", encoded));
        let links = each("dropinLinks", text);
        let as_text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            registries: one("registries.conf"),
            drop_ins,
            links: links.into_iter().map(|(name, target)| (name, as_text(target))).collect(),
            policy: one("policy.json"),
        }
    }

    pub fn to_line(&self) -> Value {
        let mut line = Map::new();
        for (key, file) in [("registries.conf", &self.registries), ("policy.json", &self.policy)] {
            match file.as_deref().map(|bytes| (bytes, std::str::from_utf8(bytes))) {
                None => line.insert(key.into(), Value::Null),
                Some((_, Ok(text))) => line.insert(key.into(), text.into()),
                Some((bytes, Err(_))) => {
                    line.insert(format!("{key}.b64"), BASE64_STANDARD.encode(bytes).into())
                }
            };
        }
        let (mut texts, mut binaries) = (Map::new(), Map::new());
        for (name, bytes) in &self.drop_ins {
            match std::str::from_utf8(bytes) {
                Ok(text) => texts.insert(name.clone(), text.into()),
                Err(_) => binaries.insert(name.clone(), BASE64_STANDARD.encode(bytes).into()),
            };
        }
        line.insert("dropins".into(), texts.into());
        line.insert("dropins.b64".into(), binaries.into());
        line.insert("dropinLinks".into(), json!(self.links));
        line.into()
    }

    pub fn registries_file(&self) -> File {
        file("/etc/containers/registries.conf", self.registries.as_deref())
    }

    pub fn policy_file(&self) -> File {
        file("/etc/containers/policy.json", self.policy.as_deref())
    }

    /// What a reader of the directory hands to the engine: the `*.conf` in it by name, not those
    /// in sub-directories, and what lies behind a link.
    pub fn drop_in_files(&self) -> Vec<File> {
        let dir = Path::new("/etc/containers/registries.conf.d");
        let files = self.drop_ins.iter().filter(|(name, _)| !name.contains('/'));
        let mut found: BTreeMap<&String, File> =
            files.map(|(name, bytes)| (name, file(dir.join(name), Some(bytes)))).collect();
        for (name, target) in &self.links {
            // Links of the corpora lead nowhere, to a directory, or to themselves.
            let link = match target.starts_with("/nonexistent") {
                true => File::absent(dir.join(name)),
                false => File::unreadable(dir.join(name), "is a directory or a loop of links"),
            };
            found.insert(name, link);
        }
        found.retain(|name, _| name.ends_with(".conf"));
        found.into_values().collect()
    }
}

fn file(path: impl AsRef<Path>, bytes: Option<&[u8]>) -> File {
    match bytes {
        Some(bytes) => File::new(path.as_ref(), bytes),
        None => File::absent(path.as_ref()),
    }
}

fn text(value: &Value) -> Vec<u8> {
    value.as_str().expect("a file is a text").as_bytes().to_vec()
}

fn encoded(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().expect("a file is a text")).expect("valid base64")
}
