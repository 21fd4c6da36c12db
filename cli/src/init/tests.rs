//! A made fleet can be built, signed and verified.

use std::os::unix::fs::PermissionsExt as _;

use wavegate_proto::time::Timestamp;

use super::*;
use crate::bundle_toml::SecretsPolicy;
use crate::fleet_toml::FleetFile;
use crate::release::{self, BuildOptions};

fn options(dir: &Path, hosts: u32) -> InitOptions {
    InitOptions {
        dir: dir.to_owned(),
        hosts,
        fleet: "demo".parse().unwrap(),
        server_names: Vec::new(),
        now: SystemTime::now(),
    }
}

fn now() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

#[test]
fn the_files_are_those_of_the_contract_and_keys_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/fleet");
    let report = init(&options(&dir, 2)).unwrap();
    insta::assert_snapshot!(report.files.join("\n"), @"
    bundles/app.toml
    ca/ca.key
    ca/ca.pem
    certs/control-plane.key
    certs/control-plane.pem
    certs/host-host-01.key
    certs/host-host-01.pem
    certs/host-host-02.key
    certs/host-host-02.pem
    certs/issuer.key
    certs/issuer.pem
    certs/operator-admin.key
    certs/operator-admin.pem
    certs/viewer-read.key
    certs/viewer-read.pem
    fleet.toml
    keys/enroll.key
    keys/release.key
    trust.json
    ");
    for file in &report.files {
        let mode = fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if file.ends_with(".key") { 0o600 } else { 0o644 }, "{file}");
    }
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 6, "{left:?}");
}

#[test]
fn a_folder_that_is_not_empty_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine"), "x").unwrap();
    assert!(matches!(init(&options(folder.path(), 1)), Err(InitError::NotEmpty(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_init_makes_builds_signs_and_verifies() {
    for hosts in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        init(&options(folder.path(), hosts)).unwrap();
        let file =
            FleetFile::load(&folder.path().join("fleet.toml"), SecretsPolicy::Refuse).unwrap();
        let built =
            release::build(&file, &BuildOptions { signed_at: now(), ..BuildOptions::default() })
                .unwrap();
        assert_eq!(built.report.warnings, Vec::<String>::new());
        let out = folder.path().join("releases/1");
        release::write_dir(&built, &out).unwrap();
        let key = release_key::read(&folder.path().join("keys/release.key")).unwrap();
        release::sign_dir(&out, &key).unwrap();
        let trust = crate::keys::trust::read(&folder.path().join("trust.json")).unwrap();
        let report = release::verify_dir(&out, &trust, now()).unwrap();
        assert_eq!(report.signers.signed, [key.key_id()]);
    }
}

#[test]
fn the_next_commands_are_printed_in_full() {
    let hosts = ["host-01".parse().unwrap()];
    insta::assert_snapshot!(templates::next_commands("fleet", &hosts), @"
    Next, in one terminal:
      cd fleet
      mkdir -p state logs roots/host-01
      wavegate release build fleet.toml --out releases/1
      wavegate release sign releases/1 --key keys/release.key
      wavegate-cp serve --state-dir state/control-plane --trust trust.json --tls-cert certs/control-plane.pem --tls-key certs/control-plane.key --client-ca ca/ca.pem --issuer-cert certs/issuer.pem --issuer-key certs/issuer.key --status-listen 127.0.0.1:9443 --heartbeat-secs 5
    and in a second one:
      cd fleet
      wavegate-agent run --state-dir state/host-01 --root roots/host-01 --trust trust.json --url https://localhost:8443 --ca ca/ca.pem --cert certs/host-host-01.pem --key certs/host-host-01.key 2> logs/host-01.log &
      export WAVEGATE_URL=https://localhost:8443 WAVEGATE_CA=ca/ca.pem WAVEGATE_CERT=certs/operator-admin.pem WAVEGATE_KEY=certs/operator-admin.key
      wavegate release publish releases/1
      wavegate status
    ");
}
