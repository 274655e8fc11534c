//! The property that carries the correctness argument: the files that are rendered mean what the
//! cluster's objects say, for every configuration and every reference.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

mod support;

use std::path::Path;

use image_config_agent::engine::{File, Policy, Registries, Source};
use image_config_agent::model::intent::Place;
use image_config_agent::model::{ClusterConfig, Finding, Lookup, Meaning, Reference};
use image_config_agent::plan::{View, impact, overrides};
use image_config_agent::render::{self, Bases, CertsOnHost, FileSet, Want};
use proptest::prelude::*;
use support::{config, host_base, reference, search_list};

fn bases(registries: &str, policy: &str) -> Bases {
    Bases {
        registries_conf: File::new("/registries.conf", registries),
        policies: vec![File::new("/policy.json", policy)],
        search_drop_in: "/search.conf".into(),
        certs_d: "/certs.d".into(),
        certs: CertsOnHost::default(),
    }
}

/// The files as the engine reads them after they were written.
fn engine(files: &FileSet, bases: &Bases) -> (Registries, Policy) {
    let read = |base: &File| match files.get(&base.path) {
        Some(Want::File { bytes, .. }) => File::new(&base.path, bytes.clone()),
        _ => base.clone(),
    };
    let search = read(&File::absent(&bases.search_drop_in));
    let registries = Registries::parse(&read(&bases.registries_conf), &[search]).unwrap();
    let policy = Policy::parse(&read(&bases.policies[0])).unwrap();
    (registries, policy)
}

fn places(sources: Option<Vec<Source>>) -> Option<Vec<Place>> {
    let place = |source: Source| {
        let Source { reference, insecure, blocked, .. } = source;
        Place { reference, insecure, blocked }
    };
    Some(sources?.into_iter().map(place).collect())
}

/// What docs/limits.md says the files cannot express: a host whose name repeats the domain of a
/// wildcard, and a host of one letter that stands beside the wildcard above it.
fn is_expressible(meaning: &Meaning, reference: &Reference) -> bool {
    let host = reference.host();
    let scopes =
        || meaning.insecure.keys().chain(meaning.blocked.keys()).chain(meaning.sources.keys());
    let domain_stands_early = |domain: &str| {
        let text = reference.to_string();
        let name = host.split(':').next().unwrap();
        text.find(domain).is_some_and(|at| at + domain.len() != name.len())
    };
    let ties = |domain: &str| host.len() == domain.len() + 1 && host.ends_with(domain);
    scopes()
        .filter_map(|scope| scope.as_str().strip_prefix('*'))
        .all(|domain| !domain_stands_early(domain) && !ties(domain))
}

/// Whether the files cannot say what is meant, so that a case shows nothing. It is drawn again, and
/// counted: more than [`cases`] lets pass fail the test.
fn is_inexpressible(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.name == "NotExpressible")
}

/// As many cases as fit a quick run, or `PROPTEST_CASES`.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if is_set { default.cases } else { 3_000 };
    ProptestConfig { cases, failure_persistence: None, max_global_rejects: cases / 5, ..default }
}

