//! H2, H3, H8, K3: what a change costs, and what it must not take.

use serde_json::{Value, json};

use crate::agent::{
    CA, Host, OTHER_CA, POLICY, REGISTRIES, Run, icsp, idms, image, itms, trusting,
};

/// The plan from one set of documents to another.
fn change(before: &[Value], after: &[Value]) -> Run {
    let host = Host::with(before);
    host.apply().exits(0);
    host.documents(after);
    host.plan()
}

fn runtime(run: &Run) -> String {
    let impact = &run.json()["impact"];
    assert_ne!(impact["runtimeReason"], "");
    impact["runtime"].as_str().unwrap().to_owned()
}

#[track_caller]
fn drains(before: &[Value], after: &[Value], expected: bool) {
    let impact = change(before, after).exits(2).json()["impact"].clone();
    assert_eq!(impact["drain"]["needed"], expected, "{impact}");
    assert_ne!(impact["drain"]["reason"], "");
}

fn sources(sources: Value) -> [Value; 1] {
    [image(sources)]
}

#[test]
fn h2_no_change_no_action() {
    let host = Host::with(&sources(json!({"blockedRegistries": ["a.io"]})));
    host.plan().exits(2);
    assert!(!host.apply().exits(0).changes().is_empty());
    let before = host.own_files();
    host.plan().exits(0);
    let times = std::fs::metadata(host.at(POLICY)).unwrap().modified().unwrap();
    let again = host.apply().exits(0);
    assert!(again.changes().is_empty(), "{}", again.out);
    assert_eq!(std::fs::metadata(host.at(POLICY)).unwrap().modified().unwrap(), times);
    assert_eq!(host.own_files(), before);
    let docs = host.docs();
    let run = host.run(&["apply", "-f", docs.to_str().unwrap()]).exits(0);
    assert_eq!(run.out, "nothing to do\n");
}

/// Other bytes with the same meaning are written, and cost nothing.
#[test]
fn h2_other_bytes_of_the_same_meaning() {
    let host = Host::with(&sources(json!({"insecureRegistries": ["a.io"]})));
    host.apply().exits(0);
    host.write(REGISTRIES, format!("# reformatted\n{}", host.text(REGISTRIES)));
    let run = host.plan().exits(2);
    assert_eq!(runtime(&run), "none");
    assert_eq!(run.json()["impact"]["drain"]["needed"], false);
}

#[test]
fn h3_what_the_engine_needs() {
    let nothing = || sources(json!({}));
    let run = change(&nothing(), &sources(json!({"blockedRegistries": ["a.io"]}))).exits(2);
    assert_eq!(runtime(&run), "reload");
    let run = change(&nothing(), &sources(json!({"containerRuntimeSearchRegistries": ["a.io"]})));
    assert_eq!(runtime(&run), "reload");
    let run = change(&nothing(), &sources(json!({"allowedRegistries": ["a.io"]})));
    assert_eq!(runtime(&run), "none");
    for (before, after) in [
        (nothing().to_vec(), trusting(json!({"a.io": CA})).to_vec()),
        (trusting(json!({"a.io": CA})).to_vec(), trusting(json!({"a.io": OTHER_CA})).to_vec()),
        (trusting(json!({"a.io": CA})).to_vec(), nothing().to_vec()),
    ] {
        let run = change(&before, &after).exits(2);
        assert_eq!(runtime(&run), "none");
        assert_eq!(run.json()["impact"]["drain"]["needed"], false);
    }
}

/// A reload that could not be confirmed becomes a restart; a change of CAs still needs nothing.
#[test]
fn h7_log_settings_that_hide_the_reload() {
    for hidden in ["log_level = 'warn'", "log_level = 'Error'", "log_filter = 'x'"] {
        let host = Host::with(&sources(json!({"blockedRegistries": ["a.io"]})));
        host.write("/etc/crio/crio.conf", format!("[crio.runtime]\n{hidden}\n"));
        assert_eq!(runtime(&host.plan().exits(2)), "restart");
        host.documents(&trusting(json!({"a.io": CA})));
        assert_eq!(runtime(&host.plan().exits(2)), "none");
    }
}

