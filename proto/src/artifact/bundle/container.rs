//! `kind = "container"`: a container of the host's Docker or Podman.
//!
//! Not here: talking to the engine (the agent).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::Sha256Hash;

/// The longest name of a container, and of a named volume.
const MAX_NAME_BYTES: usize = 128;

/// The most arguments, variables, mounts or ports of a container.
const MAX_ITEMS: usize = 1024;

/// The least memory a container may be limited to: engines refuse less.
const MIN_MEMORY_BYTES: u64 = 6 * 1024 * 1024;

/// When the image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// When the engine does not have it.
    #[default]
    Missing,
    /// Never: somebody else puts it there.
    Never,
}

/// When the engine starts a container again that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    No,
    /// When it ended with another exit code than 0.
    OnFailure,
    /// Whenever it ended.
    #[default]
    Always,
}

/// The protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// Something of the host, or a named volume, that is seen in the container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerMount {
    /// An absolute path of the host, or the name of a volume.
    pub source: String,
    /// Where it is seen.
    pub target: String,
    /// Whether the container may only read it.
    #[serde(default)]
    pub read_only: bool,
}

/// A port of the host that leads into the container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerPort {
    /// The host's port.
    pub host: u16,
    /// The container's port.
    pub container: u16,
    /// The protocol.
    #[serde(default)]
    pub protocol: PortProtocol,
}

/// `kind = "container"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "ContainerKeys", into = "ContainerKeys")]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// The image by its digest, `repo@sha256:…`.
    pub image: String,
    /// When the image is fetched.
    pub pull: PullPolicy,
    /// The command; the image's own when empty.
    pub command: Vec<String>,
    /// Its environment, beside the image's own.
    pub env: BTreeMap<String, String>,
    /// What of the host it sees.
    pub mounts: Vec<ContainerMount>,
    /// Ports of the host that lead into it.
    pub ports: Vec<ContainerPort>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// How much memory it may use.
    pub memory_bytes: Option<u64>,
    /// How many processors it may use, in thousandths; written as `"1.5"`.
    pub milli_cpus: Option<u32>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContainerKeys {
    name: String,
    image: String,
    #[serde(default)]
    pull: PullPolicy,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    mounts: Vec<ContainerMount>,
    #[serde(default)]
    ports: Vec<ContainerPort>,
    #[serde(default)]
    restart: RestartPolicy,
    #[serde(default)]
    memory_bytes: Option<u64>,
    #[serde(default)]
    cpus: Option<String>,
}

impl TryFrom<ContainerKeys> for ContainerSpec {
    type Error = String;

    fn try_from(keys: ContainerKeys) -> Result<Self, String> {
        let ContainerKeys { name, image, pull, command, env, mounts, ports, .. } = keys;
        if !is_name(&name) {
            return Err(format!("name {name:?} must match [A-Za-z0-9][A-Za-z0-9_.-]*"));
        }
        check_image(&image)?;
        if [command.len(), env.len(), mounts.len(), ports.len()].iter().any(|n| *n > MAX_ITEMS) {
            return Err(format!("more than {MAX_ITEMS} of something"));
        }
        if let Some(bad) = env.keys().find(|key| key.is_empty() || key.contains(['=', '\0'])) {
            return Err(format!("env {bad:?} is no name of a variable"));
        }
        if command.iter().chain(env.values()).any(|text| text.contains('\0')) {
            return Err("command and env hold no zero bytes".to_owned());
        }
        check_mounts(&mounts)?;
        check_ports(&ports)?;
        if keys.memory_bytes.is_some_and(|bytes| !(MIN_MEMORY_BYTES..1 << 53).contains(&bytes)) {
            return Err(format!("memory_bytes is below {MIN_MEMORY_BYTES}"));
        }
        let milli_cpus = keys.cpus.as_deref().map(milli_cpus).transpose()?;
        let (restart, memory_bytes) = (keys.restart, keys.memory_bytes);
        Ok(Self {
            name,
            image,
            pull,
            command,
            env,
            mounts,
            ports,
            restart,
            memory_bytes,
            milli_cpus,
        })
    }
}

