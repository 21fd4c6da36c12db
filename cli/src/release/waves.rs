//! Which host is in which wave: the first wave that matches.
//!
//! Not here: when a wave starts (the planner).

use std::collections::BTreeMap;

use wavegate_proto::ids::{ChannelName, HostName, WaveIndex};

use super::names;
use crate::fleet_toml::FleetFile;
use crate::fleet_toml::policy::RolloutPolicy;
use crate::fleet_toml::selector::Selectables;
use crate::fleet_toml::source::Complaints;
use crate::suggest;

/// The wave of every host of every channel.
pub(super) type Waves = BTreeMap<HostName, WaveIndex>;

/// Assigns waves; complains of hosts in no wave and waves without hosts.
pub(super) fn assign(
    file: &FleetFile,
    hosts: &Selectables,
    complaints: &mut Complaints<'_>,
) -> Waves {
    check_names(file, hosts, complaints);
    let mut waves = Waves::new();
    for (channel, section) in &file.keys.channels {
        let Some(policy) = file.keys.rollout_policies.get(&section.rollout_policy) else {
            let known: Vec<&str> = file.keys.rollout_policies.keys().map(String::as_str).collect();
            complaints.add_with_hint(
                &["channels", channel.as_str(), "rollout_policy"],
                format!("unknown rollout policy `{}`", section.rollout_policy),
                suggest::hint(&section.rollout_policy, &known),
            );
            continue;
        };
        assign_channel(channel, &section.rollout_policy, policy, hosts, &mut waves, complaints);
    }
    waves
}

fn check_names(file: &FleetFile, hosts: &Selectables, complaints: &mut Complaints<'_>) {
    for (name, policy) in &file.keys.rollout_policies {
        if policy.waves.is_empty() {
            complaints
                .add(&["rollout_policies", name, "waves"], "a policy needs at least one wave");
        }
        for (index, wave) in policy.waves.iter().enumerate() {
            let index_text = index.to_string();
            let place = ["rollout_policies", name.as_str(), "waves", &index_text, "hosts"];
            names::check_selector(&wave.hosts, hosts, &place, complaints);
            if policy.waves[..index].iter().any(|earlier| earlier.name == wave.name) {
                let place = ["rollout_policies", name.as_str(), "waves", &index_text, "name"];
                complaints.add(&place, format!("a second wave `{}`", wave.name));
            }
        }
    }
}

fn assign_channel(
    channel: &ChannelName,
    policy_name: &str,
    policy: &RolloutPolicy,
    hosts: &Selectables,
    waves: &mut Waves,
    complaints: &mut Complaints<'_>,
) {
    let mut counts = vec![0_usize; policy.waves.len()];
    let mut members = 0_usize;
    for (host, seen) in hosts.iter().filter(|(_, seen)| seen.channel == *channel) {
        members += 1;
        let Some(index) = policy.waves.iter().position(|wave| wave.hosts.matches(host, seen))
        else {
            complaints.add(
                &["hosts", host.as_str()],
                format!("host {host} is in no wave of rollout policy `{policy_name}`"),
            );
            continue;
        };
        counts[index] += 1;
        waves.insert(host.clone(), WaveIndex(u32::try_from(index).unwrap_or(u32::MAX)));
    }
    if members == 0 {
        return;
    }
    for (index, wave) in policy.waves.iter().enumerate().filter(|(index, _)| counts[*index] == 0) {
        let index = index.to_string();
        complaints.add(
            &["rollout_policies", policy_name, "waves", &index],
            format!(
                "wave `{}` of rollout policy `{policy_name}` has no host on channel `{channel}` \
                 (a host is in the first wave that matches)",
                wave.name
            ),
        );
    }
}
