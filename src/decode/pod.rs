//! Pods, as far as their images go.

use super::document::{SourceFile, documents};
use super::value::Value;

/// The images of all containers of the pods in `file`; none where it cannot be read.
#[must_use]
pub fn pod_images(file: &SourceFile) -> Vec<String> {
    let documents = documents(file, &mut Vec::new());
    let pods = documents.iter().filter(|document| document.kind == "Pod");
    pods.flat_map(|pod| images(&pod.value)).collect()
}

fn images(pod: &Value<'_>) -> Vec<String> {
    let lists = ["initContainers", "containers"];
    let containers = lists.iter().filter_map(|list| pod.at(&["spec", list])?.as_array()).flatten();
    containers
        .filter_map(|container| Some(container.at(&["image"])?.as_str()?.to_owned()))
        .collect()
}
