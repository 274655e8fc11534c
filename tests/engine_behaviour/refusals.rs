//! What a host's owner reads of a file that the engine refuses: the place, the key, the fault.

use image_config_agent::engine::{File, Policy, Registries};

/// Asserts what is said of each text, after the name of the file.
fn says(parse: impl Fn(File) -> Option<String>, cases: &[(&str, &str)]) {
    for (text, fault) in cases {
        let said = parse(File::new("f", *text)).unwrap_or_else(|| panic!("{text:?} is read"));
        assert_eq!(said.strip_prefix("f:"), Some(*fault), "{text:?}");
    }
}

fn registries(cases: &[(&str, &str)]) {
    says(|file| Registries::parse(&file, &[]).err().map(|error| error.to_string()), cases);
}

fn policies(cases: &[(&str, &str)]) {
    says(|file| Policy::parse(&file).err().map(|error| error.to_string()), cases);
}

#[test]
fn registries_conf_values_of_another_type() {
    registries(&[
        (
            "[[registry]]\nlocation = 5",
            "2:12: registry.location: expected a string, found an integer",
        ),
        (
            "[[registry]]\nlocation = 5.5",
            "2:12: registry.location: expected a string, found a float",
        ),
        (
            "[[registry]]\nlocation = inf",
            "2:12: registry.location: expected a string, found a float",
        ),
        (
            "[[registry]]\nlocation = -nan",
            "2:12: registry.location: expected a string, found a float",
        ),
        (
            "[[registry]]\nlocation = 2024-01-01",
            "2:12: registry.location: expected a string, found a date or time",
        ),
        (
            "[[registry]]\nlocation = true",
            "2:12: registry.location: expected a string, found a boolean",
        ),
        (
            "[[registry]]\nlocation = [1]",
            "2:12: registry.location: expected a string, found an array",
        ),
        (
            "[[registry]]\nlocation = {}",
            "2:13: registry.location: expected a string, found a table",
        ),
        (
            "[[registry]]\n[[registry.location]]",
            "2:22: registry.location: expected a string, found an array of tables",
        ),
        (
            "[[registry]]\nblocked = 'x'",
            "2:11: registry.blocked: expected true or false, found a string",
        ),
        (
            "[[registry]]\nmirror = 5",
            "2:10: registry.mirror: expected an array of tables, found an integer",
        ),
        ("[[registry]]\nmirror = [5]", "2:11: registry.mirror: expected a table, found an integer"),
        (
            "[[registry]]\n[[registry.mirror]]\ninsecure = 5",
            "3:12: registry.mirror.insecure: expected true or false, found an integer",
        ),
        ("[registry]", "1:11: registry: expected an array of tables, found a table"),
        ("\u{feff}[registry]", "1:12: registry: expected an array of tables, found a table"),
        ("registry = [5]", "1:13: registry: expected a table, found an integer"),
        (
            "unqualified-search-registries = 'x'",
            "1:33: unqualified-search-registries: expected an array of strings, found a string",
        ),
        (
            "unqualified-search-registries = ['a', 5]",
            "1:39: unqualified-search-registries: expected a string, found an integer",
        ),
        ("short-name-mode = 1", "1:19: short-name-mode: expected a string, found an integer"),
        ("[aliases]\nx = 5", "2:5: aliases.x: expected a string, found an integer"),
        ("registries = 5", "1:14: registries: expected a table, found an integer"),
        ("registries.search = 5", "1:21: registries.search: expected a table, found an integer"),
        (
            "registries.search.registries = 5",
            "1:32: registries.search.registries: expected an array of strings, found an integer",
        ),
    ]);
}

