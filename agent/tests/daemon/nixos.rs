//! A NixOS host: the real binary against programs of Nix and systemd that log, hang, switch by halves and kill it.

use std::process::Child;

use serde_json::json;
use wavegate_proto::ids::ClosureId;

use super::control_plane::World;
use super::nixos_host::{NixosHost, SystemOf};
use super::release::{Release, Signed};

const SAME_KERNEL: SystemOf = SystemOf { mark: 'b', kernel: "6.1", trouble: "none" };

fn kill(mut agent: Child) {
    agent.kill().unwrap();
    agent.wait().unwrap();
}

/// Runs the agent until the rollout has this event.
async fn run_until(nixos: &NixosHost, signed: &Signed, kind: &str) {
    let agent = nixos.spawn();
    nixos.host.control_plane.until_event(&signed.rollout_id, kind).await;
    kill(agent);
}

fn offer(nixos: &NixosHost, system: &ClosureId) -> Signed {
    let signed = nixos.release(1, system).sign();
    nixos.host.control_plane.dispatch(&signed);
    signed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_is_realised_set_by_path_and_switched_to_in_a_unit_of_its_own() {
    let nixos = NixosHost::new().await;
    let (first, system) = (nixos.runs(), nixos.system(&SAME_KERNEL));
    let signed = offer(&nixos, &system);
    run_until(&nixos, &signed, "converged").await;
    let journal = nixos.host.control_plane.journal(&signed.rollout_id);
    assert_eq!(journal.event("dispatch_ack")["prior_closure"], json!(first));
    assert_eq!(journal.event("activation_started")["method"], "switch");
    assert_eq!(journal.event("activation_complete")["changed"], true);
    assert_eq!(journal.event("probe_topology")["probes"][0]["name"], "runs");
    assert_eq!((nixos.runs(), nixos.boots_next()), (system.to_string(), system.to_string()));
    let root = nixos.host.root();
    let root = root.display();
    let unit = nixos.unit();
    assert!(unit.starts_with(&format!("wavegate-switch-{}-", "b".repeat(32))), "{unit}");
    let told = [
        format!("nix-store --option require-sigs true --realise {system}"),
        format!(
            "nix --extra-experimental-features nix-command store verify --recursive --no-contents {system}"
        ),
        format!("nix-env -p {root}/nix/var/nix/profiles/system --set {system}"),
        format!(
            "systemd-run --unit={unit} --description=Wavegate switches the system --no-block \
             --no-ask-password --quiet --remain-after-exit -- {root}{system}/bin/switch-to-configuration switch"
        ),
        format!("systemctl stop {unit}"),
        format!("systemctl reset-failed {unit}"),
    ];
    assert_eq!(nixos.log(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_kernel_is_staged_for_boot_and_complete_when_the_machine_came_up_with_it() {
    let nixos = NixosHost::new().await;
    let first = nixos.runs();
    let system = nixos.system(&SystemOf { kernel: "6.6", ..SAME_KERNEL });
    let signed = offer(&nixos, &system);
    run_until(&nixos, &signed, "activation_deferred").await;
    let journal = nixos.host.control_plane.journal(&signed.rollout_id);
    assert_eq!(journal.event("activation_deferred")["component"], "kernel");
    assert_eq!(nixos.switches(), [format!("boot {system}")]);
    assert_eq!((nixos.runs(), nixos.boots_next()), (first, system.to_string()));
    nixos.boot(&system);
    run_until(&nixos, &signed, "converged").await;
    assert_eq!(nixos.switches().len(), 1, "booting it was the switch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_says_itself_it_needs_a_reboot_is_staged() {
    let nixos = NixosHost::new().await;
    let system = nixos.system(&SystemOf { trouble: "reboot", ..SAME_KERNEL });
    let signed = offer(&nixos, &system);
    run_until(&nixos, &signed, "activation_deferred").await;
    let journal = nixos.host.control_plane.journal(&signed.rollout_id);
    assert_eq!(journal.event("activation_deferred")["component"], "init");
    assert_eq!(nixos.switches(), [format!("switch {system}"), format!("boot {system}")]);
}

/// A10: what runs is read from the system each time, so a machine that came up with its old system is not
/// taken for the one that has converged.
#[tokio::test(flavor = "multi_thread")]
async fn a10_a_host_that_came_up_with_its_old_system_says_so() {
    let nixos = NixosHost::new().await;
    let control_plane = &nixos.host.control_plane;
    let first: ClosureId = nixos.runs().parse().unwrap();
    let signed = offer(&nixos, &nixos.system(&SAME_KERNEL));
    run_until(&nixos, &signed, "converged").await;
    let before = control_plane.world().heartbeats.len();
    nixos.boot(&first);
    let agent = nixos.spawn();
    let says_so = |world: &World| {
        let since = &world.heartbeats[before..];
        since.last().is_some_and(|heartbeat| heartbeat.current_closure.as_ref() == Some(&first))
    };
    control_plane.until("a heartbeat with the old system", says_so).await;
    kill(agent);
}

/// Runs a system that cannot be switched to; the failure that is reported, and after it the rollback.
async fn failing(trouble: &'static str) -> serde_json::Value {
    let nixos = NixosHost::new().await;
    let first = nixos.runs();
    let system = nixos.system(&SystemOf { trouble, ..SAME_KERNEL });
    let release = Release { activation_timeout_secs: 4, ..nixos.release(1, &system) };
    let signed = release.sign();
    nixos.host.control_plane.dispatch(&signed);
    run_until(&nixos, &signed, "rollback_complete").await;
    let journal = nixos.host.control_plane.journal(&signed.rollout_id);
    assert_eq!(journal.event("rollback_complete")["closure"], json!(first));
    assert_eq!((nixos.runs(), nixos.boots_next()), (first.clone(), first.clone()));
    assert_eq!(nixos.switches(), [format!("switch {system}"), format!("switch {first}")]);
    journal.event("activation_failed")
}

/// A1: going back is by path, never "the one before".
#[tokio::test(flavor = "multi_thread")]
async fn a1_a_switch_that_fails_is_the_systems_failure_and_goes_back_by_path() {
    let failed = failing("fails").await;
    assert_eq!((&failed["class"], &failed["exit_code"]), (&json!("artifact"), &json!(4)));
    assert_eq!((&failed["reason"], &failed["changed"]), (&json!("switch-failed"), &json!(true)));
    assert_eq!(failed["stderr_tail"], "unit web.service failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_ends_well_and_did_not_switch_is_a_failure() {
    let failed = failing("half").await;
    assert_eq!((&failed["class"], &failed["exit_code"]), (&json!("artifact"), &json!(0)));
    assert_eq!(failed["reason"], "switch-incomplete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_hangs_is_ended_whatever_the_link_says() {
    let failed = failing("hang").await;
    assert_eq!(
        (&failed["class"], &failed["reason"]),
        (&json!("artifact"), &json!("switch-timeout"))
    );
}

/// A4: the switch restarts the agent. What counts then is the exit of its unit, not the link, which has
/// moved long before.
#[tokio::test(flavor = "multi_thread")]
async fn a4_an_agent_killed_by_its_own_switch_finds_the_unit_again_and_waits_for_its_exit() {
    let nixos = NixosHost::new().await;
    let control_plane = &nixos.host.control_plane;
    let first = nixos.runs();
    let system = nixos.system(&SystemOf { trouble: "kills-the-agent", ..SAME_KERNEL });
    let signed = offer(&nixos, &system);
    let mut agent = nixos.spawn();
    assert!(!tokio::task::block_in_place(|| agent.wait()).unwrap().success());
    assert_eq!(nixos.runs(), system.to_string(), "the link has moved");

    let before = control_plane.world().heartbeats.len();
    let agent = nixos.spawn();
    let more = |world: &World| world.heartbeats.len() > before + 2;
    control_plane.until("heartbeats while the switch goes on", more).await;
    assert!(!control_plane.journal(&signed.rollout_id).has("activation_complete"));
    let last = control_plane.world().heartbeats.last().unwrap().current_closure.clone();
    assert_eq!(last.unwrap().to_string(), first, "not before the switch has ended");
    std::fs::write(nixos.host.root().join("go"), "").unwrap();
    control_plane.until_event(&signed.rollout_id, "converged").await;
    kill(agent);
    assert_eq!(nixos.switches(), [format!("switch {system}")], "switched once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_a_reboot_has_ended_is_begun_anew() {
    let nixos = NixosHost::new().await;
    let control_plane = &nixos.host.control_plane;
    let first = nixos.runs();
    let system = nixos.system(&SystemOf { trouble: "kills-the-agent", ..SAME_KERNEL });
    let signed = offer(&nixos, &system);
    let mut agent = nixos.spawn();
    assert!(!tokio::task::block_in_place(|| agent.wait()).unwrap().success());
    std::fs::write(nixos.host.root().join("go"), "").unwrap();
    let exit = nixos.fake(&format!("units/{}/exit", nixos.unit()));
    while !exit.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    std::fs::remove_dir_all(exit.parent().unwrap()).unwrap();
    nixos.edit("switching.json", |record| {
        record["boot_id"] = json!("00000000-0000-4000-8000-000000000000");
    });
    nixos.boot(&first.parse().unwrap());
    let mut agent = nixos.spawn();
    assert!(!tokio::task::block_in_place(|| agent.wait()).unwrap().success());
    run_until(&nixos, &signed, "converged").await;
    assert_eq!(nixos.switches().len(), 2);
    assert_eq!(
        control_plane.journal(&signed.rollout_id).event("activation_complete")["changed"],
        true
    );
}

/// S: nothing is set before every path of it is signed by a key that the host trusts.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_signed_is_refused_before_anything_is_touched() {
    let refuse_at_realising = |nixos: &NixosHost| {
        let text = "cannot add path: it lacks a signature by a trusted key\n";
        std::fs::write(nixos.fake("realise"), text).unwrap();
    };
    let refuse_in_the_store =
        |nixos: &NixosHost| std::fs::write(nixos.fake("verify"), "2\n").unwrap();
    let ways: [&dyn Fn(&NixosHost); 2] = [&refuse_at_realising, &refuse_in_the_store];
    for refuse in ways {
        let nixos = NixosHost::new().await;
        let first = nixos.runs();
        refuse(&nixos);
        let signed = offer(&nixos, &nixos.system(&SAME_KERNEL));
        run_until(&nixos, &signed, "rollback_complete").await;
        let failed =
            nixos.host.control_plane.journal(&signed.rollout_id).event("activation_failed");
        assert_eq!(
            (&failed["class"], &failed["reason"], &failed["changed"]),
            (&json!("policy"), &json!("untrusted-closure"), &json!(false))
        );
        assert_eq!((nixos.boots_next(), nixos.switches()), (first, Vec::new()));
    }
}

/// A5, E18: a cache that is away is asked again, and speaks against nobody's closure.
#[tokio::test(flavor = "multi_thread")]
async fn a5_a_cache_that_is_away_is_asked_again() {
    let nixos = NixosHost::new().await;
    std::fs::write(nixos.fake("realise"), "cache unreachable\ncache unreachable\n").unwrap();
    let signed = offer(&nixos, &nixos.system(&SAME_KERNEL));
    run_until(&nixos, &signed, "converged").await;
    let asked = nixos.log().iter().filter(|line| line.starts_with("nix-store")).count();
    assert_eq!(asked, 3);
}

/// G28: a recipe is no system, and what runs must be a name in the store.
#[tokio::test(flavor = "multi_thread")]
async fn g28_neither_recipes_nor_bundles_nor_links_out_of_the_store() {
    let nixos = NixosHost::new().await;
    let recipe = format!("/nix/store/{}-system.drv", "c".repeat(32)).parse().unwrap();
    let signed = offer(&nixos, &recipe);
    run_until(&nixos, &signed, "activation_failed").await;
    let failed = nixos.host.control_plane.journal(&signed.rollout_id).event("activation_failed");
    assert_eq!(
        (&failed["reason"], &failed["changed"]),
        (&json!("unsupported-backend"), &json!(false))
    );

    let bundle = Release::new(2, json!({"schema_version": 1, "resources": []})).sign();
    nixos.host.control_plane.dispatch(&bundle);
    run_until(&nixos, &bundle, "dispatch_reject").await;
    let rejected = nixos.host.control_plane.journal(&bundle.rollout_id).event("dispatch_reject");
    assert_eq!(rejected["reason"], "unsupported-backend");
    assert_eq!(nixos.log(), Vec::<String>::new(), "nobody was asked anything");

    let link = nixos.host.root().join("run/current-system");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/tmp/evil", &link).unwrap();
    let mut agent = nixos.spawn();
    assert_eq!(tokio::task::block_in_place(|| agent.wait()).unwrap().code(), Some(1));
}
