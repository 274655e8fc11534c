//! X1 and X2, and what every command has.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::agent::{CA, Host, POLICY, REGISTRIES, Run, SEARCH, agent, image, image_spec, trusting};

const COMMANDS: [&[&str]; 31] = [
    &[],
    &["run"],
    &["status"],
    &["hold"],
    &["release"],
    &["retry"],
    &["source"],
    &["source", "reset"],
    &["config"],
    &["config", "show"],
    &["generate"],
    &["render"],
    &["validate"],
    &["plan"],
    &["apply"],
    &["rollback"],
    &["revert"],
    &["base"],
    &["base", "show"],
    &["base", "diff"],
    &["base", "adopt"],
    &["check"],
    &["crds"],
    &["explain"],
    &["rollout"],
    &["rollout", "status"],
    &["rollout", "pause"],
    &["rollout", "resume"],
    &["rollout", "retry"],
    &["generate", "completions"],
    &["generate", "man"],
];

fn run(arguments: &[&str]) -> Run {
    agent(|agent| agent.args(arguments), "")
}

pub fn blocking(name: &str) -> Value {
    image(json!({"blockedRegistries": [name]}))
}

pub fn applied(document: Value) -> Host {
    let host = Host::with(&[document]);
    host.apply().exits(0);
    host
}

#[test]
fn x1_every_command_has_help_with_an_example() {
    for command in COMMANDS {
        let help = run(&[command, &["--help"]].concat()).exits(0);
        assert_eq!(help.err, "");
        let example = format!("Example: image-config-agent {}", command.join(" "));
        assert!(help.out.contains(example.trim_end()), "{command:?}: {}", help.out);
    }
}

#[test]
fn x1_completions_and_man_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["generate", "completions", shell]).exits(0).out;
        assert!(script.contains("image-config-agent") && script.contains("rollback"), "{shell}");
    }
    let host = Host::new();
    let directory = host.docs().join("man");
    run(&["generate", "man", directory.to_str().unwrap()]).exits(0);
    for command in COMMANDS {
        let name = [&["image-config-agent"], command].concat().join("-");
        let page = fs::read_to_string(directory.join(format!("{name}.1"))).unwrap();
        assert!(page.contains("Example"), "{name}");
    }
    // Every page that one of them refers to is there.
    for page in fs::read_dir(&directory).unwrap() {
        let text = fs::read_to_string(page.unwrap().path()).unwrap().replace("\\-", "-");
        for (end, _) in text.match_indices("(1)") {
            let name = text[..end].rsplit(|c: char| c.is_whitespace()).next().unwrap();
            assert!(directory.join(format!("{name}.1")).exists(), "{name}");
        }
    }
    let main = fs::read_to_string(directory.join("image-config-agent.1")).unwrap();
    assert!(main.contains("guard") && main.contains("IMAGE_CONFIG_AGENT_GUARD"));
}

#[test]
fn x1_names_are_explained() {
    let out = run(&["explain", "lockout", "Contested"]).exits(0).out;
    assert!(
        out.starts_with("LockOut, error, or warning: the image that is lost\n  cause: "),
        "{out}"
    );
    assert!(
        out.contains("Contested, True: Drifted\n") && out.contains("Contested, True: Degraded\n")
    );
    assert!(run(&["explain", "Nonsense"]).exits(1).err.contains("named Nonsense"));
}

#[test]
fn x1_usage_is_64() {
    for arguments in [
        &[][..],
        &["unknown"],
        &["plan"],
        &["validate"],
        &["check"],
        &["explain"],
        &["apply", "--unknown"],
        &["check", "--import", "a.io/x"],
        &["base"],
        &["base", "adopt"],
        &["base", "adopt", "etc/containers/policy.json"],
        &["render", "-f", "x", "-o", "json"],
        &["revert", "--set", "no-such-key=1"],
        &["revert", "--set", "guard"],
        &["revert", "--set", "paths.policy=../x"],
        &["validate", "-o", "xml", "-f", "x"],
    ] {
        let run = run(arguments).exits(64);
        assert_eq!(run.out, "", "{arguments:?}");
        assert_ne!(run.err, "", "{arguments:?}");
    }
    run(&["apply", "-f", "x", "--root", "/no/such/root"]).exits(1);
    run(&["--version"]).exits(0);
}