#[test]
fn registries_conf_that_is_no_toml() {
    registries(&[
        ("= 1", "1:1: expected a key, found '='"),
        ("x", "1:2: expected '.' or '=' after the key, but the file ends"),
        ("# comment\nx", "2:2: expected '.' or '=' after the key, but the file ends"),
        ("x 1", "1:3: expected '.' or '=' after the key, found '1'"),
        ("x = ", "1:5: expected a value (text needs quotes), but the file ends"),
        ("x = 1\r\ny =", "2:4: expected a value (text needs quotes), but the file ends"),
        ("x =\ny = 1", "1:4: expected a value (text needs quotes), but the line ends"),
        ("x = y", "1:5: expected a value (text needs quotes), found 'y'"),
        ("x = 1 2", "1:7: expected the end of the line, found '2'"),
        ("[x] y", "1:5: expected the end of the line, found 'y'"),
        ("[x", "1:3: expected '.' or ']' after the key, but the file ends"),
        ("[[x]", "1:5: expected ']]' after the name of the table, but the file ends"),
        ("x = [1 2]", "1:8: expected ',' or ']' after an item, found '2'"),
        ("x = {a = 1,}", "1:12: expected a key after ',', found '}'"),
        ("x = {a = 1 b = 2}", "1:12: expected ',' or '}' after a value, found 'b'"),
        ("x = 'abc", "1:9: expected the string's end (\"'\"), but the file ends"),
        ("x = 'a\nb'", "1:7: expected the string's end (\"'\"), but the line ends"),
        ("x = \"abc", "1:9: expected the string's end ('\"'), but the file ends"),
        ("x = \"a\nb\"", "1:7: expected the string's end ('\"'), but the line ends"),
        ("x = '''abc", "1:11: expected the string's end (\"'''\"), but the file ends"),
        ("x = \"\"\"abc", "1:11: expected the string's end ('\"\"\"'), but the file ends"),
        ("x = '''a''''''", "1:11: too many quotes at the end of a string"),
        ("x = \"\"\"a\"\"\"\"\"\"", "1:11: too many quotes at the end of a string"),
        (r#"x = "a\x41""#, "1:7: this escape is not valid"),
        (r#"x = "\u12""#, "1:6: this escape is not valid"),
        (r#"x = "\u+123""#, "1:6: this escape is not valid"),
        (r#"x = "\ud800""#, "1:6: this escape is not valid"),
        ("x = \"\"\"a \\ b\"\"\"", "1:10: a backslash before a blank has to end its line"),
        ("x = +0x5", "1:7: expected the end of the line, found 'x'"),
        ("x = \u{7f}", "1:5: a control character (0x7f) must not stand here"),
        ("x = 1 # \u{1}", "1:9: a control character (0x01) must not stand here"),
        ("x\r\ry = 1", "1:2: a control character (0x0d) must not stand here"),
    ]);
    let error = Registries::parse(&File::new("f", *b"x = \xff"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "f:1:5: this is not valid UTF-8");
}

#[test]
fn registries_conf_that_defines_a_key_twice() {
    registries(&[
        ("x = 1\nx = 2", "2:6: x has been defined already"),
        ("[a.\"b c\"]\nx = 1\n[a.\"b c\"]", "3:10: a.\"b c\" has been defined already"),
        ("\"\".x = 1\n\"\".x = 2", "2:9: \"\".x has been defined already"),
        ("[a-b_1]\n[a-b_1]", "2:8: a-b_1 has been defined already"),
        ("[a]\nb = 1\n[a.b.c]", "3:8: a.b has been defined as something else"),
        ("a = 1\n[[a]]", "2:6: a has been defined as something else"),
    ]);
}

#[test]
fn registries_conf_numbers_and_dates() {
    for valid in [
        "0",
        "-0",
        "+5",
        "10",
        "1_000",
        "0x1F",
        "0xdead_beef",
        "0o17",
        "0b101",
        "0.5",
        "-1.5e+3",
        "1E5",
        "nan",
        "+inf",
        "2000-02-29",
        "2024-02-29",
        "1999-12-31",
        "2023-04-30",
        "2023-01-31",
        "23:59:59",
        "00:00:00.25",
        "2023-01-31T10:00:00Z",
        "2023-01-31 10:00:00-07:00",
        "0001-01-01",
    ] {
        let file = File::new("f", format!("x = {valid}"));
        assert!(Registries::parse(&file, &[]).is_ok(), "{valid}");
    }
    for invalid in [
        "01",
        "1_",
        "1e",
        "-0x1",
        "0x",
        "0o8",
        "0b2",
        "1900-02-29",
        "2023-02-29",
        "2023-04-31",
        "2023-06-31",
        "2023-09-31",
        "2023-11-31",
        "2023-12-32",
        "2023-00-01",
        "2023-01-00",
        "24:00:00",
        "23:60:00",
        "23:59:60",
    ] {
        let error = Registries::parse(&File::new("f", format!("x = {invalid}")), &[]);
        assert!(error.is_err_and(|error| error.position.is_some_and(|p| p.line == 1)), "{invalid}");
    }
}

#[test]
fn registries_conf_entries_that_cannot_be() {
    let entry = "[[registry]]\nlocation = 'a'\n";
    let with = |rest: &str, fault: &str| registries(&[(&format!("{entry}{rest}"), fault)]);
    with(
        "pull-from-mirror = 'x'",
        " registry \"a\": pull-from-mirror is for mirrors, not for the entry itself",
    );
    with("[[registry.mirror]]", " registry \"a\": a mirror needs a location");
    with(
        "[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'z'",
        " registry \"a\": pull-from-mirror \"z\" is none of \"all\", \"digest-only\" and \"tag-only\"",
    );
    with(
        "mirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'all'",
        " registry \"a\": mirror-by-digest-only and pull-from-mirror must not be used together",
    );
    with(
        "[[registry]]\nprefix = 'b'\nlocation = 'a'\ninsecure = true",
        " registry \"b\": entries for the location \"a\" do not agree on `insecure`",
    );
    with(
        "[[registry]]\nprefix = 'b'\nlocation = 'a'\nblocked = true",
        " registry \"b\": entries for the location \"a\" do not agree on `blocked`",
    );
    registries(&[
        ("[[registry]]", " registry: an entry needs a location, unless its prefix is a wildcard"),
        (
            "[[registry]]\nlocation = 'http://a'",
            " registry: \"http://a\" must not begin with a URI scheme",
        ),
        (
            "[[registry]]\nlocation = 'https://a'",
            " registry: \"https://a\" must not begin with a URI scheme",
        ),
        (
            "[[registry]]\nprefix = '*.a/b'\nlocation = 'x'",
            " registry \"*.a/b\": a wildcard is of the form *.example.com, without port and path",
        ),
        (
            "[[registry]]\nprefix = '*.a:1'",
            " registry \"*.a:1\": a wildcard is of the form *.example.com, without port and path",
        ),
    ]);
}

#[test]
fn registries_conf_lists_and_aliases_that_cannot_be() {
    let target =
        "cannot be what an alias stands for: it needs a registry and must not have a tag or digest";
    registries(&[
        (
            "unqualified-search-registries = ['a/b']",
            " unqualified-search-registries: \"a/b\" is not of the form HOST[:PORT]",
        ),
        (
            "unqualified-search-registries = ['http://a']",
            " unqualified-search-registries: \"http://a\" must not begin with a URI scheme",
        ),
        (
            "short-name-mode = 'x'",
            " short-name-mode: \"x\" is none of \"disabled\", \"permissive\" and \"enforcing\"",
        ),
        (
            "[aliases]\n'A' = 'x.y/z'",
            " aliases.\"A\": the name cannot be an alias: it is not of the form [HOST[:PORT]/]PATH[:TAG][@DIGEST]",
        ),
        (
            "[aliases]\n'a:b' = 'x.y/z'",
            " aliases.\"a:b\": an alias has neither registry nor tag nor digest",
        ),
        (
            "[aliases]\n'x.y/a' = 'x.y/z'",
            " aliases.\"x.y/a\": an alias has neither registry nor tag nor digest",
        ),
        ("[aliases]\n'a' = 'z'", &format!(" aliases.\"a\": \"z\" {target}")),
        ("[aliases]\n'a' = 'x.y/z:t'", &format!(" aliases.\"a\": \"x.y/z:t\" {target}")),
        (
            "[registries.search]\nregistries = ['a']\n[[registry]]\nlocation = 'b'",
            " registries: the old and the new format must not be mixed",
        ),
        (
            "[registries.block]\nregistries = ['http://a']",
            " registries.block: \"http://a\" must not begin with a URI scheme",
        ),
        (
            "[registries.insecure]\nregistries = ['http://a']",
            " registries.insecure: \"http://a\" must not begin with a URI scheme",
        ),
    ]);
}

#[test]
fn policy_json_that_is_no_json() {
    policies(&[
        ("", "1:1: expected a value, but the file ends"),
        ("{", "1:2: expected a key in double quotes, but the file ends"),
        ("{default: 1}", "1:2: expected a key in double quotes, found 'd'"),
        (r#"{"default" 1}"#, "1:12: expected ':' after the key, found '1'"),
        (r#"{"default": nope}"#, "1:13: expected a value, found 'n'"),
        (r#"{"default": tru}"#, "1:13: expected a value, found 't'"),
        (r#"{"default": fals}"#, "1:13: expected a value, found 'f'"),
        (r#"{"default": -}"#, "1:14: expected a digit, found '}'"),
        (r#"{"default": 01}"#, "1:14: expected ',' or '}' after a value, found '1'"),
        (r#"{"default": 1.}"#, "1:15: expected a digit, found '}'"),
        (r#"{"default": 1e}"#, "1:15: expected a digit, found '}'"),
        (r#"{"default": 1E+}"#, "1:16: expected a digit, found '}'"),
        (r#"{"default": "\x"}"#, "1:14: this escape is not valid"),
        (r#"{"default": "\u12g4"}"#, "1:14: expected four hexadecimal digits after \\u"),
        ("{\"default\": \"a\nb\"}", "1:15: expected the string's end ('\"'), found '\\n'"),
        (r#"{"default": "ab"#, "1:16: expected the string's end ('\"'), but the file ends"),
        (r#"{"default": 1 2}"#, "1:15: expected ',' or '}' after a value, found '2'"),
        (r#"{"default": [1 2]}"#, "1:16: expected ',' or ']' after an item, found '2'"),
        (r#"{"default": [1,]}"#, "1:16: expected a value, found ']'"),
        ("{\"a\": 1,\n \"a\": 2}", "2:2: the key \"a\" is there twice"),
        ("{}\n x", "2:2: expected the end of the file, found 'x'"),
    ]);
}

#[test]
fn policy_json_values_of_another_type() {
    for (value, kind) in [
        ("null", "null"),
        ("true", "a boolean"),
        ("false", "a boolean"),
        ("-1.5e+3", "a number"),
        ("2E-3", "a number"),
        ("0", "a number"),
        (r#""x""#, "a string"),
        ("[]", "an array"),
        ("[ 1 , 2 ]", "an array"),
    ] {
        let fault = format!("1:14: default[0]: expected an object, found {kind}");
        policies(&[(&format!(r#"{{"default": [{value}]}}"#), &fault)]);
    }
    let reject = r#"{"default": [{"type": "reject"}], "#;
    let with = |rest: &str, fault: &str| policies(&[(&format!("{reject}\n{rest}"), fault)]);
    with(r#""x": 1}"#, "2:6: x: this key is not known here");
    with(r#""transports": 5}"#, "2:15: transports: expected an object, found a number");
    with(r#""transports": {"a": 5}}"#, "2:21: transports.a: expected an object, found a number");
    with(
        r#""transports": {"a": {"b": 5}}}"#,
        "2:27: transports.a[\"b\"]: expected an array of requirements, found a number",
    );
    with(
        r#""transports": {"dir": {"b": []}}}"#,
        "2:29: transports.dir[\"b\"]: the transport \"dir\" does not take such a scope",
    );
    policies(&[
        ("[]", "1:1: expected an object, found an array"),
        ("{}", "1:1: the key \"default\" is missing"),
        (r#"{"default": {}}"#, "1:13: default: expected an array of requirements, found an object"),
        (r#"{"default": []}"#, "1:13: default: a list of requirements must not be empty"),
        (r#"{"default": [{}]}"#, "1:14: default[0].type: \"\" is no known requirement"),
        (r#"{"default": [{"type": "x"}]}"#, "1:23: default[0].type: \"x\" is no known requirement"),
        (
            r#"{"default": [{"type": 1}]}"#,
            "1:23: default[0].type: expected a string, found a number",
        ),
    ]);
}

/// The old format stands for itself, and in the main file alone.
#[test]
fn registries_conf_of_version_1() {
    let old = "[registries.search]\nregistries = ['s.example']\n[registries.insecure]\nregistries = \
               ['a.example', 'b.example']\n[registries.block]\nregistries = ['b.example', 'c.example']\n";
    let read = Registries::parse(&File::new("f", old), &[]).unwrap();
    let flags = |registry: &image_config_agent::engine::Registry| {
        (registry.location.clone(), registry.insecure, registry.blocked)
    };
    let expected =
        [("a.example", true, false), ("b.example", true, true), ("c.example", false, true)];
    let expected =
        expected.map(|(location, insecure, blocked)| (location.to_owned(), insecure, blocked));
    assert_eq!(read.entries().map(flags).collect::<Vec<_>>(), expected);
    assert_eq!(read.search().unwrap().registries, ["s.example"]);
    for list in ["search", "insecure", "block"] {
        let old = format!("[registries.{list}]\nregistries = ['a.example']\n");
        assert!(Registries::parse(&File::new("f", old.as_str()), &[]).is_ok());
        let error = Registries::parse(&File::absent("main"), &[File::new("f", old.as_str())]);
        let said = error.unwrap_err().to_string();
        assert_eq!(said, "f: registries: a drop-in must not use the old format, [registries.*]");
        let mixed = " registries: the old and the new format must not be mixed";
        for new in [
            "registry = []",
            "unqualified-search-registries = []",
            "credential-helpers = []",
            "short-name-mode = 'enforcing'",
            "additional-layer-store-auth-helper = 'x'",
            "aliases = {}",
        ] {
            registries(&[(&format!("{new}\n{old}"), mixed)]);
        }
        for nothing in ["short-name-mode = ''", "additional-layer-store-auth-helper = ''"] {
            let file = File::new("f", format!("{nothing}\n{old}"));
            assert!(Registries::parse(&file, &[]).is_ok(), "{nothing}");
        }
    }
}

/// Keys fold case, with two letters that only Unicode folds; spellings may not contradict.
#[test]
fn registries_conf_keys_in_several_spellings() {
    let blocked = |text: &str| {
        Registries::parse(&File::new("f", text), &[]).unwrap().is_blocked("a.example/x")
    };
    assert!(blocked("[['regi\u{17f}try']]\nlocation = 'a.example'\n'BLOC\u{212a}ED' = true"));
    assert!(blocked(
        "[[registry]]\nlocation = 'a.example'\nLocation = 'a.example'\nblocked = true"
    ));
    assert!(blocked("[[registry]]\nlocation = 'a.example'\n[[Registry]]\nblocked = true"));
    let fault = "is written in several spellings, of which the engine takes one at random";
    let tables = "[[Registry]]\n[[Registry]]\n[[registry]]\nlocation = 'a.example'";
    let error = Registries::parse(&File::new("f", tables), &[]).unwrap_err();
    assert_eq!(error.problem.to_string(), fault);
    registries(&[(
        "Short-name-mode = 'a'\nshort-name-mode = 'b'",
        &format!("2:19: short-name-mode: {fault}"),
    )]);
}
