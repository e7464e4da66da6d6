use ebb_model::k8s::ByteString;
use serde_json::json;

use super::*;

fn container(value: serde_json::Value) -> Container {
    serde_json::from_value(value).unwrap()
}

fn sources() -> Sources {
    let mut sources = Sources::default();
    let data = [("password", "s3cret"), ("user", "ann")];
    let data = data.map(|(k, v)| (k.to_owned(), ByteString(v.as_bytes().to_vec())));
    let secret = Secret { data: Some(data.into_iter().collect()), ..Secret::default() };
    sources.secrets.insert("db".to_owned(), secret);
    let data = [("mode".to_owned(), "fast".to_owned())].into_iter().collect();
    let map = ConfigMap { data: Some(data), ..ConfigMap::default() };
    sources.config_maps.insert("settings".to_owned(), map);
    sources
}

fn pairs(value: serde_json::Value) -> Result<Vec<(String, String)>, Fault> {
    let image = [("PATH".to_owned(), "/bin".to_owned()), ("A".to_owned(), "image".to_owned())];
    let promised = [("PORT", "8080".to_owned())];
    let resolved = resolve(&container(value), &image, &promised, &sources())?;
    Ok(resolved.all.into_pairs())
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

#[test]
fn expansion_table() {
    let mut env = Env::default();
    env.set("A", "1".to_owned());
    env.set("B", "two words".to_owned());
    for (text, want) in [
        ("", ""),
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1ytwo wordsz"),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A}", "$A ${A}"),
        ("$(A", "$(A"),
        ("end$", "end$"),
        ("$()", "$()"),
    ] {
        assert_eq!(expand(text, &env), want, "{text}");
    }
}

#[test]
fn later_sources_win_and_promises_last() {
    let env = pairs(json!({"name": "c", "env": [
        {"name": "A", "value": "own"},
        {"name": "PORT", "value": "1"},
        {"name": "B", "value": "$(A)-$(C)"},
        {"name": "C", "value": "later"},
        {"name": "EMPTY"},
    ]}))
    .unwrap();
    assert_eq!(value(&env, "A"), Some("own"));
    assert_eq!(value(&env, "PORT"), Some("8080"));
    assert_eq!(value(&env, "B"), Some("own-$(C)"), "only what was set before is known");
    assert_eq!(value(&env, "EMPTY"), Some(""));
    assert_eq!(value(&env, "PATH"), Some("/bin"));
    assert_eq!(env.iter().filter(|(name, _)| name == "A").count(), 1);
}

#[test]
fn a_path_is_given_when_the_image_has_none() {
    let resolved = resolve(&Container::default(), &[], &[], &Sources::default()).unwrap();
    assert_eq!(value(&resolved.all.into_pairs(), "PATH"), Some(PATH));
}

#[test]
fn values_come_from_secrets_and_config_maps() {
    let env = pairs(json!({"name": "c",
    "envFrom": [{"secretRef": {"name": "db"}, "prefix": "DB_"},
                {"configMapRef": {"name": "settings"}},
                {"secretRef": {"name": "none", "optional": true}}],
    "env": [
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        {"name": "M", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
        {"name": "O", "valueFrom": {"secretKeyRef":
            {"name": "none", "key": "x", "optional": true}}},
    ]}))
    .unwrap();
    for (name, want) in [
        ("P", Some("s3cret")),
        ("M", Some("fast")),
        ("O", None),
        ("DB_password", Some("s3cret")),
        ("DB_user", Some("ann")),
        ("mode", Some("fast")),
    ] {
        assert_eq!(value(&env, name), want, "{name}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let from = |from| json!({"name": "c", "env": [{"name": "X", "valueFrom": from}]});
    for (manifest, code) in [
        (from(json!({"secretKeyRef": {"name": "none", "key": "x"}})), "SECRET_NOT_FOUND"),
        (from(json!({"secretKeyRef": {"name": "db", "key": "x"}})), "SECRET_NOT_FOUND"),
        (from(json!({"configMapKeyRef": {"name": "none", "key": "x"}})), "CONFIGMAP_NOT_FOUND"),
        (from(json!({"fieldRef": {"fieldPath": "metadata.name"}})), "UNSUPPORTED_FIELD"),
        (json!({"name": "c", "envFrom": [{"secretRef": {"name": "no"}}]}), "SECRET_NOT_FOUND"),
        (
            json!({"name": "c", "envFrom": [{"configMapRef": {"name": "no"}}]}),
            "CONFIGMAP_NOT_FOUND",
        ),
    ] {
        let fault = pairs(manifest.clone()).unwrap_err();
        assert_eq!(fault.code, code, "{manifest}");
        assert!(!fault.message.contains("s3cret"), "{fault}");
    }
}

#[test]
fn wanted_names_every_source() {
    let container = container(json!({"name": "c",
        "envFrom": [{"secretRef": {"name": "a"}}, {"configMapRef": {"name": "b"}}],
        "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}}]}));
    let wanted = wanted(&[container]);
    assert_eq!(wanted.secrets, ["a", "c"]);
    assert_eq!(wanted.config_maps, ["b"]);
}
