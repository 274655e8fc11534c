//! The API server as one user meets it.

use std::future::Future;

use hyper::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// A client with somebody's credentials.
pub struct Api {
    runtime: Runtime,
    client: Client,
}

/// Why a request was refused.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status; 0 where there was no answer.
    pub code: u16,
    pub message: String,
}

impl Api {
    /// The client that a kubeconfig describes.
    pub fn new(kubeconfig: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
            // A refusal is an answer, also one that may pass.
            config.default_retry = false;
            Client::try_from(config).unwrap()
        });
        Self { runtime, client }
    }

    /// For library code that takes a client; it runs in [`Api::block_on`].
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// One request: what the server answers, or how it refuses.
    pub fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Refused> {
        // A merge patch; whatever else there is sends JSON.
        let content = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request =
            Request::builder().method(method).uri(path).header("content-type", content).body(body);
        let answer = self.block_on(self.client.request_text(request.unwrap()));
        match answer {
            Ok(text) => Ok(serde_json::from_str(&text).unwrap_or(Value::String(text))),
            Err(kube::Error::Api(status)) => {
                Err(Refused { code: status.code, message: status.message.clone() })
            }
            Err(error) => Err(Refused { code: 0, message: error.to_string() }),
        }
    }

    /// An object, if there is one.
    #[track_caller]
    pub fn find(&self, path: &str) -> Option<Value> {
        match self.ask(Method::GET, path, None) {
            Ok(object) => Some(object),
            Err(refused) if refused.code == 404 => None,
            Err(refused) => panic!("{path}: {refused:?}"),
        }
    }

    /// An object that must be there.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    /// The objects of a list.
    #[track_caller]
    pub fn list(&self, path: &str) -> Vec<Value> {
        self.get(path)["items"].as_array().unwrap().clone()
    }

    /// Creates an object below the path of its kind.
    #[track_caller]
    pub fn create(&self, path: &str, object: &Value) -> Value {
        self.ask(Method::POST, path, Some(object))
            .unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    /// Puts an object in place of another.
    #[track_caller]
    pub fn replace(&self, path: &str, object: &Value) -> Value {
        self.ask(Method::PUT, path, Some(object))
            .unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    /// Merges a patch into an object, or into its status where the path says so.
    #[track_caller]
    pub fn patch(&self, path: &str, patch: &Value) -> Value {
        self.ask(Method::PATCH, path, Some(patch))
            .unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    /// Deletes an object; it may be gone already.
    #[track_caller]
    pub fn delete(&self, path: &str) {
        match self.ask(Method::DELETE, path, None) {
            Ok(_) => {}
            Err(refused) => assert_eq!(refused.code, 404, "{path}: {refused:?}"),
        }
    }
}
