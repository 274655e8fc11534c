//! Signed bundles (rule E2), signed by the real minisign.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::Host;
use crate::server::{Server, answer, status};
use crate::serving::{Serving, blocking};
use crate::world::{serve, set};

/// Who signs.
struct Signer {
    dir: TempDir,
}

impl Signer {
    fn new() -> Self {
        let signer = Self { dir: TempDir::new().unwrap() };
        signer.minisign(&["-G", "-W", "-p", "key.pub", "-s", "key"]);
        signer
    }

    fn minisign(&self, arguments: &[&str]) {
        let run = Command::new("minisign").current_dir(&self.dir).args(arguments).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }

    fn signs(&self, bytes: &str) -> String {
        fs::write(self.dir.path().join("bundle"), bytes).unwrap();
        self.minisign(&["-S", "-W", "-s", "key", "-m", "bundle"]);
        fs::read_to_string(self.dir.path().join("bundle.minisig")).unwrap()
    }

    /// In the format of before minisign 0.10.
    fn signs_as_of_old(&self, bytes: &str) -> String {
        fs::write(self.dir.path().join("bundle"), bytes).unwrap();
        self.minisign(&["-S", "-l", "-W", "-s", "key", "-m", "bundle"]);
        fs::read_to_string(self.dir.path().join("bundle.minisig")).unwrap()
    }

    fn public(&self) -> String {
        fs::read_to_string(self.dir.path().join("key.pub")).unwrap()
    }
}

fn bundle(serial: Value, registry: &str) -> String {
    let bundle = json!({
        "apiVersion": "image-config-agent.io/v1", "kind": "Bundle", "serial": serial,
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [bundle, blocking(registry)]}).to_string()
}

/// A server of signed bundles, and an agent that has applied serial 7, which blocks `a.io`.
struct Signed {
    signer: Signer,
    server: Server,
    serving: Serving,
    settings: Vec<String>,
    /// The host's files with serial 7.
    files: BTreeMap<PathBuf, String>,
}

impl Signed {
    fn new() -> Self {
        let (signer, server, host) = (Signer::new(), Server::plain(), Host::new());
        let keys = host.root().parent().unwrap().join("keys");
        fs::write(&keys, signer.public()).unwrap();
        let settings = vec![
            format!("endpoint.url={}", server.url("/bundle.yaml?x=y")),
            "endpoint.allow_http=true".into(),
            format!("endpoint.public_keys={}", keys.display()),
        ];
        let signature = signer.signs(&bundle(json!(7), "a.io"));
        give(&server, bundle(json!(7), "a.io"), Some(signature));
        let serving = serve(host, &settings);
        serving.blocks("a.io");
        serving.converges();
        let files = serving.files();
        Self { signer, server, serving, settings, files }
    }

    fn gives(&self, bundle: String) {
        let signature = self.signer.signs(&bundle);
        give(&self.server, bundle, Some(signature));
    }

    #[track_caller]
    fn is_refused(&self, reason: &str) {
        self.serving.until_condition("SourceReady", "False", reason);
        assert_eq!(self.serving.condition("Valid").1, reason);
        assert_eq!(self.serving.condition("Applied").1, reason);
        assert_eq!(self.serving.files(), self.files);
        let said = self.serving.ask("status").out;
        assert!(said.contains(reason), "{said}");
        assert_eq!(self.serving.ask("status").code, 2);
    }
}

fn give(server: &Server, bundle: String, signature: Option<String>) {
    server.does(move |request, out| match (request.path.as_str(), &signature) {
        ("/bundle.yaml?x=y", _) => out.write_all(&answer("ETag: \"x\"\r\n", &bundle)),
        ("/bundle.yaml.minisig?x=y", Some(signature)) => {
            let answer = String::from_utf8(answer("", signature)).unwrap();
            out.write_all(answer.replace("application/json", "text/plain").as_bytes())
        }
        _ => out.write_all(&status("404 Not Found", "")),
    });
}

