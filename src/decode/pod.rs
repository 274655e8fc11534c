//! Pods, as far as their images go.

use super::document::{SourceFile, documents};
use super::value::Value;
use crate::model::Findings;

/// The images that the pods in a file need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodImages {
    /// Of containers of every kind and of volumes, as they are written.
    pub images: Vec<String>,
    /// Why there may be more of them.
    pub problem: Option<String>,
}

/// The images of all pods in `file`.
#[must_use]
pub fn pod_images(file: &SourceFile) -> PodImages {
    let mut findings = Findings::default();
    let documents = documents(file, &mut findings);
    let mut found = PodImages {
        images: Vec::new(),
        problem: findings.into_vec().first().map(|f| f.why.trim_end_matches('.').to_owned()),
    };
    let mut pods = documents.iter().filter(|document| document.kind == "Pod").peekable();
    if pods.peek().is_none() {
        found.problem.get_or_insert_with(|| "there is no Pod in it".to_owned());
    }
    for pod in pods {
        found.take(&pod.value, pod.object());
    }
    found
}

impl PodImages {
    fn take(&mut self, pod: &Value<'_>, name: &str) {
        let list = |field: &[&str]| pod.at(field).and_then(Value::as_array).into_iter().flatten();
        let containers = ["initContainers", "containers", "ephemeralContainers"];
        let containers: Vec<&Value> =
            containers.into_iter().flat_map(|kind| list(&["spec", kind])).collect();
        let image = |value: Option<&Value>| Some(value?.as_str()?.to_owned());
        let images: Vec<String> =
            containers.iter().filter_map(|container| image(container.at(&["image"]))).collect();
        if images.is_empty() || images.len() < containers.len() {
            let problem = || format!("a container of {name} has no image that can be read");
            self.problem.get_or_insert_with(problem);
        }
        self.images.extend(images);
        self.images.extend(
            list(&["spec", "volumes"])
                .filter_map(|volume| image(volume.at(&["image", "reference"]))),
        );
    }
}
