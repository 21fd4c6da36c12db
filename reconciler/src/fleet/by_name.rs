//! What is kept for each host: found by the hash of its name, walked through in the order of names.
//!
//! A look-up costs the same in every fleet; in an ordered map of 100,000 names it takes some thirty comparisons of
//! names, in a fleet that does not fit the processor's caches. What is kept for a host is near a kilobyte, and
//! stands behind a pointer: a table that grows moves pointers.

use std::collections::{BTreeSet, btree_set};
use std::ops::Index;

use foldhash::fast::FixedState;
use wavegate_proto::ids::HostName;

/// Hashed alike in every process: the names are those of a signed release, and nobody else chooses them.
#[expect(clippy::disallowed_types, reason = "its own order is walked where it does not matter")]
type Table<T> = std::collections::HashMap<HostName, Box<T>, FixedState>;

/// A map from hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct ByName<T> {
    kept: Table<T>,
    /// The order of those in it.
    names: BTreeSet<HostName>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { kept: Table::default(), names: BTreeSet::new() }
    }
}

impl<T> ByName<T> {
    /// What is kept for a host.
    pub fn get(&self, host: &HostName) -> Option<&T> {
        self.kept.get(host).map(AsRef::as_ref)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, host: &HostName) -> Option<&mut T> {
        self.kept.get_mut(host).map(AsMut::as_mut)
    }

    /// The same; made by `make` where there is nothing.
    pub fn get_or_insert_with(&mut self, host: &HostName, make: impl FnOnce() -> T) -> &mut T {
        self.kept.entry(host.clone()).or_insert_with(|| {
            self.names.insert(host.clone());
            Box::new(make())
        })
    }

    /// Whether anything is kept for a host.
    pub fn contains_key(&self, host: &HostName) -> bool {
        self.kept.contains_key(host)
    }

    /// Keeps `value`; what was kept before comes back.
    pub fn insert(&mut self, host: HostName, value: T) -> Option<T> {
        let before = self.kept.insert(host.clone(), Box::new(value));
        if before.is_none() {
            self.names.insert(host);
        }
        before.map(|before| *before)
    }

    /// Takes it away.
    pub fn remove(&mut self, host: &HostName) -> Option<T> {
        let removed = self.kept.remove(host)?;
        self.names.remove(host);
        Some(*removed)
    }

    /// How many hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The hosts.
    pub fn keys(&self) -> btree_set::Iter<'_, HostName> {
        self.names.iter()
    }

    /// What is kept, by the hosts' names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// What is kept, to be changed: in no order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.kept.values_mut().map(AsMut::as_mut)
    }

    /// Hosts and what is kept for them.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { kept: &self.kept, names: self.names.iter() }
    }
}

/// Hosts and what is kept for them, by name.
pub struct Iter<'a, T> {
    kept: &'a Table<T>,
    names: btree_set::Iter<'a, HostName>,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = (&'a HostName, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.names.next()?;
        Some((name, self.kept[name].as_ref()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.names.size_hint()
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
        &self.kept[host]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is put in and taken out, it holds what an ordered map holds, and in that order.
        #[test]
        fn it_is_an_ordered_map(steps in proptest::collection::vec((0_u8..20, 0_u8..3, any::<u16>()), 0..80)) {
            let (mut here, mut model) = (ByName::default(), BTreeMap::new());
            for (host, step, value) in steps {
                let name = HostName::new(&format!("host-{host}")).unwrap();
                match step {
                    0 => prop_assert_eq!(here.insert(name.clone(), value), model.insert(name, value)),
                    1 => prop_assert_eq!(here.remove(&name), model.remove(&name)),
                    _ => prop_assert_eq!(
                        *here.get_or_insert_with(&name, || value),
                        *model.entry(name).or_insert(value)
                    ),
                }
                prop_assert!(here.iter().eq(&model));
                prop_assert_eq!((here.len(), here.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }
}
