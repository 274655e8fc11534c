//! A Kubernetes API server of the test's own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::objects;
use crate::process::{Process, until_or};
use crate::support::Run;

/// The namespace and the service account of the agent.
pub const NAMESPACE: &str = "image-config-agent";
pub const ACCOUNT: &str = "image-config-agent";

/// For so long the API server takes a token that has ended.
const LEEWAY: Duration = Duration::from_secs(60);

/// How somebody proves who they are.
pub enum Credentials {
    Token(String),
    /// A certificate and its key, as PEM.
    Certificate {
        certificate: String,
        key: String,
    },
}

/// etcd and kube-apiserver on loopback.
pub struct Cluster {
    pub admin: Api,
    pub port: u16,
    users: CertifiedIssuer<'static, KeyPair>,
    apiserver: Option<Process>,
    etcd: Process,
    etcd_port: u16,
    flags: &'static [&'static str],
    dir: TempDir,
}

/// Pods need no service account, which a controller would have to make.
const PLAIN_PODS: &[&str] = &["--disable-admission-plugins=ServiceAccount"];

/// For a kubelet that runs pods.
const REAL_PODS: &[&str] = &["--enable-admission-plugins=NodeRestriction"];

/// The same as [`PLAIN_PODS`], and all requests are written down.
const AUDITED: &[&str] = &[
    "--disable-admission-plugins=ServiceAccount",
    "--audit-policy-file=audit.yaml",
    "--audit-log-path=audit.log",
];

/// A program of Kubernetes.
pub fn program(name: &str) -> PathBuf {
    let built = std::env::var("KUBERNETES").expect("KUBERNETES: `tests/run cluster` builds it");
    Path::new(&built).join(name)
}

impl Cluster {
    /// Starts both and waits until the API server is ready.
    pub fn start() -> Self {
        Self::with(PLAIN_PODS)
    }

    /// The same for pods that really run: a [`crate::machine::Machine`] is to join it.
    pub fn for_machines() -> Self {
        Self::with(REAL_PODS)
    }

    /// The same as [`Self::start`], with an `audit.log` of who asked for what.
    pub fn audited() -> Self {
        Self::with(AUDITED)
    }

