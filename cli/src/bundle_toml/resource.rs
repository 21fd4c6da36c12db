//! One resource of a bundle file: the keys of the wire, with `source` read and the gate's
//! durations as text.
//!
//! Not here: what a kind does on a host (the agent).

use std::path::{Component, Path};

use serde_json::{Map, Value};
use wavegate_proto::artifact::bundle::{MAX_INLINE_CONTENT_BYTES, Resource, ResourceSpec};
use wavegate_proto::ids::BlobId;

use super::secrets::{self, SecretsPolicy};
use crate::fleet_toml::ReadFile;
use crate::fleet_toml::check::{duration_key, read_gate};

/// A resource, with the asset it names when it names one.
pub(super) struct Written {
    pub(super) resource: Resource,
    pub(super) asset: Option<Vec<u8>>,
}

/// Reads one resource; the error is a sentence without the place.
pub(super) fn read(
    mut keys: Map<String, Value>,
    folder: &Path,
    secrets: SecretsPolicy,
    read: ReadFile<'_>,
) -> Result<Written, String> {
    for key in ["asset", "size"] {
        if keys.contains_key(key) {
            return Err(format!("unknown field `{key}`, expected `source`"));
        }
    }
    if let Some(gate) = keys.remove("health_gate") {
        let Value::Object(gate) = gate else { return Err("health_gate: expected keys".to_owned()) };
        let gate = read_gate(gate).map_err(|error| format!("health_gate: {error}"))?;
        keys.insert("health_gate".to_owned(), to_value(&gate)?);
    }
    if keys.get("kind").and_then(Value::as_str) == Some("shell-job") && keys.contains_key("timeout")
    {
        duration_key(&mut keys, "timeout")?;
    }
    let asset = match content_of(&mut keys, folder, read)? {
        Some(content) => place_content(&mut keys, content, secrets)?,
        None => None,
    };
    if secrets.refuses(Value::Object(keys.clone()).to_string().as_bytes()) {
        return Err(secrets::REFUSED.to_owned());
    }
    let resource: Resource = serde_json::from_value(Value::Object(keys))
        .map_err(|error| error.to_string().replace("missing field", "missing key"))?;
    if let ResourceSpec::Unknown { kind, reason, .. } = &resource.spec {
        if ResourceSpec::KINDS.contains(&kind.as_str()) {
            return Err(reason.replace("missing field", "missing key"));
        }
        let known = ResourceSpec::KINDS.map(|kind| format!("`{kind}`")).join(", ");
        return Err(format!("unknown variant `{kind}`, expected one of {known}"));
    }
    Ok(Written { resource, asset })
}

/// Takes `content` or `source` out of the keys; `None` when neither is there.
fn content_of(
    keys: &mut Map<String, Value>,
    folder: &Path,
    read: ReadFile<'_>,
) -> Result<Option<Vec<u8>>, String> {
    let Some(source) = keys.remove("source") else {
        let Some(Value::String(content)) = keys.get("content") else { return Ok(None) };
        let content = content.clone().into_bytes();
        keys.remove("content");
        return Ok(Some(content));
    };
    if keys.contains_key("content") {
        return Err("give either `content` or `source`".to_owned());
    }
    let Some(source) = source.as_str() else { return Err("source: expected a path".to_owned()) };
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if source.is_empty() || !Path::new(source).components().all(inside) {
        return Err(format!("source {source:?} must be a path beside or below this file"));
    }
    let content = read(&folder.join(source))
        .map_err(|error| format!("source {source:?} cannot be read: {error}"))?;
    Ok(Some(content))
}

/// Puts content into the document, or names it as an asset when it is large or no text.
fn place_content(
    keys: &mut Map<String, Value>,
    content: Vec<u8>,
    secrets: SecretsPolicy,
) -> Result<Option<Vec<u8>>, String> {
    if secrets.refuses(&content) {
        return Err(secrets::REFUSED.to_owned());
    }
    let text = match String::from_utf8(content) {
        Ok(text) if text.len() <= MAX_INLINE_CONTENT_BYTES => {
            keys.insert("content".to_owned(), Value::String(text));
            return Ok(None);
        }
        Ok(text) => text.into_bytes(),
        Err(no_text) => no_text.into_bytes(),
    };
    keys.insert("asset".to_owned(), to_value(&BlobId::of(&text))?);
    keys.insert("size".to_owned(), Value::from(text.len()));
    Ok(Some(text))
}

fn to_value<T: serde::Serialize>(value: &T) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}
