//! The text of the files that `init` writes for a person to go on from.
//!
//! Not here: keys and certificates.

use std::fmt::Write as _;

use wavegate_proto::ids::{FleetName, HostName};

/// `bundles/app.toml`.
pub(super) const BUNDLE: &str = r#"# What a host runs. Paths are those of the host; with `wavegate-agent run --root DIR` they are under DIR.
[[resources]]
id = "hello"
kind = "file"
path = "/etc/wavegate-hello"
content = "hello from release 1\n"
create_parents = true

# A release counts as good on a host when this passes for as long as the wave soaks.
[[probes]]
name = "hello"
kind = "exec"
argv = ["/bin/sh", "-c", "grep -q hello \"$WAVEGATE_ROOT/etc/wavegate-hello\""]
interval = "2s"
timeout = "1s"
"#;

/// `fleet.toml`.
pub(super) fn fleet_toml(fleet: &FleetName, hosts: &[HostName]) -> String {
    let mut text = format!(
        r#"# The fleet: which hosts there are, what they run, and how changes reach them.
[fleet]
name = "{fleet}"

[channels.stable]
rollout_policy = "canary"
freshness_window = "24h"
bundle = "bundles/app.toml"

# The figures are short so that the first rollout takes seconds. Make them minutes in earnest.
[rollout_policies.canary]
on_health_failure = "rollback-and-halt"
failure_threshold = "5s"
waves = [
"#
    );
    if hosts.len() > 1 {
        text.push_str(
            "    { name = \"canary\", hosts = { tags = [\"canary\"] }, soak = \"10s\" },\n",
        );
        text.push_str("    { name = \"rest\", hosts = \"all\", soak = \"5s\" },\n]\n");
    } else {
        text.push_str(
            "    { name = \"canary\", hosts = { tags = [\"canary\"] }, soak = \"10s\" },\n]\n",
        );
    }
    for (index, host) in hosts.iter().enumerate() {
        let tags = if index == 0 { "[\"app\", \"canary\"]" } else { "[\"app\"]" };
        let _infallible = write!(text, "\n[hosts.{host}]\nchannel = \"stable\"\ntags = {tags}\n");
    }
    text
}

/// The commands that bring the fleet to life, from the folder's parent to the first look.
pub(super) fn next_commands(dir: &str, hosts: &[HostName]) -> String {
    let dir = quoted(dir);
    let roots: String = hosts.iter().map(|host| format!(" roots/{host}")).collect();
    let mut agents = String::new();
    for host in hosts {
        let _infallible = writeln!(
            agents,
            "  wavegate-agent run --state-dir state/{host} --root roots/{host} --trust trust.json \
             --url https://localhost:8443 --ca ca/ca.pem --cert certs/host-{host}.pem \
             --key certs/host-{host}.key 2> logs/{host}.log &"
        );
    }
    format!(
        "Next, in one terminal:\n\
         \x20 cd {dir}\n\
         \x20 mkdir -p state logs{roots}\n\
         \x20 wavegate release build fleet.toml --out releases/1\n\
         \x20 wavegate release sign releases/1 --key keys/release.key\n\
         \x20 wavegate-cp serve --state-dir state/control-plane --trust trust.json \
         --tls-cert certs/control-plane.pem --tls-key certs/control-plane.key \
         --client-ca ca/ca.pem --issuer-cert certs/issuer.pem --issuer-key certs/issuer.key \
         --status-listen 127.0.0.1:9443 --heartbeat-secs 5\n\
         and in a second one:\n\
         \x20 cd {dir}\n{agents}\
         \x20 export WAVEGATE_URL=https://localhost:8443 WAVEGATE_CA=ca/ca.pem \
         WAVEGATE_CERT=certs/operator-admin.pem WAVEGATE_KEY=certs/operator-admin.key\n\
         \x20 wavegate release publish releases/1\n\
         \x20 wavegate status\n"
    )
}

/// A path as a shell reads it back.
pub(crate) fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+');
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_when_a_shell_would_split_it() {
        assert_eq!(quoted("/a/b-c_1.d"), "/a/b-c_1.d");
        assert_eq!(quoted("my fleet"), "'my fleet'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
