//! Resources that hosts wait for on other hosts: said to be there when they are, and not before.

use serde_json::Value;
use wavegate_proto::event::Event;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::agent::ResourceRef;
use wavegate_proto::wire::resource::{
    Actor, ActorSource, Decision, Operation, ResourceKind, ResourceState, ResourceStatus,
};

use crate::harness::{Cp, minutes, name};
use crate::release;

fn of(host: &str, resource: &str) -> ResourceRef {
    ResourceRef { host: name(host), resource: resource.parse().unwrap() }
}

fn status(
    at: wavegate_proto::time::Timestamp,
    status: ResourceState,
    op: Operation,
) -> ResourceStatus {
    ResourceStatus {
        status,
        since: at,
        operation: op,
        profile: String::new(),
        actor: Actor { identity: "wavegate-agent".to_owned(), source: ActorSource::Release },
        started_at: None,
        ended_at: None,
        blocker: None,
        error: None,
        retry_after: None,
        decision: Decision::Run,
        drift: None,
        detail: Value::Null,
        log: Vec::new(),
    }
}

impl Cp {
    fn says(&mut self, host: &str, id: &str, state: ResourceState, operation: Operation) {
        let status = Box::new(status(self.now().wall, state, operation));
        let id: ResourceId = id.parse().unwrap();
        let event = Event::ResourceChanged { id, resource_kind: ResourceKind::File, status };
        self.event(host, event).unwrap();
    }

    fn completes(&mut self, host: &str, id: &str) {
        self.says(host, id, ResourceState::Completed, Operation::Create);
    }

    /// What a host that waits for all of this is told.
    fn told(&mut self, host: &str, awaiting: &[ResourceRef]) -> Vec<ResourceRef> {
        self.host(host).awaiting = awaiting.to_vec();
        self.heartbeat(host).unwrap().satisfied
    }
}

#[test]
fn a_resource_is_there_once_it_is_completed_under_the_closure_of_the_release() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    let both = [of("host-01", "schema"), of("host-01", "server")];
    assert_eq!(cp.told("host-02", &both), [], "nothing has begun");
    cp.ack("host-01");
    cp.ack("host-02");
    cp.says("host-01", "schema", ResourceState::Running, Operation::Create);
    assert_eq!(cp.told("host-02", &both), []);
    cp.completes("host-01", "schema");
    assert_eq!(cp.told("host-02", &both), both[..1]);
    assert_eq!(cp.told("host-02", &[]), []);
    cp.says("host-01", "schema", ResourceState::Running, Operation::Update);
    assert_eq!(cp.told("host-02", &both), [], "it is worked on again");
    cp.completes("host-01", "schema");
    cp.restart();
    cp.everybody_reports();
    assert_eq!(cp.told("host-02", &both), both[..1], "a restart forgets nothing");
    cp.activate("host-01");
    assert_eq!(cp.told("host-02", &both), both, "a complete activation has completed all");
    cp.settle("host-01");
    assert_eq!(cp.told("host-02", &both), both);
    cp.says("host-01", "server", ResourceState::Failed, Operation::Update);
    assert_eq!(cp.told("host-02", &both), both[..1], "it is not as it should be any more");
    cp.completes("host-01", "server");
    assert_eq!(cp.told("host-02", &both), both);
    // The next release names another closure for that host: what was completed is not that.
    cp.publish(&[release("r2", "two", &[2])]);
    assert_eq!(cp.told("host-02", &both), []);
}

#[test]
fn what_is_said_on_the_way_back_completes_nothing() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    let schema = [of("host-01", "schema")];
    cp.ack("host-01");
    cp.completes("host-01", "schema");
    assert_eq!(cp.told("host-02", &schema), schema);
    cp.activate("host-01");
    cp.fail_health("host-01");
    assert_eq!(cp.told("host-02", &schema), []);
    cp.completes("host-01", "schema");
    assert_eq!(cp.told("host-02", &schema), [], "the prior closure's");
}

#[test]
fn a_wiped_control_plane_learns_it_again_from_the_journals() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    let schema = [of("host-01", "schema"), of("host-01", "other")];
    cp.ack("host-01");
    cp.completes("host-01", "schema");
    cp.wipe();
    cp.everybody_reports();
    cp.advance(minutes(5));
    assert_eq!(cp.told("host-02", &schema), schema[..1]);
}

/// G14: what one host says and asks has a bound.
#[test]
fn g14_a_host_that_names_very_many_resources_is_noted_within_bounds() {
    let mut cp = Cp::with(&[release("r1", "one", &[2])]);
    cp.ack("host-01");
    for number in 0..1100 {
        cp.completes("host-01", &format!("r{number}"));
    }
    let asked: Vec<ResourceRef> = (0..1100).map(|n| of("host-01", &format!("r{n}"))).collect();
    assert_eq!(cp.told("host-02", &asked).len(), 256, "of one heartbeat");
    assert_eq!(cp.told("host-02", &asked[1000..]).len(), 24, "of one host");
    assert_eq!(cp.told("host-02", &[of("nobody", "x"), of("host-02", "x")]), []);
}
