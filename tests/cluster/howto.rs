//! The commands that docs/howto shows for a cluster, on a cluster of two nodes.
//!
//! What the nodes do takes its time: a command that only looks is tried until it prints what the page says.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, program};
use crate::page::{Page, Place, Scene, Step, hold, is_alike, read};
use crate::rollout::Member;

/// How long the nodes may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What changes something is done once.
const CHANGING: [&str; 3] = ["kubectl apply", "kubectl edit", "kubectl patch"];

fn play(name: &str) {
    let cluster = Cluster::start();
    cluster.install();
    let members = ["worker-1", "worker-2"].map(|node| Member::join(&cluster, node, ""));
    let mut scene = Scene::on(&members[0].agent.host.root());
    scene.variable("KUBECONFIG", cluster.file("kubeconfig").to_str().unwrap());
    scene.program("kubectl", &format!("exec {} \"$@\"", program("kubectl").display()));
    let mut page = Page::parse(&read(name));
    page.play(Place::Cluster, &scene, |step| run(&scene, step));
    hold(name, &page.to_string());
}

fn run(scene: &Scene, step: &Step) -> String {
    let begun = Instant::now();
    // What a page is to say from now on is what comes of it after a while.
    let is_new = std::env::var_os("UPDATE").is_some();
    let patience = if is_new { Duration::from_secs(15) } else { PATIENCE };
    loop {
        let printed = scene.run(step);
        let is_once = CHANGING.iter().any(|what| step.command.contains(what));
        if is_once || is_alike(&printed, &step.output) || begun.elapsed() > patience {
            return printed;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn howto_allow() {
    play("docs/howto/allow.md");
}

#[test]
fn howto_block() {
    play("docs/howto/block.md");
}

#[test]
fn howto_insecure() {
    play("docs/howto/insecure.md");
}

#[test]
fn howto_mirror_troubleshooting() {
    play("docs/howto/mirror-troubleshooting.md");
}

#[test]
fn howto_mirroring() {
    play("docs/howto/mirroring.md");
}

#[test]
fn howto_short_names() {
    play("docs/howto/short-names.md");
}

#[test]
fn howto_trusted_cas() {
    play("docs/howto/trusted-cas.md");
}
