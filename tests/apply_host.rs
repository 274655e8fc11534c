//! Reading the host below a root, and the base that a render starts from.

mod apply_support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use apply_support::Scratch;
use image_config_agent::apply::Base;
use image_config_agent::host::{
    Cause, Content, HostCerts, HostError, Listing, Node, Owner, Paths, Root, Snapshot,
    root::SIZE_LIMIT,
};
use tempfile::TempDir;

fn bytes(text: &str) -> Content {
    Content::Bytes(text.into())
}

#[test]
fn x2_absolute_links_lead_inside_the_root() {
    let host = Scratch::new();
    host.write("/usr/lib/policy.json", "inside").link("/etc/policy.json", "/usr/lib/policy.json");
    host.link("/link-to-usr", "/usr");
    let root = host.root();
    assert_eq!(root.content(Path::new("/etc/policy.json")), bytes("inside"));
    assert_eq!(root.content(Path::new("/link-to-usr/lib/policy.json")), bytes("inside"));
}

#[test]
fn x2_nothing_outside_the_root_is_read() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "outside").unwrap();
    let host = Scratch::new();
    let up = Path::new("../../../../../../../..").join(outside.path().strip_prefix("/").unwrap());
    host.link("/etc/absolute", outside.path().join("secret"));
    host.link("/etc/relative", up.join("secret"));
    host.link("/etc/dir", outside.path());
    let root = host.root();
    for path in ["/etc/absolute", "/etc/relative", "/etc/dir/secret"] {
        assert_eq!(root.content(Path::new(path)), Content::Absent, "{path}");
    }
    let dotted = Path::new("/etc/../../..").join(outside.path().strip_prefix("/").unwrap());
    assert_eq!(root.content(&dotted.join("secret")), Content::Absent);
    assert_eq!(root.list(Path::new("/etc/dir")).unwrap(), None);
    // The same links, with the machine's own root: they do lead there.
    let real = Root::open(Path::new("/")).unwrap();
    assert_eq!(real.content(&host.at("/etc/absolute")), bytes("outside"));
}

