//! The servers that the agent talks to over HTTP.

use super::{Key, named, optional};
use crate::settings::endpoint::ReportMethod;
use crate::settings::value::{path, seconds, text, truth, word};

const METHODS: [(&str, ReportMethod); 2] =
    [("PUT", ReportMethod::Put), ("POST", ReportMethod::Post)];

/// The keys that both servers have, and then those that only this one has.
macro_rules! server_keys {
    ($name:literal, $field:ident, $url:literal, [$($own:expr),* $(,)?]) => {
        &[
            Key {
                name: concat!($name, ".url"),
                about: $url,
                set: |s, v| text(v).map(|url| s.$field.server.url = Some(url)),
                show: |s| s.$field.server.url.clone().unwrap_or_default(),
            },
            Key {
                name: concat!($name, ".allow_http"),
                about: "true or false: whether http:// will do over a network",
                set: |s, v| truth(v).map(|is| s.$field.server.allow_http = is),
                show: |s| s.$field.server.allow_http.to_string(),
            },
            Key {
                name: concat!($name, ".socket"),
                about: "unix socket to go through, in place of the network",
                set: |s, v| path(v).map(|path| s.$field.server.socket = Some(path)),
                show: |s| optional(&s.$field.server.socket),
            },
            Key {
                name: concat!($name, ".ca"),
                about: "file of CAs to trust beside those that the system trusts, in PEM",
                set: |s, v| path(v).map(|path| s.$field.server.ca = Some(path)),
                show: |s| optional(&s.$field.server.ca),
            },
            Key {
                name: concat!($name, ".client_certificate"),
                about: "file of the certificate to show, in PEM",
                set: |s, v| path(v).map(|path| s.$field.server.client_certificate = Some(path)),
                show: |s| optional(&s.$field.server.client_certificate),
            },
            Key {
                name: concat!($name, ".client_key"),
                about: "file of its key, in PEM",
                set: |s, v| path(v).map(|path| s.$field.server.client_key = Some(path)),
                show: |s| optional(&s.$field.server.client_key),
            },
            Key {
                name: concat!($name, ".token_file"),
                about: "file of the bearer token to show",
                set: |s, v| path(v).map(|path| s.$field.server.token_file = Some(path)),
                show: |s| optional(&s.$field.server.token_file),
            },
            Key {
                name: concat!($name, ".user"),
                about: "user to log in as",
                set: |s, v| text(v).map(|user| s.$field.server.user = Some(user)),
                show: |s| s.$field.server.user.clone().unwrap_or_default(),
            },
            Key {
                name: concat!($name, ".password_file"),
                about: "file of its password",
                set: |s, v| path(v).map(|path| s.$field.server.password_file = Some(path)),
                show: |s| optional(&s.$field.server.password_file),
            },
            Key {
                name: concat!($name, ".timeout_seconds"),
                about: "how long the server may take to begin an answer, and again to end it",
                set: |s, v| seconds(v).map(|time| s.$field.server.timeout = time),
                show: |s| s.$field.server.timeout.as_secs().to_string(),
            },
            $($own),*
        ]
    };
}

/// The endpoint that documents come from.
pub(super) const ENDPOINT: &[Key] = server_keys!(
    "endpoint",
    endpoint,
    "the https:// URL that documents come from; {node} in it stands for the name of this node",
    [
        Key {
            name: "endpoint.public_keys",
            about: "file of minisign public keys; where it is set, what none of them signed is refused",
            set: |s, v| path(v).map(|path| s.endpoint.public_keys = Some(path)),
            show: |s| optional(&s.endpoint.public_keys),
        },
        Key {
            name: "endpoint.poll_seconds",
            about: "how often the endpoint is asked",
            set: |s, v| seconds(v).map(|time| s.endpoint.poll = time),
            show: |s| s.endpoint.poll.as_secs().to_string(),
        },
        Key {
            name: "endpoint.wait_seconds",
            about: "how long a server that offers long polls may wait for something new",
            set: |s, v| seconds(v).map(|time| s.endpoint.wait = time),
            show: |s| s.endpoint.wait.as_secs().to_string(),
        },
    ]
);

/// The endpoint that the status goes to.
pub(super) const REPORT: &[Key] = server_keys!(
    "report",
    report,
    "the https:// URL that the status goes to; {node} in it stands for the name of this node",
    [
        Key {
            name: "report.method",
            about: "PUT or POST: how the status is sent",
            set: |s, v| word(v, &METHODS).map(|method| s.report.method = method),
            show: |s| named(s.report.method, &METHODS),
        },
        Key {
            name: "report.heartbeat_seconds",
            about: "how often the status is sent although it says nothing new",
            set: |s, v| seconds(v).map(|time| s.report.heartbeat = time),
            show: |s| s.report.heartbeat.as_secs().to_string(),
        },
    ]
);
