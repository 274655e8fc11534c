//! Conditions: the reasons that each may have.

use super::Entry;

/// Reasons of `SourceReady`.
pub(super) const SOURCE_READY: &[Entry] = &[Entry {
    name: "NotRead",
    weight: "Unknown",
    place: "SourceReady",
    cause: "no documents were read yet: the agent has just begun",
    remedy: "wait; if it lasts, look at the log",
}];

/// Reasons of `Valid`.
pub(super) const VALID: &[Entry] = &[Entry {
    name: "NotRead",
    weight: "Unknown",
    place: "Valid",
    cause: "no documents were read yet: the agent has just begun",
    remedy: "wait; if it lasts, look at the log",
}];

/// Reasons of `Applied`.
pub(super) const APPLIED: &[Entry] = &[
    Entry {
        name: "WaitingForSlot",
        weight: "False",
        place: "Applied",
        cause: "others of the pool are at it, or one is Degraded on this configuration",
        remedy: "`rollout status` shows them; mend the one that is Degraded",
    },
    Entry {
        name: "Cordoning",
        weight: "False",
        place: "Applied",
        cause: "the node is being cordoned",
        remedy: "wait; if it lasts, the message has the words of the API server",
    },
    Entry {
        name: "Draining",
        weight: "False",
        place: "Applied",
        cause: "pods are being evicted",
        remedy: "wait; the message names the pods that stay and the budgets that keep them",
    },
    Entry {
        name: "Changing",
        weight: "False",
        place: "Applied",
        cause: "the files are being written",
        remedy: "wait: it takes no second",
    },
    Entry {
        name: "TellingEngine",
        weight: "False",
        place: "Applied",
        cause: "the files are in place, and the engine reloads or restarts",
        remedy: "wait, `runtime.restart_seconds` at most",
    },
    Entry {
        name: "WaitingForNode",
        weight: "False",
        place: "Applied",
        cause: "the engine obeys; the node is not Ready yet, or its kubelet gave no new sign of life",
        remedy: "look at the kubelet",
    },
    Entry {
        name: "Uncordoning",
        weight: "False",
        place: "Applied",
        cause: "the node is being uncordoned",
        remedy: "wait; if it lasts, the message has the words of the API server",
    },
    Entry {
        name: "FailedToDrain",
        weight: "False",
        place: "Applied",
        cause: "pods did not go within `node.drain_seconds`; the node is uncordoned, and it is tried again after some minutes",
        remedy: "give the budgets that the message names more room, or the pods more time",
    },
    Entry {
        name: "RollingBack",
        weight: "False",
        place: "Applied",
        cause: "the engine did not take the files; those of before go back",
        remedy: "wait for `RolledBack`",
    },
    Entry {
        name: "RolledBack",
        weight: "False",
        place: "Applied",
        cause: "the engine did not take the files; those of before are back, and these are not tried again",
        remedy: "read why in the message and the engine's log; change the documents, or mend the host and `retry`",
    },
    Entry {
        name: "Paused",
        weight: "False",
        place: "Applied",
        cause: "the Image is paused: of the documents only CA files are applied",
        remedy: "`image-config-agent rollout resume`",
    },
    Entry {
        name: "Held",
        weight: "False",
        place: "Applied",
        cause: "the documents mean other files, and this node is held",
        remedy: "`image-config-agent release`; condition `Held` says who holds it",
    },
    Entry {
        name: "Failed",
        weight: "False",
        place: "Applied",
        cause: "something cannot be read or written",
        remedy: "mend what the message names: a disk, a right, a file",
    },
    Entry {
        name: "WaitingForEngine",
        weight: "False",
        place: "Applied",
        cause: "the change has to be told to the engine, which is just starting, or systemd cannot be asked",
        remedy: "wait; the message says which it is; on a host without systemd, or whose engine is to be told nothing, set `runtime.manager = \"none\"`",
    },
    Entry {
        name: "ChangedByOthers",
        weight: "False",
        place: "Applied",
        cause: "files are not as applied, and are left so: by `drift = \"report\"`, or because somebody keeps changing them",
        remedy: "find out who changes them; then `image-config-agent retry`",
    },
    Entry {
        name: "NotYet",
        weight: "Unknown",
        place: "Applied",
        cause: "the documents are not applied yet",
        remedy: "give it documents; conditions `SourceReady` and `Valid` say what lacks",
    },
];