/// What the engine cannot read says nothing about what it would make of a change.
#[test]
fn h3_files_that_the_engine_cannot_read() {
    let host = Host::with(&sources(json!({"blockedRegistries": ["a.io"]})));
    let drop_in = "/etc/containers/registries.conf.d/50-broken.conf";
    host.write(drop_in, "[");
    let reason = |run: &Run| {
        let reason = run.json()["impact"]["runtimeReason"].to_string();
        assert!(reason.contains(drop_in) && reason.contains("cannot read"), "{reason}");
    };
    let run = host.plan().exits(2);
    assert_eq!(runtime(&run), "reload");
    reason(&run);
    host.write("/etc/crio/crio.conf", "[crio.runtime]\nlog_level = \"warn\"\n");
    assert_eq!(runtime(&host.plan().exits(2)), "restart");
    // A change of CAs alone still needs nothing.
    host.documents(&trusting(json!({"a.io": CA})));
    let run = host.plan().exits(2);
    assert_eq!(runtime(&run), "none");
    reason(&run);
    // A file of ours that others broke is mended by what is applied.
    let host = Host::with(&sources(json!({"blockedRegistries": ["a.io"]})));
    host.apply().exits(0);
    host.write(REGISTRIES, "[");
    let run = host.plan().exits(2);
    assert_eq!(runtime(&run), "reload");
    let why = run.json()["impact"]["runtimeReason"].to_string();
    assert!(why.contains("cannot read its present files"), "{why}");
}

#[test]
fn h3_the_text_says_both_with_reasons() {
    let host = Host::with(&sources(json!({"blockedRegistries": ["a.io"]})));
    let docs = host.docs();
    let run = host.run(&["plan", "-f", docs.to_str().unwrap()]).exits(2);
    for part in ["runtime: needs reload (", "drain: needed (", "\ndigest: "] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
    assert!(run.out.contains("+++ ") && run.out.contains("+  blocked = true"), "{}", run.out);
    let changes = host.plan().json()["changes"].clone();
    let diff = changes.as_array().unwrap().iter().find(|change| change["path"] == REGISTRIES);
    assert!(diff.unwrap()["diff"].as_str().unwrap().contains("+  blocked = true"), "{changes}");
    host.apply().exits(0);
    let run = host.run(&["plan", "-f", docs.to_str().unwrap()]).exits(0);
    assert_eq!(run.out, "nothing to do: this host is as the documents want it\n");
}

/// The plan of a host, as text and as JSON, under more settings.
fn plans(host: &Host, set: &[&str]) -> (String, Value) {
    let docs = host.docs();
    let set: Vec<&str> = set.iter().flat_map(|one| ["--set", one]).collect();
    let plan = |format| {
        host.run(&[&["plan", "-f", docs.to_str().unwrap(), "-o", format], &set[..]].concat())
            .exits(2)
    };
    (plan("text").out, plan("json").json()["forecast"].clone())
}

#[track_caller]
fn forecasts(host: &Host, set: &[&str], what: &str, needs: &str, will: &str) {
    let (text, json) = plans(host, set);
    let line = text.lines().find(|line| line.starts_with(what)).unwrap();
    assert!(line.starts_with(&format!("{what}: {needs} (")), "{line}");
    assert!(line.ends_with(&format!("), will be: {will}")), "{line}");
    let reason = match what {
        "runtime" => json["runtimeReason"].clone(),
        _ => json["drain"]["reason"].clone(),
    };
    assert!(will.ends_with(&format!("({})", reason.as_str().unwrap())), "{json}");
    let (done, _) = will.rsplit_once(" (").unwrap();
    match what {
        "runtime" => assert_eq!(json["runtime"], done),
        _ => assert_eq!(json["drain"]["done"], done == "yes"),
    }
}

/// What the settings make of what the change needs.
#[test]
fn h3_what_the_engine_will_be_told() {
    let managed = "runtime.manager=systemd";
    let told = |document: Value, needs: &str, expected: [&str; 3]| {
        let host = Host::with(&[document]);
        for (action, told) in ["restart", "reload", "auto"].into_iter().zip(expected) {
            let set = format!("runtime.action={action}");
            let will = format!("{told} (runtime.action = {action})");
            forecasts(&host, &[managed, &set], "runtime", &format!("needs {needs}"), &will);
        }
    };
    told(image(json!({"allowedRegistries": ["a.io"]})), "none", ["restart", "reload", "none"]);
    told(image(json!({"blockedRegistries": ["a.io"]})), "reload", ["restart", "reload", "reload"]);
    // Of CAs alone the engine is told nothing, under any setting.
    let host = Host::with(&trusting(json!({"a.io": CA})));
    forecasts(&host, &[managed], "runtime", "needs none", "none (no pull notices it)");
    // For another root than `/` there is no engine to be told.
    let host = Host::with(&sources(json!({"blockedRegistries": ["a.io"]})));
    forecasts(&host, &[], "runtime", "needs reload", "none (runtime.manager = none)");
    host.write("/etc/containers/registries.conf.d/50-broken.conf", "[");
    let later = "restart once the engine can read its files (runtime.action = restart)";
    forecasts(&host, &[managed], "runtime", "needs reload", later);
}