#[test]
fn x1_wrong_settings_are_64() {
    let host = Host::new();
    host.run(&["run", "--set", "log.filter=info,x=loud"]).exits(64);
    host.run(&["run", "--set", "log.format=loud"]).exits(64);
    let value = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
    let with = |name: &str| {
        let name = name.to_owned();
        let root = host.root();
        agent(
            move |agent| {
                let value: &std::ffi::OsStr = value;
                agent.env(name, value).args(["config", "show", "--root"]).arg(root)
            },
            "",
        )
    };
    let run = with("IMAGE_CONFIG_AGENT_GUARD").exits(64);
    assert!(run.err.contains("IMAGE_CONFIG_AGENT_GUARD: the value is not UTF-8"), "{}", run.err);
    // What is not ours may be as it likes.
    with("LS_COLORS").exits(0);
}

#[test]
fn x1_config_show_says_where_each_setting_comes_from() {
    let host = Host::new();
    host.write(
        "/usr/lib/image-config-agent/config.d/10.toml",
        "guard = 'warn'\ndrift = 'report'\n",
    );
    host.write("/etc/image-config-agent/config.toml", "\n[runtime]\naction = 'auto'\n");
    let root = host.root();
    let run = agent(
        move |agent| {
            agent
                .env("IMAGE_CONFIG_AGENT_GUARD", "off")
                .args(["config", "show", "--root"])
                .arg(root);
            agent.args(["--set", "source.quiet_seconds=7"])
        },
        "",
    );
    let text = run.exits(0).out;
    let line = |name: &str| {
        let found = text.lines().find(|line| line.starts_with(&format!("{name} = ")));
        found.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    for (name, value, origin) in [
        ("drift", "report", "/usr/lib/image-config-agent/config.d/10.toml:2"),
        ("runtime.action", "auto", "/etc/image-config-agent/config.toml:3"),
        ("guard", "off", "IMAGE_CONFIG_AGENT_GUARD"),
        ("source.quiet_seconds", "7", "--set"),
        ("log.format", "", "default"),
    ] {
        let line = line(name);
        assert!(line.contains(value) && line.contains(origin), "{line}");
    }
}

#[test]
fn x1_results_and_findings_go_apart() {
    let host = Host::with(&[image(json!({"insecureRegistries": ["a.io"]}))]);
    let docs = host.docs();
    for command in ["render", "validate", "plan", "apply"] {
        let run = host.run(&[command, "-f", docs.to_str().unwrap()]);
        assert!(run.err.contains("[InsecureRegistry]"), "{}", run.err);
        assert!(!run.out.contains("[InsecureRegistry]") && !run.out.is_empty(), "{}", run.out);
    }
}

#[test]
fn x1_which_files_of_a_directory_are_read() {
    let host = Host::new();
    host.document("a.yaml", blocking("a.io").to_string());
    for name in [".hidden.yaml", "readme.md", "backup.yaml.bak"] {
        host.document(name, "not a document");
    }
    fs::create_dir(host.docs().join("deeper.yaml")).unwrap();
    host.document("deeper.yaml/b.yaml", "not a document");
    host.on_documents("validate").exits(0);
    // A file that is named is read whatever its name.
    let file = host.docs().join("readme.md");
    host.run(&["validate", "-f", file.to_str().unwrap()]).exits(1);
}

#[test]
fn x1_documents_from_standard_input() {
    let host = Host::new();
    let document = blocking("a.io").to_string();
    host.run_with(&["apply", "-f", "-"], &document).exits(0);
    assert_eq!(host.verdict("a.io/x"), "rejected");
    host.run_with(&["validate", "-f", "-"], "").exits(1);
}

#[test]
fn x1_render_mirrors_paths_and_touches_nothing_else() {
    let host = Host::with(&[blocking("a.io")]);
    let before = host.snapshot();
    let (docs, out) = (host.docs(), host.docs().join("out"));
    let render = ["render", "-f", docs.to_str().unwrap(), "-o", out.to_str().unwrap()];
    host.run(&render).exits(0);
    assert_eq!(host.snapshot(), before);
    for path in [REGISTRIES, POLICY] {
        assert!(fs::read_to_string(out.join(&path[1..])).unwrap().contains("a.io"), "{path}");
    }
}

/// What a former render left means nothing any more; what others put there stays.
#[test]
fn x1_render_leaves_nothing_of_a_former_one() {
    let search = json!({
        "registrySources": {
            "containerRuntimeSearchRegistries": ["a.io"], "blockedRegistries": ["b.io"],
        },
        "additionalTrustedCA": {"name": "ca"},
    });
    let [_, map] = trusting(json!({"a.io": CA}));
    let host = Host::with(&[image_spec(search), map]);
    let (docs, dir) = (host.docs(), host.root().join("out"));
    let render = || {
        let render = ["render", "-f", docs.to_str().unwrap(), "-o", dir.to_str().unwrap()];
        host.run(&render).exits(0)
    };
    let at = |path: &str| format!("/out{path}");
    host.write(&at("/etc/containers/registries.conf.d/90-other.conf"), "# other\n");
    assert_eq!(render().err, "");
    let ca = "/etc/docker/certs.d/a.io/ca.crt";
    assert!([SEARCH, REGISTRIES, POLICY, ca].iter().all(|path| host.exists(&at(path))));
    host.documents(&[image(json!({}))]);
    let run = render();
    assert_eq!(run.err, format!("not of this render, so left: {ca}\n"));
    assert!(host.exists(&at(ca)) && !host.exists(&at(SEARCH)));
    assert!(!host.exists(&at(REGISTRIES)) && !host.text(&at(POLICY)).contains("b.io"));
    assert_eq!(host.text(&at("/etc/containers/registries.conf.d/90-other.conf")), "# other\n");
    // Into an empty directory there is nothing to remove.
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(render().err, "");
}

/// What the caller opened is read, whatever it is.
#[test]
fn x1_documents_from_a_pipe_of_the_caller() {
    let host = Host::new();
    let document = blocking("a.io").to_string();
    for path in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        host.run_with(&["validate", "-f", path], &document).exits(0);
    }
}

