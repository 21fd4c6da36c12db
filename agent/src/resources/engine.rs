//! Brings the resources of a bundle to their wanted state: in order, several at once, each with its
//! health gate.
//!
//! A failed resource blocks what depends on it; the rest goes on. A resource that needs one of
//! another host waits until that is satisfied, and the time in which nothing but such waiting
//! happens does not count.
//! Not here: what a kind does (see `kind`), which bundle and when (see `activation`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wavegate_proto::artifact::bundle::{Bundle, Dependency, Resource, ResourceSpec};
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::agent::ResourceRef;
use wavegate_proto::wire::resource::Drift;

use super::error::ResourceError;
use super::graph::Graph;
use super::host::Host;
use super::kind;
use super::status::{Charge, Statuses};
use super::worker::Worker;
use crate::probes::CheckRunner;

/// The resource engine of a host.
#[derive(Debug)]
pub struct Engine {
    pub(crate) host: Arc<Host>,
    pub(crate) checks: Arc<dyn CheckRunner>,
    pub(crate) statuses: Arc<Statuses>,
    awaiting: watch::Sender<Vec<ResourceRef>>,
}

/// How long a pass may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For everything but waiting for other hosts.
    pub activation: Duration,
    /// For waiting for other hosts, each resource.
    pub awaiting: Duration,
}

/// Where a pass leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To a closure that a release wants: steps that cannot be undone are written down.
    Forward,
    /// Back, or to where the host is already.
    Back,
}

/// One run over a bundle.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What should be.
    pub bundle: Arc<Bundle>,
    /// On whose behalf.
    pub charge: Charge,
    /// Where it leads.
    pub direction: Direction,
    /// How long it may take.
    pub limits: Limits,
    /// What other hosts have completed.
    pub satisfied: watch::Receiver<BTreeSet<ResourceRef>>,
    /// Only this resource and what it needs.
    pub only: Option<ResourceId>,
}

impl Engine {
    /// An engine that works on `host`.
    #[must_use]
    pub fn new(host: Arc<Host>, checks: Arc<dyn CheckRunner>, statuses: Arc<Statuses>) -> Self {
        Self { host, checks, statuses, awaiting: watch::Sender::new(Vec::new()) }
    }

    /// What it waits for on other hosts, now and later.
    #[must_use]
    pub fn awaiting(&self) -> watch::Receiver<Vec<ResourceRef>> {
        self.awaiting.subscribe()
    }

    /// The statuses it keeps.
    #[must_use]
    pub fn statuses(&self) -> &Arc<Statuses> {
        &self.statuses
    }

    /// Refuses a bundle that cannot be worked on, before anything is touched.
    ///
    /// # Errors
    /// An unknown schema or kind, or a bundle that contradicts itself.
    pub fn check(&self, bundle: &Bundle, charge: &Charge) -> Result<Graph, ResourceError> {
        if bundle.schema_version != 1 {
            return Err(ResourceError::UnsupportedSchema { found: bundle.schema_version });
        }
        let mut first = None;
        for resource in &bundle.resources {
            if let ResourceSpec::Unknown { .. } = resource.spec {
                let error = kind::unknown(resource);
                let why = error.to_string();
                self.statuses.unknown(&resource.id, resource.spec.kind(), charge, &why);
                first.get_or_insert(error);
            }
        }
        if let Some(error) = first {
            return Err(error);
        }
        let graph = Graph::of(bundle)?;
        self.host.permits(bundle)?;
        Ok(graph)
    }

    /// Brings every resource to its wanted state.
    ///
    /// # Errors
    /// The failure that came first; the statuses tell the others.
    pub async fn run(&self, pass: Pass) -> Result<(), ResourceError> {
        let graph = self.check(&pass.bundle, &pass.charge)?;
        let outcome = Run::new(self, pass, graph).await.finish().await;
        self.awaiting.send_replace(Vec::new());
        outcome
    }
}

/// Where a resource is in this run.
#[derive(Debug)]
enum Node {
    Waiting {
        remote: Vec<ResourceRef>,
        since: Option<Instant>,
    },
    Running,
    Done,
    /// No part of this pass.
    Left,
    /// Failed, or blocked by something that failed.
    Out,
}

struct Run<'a> {
    engine: &'a Engine,
    pass: Pass,
    graph: Graph,
    nodes: Vec<Node>,
    workers: JoinSet<(usize, Result<(), ResourceError>)>,
    ends_at: Instant,
    satisfied_open: bool,
    first_error: Option<ResourceError>,
}

