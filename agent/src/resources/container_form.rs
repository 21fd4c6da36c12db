//! What a container is made of, in the words of the engine's API, and how two of them differ.
//!
//! Ours carry what they were made of as a label, so that an engine that writes something otherwise than it was
//! asked makes no difference. What an engine lets people change later is compared in any case.
//! Not here: whether it runs (see `container`).

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, Mount, MountType, PortBinding,
    RestartPolicy as EngineRestart, RestartPolicyNameEnum,
};
use wavegate_proto::artifact::bundle::{ContainerSpec, PortProtocol, PullPolicy, RestartPolicy};
use wavegate_proto::ids::ResourceId;

use super::difference::Difference;

/// The resource that a container of ours belongs to.
const RESOURCE_LABEL: &str = "io.wavegate.resource";

/// What a container of ours was made of.
const SPEC_LABEL: &str = "io.wavegate.spec";

/// A thousandth of a processor, as the engine counts.
const NANOS_PER_MILLI: i64 = 1_000_000;

/// What the engine is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Source, target, and whether it is only read.
    mounts: BTreeSet<(String, String, bool)>,
    /// The container's port with its protocol, and the host's.
    ports: BTreeSet<(String, String)>,
    restart: RestartPolicyNameEnum,
    memory: i64,
    nano_cpus: i64,
}

impl Form {
    /// What this bundle wants; paths of the host are below `root`.
    pub(super) fn wanted(root: &Path, spec: &ContainerSpec) -> Self {
        let mounts = spec.mounts.iter().map(|mount| {
            let below = || root.join(mount.source.trim_start_matches('/')).display().to_string();
            let is_path = mount.source.starts_with('/');
            let source = if is_path { below() } else { mount.source.clone() };
            (source, mount.target.clone(), mount.read_only)
        });
        let ports = spec.ports.iter().map(|port| {
            let protocol = match port.protocol {
                PortProtocol::Tcp => "tcp",
                PortProtocol::Udp => "udp",
            };
            (format!("{}/{protocol}", port.container), port.host.to_string())
        });
        Self {
            mounts: mounts.collect(),
            ports: ports.collect(),
            restart: match spec.restart {
                RestartPolicy::No => RestartPolicyNameEnum::NO,
                RestartPolicy::OnFailure => RestartPolicyNameEnum::ON_FAILURE,
                RestartPolicy::Always => RestartPolicyNameEnum::ALWAYS,
            },
            memory: spec.memory_bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(0),
            nano_cpus: spec.milli_cpus.map_or(0, |milli| i64::from(milli) * NANOS_PER_MILLI),
        }
    }

    /// What is there.
    fn seen(seen: &ContainerInspectResponse) -> Self {
        let host = seen.host_config.as_ref();
        let mounts = seen.mounts.iter().flatten().map(|mount| {
            let source = mount.name.clone().filter(|name| !name.is_empty());
            let source = source.or_else(|| mount.source.clone()).unwrap_or_default();
            (source, mount.destination.clone().unwrap_or_default(), mount.rw == Some(false))
        });
        let bindings = host.and_then(|host| host.port_bindings.as_ref()).into_iter().flatten();
        let ports = bindings.flat_map(|(port, hosts)| {
            let hosts = hosts.iter().flatten();
            hosts.map(|host| (port.clone(), host.host_port.clone().unwrap_or_default()))
        });
        let restart = host.and_then(|host| host.restart_policy.as_ref()?.name);
        Self {
            mounts: mounts.collect(),
            ports: ports.collect(),
            restart: match restart {
                None | Some(RestartPolicyNameEnum::EMPTY) => RestartPolicyNameEnum::NO,
                Some(name) => name,
            },
            memory: host.and_then(|host| host.memory).unwrap_or(0),
            nano_cpus: host.and_then(|host| host.nano_cpus).unwrap_or(0),
        }
    }

