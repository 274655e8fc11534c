//! What the fuzz targets share.

use image_config_agent::engine::pull_reference;
use image_config_agent::model::Reference;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Images at and below each of `names`, as far as they are names: by tag and by digest.
pub fn images<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Reference> {
    let mut images = Vec::new();
    for name in names {
        let name = name.replacen('*', "a.b", 1);
        for text in [
            name.clone(),
            format!("{name}/x"),
            format!("{name}/x/y:v1"),
            format!("{name}/x@{DIGEST}"),
        ] {
            images.extend(pull_reference(&text));
        }
    }
    images
}