impl<'a> Run<'a> {
    async fn new(engine: &'a Engine, pass: Pass, graph: Graph) -> Self {
        let mut nodes = Vec::with_capacity(pass.bundle.resources.len());
        let scope = graph.scope(&pass.bundle, pass.only.as_ref());
        for (position, resource) in pass.bundle.resources.iter().enumerate() {
            if !scope.contains(&position) {
                nodes.push(Node::Left);
                continue;
            }
            engine.statuses.pending(&resource.id, resource.spec.kind(), &pass.charge);
            let group = graph.group(position).map(|group| &pass.bundle.resources[group]);
            let remote = remote_needs(engine, &pass.bundle, resource, group).await;
            nodes.push(Node::Waiting { remote, since: None });
        }
        let ends_at = Instant::now() + pass.limits.activation;
        Self {
            engine,
            pass,
            graph,
            nodes,
            workers: JoinSet::new(),
            ends_at,
            satisfied_open: true,
            first_error: None,
        }
    }

    async fn finish(mut self) -> Result<(), ResourceError> {
        loop {
            self.drop_satisfied();
            self.give_up_waiting();
            let awaiting = self.refresh();
            self.engine.awaiting.send_replace(awaiting.iter().cloned().collect());
            if !self.is_out_of_time() {
                self.start_ready();
            }
            if self.workers.is_empty() && (awaiting.is_empty() || self.is_out_of_time()) {
                break;
            }
            self.wait(!awaiting.is_empty()).await;
        }
        let unfinished = self.nodes.iter().any(|node| matches!(node, Node::Waiting { .. }));
        match self.first_error {
            Some(error) => Err(error),
            None if unfinished => {
                Err(ResourceError::OutOfTime { last: "resources were not reached".to_owned() })
            }
            None => Ok(()),
        }
    }

    fn is_out_of_time(&self) -> bool {
        Instant::now() >= self.ends_at
    }

    fn resource(&self, position: usize) -> &Resource {
        &self.pass.bundle.resources[position]
    }

    fn drop_satisfied(&mut self) {
        let satisfied = self.pass.satisfied.borrow_and_update().clone();
        for node in &mut self.nodes {
            if let Node::Waiting { remote, .. } = node {
                remote.retain(|of| !satisfied.contains(of));
            }
        }
    }

    fn give_up_waiting(&mut self) {
        let patience = self.pass.limits.awaiting;
        for position in 0..self.nodes.len() {
            let Node::Waiting { remote, since: Some(since) } = &self.nodes[position] else {
                continue;
            };
            if let Some(of) = remote.first()
                && since.elapsed() >= patience
            {
                let error = ResourceError::AwaitTimeout { of: of.clone() };
                self.fail(position, error);
            }
        }
    }

    fn fail(&mut self, position: usize, error: ResourceError) {
        let resource = self.resource(position);
        let (id, kind) = (resource.id.clone(), resource.spec.kind());
        self.engine.statuses.failed(&id, kind, &self.pass.charge, &error.to_string());
        self.nodes[position] = Node::Out;
        self.first_error.get_or_insert(error);
    }

    /// Computes anew who is blocked by what, and returns what is awaited of other hosts.
    fn refresh(&mut self) -> BTreeSet<ResourceRef> {
        let mut awaiting = BTreeSet::new();
        for position in self.graph.order().to_vec() {
            let Node::Waiting { remote, .. } = &self.nodes[position] else { continue };
            let unfinished = |need: &&usize| !matches!(self.nodes[**need], Node::Done);
            let local = self.graph.needs(position).iter().find(unfinished);
            let blocker = match (local, remote.first()) {
                (Some(need), _) => Some(self.resource(*need).id.to_string()),
                (None, Some(of)) => Some(format!("{}/{}", of.host, of.resource)),
                (None, None) => None,
            };
            let out = |need: &usize| matches!(self.nodes[*need], Node::Out);
            let is_out = self.graph.needs(position).iter().any(out);
            if local.is_none() {
                awaiting.extend(remote.iter().cloned());
            }
            let is_awaiting = local.is_none() && !remote.is_empty();
            self.show(position, blocker.as_deref());
            if is_out {
                self.nodes[position] = Node::Out;
            } else if let Node::Waiting { since, .. } = &mut self.nodes[position]
                && is_awaiting
            {
                since.get_or_insert_with(Instant::now);
            }
        }
        awaiting
    }

