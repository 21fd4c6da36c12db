//! `GET /openapi.json` beside the route table.

use std::collections::BTreeSet;

use serde_json::Value;
use utoipa::openapi::OpenApi;
use wavegate_control_plane::server::openapi::{WORDS, document};
use wavegate_control_plane::server::table::{Access, ROUTES};

use crate::fleet::Plan;
use crate::running::TestPlane;

fn served() -> Value {
    serde_json::to_value(document()).unwrap()
}

fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys();
        found.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    found
}

#[test]
fn every_route_of_the_table_is_in_the_document_and_nothing_else() {
    let table: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(table.len(), ROUTES.len(), "a route stands in the table twice");
    assert_eq!(operations(&served()), table);
    let words: BTreeSet<_> =
        WORDS.iter().map(|words| (words.method.to_owned(), words.path.to_owned())).collect();
    assert_eq!(words, table, "each route has its sentence");
}

#[test]
fn roles_parameters_and_ids_are_those_of_the_table() {
    let document = served();
    let mut ids = BTreeSet::new();
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method.to_lowercase()];
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
        assert!(!operation["summary"].as_str().unwrap().is_empty());
        let roles = operation["x-wavegate-roles"].as_array().unwrap();
        match route.access {
            Access::Anyone => assert!(roles.is_empty() && operation["security"].is_null()),
            Access::Roles(allowed) => {
                assert_eq!(roles.len(), allowed.len());
                assert!(operation["security"][0]["certificate"].is_array());
            }
        }
        let in_path =
            operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "path");
        let named: Vec<String> =
            in_path.map(|p| format!("{{{}}}", p["name"].as_str().unwrap())).collect();
        assert_eq!(named.len(), route.path.matches('{').count(), "{}", route.path);
        assert!(named.iter().all(|name| route.path.contains(name.as_str())), "{}", route.path);
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"];
        let reference = problem["schema"]["$ref"].as_str().unwrap();
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
}

/// The document is read back by the library that knows the specification, and nothing of it is lost.
#[tokio::test]
async fn it_is_served_on_both_listeners_and_reads_as_openapi() {
    let plane = TestPlane::with_release(&Plan::new(1, "r1")).await;
    let over_tls = plane.get(&plane.client("viewer/bob"), "/openapi.json").await;
    let plain = reqwest::get(plane.status_url("/openapi.json")).await.unwrap();
    assert_eq!(plain.headers()["content-type"], "application/json");
    let text = plain.text().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), over_tls);
    let read: OpenApi = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), over_tls);
    assert_eq!(over_tls["openapi"].as_str().map(|v| v.starts_with("3.")), Some(true));
}
