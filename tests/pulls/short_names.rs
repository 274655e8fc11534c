//! Short names, which podman alone resolves.

use crate::{documents::image, host::Host, registry::Serves::Publicly, tools::Reason};

const SEARCH: &str = "containerRuntimeSearchRegistries: [first.example.com, second.example.com]";

#[test]
fn a_short_name_is_found_in_the_second_registry() {
    let mut host = Host::new();
    host.serve("first.example.com", Publicly, &[]);
    host.serve("second.example.com", Publicly, &["app:v1"]);
    host.configure(&[image(SEARCH)]);
    host.pulls_short("app:v1", "second.example.com");
}

#[test]
fn a_short_name_that_no_registry_has_is_refused() {
    let mut host = Host::new();
    host.serve("first.example.com", Publicly, &[]);
    host.serve("second.example.com", Publicly, &[]);
    host.configure(&[image(SEARCH)]);
    host.refuses_short("app:v1", Reason::NotFound);
}

#[test]
fn r1_an_alias_of_the_base_comes_before_the_list() {
    let mut host = Host::new();
    host.serve("first.example.com", Publicly, &["app:v1"]);
    host.serve("alias.example.com", Publicly, &["ns/app:v1"]);
    host.base_file(
        "etc/containers/registries.conf",
        "[aliases]\n\"app\" = \"alias.example.com/ns/app\"\n",
    );
    host.configure(&[image(SEARCH)]);
    host.pulls_short("app:v1", "alias.example.com");
}
