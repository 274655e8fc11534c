//! Small changes to a file, such as slips of a hand, an editor or a disk.

use fastrand::Rng;

use super::generate::{one_in, pick, word};

/// Tokens that matter to TOML or JSON, and bytes that neither expects.
const TOKENS: &str = "[ ] [[ ]] { } = : , . \" ' \"\"\" ''' \\ # / * *. @ - _ + 0 1 true false null e \
    \\u0041 \\ud800 \\x41 registry location prefix mirror blocked insecure aliases type reject \
    insecureAcceptAnything default transports docker 1979-05-27 0x inf";
/// White space and controls, some of which only look like white space.
const SPACES: &[&str] = &[
    "\n", "\r\n", "\r", " ", "\t", "\0", "\u{7f}", "\u{b}", "\u{85}", "\u{a0}", "\u{feff}",
    "\u{2028}",
];
const BYTES: &[&[u8]] = &[b"\xff", b"\xff\xfe", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\x00"];

/// Changes a file in one to three places.
pub fn mutate(rng: &mut Rng, file: &mut Vec<u8>) {
    for _ in 0..=rng.usize(..3) {
        match rng.usize(..4) {
            0 => mutate_bytes(rng, file),
            1 => mutate_lines(rng, file),
            _ => mutate_tokens(rng, file),
        }
    }
}

fn mutate_bytes(rng: &mut Rng, file: &mut Vec<u8>) {
    let at = rng.usize(..=file.len());
    match rng.usize(..5) {
        0 => file.truncate(at),
        1 if at < file.len() => file[at] ^= 1 << rng.u8(..8),
        2 if at < file.len() => drop(file.remove(at)),
        3 => insert(file, at, pick(rng, BYTES)),
        _ => insert(file, at, &[rng.u8(b' '..127)]),
    }
}

fn mutate_lines(rng: &mut Rng, file: &mut Vec<u8>) {
    let mut lines: Vec<&[u8]> = file.split_inclusive(|b| *b == b'\n').collect();
    if lines.is_empty() {
        return;
    }
    let (one, other) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
    match rng.usize(..4) {
        0 => drop(lines.remove(one)),
        1 => lines.swap(one, other),
        2 => lines.insert(other, lines[one]),
        _ => lines[one] = lines[other],
    }
    *file = lines.concat();
}

fn mutate_tokens(rng: &mut Rng, file: &mut Vec<u8>) {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b >= 0x80;
    let mut tokens: Vec<Vec<u8>> =
        file.chunk_by(|a, b| is_word(a) && is_word(b)).map(<[u8]>::to_vec).collect();
    if tokens.is_empty() {
        return;
    }
    let (one, other) = (rng.usize(..tokens.len()), rng.usize(..tokens.len()));
    let token = if one_in(rng, 4) { pick(rng, SPACES) } else { word(rng, TOKENS) };
    let token = token.as_bytes().to_vec();
    match rng.usize(..6) {
        0 => drop(tokens.remove(one)),
        1 => tokens[one] = tokens[other].clone(),
        2 => tokens.swap(one, other),
        3 => tokens[one] = token,
        4 => tokens.insert(one, token),
        _ => tokens[one].iter_mut().for_each(u8::make_ascii_uppercase),
    }
    *file = tokens.concat();
}

fn insert(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    file.splice(at..at, bytes.iter().copied());
}
