//! Every decoder of bytes from outside, with inputs that were right before they were damaged: none panics,
//! none takes memory out of proportion. A fixed count from a fixed seed in every run; more with
//! `cargo xtask fuzz --runs N`.
//!
//! Not here: what the decoders refuse for which reason (see the tests of each).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "test code")]

mod damage;
mod decoders;
mod joining;
mod signed;

use std::panic::{AssertUnwindSafe, catch_unwind};

use damage::Damage;
use decoders::{DECODERS, Decoder};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Inputs for each decoder when `WAVEGATE_FUZZ_RUNS` does not say.
const RUNS: u64 = 1500;

/// What a decoder may take beside what its input is worth: the files that stand beside it, the parser's own.
const FREE_BYTES: usize = 4 * 1024 * 1024;

/// What each byte of input may cost: `[[],[],…` becomes an array of arrays.
const BYTES_PER_BYTE: usize = 200;

fn runs() -> u64 {
    std::env::var("WAVEGATE_FUZZ_RUNS").map_or(RUNS, |text| text.parse().unwrap())
}

/// What became of one decoder's inputs.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    refused: u64,
}

fn fuzz(decoder: &Decoder, runs: u64) -> Tally {
    let seeds = (decoder.seeds)();
    assert!(!seeds.is_empty(), "{}: no seeds", decoder.name);
    let mut tally = Tally::default();
    for (number, seed) in seeds.iter().enumerate() {
        assert!(decode(decoder, seed), "{}: seed {number} is refused", decoder.name);
    }
    let mut damage = Damage::with_seed(decoder.name);
    for _ in 0..runs {
        if decode(decoder, &damage.of(&seeds)) {
            tally.accepted += 1;
        } else {
            tally.refused += 1;
        }
    }
    tally
}

fn decode(decoder: &Decoder, input: &[u8]) -> bool {
    let told = || format!("{}: {}", decoder.name, input.escape_ascii());
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let accepted = catch_unwind(AssertUnwindSafe(|| (decoder.decode)(input)));
    let took = MEMORY.peak_usage().saturating_sub(before);
    let Ok(accepted) = accepted else { panic!("it panics: {}", told()) };
    let allowed = FREE_BYTES + BYTES_PER_BYTE * input.len();
    assert!(took <= allowed, "{took} bytes for {} bytes of input: {}", input.len(), told());
    accepted
}

/// R4: no panic and bounded memory, for each of them. One test: memory is counted for the whole process.
#[test]
fn r4_no_decoder_panics_or_takes_memory_without_bound() {
    for decoder in DECODERS {
        let tally = fuzz(decoder, runs());
        println!(
            "{:<16} accepted {:>6}, refused {:>6}",
            decoder.name, tally.accepted, tally.refused
        );
        // Damage that is never noticed, or always, would not reach what lies behind the first check.
        assert!(tally.refused > 0, "{}: everything is accepted", decoder.name);
    }
    deep_and_long_inputs_are_refused();
}

/// What no small change makes: nesting, numbers and names without end.
fn deep_and_long_inputs_are_refused() {
    let deep = |open: &str, close: &str, n: usize| [open.repeat(n), close.repeat(n)].concat();
    let inputs = [
        deep("[", "]", 100_000),
        "[".repeat(200_000),
        deep("{\"a\":", "}", 100_000),
        format!("{{\"serial\":{}}}", "9".repeat(100_000)),
        format!("{{\"{}\":1}}", "k".repeat(100_000)),
        format!("x = {}", deep("[", "]", 10_000)),
        format!("[{}]", "a.".repeat(10_000)),
        "\u{0}".repeat(100_000),
        String::new(),
    ];
    for decoder in DECODERS {
        for input in &inputs {
            decode(decoder, input.as_bytes());
        }
    }
}