/// Reasons of `RuntimeReady`.
pub(super) const RUNTIME_READY: &[Entry] = &[
    Entry {
        name: "NotAsked",
        weight: "Unknown",
        place: "RuntimeReady",
        cause: "the engine was not asked yet",
        remedy: "wait",
    },
    Entry {
        name: "NotManaged",
        weight: "True",
        place: "RuntimeReady",
        cause: "by the settings no engine is told",
        remedy: "nothing; with `runtime.manager = \"systemd\"` it would be",
    },
    Entry {
        name: "NoEngine",
        weight: "True",
        place: "RuntimeReady",
        cause: "the host has no such unit: files are all there is to do",
        remedy: "nothing, or set `runtime.unit`",
    },
    Entry {
        name: "Inactive",
        weight: "True",
        place: "RuntimeReady",
        cause: "the engine is stopped or masked, and left so: files are all there is to do",
        remedy: "nothing: it reads the files when it starts",
    },
    Entry {
        name: "Starting",
        weight: "Unknown",
        place: "RuntimeReady",
        cause: "the engine is being started; a change that it has to be told of waits for it, as long as a restart may take",
        remedy: "wait",
    },
    Entry {
        name: "BeingTold",
        weight: "Unknown",
        place: "RuntimeReady",
        cause: "the engine is being reloaded or restarted",
        remedy: "wait",
    },
    Entry {
        name: "Unconfirmed",
        weight: "Unknown",
        place: "RuntimeReady",
        cause: "the engine could not be told of the files, or has not said that it took them",
        remedy: "wait for the restart that is due; where the node is held, restart it when that suits",
    },
    Entry {
        name: "Failing",
        weight: "False",
        place: "RuntimeReady",
        cause: "the engine does not run, or does not take the files",
        remedy: "look at `systemctl status` of its unit and at its log",
    },
    Entry {
        name: "Unreachable",
        weight: "Unknown",
        place: "RuntimeReady",
        cause: "the engine or systemd cannot be asked",
        remedy: "look at `runtime.socket` and at the system bus",
    },
];

/// Reasons of `Drifted`.
pub(super) const DRIFTED: &[Entry] = &[
    Entry {
        name: "ChangedByOthers",
        weight: "True",
        place: "Drifted",
        cause: "others changed, removed or replaced files of ours; by `drift = \"heal\"` they are put right at once",
        remedy: "change the documents, not the files; to keep an edit as the host's own, `image-config-agent base adopt FILE`",
    },
    Entry {
        name: "Contested",
        weight: "True",
        place: "Drifted",
        cause: "a file was put right five times in ten minutes, and is left alone now",
        remedy: "find out who writes it (the message names the file), stop that, then `retry`",
    },
];

/// Reasons of `Degraded`.
pub(super) const DEGRADED: &[Entry] = &[
    Entry {
        name: "RollingBack",
        weight: "True",
        place: "Degraded",
        cause: "the engine did not take the files; those of before go back",
        remedy: "wait",
    },
    Entry {
        name: "RolledBack",
        weight: "True",
        place: "Degraded",
        cause: "a configuration was undone",
        remedy: "as for `Applied`",
    },
    Entry {
        name: "RollbackFailed",
        weight: "True",
        place: "Degraded",
        cause: "with the files of before the engine fails too: it is tried again and again",
        remedy: "look at the engine's log: it fails for another reason",
    },
    Entry {
        name: "NodeNotReady",
        weight: "True",
        place: "Degraded",
        cause: "the node is not Ready ten minutes after its engine obeys",
        remedy: "look at the kubelet",
    },
    Entry {
        name: "Failed",
        weight: "True",
        place: "Degraded",
        cause: "something cannot be read or written",
        remedy: "mend what the message names: a disk, a right, a file",
    },
    Entry {
        name: "WrongSettings",
        weight: "True",
        place: "Degraded",
        cause: "the settings that were read last are wrong: those of before hold",
        remedy: "mend what the message names, then `systemctl reload image-config-agent`",
    },
    Entry {
        name: "EngineFailing",
        weight: "True",
        place: "Degraded",
        cause: "the engine was failing before the change, and still is; or it obeys, and a unit that needs it does not start",
        remedy: "mend the engine, or the unit that the message names: the files are no reason",
    },
    Entry {
        name: "Contested",
        weight: "True",
        place: "Degraded",
        cause: "others keep changing a file of ours",
        remedy: "as for `Drifted`",
    },
];

/// Reasons of `Held`.
pub(super) const HELD: &[Entry] = &[
    Entry {
        name: "Requested",
        weight: "True",
        place: "Held",
        cause: "somebody said `hold`, or `revert`",
        remedy: "`image-config-agent release`",
    },
    Entry {
        name: "ManagedByOthers",
        weight: "True",
        place: "Held",
        cause: "something else manages this node, as the Machine Config Operator does, or nobody can say yet: the agent only observes",
        remedy: "see `kube.manage_mco_nodes` in the settings",
    },
];