#[test]
fn e2_a_newer_signed_bundle_is_taken() {
    let signed = Signed::new();
    signed.gives(bundle(json!(8), "b.io"));
    signed.serving.blocks("b.io");
    signed.serving.converges();
    assert_eq!(signed.serving.status()["sources"][0]["revision"], "serial 8");
}

#[test]
fn e2_unsigned_altered_and_foreign_bundles_are_refused() {
    let signed = Signed::new();
    let evil = bundle(json!(9), "evil.io");
    give(&signed.server, evil.clone(), None);
    signed.is_refused("BundleUnsigned");
    let signature = signed.signer.signs(&bundle(json!(9), "b.io"));
    give(&signed.server, evil.clone(), Some(signature));
    signed.is_refused("BundleAltered");
    let foreign = Signer::new().signs(&evil);
    give(&signed.server, evil, Some(foreign));
    signed.serving.until("the reason", || {
        signed.serving.ask("status").out.contains("not among endpoint.public_keys")
    });
    signed.is_refused("BundleAltered");
    let signature = signed.signer.signs_as_of_old(&bundle(json!(9), "b.io"));
    give(&signed.server, bundle(json!(9), "b.io"), Some(signature));
    signed.serving.until("the reason", || signed.serving.ask("status").out.contains("with -H"));
    signed.gives(bundle(json!(10), "b.io"));
    signed.serving.blocks("b.io");
}

/// As a store answers that does not say what is missing.
#[test]
fn e2_a_signature_that_cannot_be_had_is_what_is_said() {
    let signed = Signed::new();
    let new = bundle(json!(8), "b.io");
    signed.server.does(move |request, out| match request.path.contains("minisig") {
        true => out.write_all(&status("403 Forbidden", "")),
        false => out.write_all(&answer("", &new)),
    });
    signed.serving.until_condition("SourceReady", "False", "AccessRefused");
    let said = signed.serving.ask("status").out;
    assert!(said.contains("the signature beside the bundle: "), "{said}");
}

#[test]
fn e2_older_bundles_are_refused_over_restarts_until_a_reset() {
    let mut signed = Signed::new();
    signed.gives(bundle(json!(6), "evil.io"));
    signed.is_refused("BundleReplayed");
    let arguments = set(&signed.settings);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    signed.serving.restart_with(&arguments);
    signed.serving.is_there();
    signed.is_refused("BundleReplayed");
    signed.gives(bundle(json!(7), "evil.io"));
    signed.is_refused("SerialReused");
    signed.gives(bundle(json!("7"), "evil.io"));
    signed.is_refused("InvalidSerial");
    signed.gives(blocking("evil.io").to_string());
    signed.is_refused("SerialMissing");
    signed.gives(bundle(json!(1), "b.io"));
    signed.is_refused("BundleReplayed");
    let run = signed.serving.host.run(&["source", "reset", "endpoint"]).exits(0);
    assert!(run.out.contains("forgotten"), "{}", run.out);
    signed.serving.blocks("b.io");
    signed.serving.converges();
}

