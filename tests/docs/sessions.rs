//! The README's sessions are what the program really prints.

use std::path::Path;
use std::process::Command;

/// The commands of the README's code blocks, each with the output that stands below it.
fn sessions() -> Vec<(Vec<String>, String)> {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let blocks = readme.split("```").skip(1).step_by(2);
    let sessions = blocks.filter_map(|block| block.trim().strip_prefix("$ image-config-agent "));
    sessions
        .map(|session| {
            let (command, output) = session.split_once('\n').unwrap();
            (command.split(' ').map(str::to_owned).collect(), output.trim_end().to_owned())
        })
        .collect()
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn sessions_are_what_the_program_prints() {
    let sessions = sessions();
    assert_eq!(sessions.len(), 2);
    for (arguments, output) in sessions {
        let root = tempfile::tempdir().unwrap();
        copy(Path::new("examples/blocked-registries/base"), root.path());
        let root = root.path().to_str().unwrap();
        let arguments = arguments.iter().map(|a| if a == "/tmp/host" { root } else { a });
        let run = Command::new(env!("CARGO_BIN_EXE_image-config-agent")).args(arguments).output();
        let printed = String::from_utf8(run.unwrap().stdout).unwrap();
        assert_eq!(printed.trim_end(), output);
    }
}
