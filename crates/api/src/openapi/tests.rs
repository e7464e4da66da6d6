use super::*;

fn parts(json: &Value, field: &str) -> usize {
    json[field].as_object().unwrap().len()
}

#[test]
fn the_protobuf_form_says_what_the_json_form_says() {
    let json = v2::document();
    let bytes = gnostic::encode(&json);
    let (paths, definitions) = gnostic::count(&bytes);
    assert_eq!(paths, parts(&json, "paths"));
    assert_eq!(definitions, parts(&json, "definitions"));
}

#[test]
fn groups_are_named_as_kubernetes_names_them() {
    for (group, want) in [
        ("", "CoreV1"),
        ("coordination.k8s.io", "CoordinationV1"),
        ("serving.knative.dev", "ServingKnativeDevV1"),
    ] {
        assert_eq!(operations::group_name(group, "v1"), want);
    }
}

#[test]
fn protobuf_is_for_those_who_ask_first() {
    let asks = |accept: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        wants_protobuf(&headers)
    };
    assert!(asks(PROTOBUF[0]) && asks(PROTOBUF[1]));
    assert!(!asks("text/plain") && !asks("application/json"));
    assert!(!wants_protobuf(&HeaderMap::new()));
}

#[test]
fn what_may_be_sent_to_a_scale_is_what_is_taken() {
    let paths = operations::of("serving.knative.dev", "v1");
    let scale = paths.iter().find(|(path, _)| path.ends_with("/services/{name}/scale"));
    let patch = scale.unwrap().1.iter().find(|operation| operation.method == "patch").unwrap();
    let media: Vec<&str> = patch.body.iter().map(|(media, _)| *media).collect();
    assert!(media.contains(&"application/strategic-merge-patch+json"), "{media:?}");
    assert!(!media.contains(&"application/apply-patch+yaml"), "{media:?}");
}
