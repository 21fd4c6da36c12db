//! `GET /v1/hosts/{host}/resources`: what a host has last said of each of its resources.
//!
//! It is read from the log, newest first, back to where the host's last activation began: that names every
//! resource once. What was deleted is left out.
//! Not here: what hosts wait for (see `core::satisfied`).

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use wavegate_proto::ids::{HostName, LogSeq};
use wavegate_proto::wire::operator::{EventItem, MAX_PAGE_LIMIT, Page};

use crate::core::Query;
use crate::server::Context;
use crate::server::arguments::{Arguments, PageArguments, PathId};
use crate::server::error::ApiError;
use crate::server::identity::Peer;
use crate::server::tails::leave_out;
use crate::store::EventQuery;
use crate::store::reader::EventRange;

/// How many pages of the log one answer may look at.
const MAX_PAGES: usize = 40;

/// `GET /v1/hosts/{host}/resources`.
pub(in crate::server) async fn list(
    State(context): State<Context>,
    Extension(peer): Extension<Peer>,
    PathId(host): PathId<HostName>,
    Arguments(page): Arguments<PageArguments>,
) -> Result<Response, ApiError> {
    let page = page.request()?;
    // Whether there is such a host.
    super::document(&context, Query::Host(host.clone())).await?;
    let mut latest = latest(&context, &peer, &host).await?;
    if let Some(after) = &page.after {
        latest.retain(|id, _| id > after);
    }
    let more = latest.len() > page.limit;
    let items: Vec<Value> = latest.into_values().take(page.limit).collect();
    let last = items.last().and_then(|item| item["id"].as_str()).map(ToOwned::to_owned);
    Ok(Json(Page { items, next_cursor: last.filter(|_| more) }).into_response())
}

/// The last status of each resource, by id.
async fn latest(
    context: &Context,
    peer: &Peer,
    host: &HostName,
) -> Result<BTreeMap<String, Value>, ApiError> {
    let mut latest: BTreeMap<String, Option<Value>> = BTreeMap::new();
    let mut from: Option<LogSeq> = None;
    'pages: for _ in 0..MAX_PAGES {
        let query = EventQuery {
            range: EventRange::Descending { from },
            limit: MAX_PAGE_LIMIT,
            rollout_id: None,
            host: Some(host.clone()),
            kind: None,
        };
        let page = context.events.page(query).await?;
        for mut row in page.items {
            match row.kind.as_str() {
                "activation_started" => break 'pages,
                "resource_changed" => {
                    leave_out(&mut row, peer);
                    if let Some((id, item)) = item(row) {
                        latest.entry(id).or_insert(item);
                    }
                }
                _ => {}
            }
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    Ok(latest.into_iter().filter_map(|(id, item)| Some((id, item?))).collect())
}

/// A resource's id and its status with `id` and `kind` beside; no status for one that was deleted.
fn item(row: EventItem) -> Option<(String, Option<Value>)> {
    let Value::Object(mut payload) = row.payload else { return None };
    let Value::String(id) = payload.remove("id")? else { return None };
    let Value::Object(mut status) = payload.remove("status")? else { return None };
    if status.get("operation") == Some(&json!("delete")) {
        return Some((id, None));
    }
    status.insert("id".to_owned(), json!(id));
    status.insert("kind".to_owned(), payload.remove("resource_kind")?);
    Some((id, Some(Value::Object(status))))
}
