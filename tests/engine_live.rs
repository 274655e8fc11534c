//! The engine gives the answers of the real library, on files that nobody has written yet.
//!
//! Not part of a plain `cargo test`; tests/peers/README.md says how to run it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod engine;

use engine::answer::Engine;
use engine::host::Host;
use engine::oracle::{Oracle, Question};
use engine::{corpus, generate, mutate, reduce};
use fastrand::Rng;

const BATCH: usize = 200;
const REFERENCES_A_HOST: usize = 12;

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name);
    value.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Half of the hosts are made up, half are those of the corpora; half of them are then tampered with.
fn question(rng: &mut Rng, known: &[Host]) -> Question {
    let mut host =
        if rng.bool() { generate::host(rng) } else { known[rng.usize(..known.len())].clone() };
    if rng.bool() {
        let mut files = reduce::files(&mut host);
        if !files.is_empty() {
            let file = rng.usize(..files.len());
            mutate::mutate(rng, files[file]);
        }
    }
    let references = generate::references(rng, &host, REFERENCES_A_HOST);
    Question { host, references }
}

#[test]
fn the_library_gives_the_same_answers() {
    let seed = setting("SEED", fastrand::u64(..));
    let cases = usize::try_from(setting("CASES", 2_000)).unwrap();
    println!("SEED={seed} CASES={cases}");
    let mut rng = Rng::with_seed(seed);
    let mut oracle = Oracle::start();
    let known: Vec<Host> = corpus("engine.jsonl.gz").map(|line| Host::from_line(&line)).collect();
    let (mut compared, mut ambiguous, mut registries, mut policies) = (0, 0, 0, 0);
    for _ in 0..cases.div_ceil(BATCH) {
        let questions: Vec<_> = (0..BATCH).map(|_| question(&mut rng, &known)).collect();
        for (question, answer) in questions.iter().zip(oracle.ask_all(&questions)) {
            let engine = Engine::new(&question.host);
            if engine.is_ambiguous() {
                ambiguous += 1;
                continue;
            }
            if engine.difference(&answer).is_some() {
                report(question, &mut oracle, seed);
            }
            compared += question.references.len();
            registries += usize::from(engine.registries.is_ok());
            policies += usize::from(engine.policy.is_ok());
        }
    }
    println!("{compared} references compared on {cases} hosts, {ambiguous} of them ambiguous");
    println!("readable: the registries of {registries}, the policy of {policies}");
    assert!(compared >= cases * REFERENCES_A_HOST * 9 / 10, "too few references: {compared}");
    assert!(registries.min(policies) >= cases / 3, "too few files that can be read");
}

/// Shows the smallest host and reference on which the answers still differ.
fn report(question: &Question, oracle: &mut Oracle, seed: u64) -> ! {
    let mut difference = |question: &Question| {
        let engine = Engine::new(&question.host);
        let answer = oracle.ask(question);
        if engine.is_ambiguous() { None } else { engine.difference(&answer) }
    };
    let smallest = reduce::reduce(question.clone(), |question| difference(question).is_some());
    let text = difference(&smallest).unwrap_or_else(|| "not each time".to_owned());
    panic!("SEED={seed}: {text}\n{}", smallest.line());
}
