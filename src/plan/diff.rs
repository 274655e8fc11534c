//! What changes, line by line.

use std::path::Path;

use similar::TextDiff;

/// A unified diff of one file; an absent file counts as empty. What is not UTF-8 is shown with
/// replacement characters.
#[must_use]
pub fn unified(path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let name = |side: &str, bytes: Option<&[u8]>| match bytes {
        Some(_) => format!("{side}{}", path.display()),
        None => "/dev/null".to_owned(),
    };
    let (old, new) = (text(before), text(after));
    TextDiff::from_lines(&old, &new)
        .unified_diff()
        .header(&name("a", before), &name("b", after))
        .to_string()
}
