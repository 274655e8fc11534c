//! The alerts, judged by the real promtool; and the page of metrics of a running agent, read by the real Prometheus.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::Agent;
use crate::cluster::free_port;
use crate::process::{Process, until_or};
use crate::support::{Host, Run, image};

/// An alert, and what makes it fire.
struct Case {
    alert: &'static str,
    /// A series, and its value while all is well.
    series: &'static str,
    well: &'static str,
    /// Its values while all is not.
    ill: &'static str,
    /// The minute at which it does not fire yet, and one at which it does.
    minutes: [u32; 2],
    /// The labels that it then has, beside those of its rule.
    labels: fn() -> Value,
}

const CASES: [Case; 6] = [
    Case {
        alert: "ImageConfigAgentDown",
        series: r#"up{job="image-config-agent/image-config-agent",node="n1"}"#,
        well: "1x300",
        ill: "0x300",
        minutes: [14, 16],
        labels: || json!({"job": "image-config-agent/image-config-agent", "node": "n1"}),
    },
    Case {
        alert: "ImageConfigDegraded",
        series: r#"image_config_agent_condition{type="Degraded",status="True",node="n1"}"#,
        well: "0x300",
        ill: "1x300",
        minutes: [4, 6],
        labels: || json!({"type": "Degraded", "status": "True", "node": "n1"}),
    },
    Case {
        alert: "ImageConfigNotApplied",
        series: r#"image_config_agent_condition{type="Applied",status="False",node="n1"}"#,
        // A change takes its time now and then.
        well: "0x60 1x100 0x140",
        ill: "1x300",
        minutes: [119, 121],
        labels: || json!({"type": "Applied", "status": "False", "node": "n1"}),
    },
    Case {
        alert: "ImageConfigInvalid",
        series: r#"image_config_agent_findings{severity="error",job="j",node="n1"}"#,
        well: "0x300",
        ill: "2x300",
        minutes: [9, 11],
        labels: || json!({"job": "j"}),
    },
    Case {
        alert: "ImageConfigFilesContested",
        series: r#"image_config_agent_healed_files_total{node="n1"}"#,
        // A heal now and then, and a restart of the agent.
        well: "0x60 5x60 0x60 5x120",
        ill: "0+1x300",
        minutes: [5, 90],
        labels: || json!({"node": "n1"}),
    },
    Case {
        alert: "ImageConfigUnreported",
        series: r#"image_config_agent_report_failing{to="cluster",node="n1"}"#,
        // An API server is away for a while.
        well: "0x60 1x20 0x220",
        ill: "1x300",
        minutes: [29, 31],
        labels: || json!({"to": "cluster", "node": "n1"}),
    },
];

/// The groups of the PrometheusRule, as Prometheus itself reads them.
fn rules() -> Value {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/kubernetes/monitoring/prometheusrule.yaml");
    let object: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(object["kind"], "PrometheusRule");
    object["spec"].clone()
}

