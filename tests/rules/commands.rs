//! X1 to X3, and what every command has.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::agent::{
    CA, Host, OTHER_CA, POLICY, REGISTRIES, Run, SEARCH, agent, image, image_spec, trusting,
};

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

fn blocking(name: &str) -> Value {
    image(json!({"blockedRegistries": [name]}))
}

fn applied(document: Value) -> Host {
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

#[test]
fn x3_rollback_goes_one_step_back() {
    let host = applied(blocking("a.io"));
    host.documents(&[blocking("b.io")]);
    host.apply().exits(0);
    let run = host.run(&["rollback"]).exits(0);
    assert!(run.out.contains("held: ") && run.out.contains("apply --retry"), "{}", run.out);
    assert_eq!(
        (host.verdict("a.io/x"), host.verdict("b.io/x")),
        ("rejected".into(), "allowed".into())
    );
    let before = host.own_files();
    let again = host.run(&["rollback"]).exits(0);
    assert_eq!(again.out, "nothing to do: there is no step to go back\n");
    assert_eq!(host.own_files(), before);
    assert_eq!(Host::new().run(&["rollback"]).exits(0).out, again.out);
}

#[test]
fn x3_what_was_rolled_back_is_held() {
    let host = applied(blocking("a.io"));
    let [with_ca, map] = trusting(json!({"c.io": CA}));
    let mut rolled_back = with_ca;
    rolled_back["spec"]["registrySources"] = json!({"blockedRegistries": ["b.io"]});
    host.documents(&[rolled_back.clone(), map]);
    host.apply().exits(0);
    host.run(&["rollback"]).exits(0);
    host.plan().exits(2).finds("warning", "HeldByRollback", "rollback", "");
    let before = host.snapshot();
    let run = host.apply().exits(1).finds("error", "HeldByRollback", "rollback", "");
    assert!(run.finding("HeldByRollback")["fix"].as_str().unwrap().contains("--retry"));
    assert_eq!(host.snapshot(), before);
    // Other CAs do not end the hold; other documents do, and so does --retry.
    let [_, map] = trusting(json!({"c.io": OTHER_CA}));
    host.documents(&[rolled_back, map]);
    host.apply().exits(1);
    let docs = host.docs();
    host.run(&["apply", "--retry", "-f", docs.to_str().unwrap()]).exits(0);
    assert_eq!(host.verdict("b.io/x"), "rejected");
    host.run(&["rollback"]).exits(0);
    host.documents(&[blocking("d.io")]);
    host.apply().exits(0);
    assert_eq!(host.verdict("d.io/x"), "rejected");
}

#[test]
fn x3_revert_twice_has_nothing_to_do() {
    let host = applied(blocking("a.io"));
    let run = host.run(&["revert"]).exits(0);
    assert!(run.out.contains(&format!("removed {POLICY}")), "{}", run.out);
    assert_eq!(host.run(&["revert"]).exits(0).out, "nothing to do\n");
    assert_eq!(
        host.run(&["rollback"]).exits(0).out,
        "nothing to do: there is no step to go back\n"
    );
}

/// The package is being removed: a slip in the settings must not keep the host's own files from it.
#[test]
fn x3_revert_gives_the_files_back_under_wrong_settings_too() {
    let host = applied(blocking("a.io"));
    assert!(host.exists(POLICY));
    let settings = "/etc/image-config-agent/config.toml";
    host.write(settings, "gaurd = 'off'\npaths.policy = 'relative'\n");
    host.run(&["rollback"]).exits(64);
    host.run(&["revert", "--set", "gaurd=off"]).exits(64);
    assert!(host.exists(POLICY));
    let run = host.run(&["revert"]).exits(0);
    assert!(run.err.contains("config.toml:1: gaurd"), "{}", run.err);
    assert!(!host.exists(POLICY) && !host.exists(REGISTRIES));
}

#[test]
fn x3_revert_does_without_what_it_needs_not() {
    for file in ["driver.json", "engine.json", "previous.json", "held.json"] {
        let host = applied(blocking("a.io"));
        let path = format!("/var/lib/image-config-agent/{file}");
        host.write(&path, "{");
        let run = host.run(&["revert"]).exits(0);
        assert!(run.err.contains(file), "{}", run.err);
        assert!(!host.exists(POLICY) && !host.exists(REGISTRIES) && !host.exists(&path), "{file}");
        host.apply().exits(0);
    }
}

/// Where the state is damaged nothing is touched, and docs/recovery.md leads back.
#[test]
fn x3_revert_by_hand() {
    let [_, map] = trusting(json!({"a.io": CA}));
    let spec = json!({
        "registrySources": {
            "blockedRegistries": ["a.io"], "containerRuntimeSearchRegistries": ["b.io"],
        },
        "additionalTrustedCA": {"name": "ca"},
    });
    let host = Host::with(&[image_spec(spec), map]);
    host.write(REGISTRIES, "# own\n").mode(REGISTRIES, 0o600).mode("/etc/containers", 0o710);
    host.write("/etc/docker/certs.d/c.io/ca.crt", OTHER_CA);
    host.write("/etc/containers/registries.conf.d/90.conf", "# theirs\n");
    let mode = |path: &str| host.at(path).metadata().unwrap().permissions().mode() & 0o777;
    let files = |host: &Host| {
        let mut files = host.own_files();
        files.retain(|_, text| !text.starts_with('4'));
        files
    };
    let before = files(&host);
    host.apply().exits(0);
    for file in ["applied.json", "base/origins.json"] {
        host.write(&format!("/var/lib/image-config-agent/{file}"), "{");
    }
    let applied = host.own_files();
    let run = host.run(&["revert"]).exits(1);
    assert!(
        run.err.contains(" is damaged: ") && run.err.contains("docs/recovery.md"),
        "{}",
        run.err
    );
    assert_eq!(host.own_files(), applied);
    let text = fs::read_to_string("docs/recovery.md").unwrap();
    let script = text.split("```").find_map(|block| block.strip_prefix("sh\n")).unwrap();
    let mut sh = Command::new("sh");
    assert!(sh.args(["-euc", script]).env("ROOT", host.root()).status().unwrap().success());
    assert_eq!(files(&host), before);
    assert_eq!((mode("/etc/containers"), mode(REGISTRIES)), (0o710, 0o600));
}

/// Parameters that were never set leave the host's files alone.
#[test]
fn x3_an_empty_image_writes_only_what_must_be() {
    let host = Host::with(&[image_spec(json!({}))]);
    host.write(POLICY, r#"{"default": [{"type": "reject"}]}"#);
    host.write(REGISTRIES, "# own\n");
    assert!(host.apply().exits(0).changes().is_empty());
}

#[test]
fn x3_apply_says_that_it_changed_nothing_where_the_engine_cannot_be_told() {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let docs = host.docs();
    let arguments = ["apply", "--set", "runtime.manager=systemd", "-f", docs.to_str().unwrap()];
    let root = host.root();
    let run = agent(
        |agent| {
            agent.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere").args(arguments);
            agent.arg("--root").arg(root)
        },
        "",
    );
    let run = run.exits(1);
    assert!(!host.exists(REGISTRIES), "{}{}", run.out, run.err);
    assert!((run.out + &run.err).contains("before the engine can be told"));
}
