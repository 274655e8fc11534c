//! What people see on a terminal: `script` gives the program one.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::node::Node;
use crate::rollout::{Member, edit, start};
use crate::support::agent;

/// What the program prints with these arguments, and how it ends.
fn on_a_terminal(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let command = format!("{} {}", env!("CARGO_BIN_EXE_image-config-agent"), arguments.join(" "));
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env_clear().env("TERM", "xterm");
    script.envs(variables.iter().copied()).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    let output = script.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn k1_rollout_status_shows_a_bar_while_it_waits_and_then_the_table() {
    let cluster = start();
    let member = Member::join(&cluster, "n1", "");
    let _without_agent = Node::join(&cluster, "n2", &json!({}));
    edit(&cluster, &["one.test"]);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    let kubeconfig = cluster.file("kubeconfig");
    let kubeconfig = kubeconfig.to_str().unwrap();
    let status = ["rollout", "status", "--kubeconfig", kubeconfig];
    member.agent.until("the report", || on_a_terminal(&status, &[]).1.contains("Idle"));
    let (code, said) = on_a_terminal(&[&status[..], &["--watch", "--timeout", "3"]].concat(), &[]);
    let (bar, table) = said.split_once("NODE").unwrap();
    assert_eq!(code, 2, "{said}");
    assert!(bar.contains("1/2") && bar.contains('█') && bar.contains("1 of 2 nodes"), "{bar:?}");
    assert!(table.contains("n1") && table.contains("n2") && !table.contains('█'), "{table:?}");
    // Through a pipe it is words alone.
    let watch = [&status[..], &["--watch", "--timeout", "1"]].concat();
    let piped = agent(|agent| agent.args(&watch), "").exits(2);
    assert!(!piped.err.contains('█') && piped.err.contains("n2"), "{}", piped.err);
}

#[test]
fn x1_status_is_coloured_on_a_terminal_unless_somebody_wants_none() {
    let cluster = start();
    let member = Member::join(&cluster, "n1", "");
    edit(&cluster, &["one.test"]);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    let root = member.agent.host.root();
    let status = ["status", "--root", root.to_str().unwrap()];
    let (code, said) = on_a_terminal(&status, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\u{1b}[") && said.contains("Applied"), "{said:?}");
    let (_, plain) = on_a_terminal(&status, &[("NO_COLOR", "1")]);
    assert!(!plain.contains("\u{1b}[") && plain.contains("Applied"), "{plain:?}");
}
