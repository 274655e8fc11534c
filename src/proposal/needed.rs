//! What a host cannot live without (rule H8), as far as it can be known without the API: pods
//! that only the API knows come with it.

use crate::decode::{PodImages, SourceFile, pod_images};
use crate::engine::{Content, File};
use crate::host::Snapshot;
use crate::model::config::ClusterConfig;
use crate::model::{Finding, Origin, Severity};
use crate::plan::guard::Needed;
use crate::settings::Settings;

/// The images that are needed, and what kept others from being known.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) images: Vec<Needed>,
    pub(super) findings: Vec<Finding>,
}

impl Needs {
    /// What settings, documents, CRI-O's settings and static pods need.
    pub(super) fn of(
        settings: &Settings,
        config: &ClusterConfig,
        snapshot: &Snapshot,
        static_pods: Vec<File>,
    ) -> Self {
        let mut needs = Self::default();
        needs.add(settings.agent_image.as_ref(), "agent_image of the settings");
        needs.add(&settings.guard_images, "guard_images of the settings");
        needs.add(snapshot.crio.pause_image.as_ref(), "pause_image of crio.conf");
        if let Some((image, origin)) = &config.release {
            needs.add([&image.to_string()], &format!("the release payload ({origin})"));
        }
        for file in static_pods {
            needs.static_pod(file);
        }
        needs
    }

    fn add<'i>(&mut self, images: impl IntoIterator<Item = &'i String>, by: &str) {
        let needed = |image: &String| Needed { image: image.clone(), by: by.to_owned() };
        self.images.extend(images.into_iter().map(needed));
    }

    /// All static pods count, whatever their priority class: the kubelet runs them without a
    /// scheduler, and nobody else would pull their images again.
    fn static_pod(&mut self, file: File) {
        let name = file.path.display().to_string();
        let PodImages { images, problem } = match file.content {
            Content::Absent => return,
            Content::Unreadable(why) => PodImages { images: Vec::new(), problem: Some(why) },
            Content::Bytes(bytes) => pod_images(&SourceFile { name: name.clone(), bytes }),
        };
        self.add(&images, &format!("static pod {name}"));
        self.findings.extend(problem.map(|problem| unreadable(name, &problem)));
    }
}

fn unreadable(file: String, problem: &str) -> Finding {
    Finding::new(
        Severity::Warning,
        "StaticPodUnreadable",
        Origin::object(file),
        format!("the guard does not know which images this static pod needs: {problem}."),
        "Mend the file or take it away; list what it needs in guard_images.",
    )
}