    fn show(&self, position: usize, blocker: Option<&str>) {
        let resource = self.resource(position);
        let (id, kind) = (&resource.id, resource.spec.kind());
        let statuses = &self.engine.statuses;
        match blocker {
            Some(by) => statuses.blocked(id, kind, &self.pass.charge, by),
            None => statuses.unblocked(id, kind, &self.pass.charge),
        }
    }

    fn start_ready(&mut self) {
        let at_once = usize::try_from(self.pass.bundle.max_parallel.max(1)).unwrap_or(usize::MAX);
        for position in self.graph.order().to_vec() {
            if self.workers.len() >= at_once {
                return;
            }
            let Node::Waiting { remote, .. } = &self.nodes[position] else { continue };
            let done = |need: &usize| matches!(self.nodes[*need], Node::Done);
            let is_ready = remote.is_empty() && self.graph.needs(position).iter().all(done);
            if is_ready && !self.is_group_busy(position) {
                self.start(position);
            } else if at_once == 1 {
                return;
            }
        }
    }

    /// Whether as many of the resource's group are worked on as the group lets be at once.
    fn is_group_busy(&self, position: usize) -> bool {
        let Some(group) = self.graph.group(position) else { return false };
        let ResourceSpec::ResourceGroup(spec) = &self.resource(group).spec else { return false };
        let is_running = |at: &usize| {
            matches!(self.nodes[*at], Node::Running) && self.graph.group(*at) == Some(group)
        };
        let running = (0..self.nodes.len()).filter(is_running).count();
        spec.max_parallel.is_some_and(|at_once| running >= at_once as usize)
    }

    fn start(&mut self, position: usize) {
        let worker = Worker {
            host: Arc::clone(&self.engine.host),
            checks: Arc::clone(&self.engine.checks),
            statuses: Arc::clone(&self.engine.statuses),
            charge: self.pass.charge.clone(),
            direction: self.pass.direction,
            bundle: Arc::clone(&self.pass.bundle),
            resource: self.resource(position).clone(),
            ends_at: self.ends_at,
        };
        self.nodes[position] = Node::Running;
        self.workers.spawn(async move { (position, worker.work().await) });
    }

    /// Waits for a worker, for news of other hosts, or until somebody has waited long enough.
    async fn wait(&mut self, awaiting: bool) {
        let idle_since = self.workers.is_empty().then(Instant::now);
        let patience = self.pass.limits.awaiting;
        let waits = self.nodes.iter().filter_map(|node| match node {
            Node::Waiting { remote, since } if !remote.is_empty() => *since,
            Node::Waiting { .. } | Node::Running | Node::Done | Node::Left | Node::Out => None,
        });
        let give_up_at = waits.min().map_or_else(Instant::now, |since| since + patience);
        tokio::select! {
            Some(ended) = self.workers.join_next(), if idle_since.is_none() => match ended {
                Ok((position, Ok(()))) => self.nodes[position] = Node::Done,
                Ok((position, Err(error))) => self.fail(position, error),
                Err(stopped) => {
                    let error = ResourceError::Worker(stopped.to_string());
                    self.first_error.get_or_insert(error);
                }
            },
            changed = self.pass.satisfied.changed(), if awaiting && self.satisfied_open => {
                self.satisfied_open = changed.is_ok();
            }
            () = tokio::time::sleep_until(give_up_at), if awaiting => {}
        }
        if let Some(since) = idle_since {
            self.ends_at += since.elapsed();
        }
    }
}

/// What a resource, or the group it is in, needs of other hosts. One that is as it should be needs
/// nothing any more.
async fn remote_needs(
    engine: &Engine,
    bundle: &Bundle,
    resource: &Resource,
    group: Option<&Resource>,
) -> Vec<ResourceRef> {
    let needs = group.into_iter().chain([resource]).flat_map(|resource| &resource.depends_on);
    let remote: Vec<ResourceRef> = needs
        .filter_map(|dependency| match dependency {
            Dependency::Here(_) => None,
            Dependency::There { host, resource } => {
                Some(ResourceRef { host: host.clone(), resource: resource.clone() })
            }
        })
        .collect();
    if remote.is_empty() {
        return remote;
    }
    match kind::observe(&engine.host, bundle, resource).await {
        Ok(seen) if seen.drift == Drift::Ok => Vec::new(),
        Ok(_) | Err(_) => remote,
    }
}
