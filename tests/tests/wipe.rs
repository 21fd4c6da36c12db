//! The control plane loses what it knew in the middle of a rollout: its database, a part of it, or
//! everything. The hosts know, and nobody does anything but start it again.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wavegate_proto::ids::HostName;
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::{EventItem, Mode, Outcome, RolloutState, Status};
use wavegate_tests::processes::agents::Agents;
use wavegate_tests::processes::control_plane::{ControlPlane, back_up_database, delete_database};
use wavegate_tests::processes::folder::{Budget, Content, Folder, Plan, Wave, files_of};
use wavegate_tests::processes::ledger::Ledger;
use wavegate_tests::processes::log::{expect_one_start_an_attempt, expect_whole};
use wavegate_tests::processes::picture::Picture;
use wavegate_tests::processes::reader::Reader;
use wavegate_tests::processes::slots;
use wavegate_tests::processes::wait::{PATIENCE, until, until_every};
use wavegate_tests::processes::watcher::Watcher;

const HOSTS: usize = 9;

/// The members of the budget: two have gone in an early wave, two of the rest may go at once.
const MEMBERS: [usize; 5] = [2, 3, 5, 6, 7];
const MAX_IN_FLIGHT: usize = 2;

/// A host whose bundle never changes: it is carried from release to release.
const UNCHANGED: usize = 8;

/// How long the rest soaks in the rollout that is interrupted: nothing moves on while pictures are
/// compared.
const SOAK_SECS: u64 = 30;

/// From the first line of the new control plane until every host is seen: heartbeats come every second,
/// and agents that found nobody try again within a few.
const VISIBLE: Duration = Duration::from_secs(10);

/// Until every document is the same; with what comes before, less than the soak.
const EQUAL: Duration = Duration::from_secs(10);

/// Between two pictures: each is some forty requests, and one caller may ask a hundred a second.
const A_PICTURE: Duration = Duration::from_millis(400);

fn plan(rest_soak_secs: u64) -> Plan {
    let wave = |name, hosts, soak_secs| Wave { name, hosts, soak_secs };
    let waves = vec![
        wave("canary", vec![1], 1),
        wave("early", vec![2, 3, 4], 1),
        wave("rest", vec![5, 6, 7, UNCHANGED], rest_soak_secs),
        wave("last", Vec::new(), 1),
    ];
    let budget = Budget { hosts: MEMBERS.into(), max_in_flight: MAX_IN_FLIGHT };
    Plan { waves, budget: Some(budget), unchanged: Some(UNCHANGED), ..Plan::default() }
}

fn names(numbers: &[usize]) -> BTreeSet<String> {
    numbers
        .iter()
        .map(|number| wavegate_tests::release_kit::host_name(*number).to_string())
        .collect()
}

/// A fleet and what has happened to it.
struct Scene<'a> {
    folder: &'a Folder,
    control_plane: ControlPlane<'a>,
    agents: Agents<'a>,
    /// The release published last.
    number: u64,
}

impl<'a> Scene<'a> {
    fn new(folder: &'a Folder) -> Self {
        let control_plane = ControlPlane::start(folder);
        let agents = Agents::start(folder, &control_plane.url);
        Self { folder, control_plane, agents, number: 0 }
    }

    fn publish(&mut self, content: Content, rest_soak_secs: u64) {
        self.number += 1;
        self.folder.plan(&plan(rest_soak_secs));
        self.folder.release(self.number, content);
        self.control_plane.publish(self.number);
    }

    fn current(&self) -> String {
        format!("stable@r{}", self.number)
    }

    fn expect_end(&self, wanted: RolloutState) {
        let reader = self.control_plane.reader();
        let rollout = until("the end of the rollout", PATIENCE, || {
            let rollout = reader.rollout(&self.current())?;
            let is_over = rollout.state == wanted;
            is_over.then_some(rollout.clone()).ok_or_else(|| format!("{rollout:?}"))
        });
        let complete = (wanted == RolloutState::Terminal).then_some(Outcome::Complete);
        assert_eq!(rollout.outcome, complete, "{rollout:?}");
    }

