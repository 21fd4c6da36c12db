//! The units for systemd: what they take away is written in each, and the pages say the same figures.
//!
//! Not here: what systemd makes of them (`systemd-analyze security`, see SECURITY.md).

use std::collections::BTreeMap;

use wavegate_tests::doc_commands::workspace;

use crate::sources::expect_none;

/// What both services give up.
const BOTH: [&str; 13] = [
    "StartLimitIntervalSec=0",
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "PrivateDevices=yes",
    "SystemCallArchitectures=native",
    "StateDirectoryMode=0700",
];

/// What the control plane gives up beside that: it manages no host.
const CONTROL_PLANE: [&str; 12] = [
    "User=wavegate",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateUsers=yes",
    "RestrictNamespaces=yes",
    "RestrictSUIDSGID=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "UMask=0077",
];

fn unit(name: &str) -> String {
    let path = workspace().join(format!("packaging/systemd/{name}.service"));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn each_unit_gives_up_what_its_service_never_needs() {
    let wanted = BTreeMap::from([
        ("wavegate-cp", [&BOTH[..], &CONTROL_PLANE[..]].concat()),
        ("wavegate-agent", BOTH.to_vec()),
    ]);
    let mut missing = Vec::new();
    for (name, settings) in wanted {
        let unit = unit(name);
        let has = |setting: &&str| unit.lines().any(|line| line == *setting);
        let absent = settings.iter().filter(|setting| !has(setting));
        missing.extend(absent.map(|setting| format!("{name}: {setting}")));
        // A service that is told wrongly is not started again and again. One whose state folder another process
        // holds is: that may be what is left of a service that was killed, and then ends.
        assert!(has(&"RestartPreventExitStatus=2"), "{name}");
        let program = format!("/usr/local/bin/{name} ");
        let start = unit.lines().find(|line| line.starts_with("ExecStart="));
        assert!(start.is_some_and(|line| line.contains(&program)), "{name}: {program}");
    }
    expect_none("settings that are missing", &missing);
}

#[test]
fn the_pages_say_the_same_figures_of_exposure() {
    for page in ["SECURITY.md", "docs/operations.md"] {
        let text = std::fs::read_to_string(workspace().join(page)).unwrap();
        assert!(text.contains("systemd-analyze security --offline=yes"), "{page}");
        for figure in ["1.2", "5.3"] {
            assert!(text.contains(figure), "{page}: {figure}");
        }
    }
}