fn promtool(arguments: &[&str], folder: &Path, input: &str) -> Run {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus");
    // It may read nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// What an alert is to look like once it fires: its rule's labels and texts, with the node's name in them.
fn fired(rule: &Value, case: &Case) -> Value {
    let mut labels = (case.labels)();
    labels.as_object_mut().unwrap().extend(rule["labels"].as_object().unwrap().clone());
    let mut texts = rule["annotations"].clone();
    for text in texts.as_object_mut().unwrap().values_mut() {
        *text = json!(text.as_str().unwrap().replace("{{ $labels.node }}", "n1"));
        assert!(!text.as_str().unwrap().contains("{{"), "{text}");
    }
    json!([{"exp_labels": labels, "exp_annotations": texts}])
}

#[test]
fn h11_each_alert_fires_by_its_cause_after_its_time_and_only_then() {
    let folder = TempDir::new().unwrap();
    let rules = rules();
    fs::write(folder.path().join("rules.json"), rules.to_string()).unwrap();
    let run = promtool(&["check", "rules", "rules.json"], folder.path(), "").exits(0);
    assert!(run.out.contains("SUCCESS"), "{}{}", run.out, run.err);
    let all = rules["groups"][0]["rules"].as_array().unwrap();
    let named: BTreeSet<&str> = all.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(named, CASES.iter().map(|case| case.alert).collect());
    let mut tests = Vec::new();
    for case in &CASES {
        let rule = all.iter().find(|rule| rule["alert"] == case.alert).unwrap();
        let [early, late] = case.minutes;
        let asks = |minute: u32, expected: &Value| json!({"eval_time": format!("{minute}m"), "alertname": case.alert, "exp_alerts": expected});
        // While it is ill, all others are well.
        let series = CASES.iter().map(|other| {
            let values = if other.alert == case.alert { case.ill } else { other.well };
            json!({"series": other.series, "values": values})
        });
        let others = CASES.iter().filter(|other| other.alert != case.alert).map(|other| {
            json!({"eval_time": format!("{late}m"), "alertname": other.alert, "exp_alerts": []})
        });
        let own = [asks(early, &json!([])), asks(late, &fired(rule, case))];
        tests.push(json!({
            "name": case.alert, "interval": "1m",
            "input_series": series.collect::<Vec<_>>(),
            "alert_rule_test": own.into_iter().chain(others).collect::<Vec<_>>(),
        }));
        // And while all is well, nothing.
        let well = CASES.iter().map(|case| json!({"series": case.series, "values": case.well}));
        let quiet = ["30m", "150m", "175m", "4h", "5h"]
            .map(|time| json!({"eval_time": time, "alertname": case.alert, "exp_alerts": []}));
        tests.push(json!({
            "interval": "1m", "input_series": well.collect::<Vec<_>>(), "alert_rule_test": quiet,
        }));
    }
    tests.push(of_held_nodes());
    let file = json!({"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": tests});
    fs::write(folder.path().join("tests.json"), file.to_string()).unwrap();
    let run = promtool(&["test", "rules", "tests.json"], folder.path(), "");
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
}

/// A node that is held, or only observed, has nothing applied for as long as that lasts; the other one should.
fn of_held_nodes() -> Value {
    let condition = |node: &str, kind: &str, status: &str, value: &str| {
        let labels = format!("{{type=\"{kind}\",status=\"{status}\",node=\"{node}\"}}");
        json!({"series": format!("image_config_agent_condition{labels}"), "values": format!("{value}x300")})
    };
    let series = [
        condition("held", "Applied", "False", "1"),
        condition("held", "Held", "True", "1"),
        condition("other", "Applied", "False", "1"),
        condition("other", "Held", "True", "0"),
    ];
    let rules = rules();
    let all = rules["groups"][0]["rules"].as_array().unwrap();
    let rule = all.iter().find(|rule| rule["alert"] == "ImageConfigNotApplied").unwrap();
    let mut texts = rule["annotations"].clone();
    for text in texts.as_object_mut().unwrap().values_mut() {
        *text = json!(text.as_str().unwrap().replace("{{ $labels.node }}", "other"));
    }
    let labels =
        json!({"type": "Applied", "status": "False", "node": "other", "severity": "warning"});
    let alert = json!({"exp_labels": labels, "exp_annotations": texts});
    let asked = json!({
        "eval_time": "4h", "alertname": "ImageConfigNotApplied", "exp_alerts": [alert],
    });
    json!({"interval": "1m", "input_series": series, "alert_rule_test": [asked]})
}

/// An agent that serves its metrics at a port.
fn served(port: u16) -> Agent {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let docs = host.docs();
    let settings = format!("source.files = [{docs:?}]\nmetrics.listen = \"127.0.0.1:{port}\"\n");
    let agent = Agent::on(host, "n1", "", &settings);
    agent.converges();
    agent
}

#[test]
fn h11_the_page_of_metrics_has_nothing_that_promtool_minds() {
    let port = free_port();
    let _agent = served(port);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, page) = answer.split_once("\r\n\r\n").unwrap();
    // It checks the older format alone, in which a counter has its `_total` everywhere.
    let counters: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    assert!(counters.len() > 2, "{page}");
    let older = counters.iter().fold(page.to_owned(), |page, name| {
        let heads = [format!("# HELP {name} "), format!("# TYPE {name} ")];
        heads.iter().fold(page, |page, head| {
            page.replace(head, &head.replace(name, &format!("{name}_total")))
        })
    });
    let run = promtool(&["check", "metrics"], Path::new("/"), &older);
    assert_eq!((run.code, run.out + &run.err), (0, String::new()));
}

#[test]
fn h11_prometheus_itself_reads_the_page_and_the_alerts() {
    let (port, own) = (free_port(), free_port());
    let agent = served(port);
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("rules.json"), rules().to_string()).unwrap();
    let scrape = json!({
        "job_name": "image-config-agent/image-config-agent", "scrape_interval": "1s",
        "static_configs": [{"targets": [format!("127.0.0.1:{port}")], "labels": {"node": "n1"}}],
    });
    let config = json!({
        "global": {"evaluation_interval": "1s"}, "rule_files": ["rules.json"],
        "scrape_configs": [scrape],
    });
    fs::write(file("config.json"), config.to_string()).unwrap();
    let with = |command: &mut Command| {
        command.current_dir(&folder).args([
            "--config.file=config.json",
            "--storage.tsdb.path=data",
            &format!("--web.listen-address=127.0.0.1:{own}"),
        ]);
    };
    let prometheus = Process::start("prometheus", with, file("log"));
    let ask = |path: &str| -> Value {
        let url = format!("http://127.0.0.1:{own}/api/v1/{path}");
        let said = Command::new("curl").args(["-sSfG", &url]).output().unwrap();
        serde_json::from_slice(&said.stdout).unwrap_or_default()
    };
    let value =
        |query: &str| ask(&format!("query?query={query}"))["data"]["result"][0]["value"][1].clone();
    let until =
        |what: &str, is_so: &mut dyn FnMut() -> bool| until_or(what, || prometheus.said(), is_so);
    until("a scrape", &mut || value("up") == "1");
    let applied = "image_config_agent_condition%7Btype=%22Applied%22,status=%22True%22%7D";
    until("the condition", &mut || value(applied) == "1");
    let changes = "image_config_agent_changes_total%7Bkind=%22apply%22,ending=%22done%22%7D";
    until("the counter", &mut || value(changes) == "1");
    assert_eq!(ask("alerts")["data"]["alerts"], json!([]));
    // An alert waits for its time.
    agent.host.document("000.json", "{");
    until("the alert", &mut || {
        let alerts = ask("alerts")["data"]["alerts"].clone();
        alerts.as_array().is_some_and(|all| {
            all.iter().any(|one| {
                one["labels"]["alertname"] == "ImageConfigInvalid" && one["state"] == "pending"
            })
        })
    });
}
