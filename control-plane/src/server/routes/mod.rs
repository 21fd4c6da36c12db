//! The routes, one file an area. Which there are, and who may use them: [`super::table`].
//!
//! Not here: decisions. A route parses, asks, and writes down the answer.

pub(super) mod agent;
pub(super) mod assets;
pub(super) mod blobs;
pub(super) mod channels;
pub(super) mod enroll;
pub(super) mod events;
pub(super) mod health;
pub(super) mod hosts;
pub(super) mod provider;
pub(super) mod quarantines;
pub(super) mod releases;
pub(super) mod resources;
pub(super) mod rollouts;
pub(super) mod status;
pub(super) mod stream;
pub(super) mod trust;
pub(super) mod verbs;

use axum::Json;
use axum::response::{IntoResponse as _, Response};

use super::Context;
use super::error::ApiError;
use crate::core::{Answer, Query};

/// Asks the live model for a document.
async fn document(context: &Context, query: Query) -> Result<Response, ApiError> {
    let Answer::Document(document) = context.handle.query(query).await? else {
        return Err(ApiError::unexpected_answer());
    };
    Ok(Json(document).into_response())
}
