//! What settings may be, and what is said of wrong ones.

use super::*;
use crate::settings::{DriftAction, Guard};

fn load(
    files: &[(&str, &str)],
    variables: &[(&str, &str)],
    flags: &[&str],
) -> Result<Settings, String> {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let variables = variables.iter().map(|(n, v)| ((*n).into(), (*v).into()));
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let root = Root::open(root.path()).unwrap();
    Settings::load(&root, variables, &flags).map_err(|error| error.to_string())
}

#[test]
fn later_sources_win() {
    let vendor =
        ("usr/lib/image-config-agent/config.d/05.toml", "[paths]\npolicy = '/a'\ncerts_d = '/c'");
    let admin = ("etc/image-config-agent/config.d/10.toml", "paths.policy = '/b'\nguard = 'warn'");
    let settings = load(&[vendor, admin], &[], &[]).unwrap();
    assert_eq!(settings.paths.policy, Path::new("/b"));
    assert_eq!(settings.paths.certs_d, Path::new("/c"));
    assert_eq!(settings.guard, Guard::Warn);
    let variable = ("IMAGE_CONFIG_AGENT_PATHS_POLICY", "/v");
    assert_eq!(load(&[admin], &[variable], &[]).unwrap().paths.policy, Path::new("/v"));
    let flagged = load(&[admin], &[variable], &["paths.policy=/f"]).unwrap();
    assert_eq!(flagged.paths.policy, Path::new("/f"));
}