    fn good_release(&mut self) {
        self.publish(Content::Healthy, 1);
        self.expect_end(RolloutState::Terminal);
    }

    fn bad_release(&mut self) {
        self.publish(Content::Broken, 1);
        self.expect_end(RolloutState::Reverted);
    }

    /// Until the hosts are in the [`MIDDLE`] of the current rollout, healthy where they soak.
    fn reach_the_middle(&self) {
        let reader = self.control_plane.reader();
        until("the middle of the rollout", PATIENCE, || {
            let hosts = reader.all("/v1/hosts")?;
            let mut found: BTreeMap<String, usize> = BTreeMap::new();
            for host in hosts.iter().filter(|host| host["rollout_id"] == *self.current()) {
                let state = host["state"].as_str().unwrap_or_default();
                let state = if is_told(host) { state } else { "not told yet" };
                *found.entry(state.to_owned()).or_default() += 1;
            }
            let wanted = MIDDLE.iter().map(|(state, count)| ((*state).to_owned(), *count));
            (found == wanted.collect()).then_some(()).ok_or_else(|| format!("{found:?}"))
        });
    }

    /// Until the canary is done and hosts of the next wave are at work.
    fn reach_the_early_wave(&self) {
        let reader = self.control_plane.reader();
        until("the early wave", PATIENCE, || {
            let rollout = reader.rollout(&self.current())?;
            let wave = &rollout.waves[1].by_state;
            let busy =
                wave.contains_key(&HostState::Activating) || wave.contains_key(&HostState::Soaking);
            busy.then_some(()).ok_or_else(|| format!("{rollout:?}"))
        });
    }

    fn held(&self) -> BTreeSet<(String, String)> {
        let mut ledger = Ledger::default();
        ledger.collect(self.folder);
        ledger.held()
    }
}

/// Whether a host's heartbeat and probes have caught up with its state.
fn is_told(host: &Value) -> bool {
    let resources = host["resources"]["completed"] == 4;
    let runs = host["current_closure"] == host["target_closure"];
    resources && (host["state"] == "pending" || (runs && host["probes"][0]["status"] == "pass"))
}

/// The middle: canary and early wave done, of the rest one carried, two soaking, one held by the budget,
/// and the last wave waits.
const MIDDLE: [(&str, usize); 3] = [("converged", 5), ("soaking", 2), ("pending", 2)];

/// Every host's release never falls and its files never get fewer.
fn watch_files(folder: &Folder) -> Watcher<Vec<String>> {
    let roots: Vec<PathBuf> = folder.hosts.iter().map(|host| folder.root(host)).collect();
    let mut before: BTreeMap<PathBuf, String> = BTreeMap::new();
    Watcher::start(Vec::new(), move |wrong: &mut Vec<String>| {
        for root in &roots {
            for name in ["srv/app.conf", "srv/app.data", "srv/kept.conf"] {
                let path = root.join(name);
                let text = fs::read_to_string(&path).unwrap_or_default();
                let number = |text: &str| -> Option<u64> {
                    text.split_whitespace().find_map(|word| word.parse().ok())
                };
                let old = before.insert(path.clone(), text.clone()).unwrap_or_default();
                let fell = number(&text) < number(&old) || text.is_empty();
                if fell {
                    wrong.push(format!("{}: {old:.40} became {text:.40}", path.display()));
                }
            }
        }
    })
}

/// What the lists of hosts said about the budget.
#[derive(Default)]
struct Slots {
    looks: u64,
    most: usize,
    exceeded: Vec<String>,
}

fn watch_slots(status_url: &str) -> Watcher<Slots> {
    let (url, members) = (status_url.to_owned(), names(&MEMBERS));
    let mut reader = None;
    Watcher::start(Slots::default(), move |slots| {
        let reader = reader.get_or_insert_with(|| Reader::new(&url));
        // Nobody answers while the control plane is gone, and while it recovers it shows some hosts
        // as the old copy has them: what happens then is judged by the hosts' own journals.
        let is_sure = || reader.get("/v1/status").is_ok_and(|s: Status| s.mode == Mode::Normal);
        let hosts = is_sure().then(|| reader.all("/v1/hosts"));
        let Some(Ok(hosts)) = hosts.filter(|_| is_sure()) else { return };
        let used: BTreeSet<String> =
            slots::in_use(&hosts).intersection(&members).cloned().collect();
        slots.looks += 1;
        slots.most = slots.most.max(used.len());
        if used.len() > MAX_IN_FLIGHT {
            slots.exceeded.push(format!("{used:?}"));
        }
    })
}

