//! `kind = "tcp"`: passes when a connection can be made.
//!
//! Not here: the time limit (see the module above).

use tokio::net::TcpStream;

use super::CheckResult;

/// Connects to `address` and closes again.
pub(super) async fn ask(address: &str) -> CheckResult {
    match TcpStream::connect(address).await {
        Ok(_) => CheckResult::pass(),
        Err(error) => CheckResult::fail(format!("connect to {address}: {error}")),
    }
}
