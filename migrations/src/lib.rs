//! The SQL schema of the two databases, applied in order by refinery.
//!
//! Not here: what is written to them (see the control plane's store and the agent's journal).

/// The control plane's database, `wavegate.db`.
#[allow(missing_docs, reason = "the macro writes undocumented items")]
pub mod control_plane {
    refinery::embed_migrations!("control-plane");
}

/// The agent's journal, `journal.sqlite`.
#[allow(missing_docs, reason = "the macro writes undocumented items")]
pub mod agent {
    refinery::embed_migrations!("agent");
}