/// What was fetched without keys, or by a key of before, is no better for being on disk.
#[test]
fn e2_what_no_key_of_now_has_signed_is_not_obeyed_for_having_been_kept() {
    let (signer, server) = (Signer::new(), Server::plain());
    let host = Host::with(&[blocking("f.io")]);
    let keys = host.root().parent().unwrap().join("keys");
    fs::write(&keys, signer.public()).unwrap();
    let mut settings = vec![
        format!("endpoint.url={}", server.url("/bundle.yaml?x=y")),
        "endpoint.allow_http=true".into(),
        "source.order=endpoint,files".into(),
    ];
    let signed = bundle(json!(7), "a.io");
    give(&server, signed.clone(), None);
    let mut serving = serve(host, &settings);
    serving.blocks("a.io");
    settings.push(format!("endpoint.public_keys={}", keys.display()));
    let arguments = set(&settings);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    server.does(|_, _| Ok(()));
    serving.restart_with(&arguments);
    serving.blocks("f.io");
    serving.until_condition("SourceReady", "False", "KeptUnsigned");
    let said = serving.ask("status").out;
    assert!(said.contains("endpoint.public_keys") && said.contains("breaks off"), "{said}");
    // The same bytes count once they are signed, and outrank the files from then on.
    give(&server, signed.clone(), Some(signer.signs(&signed)));
    serving.blocks("a.io");
    serving.until_condition("SourceReady", "True", "AsExpected");
    server.does(|_, _| Ok(()));
    serving.restart_with(&arguments);
    serving.is_there();
    serving.until_condition("SourceReady", "False", "AnswerCutOff");
    assert_eq!(serving.host.verdict("f.io/x:1"), "allowed");
    // Another key takes the place of its own, while it runs.
    fs::write(&keys, Signer::new().public()).unwrap();
    serving.blocks("f.io");
    serving.until_condition("SourceReady", "False", "KeptUnsigned");
}

#[test]
fn e2_a_key_that_is_removed_leaves_the_host_as_it_is_and_serves_again_once_it_is_back() {
    let signed = Signed::new();
    let keys = signed.serving.host.root().parent().unwrap().join("keys");
    signed.server.does(|_, _| Ok(()));
    signed.serving.until_condition("SourceReady", "False", "AnswerCutOff");
    fs::write(&keys, Signer::new().public()).unwrap();
    signed.is_refused("KeptUnsigned");
    // Whoever cannot read the keys knows of none that was removed (rule D5).
    fs::remove_file(&keys).unwrap();
    signed.serving.until_condition("SourceReady", "False", "KeysUnusable");
    signed.serving.until_condition("Applied", "True", "AsExpected");
    fs::write(&keys, signed.signer.public()).unwrap();
    signed.serving.until_condition("SourceReady", "False", "AnswerCutOff");
    signed.serving.until_condition("Applied", "True", "AsExpected");
    assert_eq!(signed.serving.files(), signed.files);
}

/// As an agent wrote it that did not note who signed.
#[test]
fn e2_what_was_kept_without_a_note_of_its_signer_counts_as_unsigned() {
    let mut signed = Signed::new();
    let file = "/var/lib/image-config-agent/sources/endpoint.json";
    let text = fs::read_to_string(signed.serving.host.at(file)).unwrap();
    let mut kept: Value = serde_json::from_str(&text).unwrap();
    kept.as_object_mut().unwrap().remove("signer");
    signed.serving.host.write(file, &kept.to_string());
    // It would say that nothing has changed.
    signed.server.says(status("304 Not Modified", ""));
    let arguments = set(&signed.settings);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    signed.serving.restart_with(&arguments);
    signed.serving.is_there();
    signed.is_refused("KeptUnsigned");
    signed.gives(bundle(json!(7), "a.io"));
    signed.serving.until_condition("SourceReady", "True", "AsExpected");
    signed.serving.converges();
}

#[test]
fn e2_a_race_of_bundle_and_signature_is_no_mismatch() {
    let signed = Signed::new();
    let (old, new) = (bundle(json!(7), "a.io"), bundle(json!(8), "b.io"));
    let signature = signed.signer.signs(&new);
    // The bundle is replaced between our two requests.
    let asked = Arc::new(Mutex::new(0));
    signed.server.does(move |request, out| {
        let mut asked = asked.lock().unwrap();
        if request.path.contains("minisig") {
            return out.write_all(&answer("", &signature));
        }
        *asked += 1;
        out.write_all(&answer("", if *asked == 1 { &old } else { &new }))
    });
    signed.serving.blocks("b.io");
    let start = std::time::Instant::now();
    while start.elapsed().as_secs() < 3 {
        assert_eq!(signed.serving.condition("SourceReady").0, "True");
    }
}
