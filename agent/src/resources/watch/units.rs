//! systemd's signals about units.
//!
//! Not here: talking to systemd (see `systemd`), what a unit should be like (see `systemd_unit`).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use wavegate_proto::ids::ResourceId;

use super::Touched;
use crate::resources::error::ResourceError;
use crate::resources::systemd::{Systemd, UnitNews};

/// Whom a unit concerns, by its name.
pub(super) type UnitNames = BTreeMap<String, BTreeSet<ResourceId>>;

/// Units that are watched, over a connection of their own.
pub(super) struct UnitWatch {
    names: UnitNames,
    /// As systemd last said it.
    active: BTreeMap<String, String>,
    news: SelectAll<BoxStream<'static, UnitNews>>,
}

impl UnitWatch {
    /// Listens to all that systemd tells of these units.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(super) async fn start(systemd: &Systemd, names: &UnitNames) -> Result<Self, ResourceError> {
        systemd.subscribe().await?;
        let mut news = SelectAll::new();
        news.push(systemd.file_news().await?);
        for name in names.keys() {
            news.push(systemd.news_of(name).await?);
        }
        Ok(Self { names: names.clone(), active: BTreeMap::new(), news })
    }

    /// Waits until some of them have changed. `None`: the connection has ended.
    pub(super) async fn changed(&mut self) -> Option<BTreeSet<Touched>> {
        loop {
            match self.news.next().await? {
                // Whether they are enabled; systemd does not say which.
                UnitNews::Files => {
                    let all = self.names.values().flatten();
                    return Some(all.cloned().map(Touched::Resource).collect());
                }
                // Much of what changes is of no account, such as what a service says of itself.
                UnitNews::Properties { name, active } => {
                    let before = self.active.insert(name.clone(), active.clone());
                    if before.as_deref() != Some(&active) {
                        let resources = self.names.get(&name).into_iter().flatten();
                        return Some(resources.cloned().map(Touched::Resource).collect());
                    }
                }
            }
        }
    }
}
