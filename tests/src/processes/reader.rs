//! Asking a control plane, as an operator's tool does.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;
use wavegate::client::{ApiClient, Connection, Security};
use wavegate_proto::wire::operator::{EventItem, RolloutDocument};

/// A client that blocks.
pub struct Reader {
    runtime: Runtime,
    client: ApiClient,
}

impl Reader {
    /// Reads at the status listener.
    pub fn new(status_url: &str) -> Self {
        Self::with(status_url, Security::Plain)
    }

    /// Reads at `url`.
    pub fn with(url: &str, security: Security) -> Self {
        // A thread of its own, which sees that an idle connection was closed before that is asked on it again.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let client = ApiClient::new(&Connection { url: url.parse().unwrap(), security }).unwrap();
        Self { runtime, client }
    }

    /// The text at `path`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn text(&self, path: &str) -> Result<String, String> {
        let bytes = self.runtime.block_on(self.client.get_bytes(path, &[]));
        Ok(String::from_utf8(bytes.map_err(|error| error.to_string())?.to_vec()).unwrap())
    }

    /// The document at `path`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        self.runtime.block_on(self.client.get(path, &[])).map_err(|error| error.to_string())
    }

    /// Every item of the list at `path`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn all(&self, path: &str) -> Result<Vec<Value>, String> {
        self.runtime.block_on(self.client.get_all(path, &[])).map_err(|error| error.to_string())
    }

    /// A rollout.
    ///
    /// # Errors
    /// Why there is none.
    pub fn rollout(&self, id: &str) -> Result<RolloutDocument, String> {
        self.get(&format!("/v1/rollouts/{id}"))
    }

    /// The whole log.
    ///
    /// # Errors
    /// Why there is none.
    pub fn log(&self) -> Result<Vec<EventItem>, String> {
        let rows = self.all("/v1/events")?;
        serde_json::from_value(Value::Array(rows)).map_err(|error| error.to_string())
    }

    /// The body of `GET path` whatever its status, and the status.
    ///
    /// # Errors
    /// Why there is none.
    pub fn answer(status_url: &str, path: &str) -> Result<(u16, Value), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build();
            let said = |error: reqwest::Error| error.to_string();
            let answer = client.map_err(said)?.get(format!("{status_url}{path}")).send().await;
            let answer = answer.map_err(said)?;
            Ok((answer.status().as_u16(), answer.json().await.map_err(said)?))
        })
    }
}
