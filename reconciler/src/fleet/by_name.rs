//! What is kept for each host, in the order of names.
//!
//! A `BTreeMap` keeps its values in its nodes, eleven in each, and leaves the nodes half empty when keys come in
//! order, as those of a release do. What is kept for a host is near a kilobyte, so it stands behind a pointer here.

use std::collections::{BTreeMap, btree_map};
use std::iter::Map;
use std::ops::Index;

use wavegate_proto::ids::HostName;

/// A map from hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct ByName<T>(BTreeMap<HostName, Box<T>>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// Hosts and what is kept for them.
pub type Iter<'a, T> = Map<
    btree_map::Iter<'a, HostName, Box<T>>,
    fn((&'a HostName, &'a Box<T>)) -> (&'a HostName, &'a T),
>;

impl<T> ByName<T> {
    /// What is kept for a host.
    pub fn get(&self, host: &HostName) -> Option<&T> {
        self.0.get(host).map(AsRef::as_ref)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, host: &HostName) -> Option<&mut T> {
        self.0.get_mut(host).map(AsMut::as_mut)
    }

    /// The same; made by `make` where there is nothing.
    pub fn get_or_insert_with(&mut self, host: &HostName, make: impl FnOnce() -> T) -> &mut T {
        self.0.entry(host.clone()).or_insert_with(|| Box::new(make()))
    }

    /// Whether anything is kept for a host.
    pub fn contains_key(&self, host: &HostName) -> bool {
        self.0.contains_key(host)
    }

    /// Keeps `value`; what was kept before comes back.
    pub fn insert(&mut self, host: HostName, value: T) -> Option<T> {
        self.0.insert(host, Box::new(value)).map(|before| *before)
    }

    /// Takes it away.
    pub fn remove(&mut self, host: &HostName) -> Option<T> {
        self.0.remove(host).map(|removed| *removed)
    }

    /// How many hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hosts.
    pub fn keys(&self) -> btree_map::Keys<'_, HostName, Box<T>> {
        self.0.keys()
    }

    /// What is kept, by the hosts' names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(AsRef::as_ref)
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut().map(AsMut::as_mut)
    }

    /// Hosts and what is kept for them.
    pub fn iter(&self) -> Iter<'_, T> {
        self.0.iter().map(|(host, value)| (host, value.as_ref()))
    }
}

impl<'a, T> IntoIterator for &'a ByName<T> {
    type Item = (&'a HostName, &'a T);
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Index<&HostName> for ByName<T> {
    type Output = T;

    fn index(&self, host: &HostName) -> &T {
        &self.0[host]
    }
}
