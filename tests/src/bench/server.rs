//! The two servers, each run in a process of its own: the control plane as it is shipped, and a bare
//! axum router behind the same TLS set-up.
//!
//! A server prints `listening ADDRESS` and serves until its stdin ends, so it never outlives the
//! benchmark.

mod ours;
mod reference;

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::io::AsyncReadExt as _;

use super::options::{Options, Role};
use super::scene::Files;

pub(super) use wavegate_control_plane::server::tls::install_crypto_provider;

/// Serves as `role` until stdin ends.
pub(super) fn run(role: Role, options: &Options) -> Result<()> {
    let dir = options.dir.as_deref().context("--serve needs --dir")?;
    let files = Files::new(dir);
    let runtime = tokio::runtime::Runtime::new().context("start the server's runtime")?;
    runtime.block_on(async {
        match role {
            Role::Ours => ours::serve(&files, options.download_bytes_per_second).await,
            Role::Reference => reference::serve(&files, options.answer_bytes).await,
        }
    })
}

fn announce(address: SocketAddr) -> Result<()> {
    println!("listening {address}");
    Ok(std::io::stdout().flush()?)
}

async fn until_stdin_ends() -> Result<()> {
    let mut ignored = Vec::new();
    tokio::io::stdin().read_to_end(&mut ignored).await?;
    Ok(())
}
