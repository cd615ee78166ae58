//! The document: whole in itself, and as the table says.

use super::*;

/// Every `$ref` of a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "$ref" => found.push(text.clone()),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_holds_every_endpoint_and_all_that_it_refers_to() {
    let served = serve().await;
    let document = served.open("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} is not there");
    }
    let mut names = BTreeSet::new();
    for endpoint in endpoints() {
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let operation = &document["paths"][endpoint.path][&method];
        assert!(names.insert(endpoint.name), "two endpoints are called {}", endpoint.name);
        assert_eq!(operation["operationId"], endpoint.name);
        let scopes = operation["x-nexus-scopes"].as_array().map(Vec::len);
        assert_eq!(scopes, endpoint.handler.roles().map(<[Role]>::len), "{}", endpoint.name);
        let in_path = endpoint.path.matches('{').count();
        let parameters = operation["parameters"].as_array().unwrap();
        assert_eq!(parameters.iter().filter(|parameter| parameter["in"] == "path").count(), in_path);
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
            let name = parameter["name"].as_str().unwrap();
            assert!(endpoint.path.contains(&format!("{{{name}}}")), "{}: {name}", endpoint.name);
        }
        for status in ["400", "429", "500"] {
            assert!(operation["responses"][status]["content"]["application/json"].is_object(), "{}", endpoint.name);
        }
    }
}

#[tokio::test]
async fn every_endpoint_of_ours_is_told_and_gives_an_example() {
    let served = serve().await;
    let document = served.open("/openapi.json").await.json();
    for endpoint in table::endpoints() {
        assert!(!endpoint.summary.is_empty() && !endpoint.summary.ends_with('.'), "{}", endpoint.name);
        assert!(endpoint.answers.iter().any(|(status, ..)| *status < 400), "{} never succeeds", endpoint.name);
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if !matches!(name.as_str(), "Anything" | "Document") {
            let example = &schema["examples"][0];
            // The reference's Broker answers a list without an object around it.
            assert!(example.is_object() || example.is_array(), "{name} has no example");
        }
    }
}
