//! Large configurations go through the whole of `render`, and what comes out grows no faster
//! than what goes in. How long that takes is the business of `cargo bench`; a test only sees to it
//! that the largest documents come to an end.

#![allow(clippy::unwrap_used)] // a test may panic

mod shapes;

use std::path::{Path, PathBuf};
use std::process::Command;

use shapes::Shape;

/// Where documents and files stay for a look at them, or for `time`.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("scale")
}

/// The bytes of all files that `render` writes for `entries` entries.
fn rendered_bytes(shape: Shape, entries: usize) -> u64 {
    let name = format!("{}-{entries}", shape.name());
    let (input, output) = (directory().join(format!("{name}.yaml")), directory().join(name));
    std::fs::create_dir_all(directory().join("root")).unwrap();
    std::fs::write(&input, shape.documents(entries)).unwrap();
    let agent = Command::new(env!("CARGO_BIN_EXE_image-config-agent"))
        .args(["render", "--root"])
        .arg(directory().join("root"))
        .args(["-o".as_ref(), output.as_os_str(), "-f".as_ref(), input.as_os_str()])
        .output()
        .unwrap();
    assert!(agent.status.success(), "{}", String::from_utf8_lossy(&agent.stderr));
    ["policy.json", "registries.conf"]
        .iter()
        .filter_map(|file| output.join("etc/containers").join(file).metadata().ok())
        .map(|file| file.len())
        .sum()
}

#[test]
fn files_grow_as_documents_do() {
    for shape in Shape::ALL {
        let (some, many) = (rendered_bytes(shape, 500), rendered_bytes(shape, 5_000));
        // Names and numbers in them become longer, and repeated lists do not count twice.
        assert!(some > 0 && many < 11 * some, "{}: {some} bytes, then {many}", shape.name());
    }
}

/// Eighty thousand lists of one source, each with another mirror: about what a file can hold. What
/// looks at all mirrors for each list takes several times the processor time that is given here.
#[test]
fn r6_as_many_mirrors_as_a_file_can_hold() {
    let input = directory().join("chain.yaml");
    std::fs::create_dir_all(directory().join("root")).unwrap();
    std::fs::write(&input, Shape::Chain.documents(80_000)).unwrap();
    let limited = "ulimit -t 5; exec \"$@\"";
    let agent = Command::new("sh")
        .args(["-c", limited, "sh", env!("CARGO_BIN_EXE_image-config-agent"), "validate", "--root"])
        .arg(directory().join("root"))
        .args(["-f".as_ref(), input.as_os_str()])
        .output()
        .unwrap();
    assert!(agent.status.success(), "{}: {}", agent.status, String::from_utf8_lossy(&agent.stderr));
}
