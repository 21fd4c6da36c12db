//! Whether the control plane can be reached: what a change of the network is judged by.
//!
//! Not here: the connection (see [`crate::client`]), the judgement (see `network_config`).

use std::fmt;
use std::pin::Pin;

/// An attempt under way.
pub type Reaching<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// Tries to reach the control plane.
pub trait Reach: fmt::Debug + Send + Sync {
    /// Tries it once, over a connection that is made anew; ends within seconds.
    fn control_plane(&self) -> Reaching<'_>;
}
