//! Reading `trust.json`.
//!
//! Not here: its shape and rules (`wavegate_proto::trust`).

use std::path::Path;

use wavegate_proto::trust::{TrustError, TrustFile};

use super::file::FileAccessError;

/// Why a trust file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustReadError {
    /// It is not there.
    #[error(transparent)]
    File(#[from] FileAccessError),
    /// It is wrong.
    #[error("{path}: {error}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: TrustError,
    },
}

/// Reads and checks a trust file.
///
/// # Errors
/// When it is not there or wrong.
pub fn read(path: &Path) -> Result<TrustFile, TrustReadError> {
    let bytes =
        std::fs::read(path).map_err(|error| FileAccessError { path: path.to_owned(), error })?;
    TrustFile::parse(&bytes)
        .map_err(|error| TrustReadError::Content { path: path.display().to_string(), error })
}