#[test]
fn h3_whether_the_node_will_be_drained() {
    let node = ["runtime.manager=systemd", "kube.kubeconfig=/nowhere"];
    let with = |more: &'static str| [node[0], node[1], more];
    let host = Host::with(&sources(json!({"blockedRegistries": ["a.io"]})));
    for (set, will) in [
        ("node.drain=auto", "yes (node.drain = auto)"),
        ("node.drain=always", "yes (node.drain = always)"),
        ("node.drain=never", "no (node.drain = never)"),
    ] {
        forecasts(&host, &with(set), "drain", "needed", will);
    }
    forecasts(&host, &node[..1], "drain", "needed", "no (this host is no node of a cluster)");
    forecasts(&host, &node[1..], "drain", "needed", "no (runtime.manager = none)");
    let host = Host::with(&sources(json!({"containerRuntimeSearchRegistries": ["a.io"]})));
    forecasts(&host, &with("node.drain=auto"), "drain", "not needed", "no (node.drain = auto)");
    forecasts(
        &host,
        &with("node.drain=always"),
        "drain",
        "not needed",
        "yes (node.drain = always)",
    );
    let host = Host::with(&trusting(json!({"a.io": CA})));
    forecasts(&host, &with("node.drain=always"), "drain", "not needed", "no (it disturbs nobody)");
}

fn mirrored(mirrors: &[&str]) -> Value {
    idms("m", json!({"source": "s.io", "mirrors": mirrors}))
}

fn tag_mirrored(mirrors: &[&str]) -> Value {
    itms("t", json!({"source": "s.io", "mirrors": mirrors}))
}

#[test]
fn k3_drain_where_something_is_taken() {
    let nothing = sources(json!({}));
    drains(&nothing, &sources(json!({"blockedRegistries": ["a.io"]})), true);
    drains(&nothing, &sources(json!({"blockedRegistries": ["a.io/x:v1"]})), true);
    drains(&nothing, &sources(json!({"allowedRegistries": ["a.io"]})), true);
    drains(&nothing, &sources(json!({"insecureRegistries": ["a.io"]})), true);
    drains(&sources(json!({"insecureRegistries": ["a.io"]})), &nothing, true);
    drains(&[mirrored(&["m.io"])], &nothing, true);
    drains(&[mirrored(&["m.io", "n.io"])], &[mirrored(&["n.io", "m.io"])], true);
    drains(&[mirrored(&["m.io", "n.io"])], &[mirrored(&["n.io"])], true);
    let never =
        json!({"source": "s.io", "mirrors": ["m.io"], "mirrorSourcePolicy": "NeverContactSource"});
    drains(&[mirrored(&["m.io"])], &[idms("m", never)], true);
    // A tag could stand for another image at the new place.
    drains(&nothing, &[tag_mirrored(&["t.io"])], true);
    drains(&[tag_mirrored(&["t.io"])], &[tag_mirrored(&["u.io", "t.io"])], true);
}

#[test]
fn k3_no_drain_where_nothing_is_lost() {
    let nothing = sources(json!({}));
    drains(&nothing, &[mirrored(&["m.io"])], false);
    drains(&[mirrored(&["m.io"])], &[mirrored(&["n.io", "m.io"])], false);
    drains(&sources(json!({"blockedRegistries": ["a.io"]})), &nothing, false);
    drains(&sources(json!({"allowedRegistries": ["a.io"]})), &nothing, false);
    let (one, two) =
        (json!({"allowedRegistries": ["a.io"]}), json!({"allowedRegistries": ["a.io", "b.io"]}));
    drains(&sources(one), &sources(two), false);
    drains(&nothing, &sources(json!({"containerRuntimeSearchRegistries": ["a.io"]})), false);
    drains(&nothing, &trusting(json!({"a.io": CA})), false);
}

