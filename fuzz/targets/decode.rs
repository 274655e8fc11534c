//! Whatever the bytes of a document, there are findings and no panic, up to what is meant.

#![no_main]

use image_config_agent::decode::{Context, SourceFile, decode};
use image_config_agent::model::advice::advise;
use image_config_agent::model::{Digests, Meaning};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A zero byte, which no document may hold, parts one file from the next.
    let file = |bytes: &[u8]| SourceFile { name: "file".to_owned(), bytes: bytes.to_vec() };
    let files: Vec<SourceFile> = bytes.split(|byte| *byte == 0).map(file).collect();
    let decoded = decode(&files, &Context::default());
    let (meaning, _) = Meaning::of(&decoded.config);
    for finding in decoded.findings.into_iter().chain(advise(&decoded.config, &meaning, None)) {
        assert!(!finding.why.is_empty() && !finding.fix.is_empty(), "{finding}");
    }
    let _ = Digests::of(&decoded.config);
});