#[test]
fn x2_writing_through_a_link_stays_inside_the_root() {
    let outside = TempDir::new().unwrap();
    let host = Scratch::new();
    host.link("/etc/dir", outside.path());
    let root = host.root();
    let error = root.make_dir(Path::new("/etc/dir/new")).unwrap_err();
    assert!(matches!(error.cause, Cause::Errno(_)), "{error}");
    let error = root.way_to(Path::new("/etc/dir/file")).unwrap_err();
    assert_eq!((error.path.as_path(), error.cause), (Path::new("/etc/dir"), Cause::NotADirectory));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let host = Scratch::new();
    host.write("/big", vec![b' '; usize::try_from(SIZE_LIMIT).unwrap() + 1]);
    host.write("/fits", vec![b' '; usize::try_from(SIZE_LIMIT).unwrap()]);
    host.mkdir("/dir").link("/loop", "/loop").link("/dangling", "/nowhere");
    nix::unistd::mkfifo(&host.at("/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let root = host.root();
    let cause = |path: &str| root.read(Path::new(path)).unwrap_err().cause;
    assert_eq!(cause("/big"), Cause::TooLarge(SIZE_LIMIT));
    assert_eq!(cause("/dir"), Cause::NotAFile);
    assert_eq!(cause("/pipe"), Cause::NotAFile);
    assert_eq!(cause("/loop"), Cause::Errno(nix::errno::Errno::ELOOP));
    assert!(root.read(Path::new("/fits")).unwrap().is_some());
    assert_eq!(root.read(Path::new("/dangling")).unwrap(), None);
    assert_eq!(root.node(Path::new("/dangling")).unwrap(), Some(Node::Link("/nowhere".into())));
}

#[test]
fn h11_an_error_of_the_host_says_what_to_do() {
    use nix::errno::Errno;
    let text = |errno: Errno| HostError::new("write", Path::new("/etc/x"), errno).to_string();
    for errno in [Errno::EROFS, Errno::EACCES, Errno::EPERM] {
        let text = text(errno);
        assert!(text.contains("/etc/x") && text.contains("ReadWritePaths="), "{text}");
    }
    let read = HostError::new("read", Path::new("/etc/x"), Errno::EACCES).to_string();
    assert!(read.contains("run as root") && !read.contains("ReadWritePaths="), "{read}");
    let another = Cause::OfAnother(Owner { uid: 1000, gid: 1000 });
    let given = HostError::new("write", Path::new("/etc/x"), another).to_string();
    assert!(given.contains("user 1000") && given.contains("CAP_CHOWN"), "{given}");
    assert!(text(Errno::ENOSPC).contains("free some"));
    assert!(text(Errno::ENOSYS).contains("Linux 5.6"));
}

#[test]
fn drop_ins_are_those_that_the_engine_reads_in_its_order() {
    let host = Scratch::new();
    let dir = "/etc/containers/registries.conf.d";
    for name in ["b.conf", "B.conf", "a.conf", ".hidden.conf", "01.conf.bak", "x.toml"] {
        host.write(&format!("{dir}/{name}"), name);
    }
    host.write(&format!("{dir}/sub.conf/inner.conf"), "not descended");
    host.write("/opt/elsewhere", "linked").link(&format!("{dir}/c.conf"), "/opt/elsewhere");
    host.link(&format!("{dir}/d.conf"), "/nowhere");
    host.link(&format!("{dir}/e.conf"), "/etc/containers");
    host.link(&format!("{dir}/f.conf"), "f.conf");
    host.write(&format!("{dir}/g.conf"), [0xff, 0xfe]);
    fs::write(host.at(dir).join(OsStr::from_bytes(b"\xff.conf")), "odd name").unwrap();
    let Listing::Files(files) = Snapshot::read(&host.root(), &Paths::default(), None).drop_ins
    else {
        panic!("unreadable");
    };
    let seen: Vec<_> = files
        .iter()
        .map(|file| {
            let what = match &file.content {
                Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                other => format!("{other:?}"),
            };
            (file.path.file_name().unwrap().to_string_lossy().into_owned(), what)
        })
        .collect();
    let expected = [
        (".hidden.conf", ".hidden.conf"),
        ("B.conf", "B.conf"),
        ("a.conf", "a.conf"),
        ("b.conf", "b.conf"),
        ("c.conf", "linked"),
        ("e.conf", "Unreadable(\"it is not a regular file\")"),
        ("f.conf", "Unreadable(\"Too many symbolic links encountered\")"),
        ("g.conf", "\u{fffd}\u{fffd}"),
        ("\u{fffd}.conf", "odd name"),
    ];
    let expected = expected.map(|(name, what)| (name.to_owned(), what.to_owned()));
    assert_eq!(seen, expected);
}

#[test]
fn an_empty_host_reads_as_absent() {
    let snapshot = Snapshot::read(&Scratch::new().root(), &Paths::default(), None);
    assert_eq!(snapshot.registries_conf, Content::Absent);
    assert_eq!(snapshot.policy, Content::Absent);
    assert_eq!(snapshot.drop_ins, Listing::Files(vec![]));
    assert_eq!(snapshot.crio_policies, []);
    assert!(snapshot.certs.iter().all(|dir| dir.hosts.as_ref().unwrap().is_empty()));
}

#[test]
fn r10_crio_settings_come_from_its_files_in_its_order() {
    let host = Scratch::new();
    host.write(
        "/etc/crio/crio.conf",
        "[crio.image]\nsignature_policy = '/etc/crio/first.json'\npause_image = 'p:1'\n",
    );
    let dir = "/etc/crio/crio.conf.d";
    host.write(&format!("{dir}/10-a"), "[Crio.Image]\nSignature_Policy = '/etc/crio/policy.json'");
    host.write(&format!("{dir}/20/deep.conf"), "crio.runtime.log_level = 'error'");
    host.write(&format!("{dir}/30.conf"), "[crio.image\n");
    host.write(&format!("{dir}/40.conf"), "[crio.image]\nshort_name_mode = 'disabled'\n");
    host.write("/etc/crio/policy.json", "{}").write("/etc/crio/policies/team.json", "[]");
    let snapshot = Snapshot::read(&host.root(), &Paths::default(), None);
    let crio = &snapshot.crio;
    assert_eq!(crio.signature_policy.as_deref(), Some(Path::new("/etc/crio/policy.json")));
    assert_eq!(crio.pause_image.as_deref(), Some("p:1"));
    assert_eq!(crio.log_level.as_deref(), Some("error"));
    assert_eq!(crio.short_name_mode.as_deref(), Some("disabled"));
    let [(path, _)] = crio.unreadable.as_slice() else { panic!("{:?}", crio.unreadable) };
    assert_eq!(path, &Path::new(dir).join("30.conf"));
    assert_eq!(snapshot.crio_policies[0].content, bytes("{}"));
    let Listing::Files(files) = snapshot.namespace_policies else { panic!("unreadable") };
    assert_eq!(files[0].path, Path::new("/etc/crio/policies/team.json"));
}

/// CRI-O's command line has the last word, but not over what a SIGHUP has it read from its files.
#[test]
fn h7_the_engines_own_answer_has_the_last_word_but_for_what_a_reload_reads_again() {
    let host = Scratch::new();
    let files = "[crio.image]\nsignature_policy = '/etc/crio/files.json'\npause_image = 'p:1'\n";
    host.write("/etc/crio/crio.conf", format!("{files}[crio.runtime]\nlog_level = 'warn'\n"));
    let answer = b"[crio.image]\nsignature_policy = '/etc/crio/flag.json'\n\
        [crio.runtime]\nlog_level = 'info'\nlog_filter = 'x'\n";
    let crio = Snapshot::read(&host.root(), &Paths::default(), Some(answer)).crio;
    assert_eq!(crio.signature_policy.as_deref(), Some(Path::new("/etc/crio/flag.json")));
    assert_eq!(crio.pause_image.as_deref(), Some("p:1"));
    assert_eq!((crio.log_level.as_deref(), crio.log_filter), (Some("warn"), None));
}

#[test]
fn r9_certificate_directories_are_read_host_by_host() {
    let host = Scratch::new();
    host.write("/etc/docker/certs.d/reg.io:5000/ca.crt", "CA");
    host.write("/etc/docker/certs.d/reg.io:5000/client.key", "not read");
    host.mkdir("/etc/containers/certs.d/reg.io:5000");
    host.write("/etc/containers/certs.d/file", "no directory");
    let snapshot = Snapshot::read(&host.root(), &Paths::default(), None);
    let [masking, docker] = snapshot.certs.as_slice() else { panic!() };
    let masking = masking.hosts.as_ref().unwrap();
    let empty = HostCerts::Dir { cas: [].into(), others: vec![] };
    assert_eq!(masking["reg.io:5000"], empty);
    assert_eq!(masking["file"], HostCerts::Unreadable("it is not a directory".into()));
    let ours = HostCerts::Dir {
        cas: [("ca.crt".to_owned(), bytes("CA"))].into(),
        others: vec!["client.key".into()],
    };
    assert_eq!(docker.hosts.as_ref().unwrap()["reg.io:5000"], ours);
}

#[test]
fn r1_before_the_first_write_the_base_is_what_the_engine_reads() {
    let host = Scratch::new();
    let (root, paths) = (host.root(), Paths::default());
    let base = Base::load(&root).unwrap();
    let text = |path: &Path| base.text(&root, &paths, path);
    assert_eq!(text(&paths.policy), Content::Absent);
    host.write("/usr/share/containers/policy.json", "vendor");
    assert_eq!(text(&paths.policy), bytes("vendor"), "absent: the vendor's");
    host.write("/usr/lib/p.json", "linked").link("/etc/containers/policy.json", "/usr/lib/p.json");
    assert_eq!(text(&paths.policy), bytes("linked"), "a link: what it leads to");
    host.write("/usr/lib/p.json", "updated");
    assert_eq!(text(&paths.policy), bytes("updated"), "read anew each time");
    fs::remove_file(host.at("/usr/lib/p.json")).unwrap();
    assert_eq!(text(&paths.policy), bytes("vendor"), "a dangling link counts as absent");
    fs::remove_file(host.at("/etc/containers/policy.json")).unwrap();
    host.write("/etc/containers/policy.json", "own");
    assert_eq!(text(&paths.policy), bytes("own"));
    assert_eq!(text(&paths.search_drop_in), Content::Absent, "no vendor stands in for a drop-in");
}