    fn with(flags: &'static [&'static str]) -> Self {
        let dir = TempDir::new().unwrap();
        let audit = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}],
        });
        fs::write(dir.path().join("audit.yaml"), audit.to_string()).unwrap();
        let port = free_port();
        let users = authority();
        fs::write(dir.path().join("users.crt"), users.pem()).unwrap();
        let key = dir.path().join("account.key");
        openssl(&["genrsa", "-out", key.to_str().unwrap(), "2048"], b"");
        let (etcd, etcd_port) = start_etcd(dir.path());
        let mut apiserver = start_apiserver(dir.path(), port, etcd_port, flags);
        let admin = sign(&users, "admin", &["system:masters"], None);
        // The API server writes its certificate at its first start.
        let mut config = None;
        until_or(
            "the API server's certificate",
            || format!("{}\n{}", apiserver_log(dir.path()), etcd.said()),
            || {
                config = kubeconfig(dir.path(), port, &admin);
                config.is_some()
            },
        );
        assert!(!apiserver.has_ended(), "{}", apiserver.said());
        let config = config.unwrap();
        fs::write(dir.path().join("kubeconfig"), &config).unwrap();
        let admin = Api::new(&config);
        let cluster =
            Self { admin, port, users, apiserver: Some(apiserver), etcd, etcd_port, flags, dir };
        cluster.is_ready();
        cluster
    }

    fn is_ready(&self) {
        until_or(
            "the API server",
            || apiserver_log(self.dir.path()),
            || self.admin.ask(hyper::Method::GET, "/readyz", None).is_ok(),
        );
    }

    /// Kills the API server. What it stored stays.
    pub fn kill_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Starts it again, on the same port, and waits until it is ready.
    pub fn start_apiserver(&mut self) {
        self.apiserver =
            Some(start_apiserver(self.dir.path(), self.port, self.etcd_port, self.flags));
        self.is_ready();
    }

    /// Forgets the history: who watches on from a version before this is told 410. The API server answers
    /// from a cache of its own, which a restart empties.
    pub fn compact(&mut self) {
        let etcd = |path: &str, body: Value| -> Value {
            let url = format!("http://127.0.0.1:{}/v3/kv/{path}", self.etcd_port);
            let body = body.to_string();
            let said = Command::new("curl").args(["-sSf", "-d", &body, &url]).output().unwrap();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            serde_json::from_slice(&said.stdout).unwrap()
        };
        let read = etcd("range", json!({"key": BASE64_STANDARD.encode("/")}));
        etcd("compaction", json!({"revision": read["header"]["revision"], "physical": true}));
        self.kill_apiserver();
        self.start_apiserver();
    }

    /// A client with these credentials.
    pub fn api(&self, credentials: &Credentials) -> Api {
        Api::new(&self.kubeconfig(self.port, credentials))
    }

    /// The kubeconfig of somebody, by way of a port: the API server's own, or a proxy's.
    pub fn kubeconfig(&self, port: u16, credentials: &Credentials) -> String {
        kubeconfig(self.dir.path(), port, credentials).unwrap()
    }

    /// Another user, by a client certificate.
    pub fn certificate(&self, user: &str, groups: &[&str]) -> Credentials {
        sign(&self.users, user, groups, None)
    }

    /// The same, by a certificate that ends so soon.
    pub fn certificate_for(&self, user: &str, groups: &[&str], life: Duration) -> Credentials {
        sign(&self.users, user, groups, Some(life))
    }

    /// A service account token that is bound to an agent's pod on a node, as the kubelet gives it to a
    /// DaemonSet's pods. It is refused once that pod is gone.
    pub fn token(&self, node: &str) -> String {
        let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
        for (kind, object) in [
            ("/api/v1/namespaces".to_owned(), objects::namespace(NAMESPACE)),
            (format!("{namespace}/serviceaccounts"), json!({"metadata": {"name": ACCOUNT}})),
            (format!("{namespace}/pods"), objects::agent_pod(node)),
        ] {
            let name = object["metadata"]["name"].as_str().unwrap();
            if self.admin.find(&format!("{kind}/{name}")).is_none() {
                self.admin.create(&kind, &object);
            }
        }
        let bound =
            json!({"kind": "Pod", "apiVersion": "v1", "name": objects::agent_pod_name(node)});
        let request = json!({"spec": {"boundObjectRef": bound, "expirationSeconds": 3600}});
        let path = format!("{namespace}/serviceaccounts/{ACCOUNT}/token");
        self.admin.create(&path, &request)["status"]["token"].as_str().unwrap().to_owned()
    }

    /// The same, with a life as short as the test wants it. The API server remembers for ten seconds whom it has
    /// let in.
    pub fn token_for(&self, node: &str, life: Duration) -> String {
        let token = self.token(node);
        let parts: Vec<&str> = token.split('.').collect();
        let mut claims: Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        claims["exp"] = json!((now + life - LEEWAY).as_secs());
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let signed = format!("{}.{claims}", parts[0]);
        let key = self.dir.path().join("account.key");
        let signature =
            openssl(&["dgst", "-sha256", "-sign", key.to_str().unwrap()], signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// Applies all that the package has for a cluster that is not OpenShift, and waits until the admission
    /// policies are in force.
    pub fn install(&self) {
        for namespace in ["kube-node-lease", "default"] {
            let path = format!("/api/v1/namespaces/{namespace}");
            until_or(namespace, || self.log(), || self.admin.find(&path).is_some());
        }
        let plain =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/kubernetes/overlays/plain");
        self.kubectl(&["apply", "--server-side", "-k", plain.to_str().unwrap()]);
        let stranger = self.api(&self.certificate("stranger", &["image-config-agent:nodes"]));
        // The last ones of those that are applied.
        for (path, object) in [
            (
                format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"),
                objects::lease(
                    "x",
                    "x",
                    "2026-11-26T10:00:00.000000Z",
                    "2026-11-26T10:00:00.000000Z",
                    1,
                ),
            ),
            (
                "/apis/image-config-agent.io/v1alpha1/nodeimageconfigs".to_owned(),
                json!({
                    "apiVersion": "image-config-agent.io/v1alpha1", "kind": "NodeImageConfig",
                    "metadata": {"name": "x"}, "spec": {},
                }),
            ),
        ] {
            let path = format!("{path}?dryRun=All");
            let ask = || stranger.ask(hyper::Method::POST, &path, Some(&object));
            until_or(
                "the policies",
                || format!("{:?}", ask()),
                || ask().is_err_and(|refused| refused.message.contains("which node")),
            );
        }
    }

    /// kubectl as the administrator.
    pub fn run_kubectl(&self, arguments: &[&str]) -> Run {
        Command::new(program("kubectl"))
            .env("KUBECONFIG", self.dir.path().join("kubeconfig"))
            .args(arguments)
            .output()
            .unwrap()
            .into()
    }

    /// What it prints where it must succeed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.run_kubectl(arguments).exits(0).out
    }

    /// A file of the cluster: kubeconfig, account.key, certs/apiserver.crt, audit.log.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the API server said last.
    pub fn log(&self) -> String {
        apiserver_log(self.dir.path())
    }
}

