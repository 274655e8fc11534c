//! Pods, as far as their images go.

use serde_json::Value;

use super::document::{SourceFile, documents};

/// The images of all containers of the pods in `file`; none where it cannot be read.
#[must_use]
pub fn pod_images(file: &SourceFile) -> Vec<String> {
    let pods =
        documents(file, &mut Vec::new()).into_iter().filter(|document| document.kind == "Pod");
    pods.flat_map(|pod| images(&pod.value)).collect()
}

fn images(pod: &Value) -> Vec<String> {
    let lists = ["/spec/initContainers", "/spec/containers"];
    let containers = lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    containers.filter_map(|container| Some(container.get("image")?.as_str()?.to_owned())).collect()
}
