//! Metrics: the status, and what was counted since the start, in the words of Prometheus.
//!
//! Pure: a page is computed from values when somebody asks for it. Every label has few values, which
//! the code knows; a digest is one series at a time.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{SourceStatus, Status, Truth};
use crate::machine::{Ending, Kind};
use crate::model::Severity;

/// The media type of a page.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What every name begins with.
pub const PREFIX: &str = "image_config_agent";

/// What was counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    changes: BTreeMap<(&'static str, &'static str), u64>,
    healed_files: u64,
    failures: u64,
}

impl Counts {
    /// A change has ended.
    pub fn change(&mut self, kind: Kind, ending: &Ending) {
        *self.changes.entry((kind.word(), ending.word())).or_default() += 1;
    }

    /// So many files of ours that others had changed were put right.
    pub fn healed(&mut self, files: usize) {
        self.healed_files += files as u64;
    }

    /// Something could not be done.
    pub fn failure(&mut self) {
        self.failures += 1;
    }
}

/// What a page shows.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// What the agent said last.
    pub status: Option<Status>,
    /// What was counted since the start.
    pub counts: Counts,
}

impl Page {
    /// The page as a text of [`MEDIA_TYPE`].
    ///
    /// # Errors
    /// None that a text could not hold.
    pub fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }

    fn status(&self) -> impl Iterator<Item = &Status> {
        self.status.iter()
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in FAMILIES {
            let samples = (family.samples)(self);
            if samples.is_empty() {
                continue;
            }
            let mut metric =
                encoder.encode_descriptor(family.name, family.about, None, family.kind)?;
            for Sample(values, value) in samples {
                let labels: Vec<_> = family.labels.iter().copied().zip(values).collect();
                if labels.is_empty() {
                    family.encode(&mut metric, value)?;
                } else {
                    family.encode(&mut metric.encode_family(&labels)?, value)?;
                }
            }
        }
        Ok(())
    }
}

/// A number, with the values of its family's labels in their order.
pub struct Sample(Vec<String>, f64);

/// The numbers of one name.
pub struct Family {
    /// Its name without the prefix, and without the `_total` of a counter.
    name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    kind: MetricType,
    samples: fn(&Page) -> Vec<Sample>,
}

impl Family {
    /// The name as Prometheus has it.
    #[must_use]
    pub fn full_name(&self) -> String {
        let total = if self.kind == MetricType::Counter { "_total" } else { "" };
        format!("{PREFIX}_{}{total}", self.name)
    }

    /// `counter` or `gauge`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind.as_str()
    }

    fn encode(&self, metric: &mut MetricEncoder<'_>, value: f64) -> Result<(), fmt::Error> {
        match self.kind {
            MetricType::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
            _ => metric.encode_gauge(&value),
        }
    }
}

/// All of them, in the order in which they are shown. docs/metrics.md lists them too.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "build_info",
        about: "The version of the agent; always 1",
        labels: &["version"],
        kind: MetricType::Gauge,
        samples: |_| vec![Sample(vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0)],
    },
    Family {
        name: "condition",
        about: "1 where the condition has this status, else 0",
        labels: &["type", "status"],
        kind: MetricType::Gauge,
        samples: conditions,
    },
    Family {
        name: "condition_last_transition_timestamp_seconds",
        about: "Since when the condition is as it is",
        labels: &["type"],
        kind: MetricType::Gauge,
        samples: |page| {
            let all = page.status().flat_map(|status| &status.conditions);
            all.map(|one| Sample(vec![one.kind.clone()], seconds(one.last_transition_time)))
                .collect()
        },
    },
    Family {
        name: "configuration_info",
        about: "The digest of the configuration that was read last (observed), and of the one in the files (applied)",
        labels: &["which", "digest"],
        kind: MetricType::Gauge,
        samples: configurations,
    },
    Family {
        name: "source_used",
        about: "1 where the documents of this source are obeyed, else 0",
        labels: &["source"],
        kind: MetricType::Gauge,
        samples: |page| sources(page, |source| source.used),
    },
    Family {
        name: "source_failing",
        about: "1 where this source gives nothing newer at present and the status says why, else 0",
        labels: &["source"],
        kind: MetricType::Gauge,
        samples: |page| sources(page, |source| source.trouble.is_some()),
    },
    Family {
        name: "report_failing",
        about: "1 where the status cannot be sent at present and says why, else 0: to report.url (url), to the cluster (cluster)",
        labels: &["to"],
        kind: MetricType::Gauge,
        samples: reports,
    },
    Family {
        name: "phase_info",
        about: "What is being done: Idle, or the step of a change",
        labels: &["phase"],
        kind: MetricType::Gauge,
        samples: |page| {
            page.status().map(|status| Sample(vec![status.phase.clone()], 1.0)).collect()
        },
    },
    Family {
        name: "status_timestamp_seconds",
        about: "When the status last said anything new",
        labels: &[],
        kind: MetricType::Gauge,
        samples: |page| {
            page.status().map(|status| Sample(vec![], seconds(status.written))).collect()
        },
    },
    Family {
        name: "managed_files",
        about: "How many files of the host are the agent's",
        labels: &[],
        kind: MetricType::Gauge,
        samples: |page| {
            page.status().map(|status| Sample(vec![], count(status.files.len()))).collect()
        },
    },
    Family {
        name: "findings",
        about: "How many findings there are on documents and host",
        labels: &["severity"],
        kind: MetricType::Gauge,
        samples: findings,
    },
    Family {
        name: "changes",
        about: "Changes that have ended, by what they were for and how they ended",
        labels: &["kind", "ending"],
        kind: MetricType::Counter,
        samples: changes,
    },
    Family {
        name: "healed_files",
        about: "Files put right after others had changed them",
        labels: &[],
        kind: MetricType::Counter,
        samples: |page| vec![Sample(vec![], page.counts.healed_files as f64)],
    },
    Family {
        name: "failures",
        about: "What could not be done and was logged as an error: a look, a change, a record",
        labels: &[],
        kind: MetricType::Counter,
        samples: |page| vec![Sample(vec![], page.counts.failures as f64)],
    },
    Family {
        name: "last_change_timestamp_seconds",
        about: "When the last change began",
        labels: &["kind"],
        kind: MetricType::Gauge,
        samples: |page| {
            let last = page.status().filter_map(|status| status.last_change.as_ref());
            last.map(|last| Sample(vec![last.kind.word().to_owned()], seconds(last.began)))
                .collect()
        },
    },
    Family {
        name: "last_change_duration_seconds",
        about: "How long the last change took: its files, and the engine",
        labels: &["part"],
        kind: MetricType::Gauge,
        samples: durations,
    },
];

