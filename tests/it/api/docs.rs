//! The OpenAPI document and the page to read it in.

use super::world::*;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use kubeops::types::LinkIcon;
use serde_json::Value;
use std::collections::BTreeSet;

async fn document() -> Value {
    World::new().call(TestRequest::get().uri("/api/v1/docs/openapi.json")).await.json()
}

/// The routes as the sources register them: `<module>::<handler>` in `routes`, with the method and path above the handler.
fn registered() -> BTreeSet<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let registry = std::fs::read_to_string(root.join("mod.rs")).expect("the routes");
    let mut routes = BTreeSet::new();
    for call in registry.split(".service(").skip(1) {
        let Some((module, handler)) = call.split(')').next().and_then(|call| call.split_once("::")) else { continue };
        if module.contains("scope") {
            continue;
        }
        let source = std::fs::read_to_string(root.join(format!("{module}.rs"))).expect("a module");
        let before = source.split(&format!("async fn {handler}(")).next().expect("a handler").to_owned();
        let attribute = before.rsplit("\n#[").find(|part| ["get(", "post(", "put(", "delete("].iter().any(|m| part.starts_with(m))).expect("a route");
        let (method, rest) = attribute.split_once("(\"").expect("a path");
        let path = rest.split('"').next().expect("a path");
        let prefix = match module {
            "webhooks" => "/api/v1/webhooks",
            "health" => "",
            _ => "/api/v1",
        };
        routes.insert(format!("{method} {prefix}{path}"));
    }
    routes
}

fn described(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, item)| item.as_object().expect("operations").keys().map(move |method| format!("{method} {path}"))).collect()
}

#[actix_web::test]
async fn the_document_describes_every_registered_route_and_no_other() {
    let registered = registered();
    assert!(registered.len() >= 34, "{registered:?}");
    assert_eq!(described(&document().await), registered);
}

#[actix_web::test]
async fn every_route_is_described_whole() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let what = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().expect("an id").to_owned()), "{what}");
            assert!(operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{what}");
            let named: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|p| p["in"] == "path")
                .map(|p| p["name"].as_str().expect("a name"))
                .collect();
            let needed: BTreeSet<&str> = path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
            assert_eq!(named, needed, "{what}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.keys().any(|status| status.starts_with('2')), "{what}");
            for (status, response) in responses {
                assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{what} {status}");
                assert!(status == "204" || response["content"].is_object(), "{what} {status}");
            }
            if path.starts_with("/api/v1") {
                assert!(operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty()), "{what}");
                for status in ["401", "500", "503"] {
                    assert_eq!(
                        responses[status]["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/ErrorBody",
                        "{what} {status}"
                    );
                }
            } else {
                assert_eq!(operation["security"], serde_json::json!([]), "{what}");
            }
            if path.starts_with("/api/v1") && !path.starts_with("/api/v1/webhooks") {
                assert!(operation["x-required-role"].is_string(), "{what}");
                assert!(responses.contains_key("403") && responses.contains_key("429"), "{what}");
            }
        }
    }
}

#[actix_web::test]
async fn every_reference_leads_somewhere_and_every_scheme_exists() {
    let document = document().await;
    let mut references = 0;
    walk(&document, &mut |key, value| {
        if let ("$ref", Some(reference)) = (key, value.as_str()) {
            references += 1;
            let pointer = reference.strip_prefix('#').expect("a local reference");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    });
    assert!(references > 50, "{references}");
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    walk(&document["paths"], &mut |key, value| {
        if key == "security" {
            for name in value.as_array().into_iter().flatten().flat_map(|requirement| requirement.as_object().expect("a requirement").keys()) {
                assert!(schemes.contains_key(name), "{name}");
            }
        }
    });
}

fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            visit(key, value);
            walk(value, visit);
        }),
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[actix_web::test]
async fn the_page_is_served_from_the_binary_and_slash_leads_to_it() {
    let world = World::new();
    let root = world.call(TestRequest::get().uri("/")).await;
    assert_eq!((root.status, root.header("location")), (StatusCode::TEMPORARY_REDIRECT, Some("/api/v1/docs")));
    let docs = world.call(TestRequest::get().uri("/api/v1/docs")).await;
    assert_eq!((docs.status, docs.header("location")), (StatusCode::TEMPORARY_REDIRECT, Some("/api/v1/docs/")));
    let page = world.call(TestRequest::get().uri("/api/v1/docs/")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("swagger-ui"));
    assert!(world.call(TestRequest::get().uri("/api/v1/docs/swagger-initializer.js")).await.text().contains("/api/v1/docs/openapi.json"));
}

#[actix_web::test]
async fn the_pictures_of_links_need_no_token_and_each_is_a_picture() {
    let world = World::new();
    for icon in LinkIcon::ALL {
        let picture = world.call(TestRequest::get().uri(&format!("/icons/{}", icon.file()))).await;
        assert_eq!((picture.status, picture.header("content-type")), (StatusCode::OK, Some("image/svg+xml")));
        assert!(picture.text().starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && picture.text().trim_end().ends_with("</svg>"));
    }
    assert_eq!(world.call(TestRequest::get().uri("/icons/pull-none.svg")).await.status, StatusCode::NOT_FOUND);
}
