//! The host.

use super::Entry;

/// What the host's own files, and others' beside them, say.
pub(super) const HOST: &[Entry] = &[
    Entry {
        name: "BaseUnreadable",
        weight: "error",
        place: "host file",
        cause: "a base file that the engine would refuse, or of version 1",
        remedy: "mend it; where `base show` lists it already, run `base adopt FILE` afterwards",
    },
    Entry {
        name: "EngineSettingsUnreadable",
        weight: "error",
        place: "host file",
        cause: "a file of CRI-O's settings cannot be read, and with it where its policy is",
        remedy: "mend the file",
    },
    Entry {
        name: "HeldByRollback",
        weight: "error in `apply`, warning in `plan`",
        place: "rollback",
        cause: "a rollback went away from this configuration (X3)",
        remedy: "change the documents, or `apply --retry`",
    },
    Entry {
        name: "EngineRefuses",
        weight: "error",
        place: "host file",
        cause: "what would be written is refused when it is read back (R8): a mistake of the agent",
        remedy: "report it with the documents and the host's own files",
    },
    Entry {
        name: "DropInUnreadable",
        weight: "warning",
        place: "host file",
        cause: "the engine refuses a drop-in that is not ours, and every pull with it",
        remedy: "mend or remove the file",
    },
    Entry {
        name: "BaseMirrorsReplaced",
        weight: "info",
        place: "host file",
        cause: "our mirrors take the place of the base's for one source",
        remedy: "nothing, or remove them from the base",
    },
    Entry {
        name: "DropInOverrides",
        weight: "warning",
        place: "host file",
        cause: "a drop-in that is not ours overrides an entry or the search list; both files are named",
        remedy: "remove the entry from the drop-in",
    },
    Entry {
        name: "Overridden",
        weight: "error, all else applied",
        place: "host file",
        cause: "such a drop-in lifts a block or NeverContactSource",
        remedy: "remove the entry from the drop-in",
    },
    Entry {
        name: "ForeignCa",
        weight: "info",
        place: "host file",
        cause: "a ca.crt of others is kept; ours goes beside it",
        remedy: "nothing, or remove theirs",
    },
    Entry {
        name: "MaskedCa",
        weight: "warning",
        place: "host file",
        cause: "/etc/containers/certs.d/HOST hides ours",
        remedy: "move its content, or remove it",
    },
    Entry {
        name: "NamespacePolicyAccepts",
        weight: "warning",
        place: "host file",
        cause: "a namespace's policy accepts what the cluster refuses",
        remedy: "mend the file",
    },
    Entry {
        name: "NotExpressible",
        weight: "warning; error where a NeverContactSource would be lost",
        place: "the entry, or registries.conf",
        cause: "the files cannot say it exactly; what is written is the safe side",
        remedy: "follow the finding's text",
    },
    Entry {
        name: "EndpointNotAsked",
        weight: "warning",
        place: "endpoint.url",
        cause: "a URL is set for documents, but `source.order` does not name `endpoint`",
        remedy: "set `source.order`, for instance to `[\"endpoint\", \"files\"]`, or remove the URL",
    },
    Entry {
        name: "NotWatched",
        weight: "warning",
        place: "host directory",
        cause: "the kernel has no more of inotify to give: changes are seen within 10 s, and healed then",
        remedy: "raise fs.inotify.max_user_instances or max_user_watches; it is tried again whenever the agent wakes up",
    },
    Entry {
        name: "MetricsUnavailable",
        weight: "warning",
        place: "metrics.listen",
        cause: "metrics and probes cannot be served where the setting says",
        remedy: "mend the setting, or free the address: it is tried again whenever the agent wakes up",
    },
];