#[test]
fn all_mistakes_are_said_at_once() {
    let file = (
        "etc/image-config-agent/config.d/x.toml",
        "gaurd = 'off'\n[paths]\npolicy = 'relative'\ncerts_d = 1",
    );
    let variables = [("IMAGE_CONFIG_AGENT_NONSENSE", "1")];
    let error = load(&[file], &variables, &["guard=maybe", "guard"]).unwrap_err();
    for part in ["gaurd", "paths.policy", "paths.certs_d", "NONSENSE", "write enforce", "KEY=VALUE"]
    {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn k6_names_of_service_links_are_no_unknown_settings() {
    let links = [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_WEB",
        "PORT",
        "PORT_443_TCP",
        "PORT_443_TCP_PROTO",
        "PORT_443_TCP_PORT",
        "PORT_443_TCP_ADDR",
        // Of a Service image-config-agent-metrics.
        "METRICS_SERVICE_HOST",
        "METRICS_SERVICE_PORT_HTTP",
        "METRICS_PORT",
        "METRICS_PORT_53_UDP_ADDR",
    ];
    let names = links.map(|name| format!("IMAGE_CONFIG_AGENT_{name}"));
    let variables: Vec<_> = names.iter().map(|name| (name.as_str(), "tcp://10.0.0.1")).collect();
    assert_eq!(load(&[], &variables, &[]), Ok(Settings::default()));
    for name in ["SERVICE_HOSTS", "PORT_X_TCP", "PORT_443", "PORT_443_HTTP", "PORTS"] {
        let error = load(&[], &[(&format!("IMAGE_CONFIG_AGENT_{name}"), "x")], &[]);
        assert!(error.unwrap_err().contains("no setting has this name"), "{name}");
    }
}

#[test]
fn a_table_that_is_written_as_a_list_is_a_mistake() {
    let file = "etc/image-config-agent/config.d/x.toml";
    let text = "guard = 'off'\n[[paths]]\npolicy = '/x'\n[[nonsense]]\n";
    let error = load(&[(file, text)], &[], &[]).unwrap_err();
    assert_eq!(
        error,
        "/etc/image-config-agent/config.d/x.toml:2: paths: write [paths], once\n\
         /etc/image-config-agent/config.d/x.toml:4: nonsense: no setting has this name"
    );
}

#[test]
fn what_is_right_counts_where_all_must_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("etc/image-config-agent/config.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    // The last line goes with no other, which does not matter either.
    let text = "gaurd = 'off'\ndrift = 'report'\nsource.order = ['endpoint']\n";
    std::fs::write(file, text).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let load = |flags: &[&str]| {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Settings::load_what_is_right(&root, std::iter::empty(), &flags)
    };
    let (settings, wrong) = load(&["guard=warn"]).unwrap();
    assert_eq!((settings.drift, settings.guard), (DriftAction::Report, Guard::Warn));
    assert_eq!(wrong.len(), 2);
    for (line, problem) in wrong.iter().zip(["config.toml:1: gaurd", "config.toml:3: source.order"])
    {
        assert!(line.contains(problem), "{line}");
    }
    assert!(load(&["guard=maybe"]).unwrap_err().to_string().contains("write enforce"));
}

#[test]
fn a_mistake_is_said_with_its_line() {
    let file = "etc/image-config-agent/config.d/x.toml";
    let error = |text| load(&[(file, text)], &[], &[]).unwrap_err();
    assert_eq!(
        error("guard = 'off'\n\n[runtime]\nspeed = 1\naction = 'stop'\n"),
        "/etc/image-config-agent/config.d/x.toml:4: runtime.speed: no setting has this name\n\
         /etc/image-config-agent/config.d/x.toml:5: runtime.action: write restart or reload or auto"
    );
    assert!(error("[gaurd]\n").starts_with("/etc/image-config-agent/config.d/x.toml:1: gaurd:"));
    let broken = error("guard = 'off'\nguard\n");
    assert!(broken.starts_with("/etc/image-config-agent/config.d/x.toml:2: "), "{broken}");
}

#[test]
fn each_wrong_item_of_a_list_is_said_with_its_own_line() {
    let file = "etc/image-config-agent/config.d/x.toml";
    let text = "guard_images = [\n  'a.io/x:1',\n  'ubi9',\n  'b.io/y:1',\n  7,\n]\n";
    assert_eq!(
        load(&[(file, text)], &[], &[]).unwrap_err(),
        "/etc/image-config-agent/config.d/x.toml:3: guard_images: \"ubi9\": \
         write the full name of an image, with its registry\n\
         /etc/image-config-agent/config.d/x.toml:5: guard_images: 7: write a text"
    );
    let error = load(&[], &[], &["static_pods=/a,b"]).unwrap_err();
    assert!(error.contains("\"b\": write an absolute path"), "{error}");
}

#[test]
fn a_word_that_is_no_level_of_the_log_is_refused() {
    for word in ["warning", "inof", "image_config_agent", "warn,foo"] {
        let error = load(&[], &[], &[&format!("log.filter={word}")]).unwrap_err();
        assert!(error.contains("is no level"), "{word}: {error}");
    }
    for filter in ["warn", "INFO", "off", "warn,image_config_agent::driver=debug"] {
        assert!(load(&[], &[], &[&format!("log.filter={filter}")]).is_ok(), "{filter}");
    }
}

#[test]
fn a_drop_in_is_masked_by_a_link_to_nowhere_and_hidden_files_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let etc = dir.path().join("etc/image-config-agent/config.d");
    let vendor = dir.path().join("usr/lib/image-config-agent/config.d");
    std::fs::create_dir_all(&etc).unwrap();
    std::fs::create_dir_all(&vendor).unwrap();
    std::fs::write(vendor.join("10-vendor.toml"), "guard = 'off'\n").unwrap();
    std::os::unix::fs::symlink("/dev/null", etc.join("10-vendor.toml")).unwrap();
    std::fs::write(etc.join(".x.toml.swp.toml"), "gaurd\n").unwrap();
    let root = Root::open(dir.path()).unwrap();
    let settings = Settings::load(&root, std::iter::empty(), &[]).unwrap();
    assert_eq!(settings, Settings::default());
}

#[test]
fn paths_that_the_agent_or_the_engine_could_not_use_are_refused() {
    let in_state = "paths.policy=/var/lib/image-config-agent/policy.json";
    for (flags, problem) in [
        (vec!["paths.search_drop_in=/etc/foo/bar.conf"], "the engine reads none but"),
        (vec!["paths.registries_conf_d=/etc/foo"], "the engine reads none but"),
        (vec!["paths.search_drop_in=/etc/containers/registries.conf.d/x"], "reads none but"),
        (vec![in_state], "keeps its own state"),
        (vec!["paths.policy=/etc/containers/registries.conf"], "paths.registries_conf"),
        (vec!["paths.certs_d=/etc/containers/policy.json"], "paths.policy"),
        (vec!["metrics.listen=unix:/var/run/crio/crio.sock"], "is there already"),
        (vec!["metrics.listen=unix:/run/image-config-agent/control.sock"], "is there already"),
    ] {
        let error = load(&[], &[], &flags).unwrap_err();
        assert!(error.contains(problem), "{flags:?}: {error}");
    }
}

#[test]
fn a_drop_in_of_a_later_directory_masks_one_of_its_name() {
    let vendor = ("usr/lib/image-config-agent/config.d/10.toml", "guard = 'off'\ndrift = 'report'");
    let admin = ("etc/image-config-agent/config.d/10.toml", "guard = 'warn'");
    let settings = load(&[vendor, admin], &[], &[]).unwrap();
    assert_eq!((settings.guard, settings.drift), (Guard::Warn, DriftAction::Heal));
    // Otherwise all count in the order of their names, after the main file.
    let main = ("etc/image-config-agent/config.toml", "guard = 'warn'");
    let settings = load(&[vendor, main], &[], &[]).unwrap();
    assert_eq!((settings.guard, settings.drift), (Guard::Off, DriftAction::Report));
}

#[test]
fn paths_cannot_climb() {
    assert!(load(&[], &[], &["paths.policy=/etc/../x"]).is_err());
}

#[test]
fn every_key_can_be_set() {
    for key in keys() {
        let value = match key.name {
            "paths.search_drop_in" => "/etc/containers/registries.conf.d/x.conf",
            "guard" => "off",
            "drift" => "report",
            "runtime.manager" => "none",
            "runtime.action" => "auto",
            "runtime.unit" => "x.service",
            "node.drain" => "always",
            "node.max_unavailable" => "10%",
            "node.max_degraded" => "3",
            "node.pool" => "zone=a,!spare",
            "kube.namespace" => "x",
            "metrics.listen" => "unix:/run/x.sock",
            "log.filter" => "warn,x=debug",
            "log.format" => "json",
            "source.order" => "files,endpoint",
            "endpoint.allow_http" | "report.allow_http" => "true",
            "endpoint.url" | "report.url" => "https://a.io/x",
            "report.method" => "POST",
            name if name.ends_with("_seconds") => "7",
            "kube.node" => "a.b-1",
            "kube.on_missing" => "revert",
            "kube.release_image" => "true",
            "kube.manage_mco_nodes" => "true",
            "guard_images" | "agent_image" => "a.io/x:1",
            _ => "/x",
        };
        let settings = load(&[], &[(&key.variable(), value)], &others(key.name)).unwrap();
        assert_ne!(settings, Settings::default(), "{}", key.name);
        assert_eq!((key.show)(&settings), value, "{}", key.name);
    }
}

/// What a setting cannot be without.
fn others(name: &str) -> Vec<&'static str> {
    match name {
        "source.order" => vec!["endpoint.url=https://a.io/x"],
        "paths.registries_conf_d" => vec!["paths.search_drop_in=/x/x.conf"],
        "endpoint.client_certificate" => vec!["endpoint.client_key=/x"],
        "endpoint.client_key" => vec!["endpoint.client_certificate=/x"],
        "endpoint.user" => vec!["endpoint.password_file=/x"],
        "endpoint.password_file" => vec!["endpoint.user=x"],
        "report.client_certificate" => vec!["report.client_key=/x"],
        "report.client_key" => vec!["report.client_certificate=/x"],
        "report.user" => vec!["report.password_file=/x"],
        "report.password_file" => vec!["report.user=x"],
        _ => Vec::new(),
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (flags, problem) in [
        (&["source.order=endpoint"][..], "endpoint.url"),
        (&["source.order=files,files"], "each once"),
        (&["endpoint.url=http://a.io/x"], "allow_http"),
        (&["endpoint.url=ftp://a.io/x"], "https://"),
        (&["endpoint.url=https://u:secret@a.io/x"], "settings of their own"),
        (&["report.url=nonsense"], "no URL"),
        (&["endpoint.client_key=/x"], "client_certificate"),
        (&["report.user=x"], "password_file"),
        (&["report.user=x", "report.password_file=/x", "report.token_file=/x"], "not both"),
        (&["report.user=x:y", "report.password_file=/x"], "report.user: a user name has no colon"),
        (&["endpoint.user=x:", "endpoint.password_file=/x"], "no colon"),
    ] {
        let error = load(&[], &[], flags).unwrap_err();
        assert!(error.contains(problem) && !error.contains("secret"), "{flags:?}: {error}");
    }
    // Where it stands, and for the name that this node has.
    let file = ("etc/image-config-agent/config.d/x.toml", "\n[endpoint]\nurl = 'https://{node}/x'");
    load(&[file], &[], &["kube.node=n1"]).unwrap();
    let error = load(&[file], &[], &["kube.node=1.2.3.4.5"]).unwrap_err();
    let begin = "/etc/image-config-agent/config.d/x.toml:3: endpoint.url: it is no URL";
    assert!(error.starts_with(begin), "{error}");
    // What the host is called is no better than what is written.
    let settings = load(&[], &[], &["endpoint.url=https://a.io/x/{node}"]).unwrap();
    for name in ["", ".", "..", "../../y", "a/b", "a?b", "a%2e", "a b", "A_1"] {
        let problem = settings.endpoint.server.url(name).unwrap_err();
        assert!(problem.contains("set kube.node"), "{name}: {problem}");
    }
    assert!(load(&[], &[], &["kube.node=.."]).unwrap_err().contains("kube.node: write a name"));
    let through = ["endpoint.url=http://a.io/{node}", "endpoint.socket=/x"];
    let settings = load(&[], &[], &through).unwrap();
    let url = settings.endpoint.server.url("n1").unwrap().unwrap();
    assert_eq!(url.as_str(), "http://a.io/n1");
}
