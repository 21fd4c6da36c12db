//! The host's systemd-networkd, over D-Bus.
//!
//! Not here: its files (see `network_config`).

use super::error::ResourceError;
use super::systemd::{Systemd, refused};

/// Its unit, as errors name it.
const UNIT: &str = "systemd-networkd.service";

#[zbus::proxy(
    interface = "org.freedesktop.network1.Manager",
    default_service = "org.freedesktop.network1",
    default_path = "/org/freedesktop/network1"
)]
trait Network {
    fn reload(&self) -> zbus::Result<()>;
}

/// Lets networkd read its files again; it sets up anew every link whose files have changed.
pub(super) async fn reload(systemd: &Systemd) -> Result<(), ResourceError> {
    let networkd =
        NetworkProxy::new(systemd.connection()).await.map_err(refused("reload", UNIT))?;
    networkd.reload().await.map_err(refused("reload", UNIT))
}
