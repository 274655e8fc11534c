//! Where the host has its files.

use super::{Key, shown};
use crate::settings::value::path;

/// Where the host has its files.
pub(super) const PATHS: &[Key] = &[
    Key {
        name: "paths.policy",
        about: "policy.json",
        set: |s, v| path(v).map(|path| s.paths.policy = path),
        show: |s| shown(&s.paths.policy),
    },
    Key {
        name: "paths.vendor_policy",
        about: "the vendor's policy.json",
        set: |s, v| path(v).map(|path| s.paths.vendor_policy = path),
        show: |s| shown(&s.paths.vendor_policy),
    },
    Key {
        name: "paths.registries_conf",
        about: "registries.conf",
        set: |s, v| path(v).map(|path| s.paths.registries_conf = path),
        show: |s| shown(&s.paths.registries_conf),
    },
    Key {
        name: "paths.vendor_registries_conf",
        about: "the vendor's registries.conf",
        set: |s, v| path(v).map(|path| s.paths.vendor_registries_conf = path),
        show: |s| shown(&s.paths.vendor_registries_conf),
    },
    Key {
        name: "paths.registries_conf_d",
        about: "the directory of drop-ins to registries.conf",
        set: |s, v| path(v).map(|path| s.paths.registries_conf_d = path),
        show: |s| shown(&s.paths.registries_conf_d),
    },
    Key {
        name: "paths.search_drop_in",
        about: "the drop-in for the search list",
        set: |s, v| path(v).map(|path| s.paths.search_drop_in = path),
        show: |s| shown(&s.paths.search_drop_in),
    },
    Key {
        name: "paths.certs_d",
        about: "the directory of trusted CAs",
        set: |s, v| path(v).map(|path| s.paths.certs_d = path),
        show: |s| shown(&s.paths.certs_d),
    },
    Key {
        name: "paths.masking_certs_d",
        about: "the directory of trusted CAs that masks the former",
        set: |s, v| path(v).map(|path| s.paths.masking_certs_d = path),
        show: |s| shown(&s.paths.masking_certs_d),
    },
    Key {
        name: "paths.crio_conf",
        about: "CRI-O's crio.conf",
        set: |s, v| path(v).map(|path| s.paths.crio_conf = path),
        show: |s| shown(&s.paths.crio_conf),
    },
    Key {
        name: "paths.crio_conf_d",
        about: "CRI-O's drop-ins",
        set: |s, v| path(v).map(|path| s.paths.crio_conf_d = path),
        show: |s| shown(&s.paths.crio_conf_d),
    },
    Key {
        name: "paths.crio_policies",
        about: "CRI-O's policies by namespace",
        set: |s, v| path(v).map(|path| s.paths.crio_policies = path),
        show: |s| shown(&s.paths.crio_policies),
    },
];