impl From<ContainerSpec> for ContainerKeys {
    fn from(spec: ContainerSpec) -> Self {
        let cpus = spec.milli_cpus.map(|milli| {
            let text = format!("{}.{:03}", milli / 1000, milli % 1000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        });
        Self {
            name: spec.name,
            image: spec.image,
            pull: spec.pull,
            command: spec.command,
            env: spec.env,
            mounts: spec.mounts,
            ports: spec.ports,
            restart: spec.restart,
            memory_bytes: spec.memory_bytes,
            cpus,
        }
    }
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    first && text.len() <= MAX_NAME_BYTES && text.bytes().all(plain)
}

/// A tag can be moved; only a digest names one image for ever.
fn check_image(image: &str) -> Result<(), String> {
    let wrong = || {
        format!("image {image:?} must be a repository and a digest, repo@sha256:<64 hex digits>")
    };
    let (repository, digest) = image.split_once('@').ok_or_else(wrong)?;
    let hex = digest.strip_prefix("sha256:").ok_or_else(wrong)?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/:".contains(&b);
    let first = repository.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let fits = first && repository.len() <= 255 && repository.bytes().all(plain);
    // A colon stands before a registry's port; after the last slash it would be a tag.
    let is_tagged = repository.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let is_digest = hex.parse::<Sha256Hash>().is_ok();
    if fits && !is_tagged && is_digest && !repository.contains("..") {
        Ok(())
    } else {
        Err(wrong())
    }
}

fn check_mounts(mounts: &[ContainerMount]) -> Result<(), String> {
    let mut targets = BTreeSet::new();
    for ContainerMount { source, target, .. } in mounts {
        if !is_absolute(source) && !is_name(source) {
            return Err(format!(
                "mount source {source:?} must be an absolute path or the name of a volume"
            ));
        }
        if !is_absolute(target) || target == "/" {
            return Err(format!("mount target {target:?} must be an absolute path other than /"));
        }
        if !targets.insert(target) {
            return Err(format!("mount target {target:?} is there twice"));
        }
    }
    Ok(())
}

fn check_ports(ports: &[ContainerPort]) -> Result<(), String> {
    let mut hosts = BTreeSet::new();
    for port in ports {
        if port.host == 0 || port.container == 0 {
            return Err("port 0 is no port".to_owned());
        }
        if !hosts.insert((port.host, port.protocol)) {
            return Err(format!("port {} of the host is there twice", port.host));
        }
    }
    Ok(())
}

fn is_absolute(path: &str) -> bool {
    let inside = |part: &str| part != "." && part != "..";
    path.starts_with('/') && path.split('/').all(inside) && !path.contains(['\0', ':', ','])
}

/// Documents hold no fractions as numbers, so this one is text.
fn milli_cpus(text: &str) -> Result<u32, String> {
    let wrong = || format!("cpus {text:?} must be text such as \"1.5\", at most three decimals");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 4 || part.len() > 3 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let milli: u32 = format!("{whole}{part:0<3}").parse().map_err(|_| wrong())?;
    if milli == 0 { Err(wrong()) } else { Ok(milli) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with(key: &str, value: Value) -> Result<ContainerSpec, serde_json::Error> {
        let mut keys = json!({
            "name": "web", "image": format!("registry.example:5000/team/web@sha256:{}", "a".repeat(64)),
        });
        keys[key] = value;
        serde_json::from_value(keys)
    }

    #[test]
    fn what_no_engine_takes_or_what_can_be_moved_is_refused() {
        let digest = format!("@sha256:{}", "a".repeat(64));
        for (key, bad) in [
            ("name", json!("-web")),
            ("name", json!("a/b")),
            ("image", json!("web:latest")),
            ("image", json!(format!("web:1{digest}"))),
            ("image", json!(format!("../web{digest}"))),
            ("image", json!(format!("web@sha256:{}", "A".repeat(64)))),
            ("env", json!({"A=B": "c"})),
            ("mounts", json!([{"source": "etc/x", "target": "/x"}])),
            ("mounts", json!([{"source": "/etc/../x", "target": "/x"}])),
            ("mounts", json!([{"source": "/etc", "target": "/"}])),
            ("mounts", json!([{"source": "/a", "target": "/x"}, {"source": "/b", "target": "/x"}])),
            ("ports", json!([{"host": 0, "container": 80}])),
            ("ports", json!([{"host": 80, "container": 80}, {"host": 80, "container": 81}])),
            ("memory_bytes", json!(1024)),
            ("cpus", json!("1.2345")),
            ("cpus", json!("0")),
            ("cpus", json!("-1")),
            ("cpus", json!(1)),
            ("restart", json!("unless-stopped")),
            ("privileged", json!(true)),
        ] {
            assert!(with(key, bad.clone()).is_err(), "{key} {bad}");
        }
    }

    #[test]
    fn it_is_written_as_it_was_read() {
        let spec = with("cpus", json!("1.5")).unwrap();
        assert_eq!(spec.milli_cpus, Some(1500));
        assert_eq!((spec.restart, spec.pull), (RestartPolicy::Always, PullPolicy::Missing));
        let written = serde_json::to_value(&spec).unwrap();
        assert_eq!(written["cpus"], "1.5");
        assert_eq!(serde_json::from_value::<ContainerSpec>(written).unwrap(), spec);
    }
}