/// An error says its cause once.
#[test]
fn x1_errors_are_said_once() {
    let host = Host::with(&[blocking("a.io")]);
    let applied = "/var/lib/image-config-agent/applied.json";
    host.mkdir(applied);
    for command in ["plan", "apply"] {
        let docs = host.docs();
        let run = host.run(&[command, "-f", docs.to_str().unwrap()]).exits(1);
        let why = "it is not a regular file; the managed files are as they were";
        assert!(
            run.err.ends_with(&format!("error: cannot read {applied}: {why}\n")),
            "{}",
            run.err
        );
    }
}

/// A reader that goes away early is no error, and no panic.
#[test]
fn x1_a_closed_pipe() {
    let host = Host::with(&[blocking("a.io")]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_image-config-agent"))
        .args(["plan", "--root"])
        .arg(host.root())
        .arg("-f")
        .arg(host.docs())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), err.contains("panicked")), (Some(2), false), "{err}");
}

#[test]
fn x2_nothing_outside_the_root_is_touched() {
    let host = Host::with(&[blocking("a.io")]);
    let outside = host.docs().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("policy.json"), "not to be read").unwrap();
    // Absolute links and `..` stay inside.
    host.link(POLICY, outside.join("policy.json").to_str().unwrap());
    host.link("/etc/docker", "../../../../../outside");
    host.mkdir("/outside");
    fs::rename(host.docs().join("000.json"), host.docs().join("a.json")).unwrap();
    host.apply().exits(0);
    assert_eq!(fs::read_to_string(outside.join("policy.json")).unwrap(), "not to be read");
    assert!(host.text(POLICY).contains("a.io"));
    host.documents(&trusting(json!({"a.io": CA})));
    host.apply().exits(0);
    assert_eq!(host.text("/outside/certs.d/a.io/ca.crt"), CA);
    host.run(&["revert"]).exits(0);
    assert!(!host.exists("/outside/certs.d"));
}

#[test]
fn x2_root_and_set_stand_anywhere() {
    let host = applied(blocking("a.io"));
    let root = host.root();
    let root = root.to_str().unwrap();
    host.write(POLICY, format!("{}\n", host.text(POLICY)));
    for arguments in [
        &["base", "show", "--root", root, "--set", "guard=off"][..],
        &["base", "--root", root, "show"],
        &["base", "diff", "--root", root, "-o", "json"],
        &["base", "adopt", POLICY, "--root", root],
    ] {
        let run = run(arguments).exits(0);
        assert!(run.out.contains(POLICY), "{arguments:?}: {}", run.out);
    }
}

#[test]
fn x2_paths_can_be_set() {
    let host = Host::with(&[blocking("a.io")]);
    let docs = host.docs();
    let policy = ["apply", "-f", docs.to_str().unwrap(), "--set", "paths.policy=/srv/policy.json"];
    host.run(&policy).exits(0);
    assert!(host.exists("/srv/policy.json") && !host.exists(POLICY));
}
