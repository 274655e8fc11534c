//! How much processor time each step from documents to files takes, by shape and number of
//! entries. docs/performance.md keeps the figures.

#![allow(missing_docs, clippy::panic, reason = "a benchmark has no users and may fail loudly")]

#[path = "../tests/shapes/mod.rs"]
mod shapes;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use image_config_agent::decode::{Context, Decoded, SourceFile, decode};
use image_config_agent::engine::File;
use image_config_agent::model::finding::any_error;
use image_config_agent::model::{ClusterConfig, Meaning};
use image_config_agent::render::{self, Bases, CertsOnHost};
use nix::time::{ClockId, clock_gettime};
use shapes::Shape;

const ENTRIES: [usize; 5] = [10, 100, 1_000, 5_000, 50_000];

/// Processor time of this thread: what else the machine does matters little to it.
struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
    }

    fn end(&self, start: Duration) -> Duration {
        self.start().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, time: &Duration) -> f64 {
        WallTime.to_f64(time)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A host with the files that a fresh node has.
fn bases() -> Bases {
    Bases {
        registries_conf: File::new(
            "/etc/containers/registries.conf",
            "unqualified-search-registries = [\"registry.access.redhat.com\", \"docker.io\"]\n",
        ),
        policies: vec![File::new("/etc/containers/policy.json", render::policy::DEFAULT_POLICY)],
        search_drop_in: "/etc/containers/registries.conf.d/01-image-searchRegistries.conf".into(),
        certs_d: "/etc/docker/certs.d".into(),
        certs: CertsOnHost::default(),
    }
}

/// The documents of a shape, which hold no error.
fn read(documents: &str) -> ClusterConfig {
    let file = SourceFile { name: "documents".to_owned(), bytes: documents.as_bytes().to_vec() };
    let Decoded { config, findings, .. } = decode(&[file], &Context::default());
    assert!(!any_error(&findings), "{findings:?}");
    config
}

/// Runs `step` over all shapes and sizes, in a group of its own.
fn over_all<T>(
    criterion: &mut Criterion<ProcessorTime>,
    name: &str,
    prepare: impl Fn(&str) -> T,
    step: impl Fn(&T),
) {
    let mut group = criterion.benchmark_group(name);
    for shape in Shape::ALL {
        for entries in ENTRIES {
            time(&mut group, shape, entries, &prepare, &step);
        }
    }
    group.finish();
}

fn time<T>(
    group: &mut BenchmarkGroup<'_, ProcessorTime>,
    shape: Shape,
    entries: usize,
    prepare: &impl Fn(&str) -> T,
    step: &impl Fn(&T),
) {
    group.sample_size(10).warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_millis(if entries < 50_000 { 500 } else { 2_000 }));
    let id = BenchmarkId::new(shape.name(), entries);
    // Prepared inside, so that a filter on the command line spares the work.
    group.bench_function(id, |bencher| {
        let input = prepare(&shape.documents(entries));
        bencher.iter(|| step(&input));
    });
}

/// Documents to model.
fn decode_documents(criterion: &mut Criterion<ProcessorTime>) {
    over_all(criterion, "decode", str::to_owned, |documents| {
        black_box(read(documents));
    });
}

/// Model to bytes, without reading them back: what is measured of upstream.
fn write_files(criterion: &mut Criterion<ProcessorTime>) {
    let bases = bases();
    over_all(criterion, "write", read, |config| {
        let (meaning, _) = Meaning::of(config);
        black_box(render::write(&meaning, &bases));
    });
}

/// Model to bytes that the engine has read back.
fn render_files(criterion: &mut Criterion<ProcessorTime>) {
    let bases = bases();
    over_all(criterion, "render", read, |config| {
        let (meaning, _) = Meaning::of(config);
        black_box(render::render(&meaning, &bases));
    });
}

criterion_group!(
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = decode_documents, write_files, render_files
);
criterion_main!(benches);
