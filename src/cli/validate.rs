//! `validate`: all that is wrong with documents, without a host.

use clap::Args;
use image_config_agent::model::finding::any_error;
use image_config_agent::proposal::Documents;
use serde_json::json;

use super::{Exit, ReportArgs, output};

/// Judges documents.
#[derive(Debug, Args)]
#[command(after_help = "Example: image-config-agent validate -f cluster.yaml -o json")]
pub struct Validate {
    #[command(flatten)]
    args: ReportArgs,
}

impl Validate {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (_, settings) = self.args.host.open()?;
        let documents = Documents::read(&self.args.input.input(), &settings, None);
        let is_valid = !any_error(&documents.findings);
        if self.args.format.is_json() {
            output::json(&report(&documents, is_valid))?;
        } else {
            output::findings(&documents.findings);
            if is_valid {
                output::print(&format!("valid: {}\n", documents.digests.configuration))?;
            }
        }
        Ok(if is_valid { Exit::Yes } else { Exit::Error })
    }
}

fn report(documents: &Documents, is_valid: bool) -> serde_json::Value {
    let config = &documents.config;
    let internal = config.internal_registry.as_ref();
    let external: Vec<_> = config
        .external_registries
        .iter()
        .enumerate()
        .map(|(index, host)| json!({"hostname": host, "publicDockerImageRepository": index == 0}))
        .collect();
    json!({
        "valid": is_valid,
        "digest": documents.digest(),
        "internalRegistry": internal.map(|(host, origin)| json!({"hostname": host, "from": origin})),
        "externalRegistries": external,
        "imageStreamImportMode": config.import_mode,
        "findings": documents.findings,
    })
}