fn conditions(page: &Page) -> Vec<Sample> {
    let all = page.status().flat_map(|status| &status.conditions);
    let by_status = all.flat_map(|condition| {
        [Truth::True, Truth::False, Truth::Unknown].map(|truth| {
            let labels = vec![condition.kind.clone(), format!("{truth:?}")];
            Sample(labels, f64::from(u8::from(condition.status == truth)))
        })
    });
    by_status.collect()
}

fn sources(page: &Page, is_so: fn(&SourceStatus) -> bool) -> Vec<Sample> {
    let all = page.status().flat_map(|status| &status.sources);
    all.map(|one| Sample(vec![one.name.clone()], f64::from(u8::from(is_so(one))))).collect()
}

fn reports(page: &Page) -> Vec<Sample> {
    let of = |status: &Status| {
        let url = status.report.as_ref().is_some_and(|report| report.trouble.is_some());
        let cluster = status.node.as_ref().is_some_and(|node| node.untold.is_some());
        [("url", url), ("cluster", cluster)]
    };
    let all = page.status().flat_map(of);
    all.map(|(to, is_so)| Sample(vec![to.to_owned()], f64::from(u8::from(is_so)))).collect()
}

fn configurations(page: &Page) -> Vec<Sample> {
    let both = page
        .status()
        .flat_map(|status| [("observed", &status.observed), ("applied", &status.applied)]);
    let known = both.filter_map(|(which, digests)| Some((which, digests.as_ref()?)));
    known
        .map(|(which, digests)| Sample(vec![which.to_owned(), digests.configuration.clone()], 1.0))
        .collect()
}

fn findings(page: &Page) -> Vec<Sample> {
    let of = |status: &Status, severity| {
        count(status.findings.iter().filter(|finding| finding.severity == severity).count())
    };
    let all = page.status().flat_map(|status| {
        [("error", Severity::Error), ("warning", Severity::Warning), ("info", Severity::Info)]
            .map(|(name, severity)| Sample(vec![name.to_owned()], of(status, severity)))
    });
    all.collect()
}

/// Those that did not happen too: a rate needs the zero before the first one.
fn changes(page: &Page) -> Vec<Sample> {
    let happened = |kind: Kind, ending| page.counts.changes.get(&(kind.word(), ending));
    let all = KINDS.iter().flat_map(|&kind| {
        ENDINGS.iter().map(move |&ending| {
            let labels = vec![kind.word().to_owned(), ending.to_owned()];
            Sample(labels, happened(kind, ending).copied().unwrap_or(0) as f64)
        })
    });
    all.collect()
}

fn durations(page: &Page) -> Vec<Sample> {
    let last = page.status().filter_map(|status| status.last_change.as_ref());
    let parts = last.flat_map(|last| [("files", last.files_ms), ("engine", last.engine_ms)]);
    let known = parts.filter_map(|(part, time)| Some((part, time?)));
    known.map(|(part, time)| Sample(vec![part.to_owned()], time as f64 / 1e3)).collect()
}

const KINDS: [Kind; 5] = [Kind::Apply, Kind::Heal, Kind::Rollback, Kind::Revert, Kind::Restart];

const ENDINGS: [&str; 7] = [
    "done",
    "not_changed",
    "not_drained",
    "abandoned",
    "still_failing",
    "unconfirmed",
    "rolled_back",
];

fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1e3
}

fn count(number: usize) -> f64 {
    number as f64
}