    /// The request that makes it.
    pub(super) fn into_body(self, id: &ResourceId, spec: &ContainerSpec) -> ContainerCreateBody {
        let mounts = self.mounts.into_iter().map(|(source, target, read_only)| Mount {
            typ: Some(if source.starts_with('/') { MountType::BIND } else { MountType::VOLUME }),
            source: Some(source),
            target: Some(target),
            read_only: Some(read_only),
            ..Mount::default()
        });
        let mut ports: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
        for (container, host) in self.ports {
            let binding = PortBinding { host_ip: None, host_port: Some(host) };
            ports.entry(container).or_default().get_or_insert_default().push(binding);
        }
        let labels =
            [(RESOURCE_LABEL.to_owned(), id.to_string()), (SPEC_LABEL.to_owned(), made_of(spec))];
        ContainerCreateBody {
            image: Some(spec.image.clone()),
            cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
            env: Some(spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
            labels: Some(labels.into_iter().collect()),
            exposed_ports: Some(ports.keys().cloned().collect()),
            host_config: Some(HostConfig {
                mounts: Some(mounts.collect()),
                port_bindings: Some(ports),
                restart_policy: Some(EngineRestart {
                    name: Some(self.restart),
                    maximum_retry_count: None,
                }),
                memory: Some(self.memory),
                nano_cpus: Some(self.nano_cpus),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

/// What a container is made of, as text; how its image is fetched makes no difference.
fn made_of(spec: &ContainerSpec) -> String {
    let spec = ContainerSpec { pull: PullPolicy::default(), ..spec.clone() };
    serde_json::to_string(&spec).unwrap_or_default()
}

fn label<'a>(seen: &'a ContainerInspectResponse, label: &str) -> Option<&'a String> {
    seen.config.as_ref()?.labels.as_ref()?.get(label)
}

/// Whether an agent has made it.
pub(super) fn is_ours(seen: &ContainerInspectResponse) -> bool {
    label(seen, RESOURCE_LABEL).is_some()
}

/// In what it is made otherwise than wanted. `image`: the id of the wanted image, if the engine has it.
pub(super) fn differences(
    seen: &ContainerInspectResponse,
    spec: &ContainerSpec,
    wanted: &Form,
    image: Option<&str>,
) -> Vec<Difference> {
    let is = Form::seen(seen);
    let mut differs = Vec::new();
    let mut compare = |key: &str, is: String, wanted: String| {
        differs.extend(Difference::between(key, &is, &wanted));
    };
    compare("restart", is.restart.to_string(), wanted.restart.to_string());
    compare("memory_bytes", is.memory.to_string(), wanted.memory.to_string());
    compare("cpus", is.nano_cpus.to_string(), wanted.nano_cpus.to_string());
    match label(seen, SPEC_LABEL) {
        Some(made) => {
            let wanted = made_of(spec);
            if let Some(differs_in_making) = Difference::between("spec", made, &wanted) {
                let pretty = |text: &str| text.replace(",\"", ",\n\"").into_bytes();
                differs.push(differs_in_making.with_lines(&pretty(made), &pretty(&wanted)));
            }
        }
        None => {
            compare("mounts", format!("{:?}", is.mounts), format!("{:?}", wanted.mounts));
            compare("ports", format!("{:?}", is.ports), format!("{:?}", wanted.ports));
            let plain = |id: &str| id.trim_start_matches("sha256:").to_owned();
            let image = image.map_or_else(|| spec.image.clone(), plain);
            compare("image", seen.image.as_deref().map(plain).unwrap_or_default(), image);
            differs.extend(foreign_differences(seen, spec));
        }
    }
    differs
}

/// Command and environment of a container that carries no label; the image adds its own to both.
fn foreign_differences(seen: &ContainerInspectResponse, spec: &ContainerSpec) -> Vec<Difference> {
    let config = seen.config.as_ref();
    let command = config.and_then(|config| config.cmd.clone()).unwrap_or_default();
    let env = config.and_then(|config| config.env.clone()).unwrap_or_default();
    let mut differs = Vec::new();
    if !spec.command.is_empty() && spec.command != command {
        let (is, wanted) = (format!("{command:?}"), format!("{:?}", spec.command));
        differs.push(Difference::new("command", Some(is), Some(wanted)));
    }
    for (key, value) in &spec.env {
        let prefix = format!("{key}=");
        let is = env.iter().find_map(|one| one.strip_prefix(&prefix)).map(str::to_owned);
        if is.as_ref() != Some(value) {
            differs.push(Difference::new(&format!("env {key}"), is, Some(value.clone())));
        }
    }
    differs
}
