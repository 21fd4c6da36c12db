//! `GET /openapi.json`: the route table as an OpenAPI document. Method, path, parameters, roles, limits and
//! listener of each route come from the table, a sentence and the query from [`words`].
//!
//! Not here: the members of bodies. docs/protocol.md has them, with a golden file for each.

mod words;

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{AdditionalProperties, Components, Schema};
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, HttpMethod, Info, ObjectBuilder, OpenApi, OpenApiBuilder, Paths, Ref, Required, Type,
};
use wavegate_proto::wire::problem::PROBLEM_MEDIA_TYPE;

use super::table::{Access, Listener, ROUTES, Route};
pub use words::{WORDS, Words};

const PROBLEM: &str = "Problem";
const CERTIFICATE: &str = "certificate";

/// The same for as long as the process runs.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    document().to_json().unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
});

/// `GET /openapi.json`.
pub(super) async fn serve() -> Response {
    let media_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, media_type)], DOCUMENT.as_str()).into_response()
}

/// The document.
#[must_use]
pub fn document() -> OpenApi {
    let mut paths = Paths::new();
    for route in ROUTES {
        if let Some(method) = method(route.method) {
            paths.add_path_operation(route.path, vec![method], operation(route));
        }
    }
    let mut components = Components::new();
    components.schemas.insert(PROBLEM.to_owned(), problem().into());
    let scheme = SecurityScheme::MutualTls {
        description: Some("The role is the only SPIFFE URI of the client certificate".to_owned()),
        deprecated: None,
        extensions: None,
    };
    components.add_security_scheme(CERTIFICATE, scheme);
    let mut info = Info::new("Wavegate control plane", env!("CARGO_PKG_VERSION"));
    info.description = Some("What is sent and answered is in docs/protocol.md.".to_owned());
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

fn method(name: &str) -> Option<HttpMethod> {
    Some(match name {
        "GET" => HttpMethod::Get,
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        _ => return None,
    })
}

fn operation(route: &Route) -> Operation {
    let words = WORDS.iter().find(|words| words.method == route.method && words.path == route.path);
    let mut operation = OperationBuilder::new()
        .summary(words.map(|words| words.about))
        .operation_id(Some(operation_id(route)))
        .extensions(Some(extensions(route)))
        .response("default", problem_response());
    for status in words.map_or(&[200][..], |words| words.answers) {
        operation =
            operation.response(status.to_string(), ResponseBuilder::new().description("done"));
    }
    for name in path_parameters(route.path) {
        operation = operation.parameter(parameter(name, ParameterIn::Path));
    }
    for name in words.map_or(&[][..], |words| words.query) {
        operation = operation.parameter(parameter(name, ParameterIn::Query));
    }
    if let Some(media_type) = body_media_type(route) {
        let any =
            ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(true)));
        let body = RequestBodyBuilder::new()
            .content(media_type, Content::new(Some(Schema::Object(any.build()))));
        operation = operation.request_body(Some(body.build()));
    }
    match route.access {
        Access::Anyone => operation.build(),
        Access::Roles(_) => {
            let none: [&str; 0] = [];
            operation.security(SecurityRequirement::new(CERTIFICATE, none)).build()
        }
    }
}

/// What a reader of the table wants to know and OpenAPI has no word for.
fn extensions(route: &Route) -> Extensions {
    let roles: Vec<String> = match route.access {
        Access::Anyone => Vec::new(),
        Access::Roles(roles) => roles.iter().map(ToString::to_string).collect(),
    };
    let listener = match route.listener {
        Listener::Mtls => "mtls",
        Listener::Both => "both",
    };
    Extensions::from_iter([
        ("x-wavegate-roles".to_owned(), json!(roles)),
        ("x-wavegate-listener".to_owned(), json!(listener)),
        ("x-wavegate-max-body-bytes".to_owned(), json!(route.limits.body_bytes)),
        ("x-wavegate-max-secs".to_owned(), json!(route.limits.time.as_secs())),
    ])
}

/// `get_v1_hosts_host`: stable as long as the route is.
fn operation_id(route: &Route) -> String {
    let words =
        route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(route.method.to_ascii_lowercase().as_str())
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
}

fn path_parameters(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn parameter(name: &str, place: ParameterIn) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn body_media_type(route: &Route) -> Option<&'static str> {
    if route.path.starts_with("/v1/blobs") {
        return Some("application/octet-stream");
    }
    (route.limits.body_bytes > 0).then_some("application/json")
}

fn problem_response() -> utoipa::openapi::Response {
    let content = Content::new(Some(Ref::from_schema_name(PROBLEM)));
    ResponseBuilder::new()
        .description("a problem (RFC 9457)")
        .content(PROBLEM_MEDIA_TYPE, content)
        .build()
}

/// RFC 9457, with the members that some codes have.
fn problem() -> Schema {
    let mut object = ObjectBuilder::new();
    for name in ["type", "title", "detail"] {
        object =
            object.property(name, ObjectBuilder::new().schema_type(Type::String)).required(name);
    }
    let integer = || ObjectBuilder::new().schema_type(Type::Integer);
    object = object.property("status", integer()).required("status");
    for name in ["expected_seq", "seq", "last_seq"] {
        object = object.property(name, integer());
    }
    Schema::Object(
        object.property("reason", ObjectBuilder::new().schema_type(Type::String)).build(),
    )
}