/// How the control plane loses what it knew.
enum Loss {
    /// `wavegate.db` is deleted.
    Database,
    /// An older copy of `wavegate.db` is put back.
    PutBack(PathBuf),
    /// The whole state folder is gone.
    Folder,
}

/// Kills the control plane, takes away what it knew, and starts it again.
fn lose(scene: &mut Scene<'_>, loss: &Loss) -> Instant {
    let state = scene.folder.control_plane_state();
    scene.control_plane.kill_9();
    match loss {
        Loss::Database => delete_database(&state),
        Loss::PutBack(copy) => {
            delete_database(&state);
            fs::copy(copy, state.join("wavegate.db")).unwrap();
        }
        Loss::Folder => fs::remove_dir_all(&state).unwrap(),
    }
    scene.control_plane.start_again();
    if matches!(loss, Loss::Folder) {
        expect_no_release(&scene.control_plane.status_url);
        scene.control_plane.publish(scene.number);
    }
    Instant::now()
}

fn expect_no_release(status_url: &str) {
    let (status, body) = Reader::answer(status_url, "/readyz").unwrap();
    assert_eq!((status, body), (503, json!({ "ready": false, "reasons": ["no-release"] })));
}

/// The loss in the middle of a rollout, and everything that must hold afterwards.
fn recovers(scene: &mut Scene<'_>, loss: &Loss, what: &str) {
    let (folder, status_url) = (scene.folder, scene.control_plane.status_url.clone());
    let held = scene.held();
    let reader = Reader::new(&status_url);
    let before = Picture::take(&reader, &held).unwrap();
    let epoch = reader.get::<Status>("/v1/status").unwrap().cp_epoch;
    let (slots, files) = (watch_slots(&status_url), watch_files(folder));
    let settled = settled(&reader, &scene.current());
    let identities = |folder: &Folder| {
        let of = |host: &HostName| (host.clone(), folder.identities(host));
        folder.hosts.iter().map(of).collect::<BTreeMap<_, _>>()
    };
    let files_before = identities(folder);
    scene.control_plane.check_log();
    let lost_at = lose(scene, loss);

    until("every host to be seen", VISIBLE, || {
        let status: Status = reader.get("/v1/status")?;
        let online = status.hosts.online;
        (online == HOSTS as u64).then_some(()).ok_or_else(|| format!("{online} online"))
    });
    let visible = lost_at.elapsed();
    until_every(A_PICTURE, "the same picture", EQUAL, || {
        let difference = Picture::take(&reader, &held)?.difference(&before);
        difference.map_or(Ok(()), Err)
    });
    let equal = lost_at.elapsed();
    println!(
        "{what}: {HOSTS} hosts seen after {visible:.1?}, {} documents equal after {equal:.1?}",
        before.len()
    );
    if !matches!(loss, Loss::PutBack(_)) {
        let new_epoch = reader.get::<Status>("/v1/status").unwrap().cp_epoch;
        assert_ne!(new_epoch, epoch, "a new database has a new epoch");
    }
    for (host, files) in &files_before {
        if settled.contains(host.as_str()) {
            assert_eq!(folder.identities(host), *files, "{host} was touched by the recovery");
        }
    }
    scene.expect_end(RolloutState::Terminal);
    scene.agents.expect_running();
    let (slots, wrong) = (slots.end(), files.end());
    assert!(wrong.is_empty(), "deleted or downgraded: {wrong:#?}");
    assert!(slots.looks > 10 && slots.most > 0, "{} looks, {}", slots.looks, slots.most);
    assert!(slots.exceeded.is_empty(), "the budget was exceeded: {:?}", slots.exceeded);
    expect_once(scene, &reader.log().unwrap(), &settled);
    scene.control_plane.check_log();
}