proptest! {
    #![proptest_config(cases())]

    /// R3, R6: over an empty base the files say what is meant, no more and no less.
    #[test]
    fn r3_over_an_empty_base_files_mean_what_is_meant(config in config(), references in prop::collection::vec(reference(), 24)) {
        let (meaning, _) = Meaning::of(&config);
        let bases = bases("", render::policy::DEFAULT_POLICY);
        let rendered = render::render(&meaning, &bases);
        prop_assume!(!is_inexpressible(&rendered.findings));
        let (registries, policy) = engine(&rendered.files, &bases);
        for reference in references {
            let intent = meaning.pull(&reference);
            prop_assert_eq!(policy.decide("docker", &reference).allowed, intent.accepted, "{}", reference);
            if is_expressible(&meaning, &reference) {
                prop_assert_eq!(places(registries.sources(&reference).ok()), intent.places, "{}", reference);
            }
        }
    }

    /// R3: over any base nothing is accepted or contacted that the documents or the base refuse.
    #[test]
    fn r3_over_any_base_files_are_never_weaker(
        config in config(),
        base in host_base(),
        references in prop::collection::vec(reference(), 24),
    ) {
        let (meaning, _) = Meaning::of(&config);
        let bases = bases(&base.registries, &base.policy);
        let (before, policy_before) = engine(&FileSet::default(), &bases);
        let rendered = render::render(&meaning, &bases);
        prop_assume!(!is_inexpressible(&rendered.findings));
        prop_assert!(!rendered.findings.iter().any(|f| f.name == "EngineRefuses"), "{:?}", rendered.findings);
        let (after, policy_after) = engine(&rendered.files, &bases);
        let lookup = Lookup::of(&meaning);
        for reference in references {
            let intent = meaning.pull(&reference);
            let accepted = policy_after.decide("docker", &reference);
            prop_assert!(intent.accepted || !(accepted.allowed || accepted.signature_required), "accepts {}", reference);
            let base_decision = policy_before.decide("docker", &reference);
            let is_explicit = base_decision.level == image_config_agent::engine::Level::TransportScope;
            if is_explicit && !base_decision.allowed {
                prop_assert!(!accepted.allowed, "the base's scope {} is weakened for {}", base_decision.scope, reference);
            }
            if !is_expressible(&meaning, &reference) {
                continue;
            }
            for source in after.sources(&reference).unwrap_or_default() {
                let name = source.reference.name();
                prop_assert!(source.blocked || !lookup.said(name).is_blocked_place(), "contacts {}", source.reference);
                prop_assert!(source.blocked || !before.is_blocked(name), "contacts {} in spite of the base", source.reference);
            }
        }
    }

    /// R1: short names are looked for where the documents say; where they say nothing, in the host's
    /// own list.
    #[test]
    fn r1_short_names_are_searched_as_documents_or_host_say(
        config in config(),
        search in search_list(),
        base in host_base(),
    ) {
        let (meaning, _) = Meaning::of(&ClusterConfig { search: search.clone(), ..config });
        let bases = bases(&base.registries, &base.policy);
        let rendered = render::render(&meaning, &bases);
        prop_assume!(!is_inexpressible(&rendered.findings));
        let (registries, _) = engine(&rendered.files, &bases);
        let listed: Option<Vec<String>> =
            search.map(|list| list.iter().map(|entry| entry.scope.to_string()).collect());
        let expected = listed.unwrap_or_else(|| vec!["docker.io".to_owned()]);
        prop_assert_eq!(&registries.search().unwrap().registries, &expected);
    }

    /// R4: a drop-in that is not ours makes the files weaker only where a finding says so.
    #[test]
    fn r4_foreign_drop_ins_lift_nothing_unreported(
        config in config(),
        foreign in host_base(),
        references in prop::collection::vec(reference(), 24),
    ) {
        let (meaning, _) = Meaning::of(&config);
        let bases = bases("", render::policy::DEFAULT_POLICY);
        let rendered = render::render(&meaning, &bases);
        prop_assume!(!is_inexpressible(&rendered.findings));
        let ours = match rendered.files.get(&bases.registries_conf.path) {
            Some(Want::File { bytes, .. }) => File::new("/registries.conf", bytes.clone()),
            _ => File::absent("/registries.conf"),
        };
        let drop_in = [File::new("/registries.conf.d/99.conf", foreign.registries)];
        let Ok(all) = Registries::parse(&ours, &drop_in) else { return Ok(()) };
        let ours = Registries::parse(&ours, &[]).unwrap();
        let paths = ["/registries.conf", "/registries.conf.d/01.conf"].map(Path::new);
        let findings = overrides::drop_ins(&meaning, &ours, paths[0], paths[1], &[&drop_in[0]]);
        let is_reported = findings.iter().any(|finding| finding.name == "Overridden");
        let lookup = Lookup::of(&meaning);
        for reference in references.iter().filter(|one| is_expressible(&meaning, one)) {
            for source in all.sources(reference).unwrap_or_default() {
                let is_lifted = !source.blocked && lookup.said(source.reference.name()).is_blocked_place();
                prop_assert!(!is_lifted || is_reported, "contacts {} for {reference}", source.reference);
            }
        }
    }

    /// K3: where no drain is asked for, no image that was accepted loses anything; the few names
    /// that the plan probes stand for all others.
    #[test]
    fn k3_without_a_drain_nothing_is_lost(
        before in config(),
        after in config(),
        is_small_change in any::<bool>(),
        references in prop::collection::vec(reference(), 24),
    ) {
        let after = if is_small_change {
            ClusterConfig { mirrors: after.mirrors, ..before.clone() }
        } else {
            after
        };
        let view = |config: &ClusterConfig| {
            let bases = bases("", render::policy::DEFAULT_POLICY);
            let rendered = render::render(&Meaning::of(config).0, &bases);
            let (registries, policy) = engine(&rendered.files, &bases);
            View {
                registries: Ok(registries),
                unread: Vec::new(),
                policy: Ok(policy),
                certs: Vec::new(),
            }
        };
        let meanings = [&before, &after].map(|config| Meaning::of(config).0);
        let (before, after) = (view(&before), view(&after));
        if impact::impact(&before, &after, None).drain.needed {
            return Ok(());
        }
        let is_expressible = |one: &Reference| meanings.iter().all(|m| is_expressible(m, one));
        for reference in references.into_iter().filter(is_expressible) {
            let accepts = |view: &View| view.policy.as_ref().unwrap().decide("docker", &reference).allowed;
            if !accepts(&before) {
                continue;
            }
            prop_assert!(accepts(&after), "{reference} is refused");
            // That a digest mirror makes no name of an image counts for nothing.
            let is_nameable = after.registries.as_ref().unwrap().sources(&reference).is_ok();
            if reference.digest().is_some() && !is_nameable {
                continue;
            }
            let places = |view: &View| {
                let sources = view.registries.as_ref().unwrap().sources(&reference).unwrap_or_default();
                let asked = sources.into_iter().filter(|source| !source.blocked);
                asked.map(|source| (source.reference, source.insecure)).collect::<Vec<_>>()
            };
            let (old, new) = (places(&before), places(&after));
            let kept: Vec<_> = new.iter().filter(|place| old.contains(place)).cloned().collect();
            let once = |places: &[(Reference, bool)]| {
                let mut seen = Vec::new();
                places.iter().filter(|p| !seen.contains(p) && { seen.push(*p); true }).cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(once(&kept), once(&old), "places of {}", reference);
        }
    }

    /// R8: the order of documents does not matter, and rendering twice gives the same bytes.
    #[test]
    fn r8_the_order_of_the_documents_does_not_matter(config in config(), base in host_base()) {
        let mut other = config.clone();
        other.mirrors.reverse();
        other.blocked.reverse();
        other.insecure.reverse();
        if let Some(allowed) = &mut other.allowed {
            allowed.reverse();
        }
        let bases = bases(&base.registries, &base.policy);
        let files = |config| render::render(&Meaning::of(config).0, &bases).files;
        prop_assert_eq!(files(&config), files(&other));
    }
}
