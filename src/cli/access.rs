//! The way to a cluster that kubectl would take.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::Args;
use image_config_agent::cluster::{Cluster, ClusterError, client_of};
use kube::Client;
use kube::config::Kubeconfig;

/// Which cluster, and who asks.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Credentials for the cluster; else those of $KUBECONFIG, ~/.kube/config, or the pod's own
    #[arg(long, global = true, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// The context of these credentials to go by; else the current one
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
}

impl ClusterArgs {
    pub async fn client(&self) -> anyhow::Result<Client> {
        let files = match &self.kubeconfig {
            Some(path) => vec![path.clone()],
            None => usual(std::env::var_os("KUBECONFIG"), std::env::var_os("HOME"))?,
        };
        let client = match joined(&files)? {
            Some(kubeconfig) => client_of(kubeconfig, self.context.clone()).await,
            None if self.context.is_some() => bail!("no kubeconfig has the context of --context"),
            None => Cluster::new(None).client().await,
        };
        client.map_err(|error| match error {
            ClusterError::NoAccess(why) => anyhow!(
                "there are no credentials for the cluster's API: {why}; they come from --kubeconfig, else from \
                 $KUBECONFIG, ~/.kube/config or the service account of the pod"
            ),
            other => other.into(),
        })
    }
}

/// The files that kubectl takes: those of `$KUBECONFIG` that exist, or the one in the home directory.
fn usual(named: Option<OsString>, home: Option<OsString>) -> anyhow::Result<Vec<PathBuf>> {
    let named = named.filter(|named| !named.is_empty());
    let Some(named) = named else {
        let file = home.map(|home| Path::new(&home).join(".kube/config"));
        return Ok(file.filter(|path| path.exists()).into_iter().collect());
    };
    let is_named = |path: &PathBuf| !path.as_os_str().is_empty();
    let files: Vec<_> = std::env::split_paths(&named).filter(is_named).collect();
    let there: Vec<_> = files.iter().filter(|path| path.exists()).cloned().collect();
    if there.is_empty() {
        bail!("no file of $KUBECONFIG exists: {}", named.display());
    }
    Ok(there)
}

/// All of them as one: the first that says something counts.
fn joined(files: &[PathBuf]) -> anyhow::Result<Option<Kubeconfig>> {
    let mut all: Option<Kubeconfig> = None;
    for path in files {
        let next = Kubeconfig::read_from(path);
        let next = next.and_then(|next| match all.take() {
            Some(before) => before.merge(next),
            None => Ok(next),
        });
        let next =
            next.map_err(|error| anyhow!("kubeconfig {} cannot be used: {error}", path.display()));
        all = Some(next?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_the_kubeconfig_is_that_of_kubectl() {
        let dir = tempfile::TempDir::new().unwrap();
        let [first, second, missing] = ["first", "second", "missing"].map(|n| dir.path().join(n));
        std::fs::write(&first, r#"{"contexts": [{"name": "a"}], "current-context": "a"}"#).unwrap();
        std::fs::write(
            &second,
            r#"{"contexts": [{"name": "a"}, {"name": "b"}], "current-context": "b"}"#,
        )
        .unwrap();
        let list = std::env::join_paths([&first, Path::new(""), &missing, &second]).unwrap();
        let files = usual(Some(list), None).unwrap();
        assert_eq!(files, [first.clone(), second.clone()]);
        let all = joined(&files).unwrap().unwrap();
        let names: Vec<_> = all.contexts.iter().map(|context| context.name.as_str()).collect();
        assert_eq!((names, all.current_context.as_deref()), (vec!["a", "b"], Some("a")));
        let none = usual(Some(missing.into_os_string()), None).unwrap_err();
        assert!(none.to_string().contains("$KUBECONFIG"), "{none}");
        assert!(joined(&usual(Some("".into()), None).unwrap()).unwrap().is_none());
        std::fs::write(&second, "{").unwrap();
        let wrong = joined(&[first, second.clone()]).unwrap_err().to_string();
        assert!(wrong.contains(second.to_str().unwrap()), "{wrong}");
    }
}