/// The hosts that have been let in already.
fn settled(reader: &Reader, rollout: &str) -> BTreeSet<String> {
    let records = reader.all(&format!("/v1/rollouts/{rollout}/hosts")).unwrap();
    let settled = |record: &&Value| record["state"] != "pending";
    records.iter().filter(settled).map(|r| r["host"].as_str().unwrap().to_owned()).collect()
}

/// Nothing was dispatched twice, and every host has what it should have.
fn expect_once(scene: &Scene<'_>, log: &[EventItem], settled: &BTreeSet<String>) {
    let (folder, rollout) = (scene.folder, scene.current());
    expect_whole(log);
    expect_one_start_an_attempt(log);
    let started = log.iter().rposition(|row| row.kind == "cp_started").unwrap();
    for row in log[started..].iter().filter(|row| row.kind == "dispatch_issued") {
        let again = row.rollout_id.as_ref().is_some_and(|id| id.to_string() == rollout)
            && settled.contains(row.host.as_ref().unwrap().as_str());
        assert!(!again, "dispatched again after the loss: {row:?}");
    }
    let mut ledger = Ledger::default();
    ledger.collect(folder);
    ledger.expect_one_start_an_attempt();
    let most = slots::most_at_once(&ledger, &rollout, &names(&MEMBERS));
    assert_eq!(most, MAX_IN_FLIGHT, "members at once by their own journals");
    for (number, host) in (1..).zip(&folder.hosts) {
        let release = if number == UNCHANGED { 1 } else { scene.number };
        assert_eq!(folder.files(host), files_of(release, Content::Healthy), "{host}");
    }
}

#[test]
fn a_database_deleted_in_the_middle_of_a_rollout_comes_back_from_the_hosts() {
    let folder = Folder::new(HOSTS);
    let mut scene = Scene::new(&folder);
    scene.good_release();
    scene.bad_release();
    scene.publish(Content::Healthy, SOAK_SECS);
    scene.reach_the_middle();
    recovers(&mut scene, &Loss::Database, "database deleted");
}

/// D7, G11: a day-old copy knows neither the release nor the failure that came after it.
#[test]
fn d7_g11_a_day_old_copy_of_the_database_put_back_catches_up_and_downgrades_nothing() {
    let folder = Folder::new(HOSTS);
    let mut scene = Scene::new(&folder);
    scene.good_release();
    scene.publish(Content::Healthy, 1);
    scene.reach_the_early_wave();
    let copy = folder.path("day-old.db");
    back_up_database(&folder.control_plane_state(), &copy);
    scene.expect_end(RolloutState::Terminal);
    scene.bad_release();
    scene.publish(Content::Healthy, SOAK_SECS);
    scene.reach_the_middle();
    recovers(&mut scene, &Loss::PutBack(copy), "day-old copy put back");
    let log = scene.control_plane.reader().log().unwrap();
    let renewed = log.iter().filter(|row| row.kind == "epoch_renewed").count();
    assert_eq!(renewed, 1, "G11: hosts showed that the log went back");
}

/// D7: the copy is of the same rollout, before the hosts went on.
#[test]
fn d7_an_earlier_copy_from_the_same_rollout_put_back_dispatches_nothing_again() {
    let folder = Folder::new(HOSTS);
    let mut scene = Scene::new(&folder);
    scene.good_release();
    scene.bad_release();
    scene.publish(Content::Healthy, SOAK_SECS);
    scene.reach_the_early_wave();
    let copy = folder.path("earlier.db");
    back_up_database(&folder.control_plane_state(), &copy);
    scene.reach_the_middle();
    recovers(&mut scene, &Loss::PutBack(copy), "copy of the same rollout put back");
}

#[test]
fn a_lost_state_folder_waits_for_the_release_and_comes_back_from_the_hosts() {
    let folder = Folder::new(HOSTS);
    let mut scene = Scene::new(&folder);
    scene.good_release();
    scene.bad_release();
    scene.publish(Content::Healthy, SOAK_SECS);
    scene.reach_the_middle();
    recovers(&mut scene, &Loss::Folder, "state folder lost");
}