/// Its process and its port, once it listens: the API server does not wait for it for long. Somebody else may
/// have been quicker at one of its ports.
fn start_etcd(dir: &Path) -> (Process, u16) {
    for _ in 0..3 {
        let port = free_port();
        let mut etcd = try_etcd(dir, port);
        let mut is_up = false;
        until_or(
            "etcd",
            || "it neither listens nor ends".to_owned(),
            || {
                is_up = TcpStream::connect(("127.0.0.1", port)).is_ok();
                is_up || etcd.has_ended()
            },
        );
        if is_up && !etcd.has_ended() {
            return (etcd, port);
        }
        eprintln!("etcd has ended: {}", etcd.said());
    }
    panic!("etcd does not start");
}

fn try_etcd(dir: &Path, port: u16) -> Process {
    let clients = format!("http://127.0.0.1:{port}");
    let peers = format!("http://127.0.0.1:{}", free_port());
    let with = |command: &mut Command| {
        command.arg("--data-dir").arg(dir.join("etcd"));
        for (flag, value) in [
            ("--listen-client-urls", &clients),
            ("--advertise-client-urls", &clients),
            ("--listen-peer-urls", &peers),
            ("--initial-advertise-peer-urls", &peers),
            ("--initial-cluster", &format!("default={peers}")),
        ] {
            command.args([flag, value]);
        }
        command.arg("--unsafe-no-fsync");
    };
    Process::start("etcd", with, dir.join("etcd.log"))
}

fn start_apiserver(dir: &Path, port: u16, etcd_port: u16, flags: &[&str]) -> Process {
    let with = |command: &mut Command| {
        command.current_dir(dir).args([
            &format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
            "--cert-dir=certs",
            &format!("--secure-port={port}"),
            "--bind-address=127.0.0.1",
            // It refuses to advertise loopback.
            "--endpoint-reconciler-type=none",
            "--service-account-key-file=account.key",
            "--service-account-signing-key-file=account.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--client-ca-file=users.crt",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
        ]);
        command.args(flags);
    };
    Process::start(program("kube-apiserver"), with, dir.join("apiserver.log"))
}

fn apiserver_log(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join("apiserver.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Nothing while the API server has no certificate yet.
fn kubeconfig(dir: &Path, port: u16, credentials: &Credentials) -> Option<String> {
    let authority = fs::read(dir.join("certs/apiserver.crt")).ok().filter(|pem| !pem.is_empty())?;
    let user = match credentials {
        Credentials::Token(token) => json!({"token": token}),
        Credentials::Certificate { certificate, key } => json!({
            "client-certificate-data": BASE64_STANDARD.encode(certificate),
            "client-key-data": BASE64_STANDARD.encode(key),
        }),
    };
    let cluster = json!({
        "server": format!("https://127.0.0.1:{port}"),
        "certificate-authority-data": BASE64_STANDARD.encode(authority),
    });
    // YAML takes JSON.
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    Some(config.to_string())
}

/// The authority of client certificates.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "users");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn sign(
    users: &CertifiedIssuer<'static, KeyPair>,
    user: &str,
    groups: &[&str],
    life: Option<Duration>,
) -> Credentials {
    let mut params = CertificateParams::default();
    if let Some(life) = life {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        params.not_after = date_time_ymd(1970, 1, 1) + now + life;
    }
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, users).unwrap().pem();
    Credentials::Certificate { certificate, key: key.serialize_pem() }
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may read nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    said.stdout
}

/// A port that nobody listens on. It is below those that connections get, one of which would else be quicker than
/// the program that it is for.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
