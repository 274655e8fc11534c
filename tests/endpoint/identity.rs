//! Who we are: client certificates, shown to the real nginx; and whom the system trusts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::agent::Host;
use crate::certificates::{Ca, Pair};
use crate::nginx::Nginx;
use crate::server::{Server, answer};
use crate::serving::{Serving, blocking};
use crate::world::{serve, set};

/// The example's nginx, which lets in whoever shows a certificate of `clients`, and writes down who.
fn nginx(clients: &Ca) -> Nginx {
    Nginx::with(clients, |config| {
        assert!(config.contains("ssl_certificate_key") && config.contains("if ($who"));
        config
            .replace("if ($who = \"\") { return 401; }", "")
            .replace(
                "access_log access.log;",
                "log_format who $ssl_client_s_dn; access_log access.log who;",
            )
            .replace(
                "ssl_certificate_key",
                "ssl_client_certificate tls/clients.crt; ssl_verify_client on; ssl_certificate_key",
            )
    })
}

/// Puts both in place of those of before.
fn put(beside: &Path, pair: &Pair) {
    for (name, text) in [("client.crt", &pair.certificate), ("client.key", &pair.key)] {
        let draft = beside.join("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, beside.join(name)).unwrap();
    }
}

/// An agent that shows what lies beside its host, and where that is.
fn showing(nginx: &Nginx, pair: &Pair) -> (Serving, PathBuf) {
    let host = Host::new();
    let beside = host.root().parent().unwrap().to_owned();
    fs::write(beside.join("ca.crt"), nginx.ca.pem()).unwrap();
    put(&beside, pair);
    let file = |name: &str| beside.join(name).display().to_string();
    let settings = [
        format!("endpoint.url=https://localhost:{}/bundles/bundle.yaml", nginx.port),
        format!("endpoint.ca={}", file("ca.crt")),
        format!("endpoint.client_certificate={}", file("client.crt")),
        format!("endpoint.client_key={}", file("client.key")),
    ];
    (serve(host, &settings), beside)
}

#[test]
fn d5_a_client_certificate_is_shown_and_rotated_while_the_agent_runs() {
    let clients = Ca::new();
    let nginx = nginx(&clients);
    nginx.gives(blocking("a.io").to_string());
    let (serving, beside) = showing(&nginx, &clients.knows("first"));
    serving.blocks("a.io");
    serving.converges();
    assert!(nginx.log().contains("CN=first"));
    put(&beside, &clients.knows("second"));
    serving.until("the second name", || nginx.log().contains("CN=second"));
    let asked_by_the_first = nginx.log().matches("CN=first").count();
    nginx.gives(blocking("b.io").to_string());
    serving.blocks("b.io");
    assert_eq!(nginx.log().matches("CN=first").count(), asked_by_the_first);
    // One of another CA is not let in, and nothing changes.
    put(&beside, &Ca::new().knows("third"));
    nginx.gives(blocking("c.io").to_string());
    serving.until("trouble", || serving.condition("SourceReady").0 == "False");
    assert_eq!(serving.host.verdict("b.io/x:1"), "rejected");
    assert_eq!(serving.condition("Applied").0, "True");
    put(&beside, &clients.knows("fourth"));
    serving.blocks("c.io");
    serving.until_condition("SourceReady", "True", "AsExpected");
}

#[test]
fn d5_a_key_that_is_of_no_use_is_said_with_why() {
    let clients = Ca::new();
    let nginx = nginx(&clients);
    nginx.gives(blocking("a.io").to_string());
    let good = clients.knows("n1");
    let (serving, beside) = showing(&nginx, &good);
    serving.blocks("a.io");
    nginx.gives(blocking("b.io").to_string());
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let half = good.key[..40].to_owned();
    let other = clients.knows("n1").key;
    for (key, why) in [
        (encrypted, "client.key cannot be used: it is encrypted"),
        (other, "KeyMismatch"),
        (half, "client.key hold no certificate with its key in PEM"),
    ] {
        put(&beside, &Pair { certificate: good.certificate.clone(), key });
        serving.until(why, || {
            let status = serving.ask("status");
            status.code == 0 && status.out.contains(why)
        });
        serving.until_condition("SourceReady", "False", "CredentialsUnusable");
        assert_eq!(serving.host.verdict("a.io/x:1"), "rejected");
        assert!(!serving.status().to_string().contains("BEGIN"));
    }
    put(&beside, &good);
    serving.blocks("b.io");
}

#[test]
fn d5_the_cas_of_the_system_are_trusted_and_read_anew_after_a_failure() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = Server::tls(&ca.signs(false));
    server.says(answer("", blocking("a.io").to_string()));
    let host = Host::new();
    let system = host.root().parent().unwrap().join("system.crt");
    fs::write(&system, other.pem()).unwrap();
    let settings = set(&[format!("endpoint.url={}", server.url("/bundle"))]);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let variable = ("SSL_CERT_FILE", system.to_str().unwrap());
    let serving = Serving::with_environment(host, &settings, &[variable]);
    serving.until_condition("SourceReady", "False", "TlsFailed");
    assert!(!serving.host.exists("/etc"));
    // As `update-ca-certificates` does.
    fs::write(&system, other.pem() + &ca.pem()).unwrap();
    serving.blocks("a.io");
    serving.until_condition("SourceReady", "True", "AsExpected");
}

/// As on a minimal host, which has no CA of any kind.
#[test]
fn d5_plain_http_needs_no_ca() {
    let server = Server::plain();
    server.says(answer("", blocking("a.io").to_string()));
    let url = format!("endpoint.url={}", server.url("/bundle"));
    let settings = set(&[url, "endpoint.allow_http=true".into()]);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let none = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")];
    let serving = Serving::with_environment(Host::new(), &settings, &none);
    serving.blocks("a.io");
}
