//! The commands of `wavegate` and their arguments.
//!
//! A new command is one variant of `Command`, one arm of [`Cli::run`] and one file in
//! `commands/`. Not here: what a command does.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    ca, channels, dag, drift, events, host, hosts, import, init, key, log, plan, quarantine,
    release, rollout, simulate, status, swarm, token, trust,
};
use crate::demo;
use crate::exit::Failure;

/// Rolls signed releases out to fleets of Linux hosts, wave by wave, and takes them back when they fail.
#[derive(Debug, Parser)]
#[command(name = "wavegate", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Command {
    /// A whole fleet on this machine: releases, a rollback, a wiped control plane
    Demo(demo::DemoArgs),
    /// The control plane, as `wavegate-cp`
    Cp(wavegate_control_plane::Args),
    /// The agent of a host, as `wavegate-agent`
    Agent(wavegate_agent::config::AgentArgs),
    /// Make fleet.toml, keys, trust.json, an authority and certificates for a small real fleet
    Init(init::InitArgs),
    /// Take over hosts from what was there before
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Make and look at release keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Look at the trust file
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Make the fleet's certificate authority and issue certificates
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// Sign tokens with which hosts join the fleet
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Build, sign, verify, compare, recall and publish releases
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// What publishing a release would do to the fleet as it is
    Plan(plan::PlanArgs),
    /// A release going out in virtual time: a timeline and the end
    Simulate(simulate::SimulateArgs),
    /// The fleet at a glance
    Status(status::StatusArgs),
    /// List hosts
    Hosts(hosts::HostsArgs),
    /// One host: what it runs, and why it waits
    #[command(subcommand)]
    Host(host::HostCommand),
    /// What is not as it should be, and on which hosts; exit code 1 when there is anything
    Drift(drift::DriftArgs),
    /// What waits for what: resources, hosts, and both across hosts
    #[command(subcommand)]
    Dag(dag::DagCommand),
    /// List channels
    Channels(channels::ChannelsArgs),
    /// Rollouts, their hosts and events
    #[command(subcommand)]
    Rollout(rollout::RolloutCommand),
    /// Closures that are not dispatched any more
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// The control plane's log
    Events(events::EventsArgs),
    /// Whether the log still is what it was
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Many agents in one process, to see what a control plane bears
    Swarm(swarm::SwarmArgs),
    /// Completions for a shell, on stdout
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Runs the command, with its data going to `out`. A service and a comparison end with exit codes of their own.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn run(self, out: &mut dyn Write) -> Result<ExitCode, Failure> {
        let done = match self.command {
            Command::Cp(args) => return Ok(wavegate_control_plane::run(args)),
            Command::Agent(args) => return Ok(wavegate_agent::cli::run_cli(&args)),
            Command::Release(command) => return release::run(&command, out),
            Command::Demo(args) => demo::run(&args, out),
            Command::Init(args) => init::run(&args, out),
            Command::Import(command) => import::run(&command, out),
            Command::Key(command) => key::run(&command, out),
            Command::Trust(command) => trust::run(&command, out),
            Command::Ca(command) => ca::run(&command, out),
            Command::Token(command) => token::run(&command, out),
            Command::Plan(args) => plan::run(&args, out),
            Command::Simulate(args) => simulate::run(&args, out),
            Command::Status(args) => status::run(&args, out),
            Command::Hosts(args) => hosts::run(&args, out),
            Command::Host(command) => host::run(&command, out),
            Command::Drift(args) => return drift::run(&args, out),
            Command::Dag(command) => dag::run(&command, out),
            Command::Channels(args) => channels::run(&args, out),
            Command::Rollout(command) => rollout::run(&command, out),
            Command::Quarantine(command) => quarantine::run(&command, out),
            Command::Events(args) => events::run(&args, out),
            Command::Log(command) => log::run(&command, out),
            Command::Swarm(args) => swarm::run(&args, out),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "wavegate", &mut script);
                out.write_all(&script).map_err(Failure::from)
            }
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }

    fn run(args: &[&str]) -> Result<String, Failure> {
        let mut out = Vec::new();
        let all = ["wavegate"].iter().chain(args);
        Cli::try_parse_from(all).unwrap().run(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_release_is_built_signed_verified_and_refreshed_on_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let fleet = path("fleet");
        run(&["init", &fleet, "--hosts", "2"]).unwrap();
        let at = |name: &str| format!("{fleet}/{name}");
        let (toml, trust, key) = (at("fleet.toml"), at("trust.json"), at("keys/release.key"));
        run(&["release", "build", &toml, "--out", &path("1")]).unwrap();
        let simulated = run(&["simulate", &path("1"), "--start", "2026-11-21T09:00:00Z"]).unwrap();
        assert!(simulated.contains("stable@r1  terminal, complete  2 of 2"), "{simulated}");
        let halts = run(&["simulate", &path("1"), "--fail", "100%", "--json"]).unwrap_err();
        assert_eq!(halts.reason, crate::exit::ExitReason::Refused);
        let unsigned = run(&["release", "verify", &path("1"), "--trust", &trust]).unwrap_err();
        assert_eq!(unsigned.reason, crate::exit::ExitReason::Refused);
        assert!(unsigned.message.contains("signature-threshold"), "{unsigned}");
        run(&["release", "sign", &path("1"), "--key", &key]).unwrap();
        let verified = run(&["release", "verify", &path("1"), "--trust", &trust]).unwrap();
        assert!(verified.starts_with("ok: release 1 of fleet demo"), "{verified}");
        let built =
            run(&["release", "build", &toml, "--out", &path("2"), "--previous", &path("1")])
                .unwrap();
        assert!(built.contains("r1 (kept)"), "{built}");
        assert!(run(&["release", "build", &toml, "--out", &path("2")]).is_err());
        let id = run(&["key", "id", &key]).unwrap();
        assert!(verified.contains(id.split_whitespace().next().unwrap()));
        run(&["trust", "check", &trust]).unwrap();
        run(&["ca", "issue", "viewer", "bob", "--ca", &at("ca"), "--out", &at("certs")]).unwrap();
        assert!(std::fs::exists(at("certs/viewer-bob.key")).unwrap());
    }

    #[test]
    fn a_token_is_minted_with_the_enrollment_key_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let fleet = folder.path().join("fleet").display().to_string();
        run(&["init", &fleet, "--hosts", "1"]).unwrap();
        let at = |name: &str| format!("{fleet}/{name}");
        let (trust, key, out) = (at("trust.json"), at("keys/enroll.key"), at("token"));
        let mint = |key: &str, more: &[&str]| {
            run(&[&["token", "mint", "--trust", &trust, "--key", key][..], more].concat())
        };
        let token = mint(&key, &["--host", "web-07", "--ttl", "10m"]).unwrap();
        let trusted = crate::keys::trust::read(std::path::Path::new(&trust)).unwrap();
        let verify = |token: &str, later: u64| {
            let now = crate::commands::reading::now().plus_secs(later);
            wavegate_proto::enroll::EnrollToken::verify(token.trim_end(), &trusted, now)
        };
        assert_eq!(verify(&token, 0).unwrap().host(None), Ok("web-07".parse().unwrap()));
        assert!(verify(&token, 600).is_err(), "its time is over");
        let again = mint(&key, &["--host", "web-07"]).unwrap();
        assert_ne!(verify(&token, 0).unwrap().id, verify(&again, 0).unwrap().id);
        mint(&key, &["--pattern", "web-*", "--count", "20", "--out", &out]).unwrap();
        assert_eq!(verify(&std::fs::read_to_string(&out).unwrap(), 0).unwrap().count, 20);

        let refused = mint(&at("keys/release.key"), &["--host", "web-07"]).unwrap_err();
        assert!(refused.message.contains("does not let hosts in"), "{refused}");
        for bad in [&["--host", "a", "--ttl", "8d"][..], &["--host", "a", "--ttl", "0s"]] {
            assert_eq!(mint(&key, bad).unwrap_err().reason, crate::exit::ExitReason::Usage);
        }
        run(&["ca", "intermediate", "--ca", &at("ca"), "--out", &at("next")]).unwrap();
        assert!(std::fs::exists(at("next/issuer.key")).unwrap());
    }

    #[test]
    fn completions_are_a_script() {
        assert!(run(&["completions", "bash"]).unwrap().contains("_wavegate"));
    }
}
