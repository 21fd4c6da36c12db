//! The two routers, built from the table.
//!
//! Not here: the table (see [`super::table`]).

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::{method_not_allowed, not_found, panicked};
use super::table::{Listener, ROUTES, Route};
use super::{Context, gate};

/// Everything, for callers with certificates.
pub(super) fn mtls(context: Context) -> Router {
    routes(|_| true)
        .layer(from_fn_with_state(context.clone(), gate::authenticate))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(context)
}

/// What anybody who can reach the status listener may read.
pub(super) fn status(context: Context, bound: SocketAddr) -> Router {
    routes(|route| route.listener == Listener::Both)
        .layer(from_fn_with_state(bound, gate::check_host_header))
        .layer(map_response(gate::tell_browsers))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(context)
}

fn routes(wanted: fn(&Route) -> bool) -> Router<Context> {
    let mut router = Router::new();
    for route in ROUTES.iter().filter(|route| wanted(route)) {
        let (access, limits) = (route.access, route.limits);
        let enter =
            from_fn(move |request: Request, next: Next| gate::enter(access, limits, request, next));
        router = router.route(route.path, (route.service)().route_layer(enter));
    }
    router.fallback(not_found).method_not_allowed_fallback(method_not_allowed)
}