/// Ordinary digest mirrors: with a port or a path they make no name of a source on a port, and a bare
/// host makes none of an image named exactly as the source. No pod loses anything by that.
#[test]
fn k3_no_drain_where_a_digest_mirror_makes_no_name() {
    let nothing = sources(json!({}));
    let added = |source: &str, mirror: &str, expected: bool| {
        let set = json!({"source": source, "mirrors": [mirror]});
        drains(&nothing, &[idms("m", set.clone())], expected);
        drains(&nothing, &[icsp("m", set)], expected);
    };
    for mirror in ["mirror.local:5000/x", "mirror.local:5000", "mirror.local/x", "mirror.local"] {
        for source in ["registry.redhat.io", "quay.io/openshift-release-dev", "*.corp.io"] {
            added(source, mirror, false);
        }
    }
    // A tag could stand for another image there, and what the entry takes besides is taken.
    drains(&nothing, &[tag_mirrored(&["mirror.local:5000/x"])], true);
    let never = json!({"source": "s.io", "mirrors": ["mirror.local:5000/x"], "mirrorSourcePolicy": "NeverContactSource"});
    drains(&nothing, &[idms("m", never)], true);
    drains(&[mirrored(&["m.io/x"])], &[mirrored(&["n.io:5000/x"])], true);
}

/// A source that is among its own mirrors is asked twice, and loses nothing by what concerns others.
#[test]
fn k3_no_drain_where_a_source_is_its_own_mirror() {
    let own =
        |source: &str, mirrors: &[&str]| idms("o", json!({"source": source, "mirrors": mirrors}));
    let before = own("s.io", &["s.io", "m.io"]);
    let search = image(json!({"containerRuntimeSearchRegistries": ["a.io"]}));
    drains(std::slice::from_ref(&before), &[before.clone(), search], false);
    drains(&[own("s.io", &["m.io", "s.io", "n.io"])], &[own("s.io", &["m.io", "n.io"])], true);
    drains(&[before], &[own("s.io", &["m.io"])], true);
}

/// What people are told first is what most images have in common.
#[test]
fn k3_the_reason_is_the_widest() {
    let reason = |list: Value| {
        let run = change(&sources(json!({})), &sources(list)).exits(2);
        run.json()["impact"]["drain"]["reason"].as_str().unwrap().to_owned()
    };
    let refused = "they were accepted and are refused";
    assert_eq!(
        reason(json!({"allowedRegistries": ["example.com"]})),
        format!("images of registries that no file names by digest: {refused}")
    );
    assert_eq!(
        reason(json!({"blockedRegistries": ["example.com"]})),
        format!("images of example.com by digest: {refused}")
    );
}

/// A part of a mirror that must not be contacted is no place any more for what it mirrors, even
/// where images of the mirror's own name are refused all along.
#[test]
fn k3_drain_where_a_part_of_a_mirror_is_lost() {
    let never = |source: &str| {
        let set = json!({"source": source, "mirrors": ["n.io"], "mirrorSourcePolicy": "NeverContactSource"});
        idms("never", set)
    };
    let with = |allowed: &[&str], sets: &[Value]| {
        [&sources(json!({"allowedRegistries": allowed})), &[mirrored(&["m.io"])], sets].concat()
    };
    let mirrored = with(&["s.io"], &[]);
    drains(&mirrored, &with(&["s.io"], &[never("m.io/x")]), true);
    drains(&mirrored, &with(&["s.io"], &[never("q.io/x")]), false);
    drains(
        &with(&["s.io"], &[never("m.io/x")]),
        &with(&["s.io", "t.io"], &[never("m.io/x")]),
        false,
    );
    drains(&with(&["s.io"], &[never("m.io/x")]), &mirrored, false);
}

/// A reload by such files succeeds and changes nothing, and a restart kills the engine.
#[test]
fn h3_what_the_engine_cannot_read_is_to_be_mended_first() {
    let host = Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))]);
    let broken = "/etc/containers/registries.conf.d/99-broken.conf";
    host.write(broken, "unqualified-search-registries = [\"x/y\"]\n");
    let docs = host.docs();
    let said = host.run(&["apply", "-f", docs.to_str().unwrap()]).out;
    assert!(said.contains("once its files are mended") && said.contains(broken), "{said}");
}
