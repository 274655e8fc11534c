//! Every command that a page shows for a host without a cluster, run on a scratch host.
//! `tests/cluster/howto.rs` runs those for a cluster.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::page::{Page, Piece, Place, Scene, at, hold, howtos, read};

/// An agent that serves a host until it is dropped.
struct Serving(Child);

impl Serving {
    fn on(scene: &mut Scene, root: &Path) -> Self {
        // It looks when it is asked to: what it says does not depend on when it noticed by itself.
        scene.variable("IMAGE_CONFIG_AGENT_SOURCE_QUIET_SECONDS", "600");
        let mut run = scene.command("exec image-config-agent run");
        let serving = Self(run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let start = Instant::now();
        while !root.join("run/image-config-agent/status.json").exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "the agent does not serve");
            std::thread::sleep(Duration::from_millis(10));
        }
        serving
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn howtos_are_what_the_program_prints() {
    let names = howtos();
    assert_eq!(names.len(), 7, "{names:?}");
    for name in names {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/containers")).unwrap();
        let accepts_all = "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n";
        fs::write(root.path().join("etc/containers/policy.json"), accepts_all).unwrap();
        let mut scene = Scene::on(root.path());
        let _serving = Serving::on(&mut scene, root.path());
        let mut page = Page::parse(&read(&name));
        let mut ran = 0;
        page.play(Place::Host, &scene, |step| {
            ran += 1;
            scene.run(step)
        });
        assert!(ran > 3, "{name}");
        hold(&name, &page.to_string());
    }
}

/// So no page has a command that no test runs.
#[test]
fn every_block_of_a_howto_is_run() {
    let tests = read("tests/cluster/howto.rs");
    for name in howtos() {
        let text = read(&name);
        let fences = text.lines().filter(|line| line.starts_with("```")).step_by(2);
        for fence in fences {
            let is_run = ["```console", "```console cluster"].contains(&fence);
            assert!(is_run || fence.starts_with("```yaml "), "{name}: no test runs {fence}");
        }
        let page = Page::parse(&text);
        let is_of_cluster =
            |piece: &Piece| matches!(piece, Piece::Step(step) if step.place == Place::Cluster);
        assert!(page.pieces.iter().any(is_of_cluster), "{name}");
        assert!(tests.contains(&format!("play(\"{name}\")")), "{name} is played by no test");
    }
}

#[test]
fn the_readme_is_what_the_program_prints() {
    let root = tempfile::tempdir().unwrap();
    copy(&at("examples/blocked-registries/base"), root.path());
    let scene = Scene::on(root.path());
    std::os::unix::fs::symlink(at("examples"), scene.work().join("examples")).unwrap();
    let mut page = Page::parse(&read("README.md"));
    let mut ran = 0;
    page.play(Place::Host, &scene, |step| {
        ran += 1;
        scene.run(step)
    });
    assert_eq!(ran, 2);
    hold("README.md", &page.to_string());
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
