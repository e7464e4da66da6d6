//! What kubectl 1.32 sends (`tests/it/captured/protobuf`, as captured), and what nobody should.

use k8s_pb::api::coordination::v1 as coordination_pb;
use k8s_pb::api::core::v1 as core_pb;
use k8s_pb::apimachinery::pkg::runtime::TypeMeta;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kinds;
use crate::registry::KINDS;

macro_rules! captured {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/it/captured/protobuf/", $name, ".bin"))
    };
}

/// The object that a body is about, as the rest of admission gets it.
fn read(kind: &Kind, bytes: &[u8]) -> Value {
    let tree = object(kind, bytes).unwrap();
    assert!(tree.duplicates.is_empty());
    let decoded = (kind.type_.decode)(tree.value.clone()).unwrap();
    assert_eq!(decoded.unknown, Vec::<String>::new(), "a converter wrote a field that is none");
    tree.value
}

fn wrap(api_version: &str, kind: &str, message: &impl Message) -> Vec<u8> {
    let type_meta =
        TypeMeta { api_version: Some(api_version.to_owned()), kind: Some(kind.to_owned()) };
    let unknown = Unknown {
        type_meta: Some(type_meta),
        raw: Some(message.encode_to_vec()),
        ..Unknown::default()
    };
    [MAGIC, &unknown.encode_to_vec()].concat()
}

#[test]
fn what_kubectl_create_sends() {
    assert_eq!(
        read(&kinds::secret::KIND, captured!("create-secret-generic")),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"},
            "data": {"blob.bin": "AP8BYmluYXJ5", "token": "czNjcjN0"},
        })
    );
    let pull = read(&kinds::secret::KIND, captured!("create-secret-docker-registry"));
    assert_eq!(pull["type"], "kubernetes.io/dockerconfigjson");
    assert_eq!(
        read(&kinds::configmap::KIND, captured!("create-configmap")),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
            "data": {"a": "1", "b": "two words"}, "binaryData": {"blob.bin": "AP8BYmluYXJ5"},
        })
    );
    assert_eq!(
        read(&kinds::namespace::KIND, captured!("create-namespace")),
        json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"},
            "spec": {}, "status": {},
        })
    );
}

#[test]
fn what_kubectl_auth_sends() {
    let access = &kinds::self_subject_access_review::KIND;
    assert_eq!(
        read(access, captured!("can-i-create-services"))["spec"],
        json!({"resourceAttributes": {"namespace": "default", "verb": "create",
               "group": "serving.knative.dev", "resource": "services"}})
    );
    assert_eq!(
        read(access, captured!("can-i-get-pods-log"))["spec"],
        json!({"resourceAttributes": {"namespace": "default", "verb": "get",
               "resource": "pods", "subresource": "log"}})
    );
    assert_eq!(
        read(access, captured!("can-i-get-healthz"))["spec"],
        json!({"nonResourceAttributes": {"path": "/healthz", "verb": "get"}})
    );
    let rules = &kinds::self_subject_rules_review::KIND;
    assert_eq!(read(rules, captured!("can-i-list"))["spec"], json!({"namespace": "default"}));
    let who = read(&kinds::self_subject_review::KIND, captured!("whoami"));
    assert_eq!(who["kind"], "SelfSubjectReview");
}

fn full_metadata() -> pb::ObjectMeta {
    let text = |text: &str| Some(text.to_owned());
    pb::ObjectMeta {
        name: text("a"),
        namespace: text("n"),
        generation: Some(3),
        creation_timestamp: Some(pb::Time { seconds: Some(1_700_000_000), nanos: Some(5) }),
        labels: [("l".to_owned(), "1".to_owned())].into(),
        owner_references: vec![pb::OwnerReference {
            name: text("o"),
            controller: Some(true),
            ..pb::OwnerReference::default()
        }],
        finalizers: vec!["f/g".to_owned()],
        managed_fields: vec![pb::ManagedFieldsEntry {
            manager: text("m"),
            fields_v1: Some(pb::FieldsV1 { raw: Some(br#"{"f:data":{}}"#.to_vec()) }),
            ..pb::ManagedFieldsEntry::default()
        }],
        ..pb::ObjectMeta::default()
    }
}

#[test]
fn metadata_times_and_nested_messages_become_json() {
    let time = pb::MicroTime { seconds: Some(1_700_000_000), nanos: Some(123_456_789) };
    let event = core_pb::Event {
        metadata: Some(full_metadata()),
        involved_object: Some(core_pb::ObjectReference {
            kind: Some("Pod".to_owned()),
            ..core_pb::ObjectReference::default()
        }),
        first_timestamp: Some(pb::Time { seconds: Some(0), nanos: None }),
        last_timestamp: Some(pb::Time::default()),
        event_time: Some(time),
        count: Some(2),
        series: Some(core_pb::EventSeries { count: Some(4), last_observed_time: Some(time) }),
        ..core_pb::Event::default()
    };
    let event = read(&kinds::event::KIND, &wrap("v1", "Event", &event));
    assert_eq!(
        event["metadata"],
        json!({
            "name": "a", "namespace": "n", "generation": 3,
            "creationTimestamp": "2023-11-14T22:13:20Z",
            "labels": {"l": "1"},
            "ownerReferences": [
                {"apiVersion": "", "kind": "", "name": "o", "uid": "", "controller": true}],
            "finalizers": ["f/g"],
            "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}}],
        })
    );
    assert_eq!(event["firstTimestamp"], "1970-01-01T00:00:00Z");
    assert!(event["lastTimestamp"].is_null(), "Go's zero time is no time");
    assert_eq!(event["eventTime"], "2023-11-14T22:13:20.123456Z");
    assert_eq!(event["series"]["count"], 4);

    let spec = coordination_pb::LeaseSpec {
        holder_identity: Some("me".to_owned()),
        lease_duration_seconds: Some(15),
        renew_time: Some(time),
        ..coordination_pb::LeaseSpec::default()
    };
    let lease = coordination_pb::Lease { metadata: None, spec: Some(spec) };
    assert_eq!(
        self::lease(&lease.encode_to_vec()).unwrap()["spec"],
        json!({"holderIdentity": "me", "leaseDurationSeconds": 15,
               "renewTime": "2023-11-14T22:13:20.123456Z"})
    );
}

#[test]
fn options_of_a_deletion() {
    let options = pb::DeleteOptions {
        grace_period_seconds: Some(0),
        preconditions: Some(pb::Preconditions {
            uid: Some("u".to_owned()),
            resource_version: None,
        }),
        propagation_policy: Some("Foreground".to_owned()),
        dry_run: vec!["All".to_owned()],
        ..pb::DeleteOptions::default()
    };
    let want = json!({
        "apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground", "dryRun": ["All"],
    });
    assert_eq!(delete_options(&wrap("apps/v1", "DeleteOptions", &options)).unwrap(), want);
    let failure = delete_options(&wrap("v1", "Secret", &options)).unwrap_err();
    assert!(failure.message.contains("DeleteOptions is expected"), "{}", failure.message);
}

/// Status and code of a refused body.
fn refused(kind: &Kind, bytes: &[u8]) -> (u16, String) {
    let failure = object(kind, bytes).unwrap_err();
    let code = failure.to_json()["details"]["causes"][0]["reason"].clone();
    (failure.status.as_u16(), code.as_str().unwrap_or_default().to_owned())
}

#[test]
fn hostile_bodies_are_refused_with_a_code() {
    let good = captured!("create-secret-generic").to_vec();
    let secret = &kinds::secret::KIND;
    let invalid = (400, "INVALID_PROTOBUF".to_owned());
    let raw = |raw: &[u8], encoding: &str, content: &str| {
        let unknown = Unknown {
            type_meta: None,
            raw: Some(raw.to_vec()),
            content_encoding: Some(encoding.to_owned()),
            content_type: Some(content.to_owned()),
        };
        [MAGIC, &unknown.encode_to_vec()].concat()
    };
    // Field 1 (metadata) of 2^63 bytes, and of a varint that never ends.
    let huge = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let endless = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    // Groups within groups, of a field that nobody has.
    let deep = vec![0x7b; 10_000];
    let not_utf8 = [0x1a, 0x01, 0xff];
    for (what, body) in [
        ("nothing", Vec::new()),
        ("JSON", b"{}".to_vec()),
        ("another magic", [b"k8t\0", &good[4..]].concat()),
        ("huge", raw(&huge, "", "")),
        ("endless", raw(&endless, "", "")),
        ("deep", raw(&deep, "", "")),
        ("not UTF-8", raw(&not_utf8, "", "")),
        ("compressed", raw(&[], "gzip", "")),
        ("JSON within", raw(b"{}", "", "application/json")),
        ("a huge envelope", [MAGIC, &huge].concat()),
    ] {
        assert_eq!(refused(secret, &body), invalid, "{what}");
    }
    let unsupported = (400, "UNSUPPORTED_VERSION".to_owned());
    assert_eq!(refused(&kinds::configmap::KIND, &good), unsupported);
    let message = core_pb::Secret::default();
    assert_eq!(refused(secret, &wrap("v2", "Secret", &message)), unsupported);
    let time = core_pb::Event {
        metadata: Some(pb::ObjectMeta {
            creation_timestamp: Some(pb::Time { seconds: Some(i64::MAX), nanos: Some(i32::MIN) }),
            ..pb::ObjectMeta::default()
        }),
        ..core_pb::Event::default()
    };
    assert_eq!(refused(&kinds::event::KIND, &wrap("v1", "Event", &time)), invalid);
    let fields = core_pb::Secret {
        metadata: Some(pb::ObjectMeta {
            managed_fields: vec![pb::ManagedFieldsEntry {
                fields_v1: Some(pb::FieldsV1 { raw: Some("[".repeat(10_000).into_bytes()) }),
                ..pb::ManagedFieldsEntry::default()
            }],
            ..pb::ObjectMeta::default()
        }),
        ..core_pb::Secret::default()
    };
    assert_eq!(refused(secret, &wrap("v1", "Secret", &fields)), invalid);
}

#[test]
fn every_beginning_of_a_body_is_an_object_or_refused() {
    let good = captured!("create-configmap");
    for end in 0..good.len() {
        if let Err(failure) = object(&kinds::configmap::KIND, &good[..end]) {
            assert_eq!(failure.status, 400, "{end}");
        }
    }
}

#[test]
fn a_kind_without_this_form_says_what_is_taken() {
    let failure = object(&kinds::service::KIND, captured!("create-secret-generic")).unwrap_err();
    assert_eq!(failure.status, 415);
    for accepted in ["application/json", "application/yaml"] {
        assert!(failure.message.contains(accepted), "{}", failure.message);
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for kind in KINDS.iter().filter(|kind| kind.protobuf.is_some()) {
            let _ = object(kind, &bytes);
            let _ = object(kind, &[MAGIC, &bytes].concat());
            let convert = kind.protobuf.unwrap();
            if let Ok(value) = convert(&bytes) {
                let _ = (kind.type_.decode)(value);
            }
        }
        let _ = delete_options(&[MAGIC, &bytes].concat());
    }

    #[test]
    fn flipped_bytes_never_panic(at in 0usize..148, to in any::<u8>()) {
        for good in [&captured!("create-secret-generic")[..], captured!("can-i-create-services")] {
            let mut bytes = good.to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            for kind in KINDS {
                if let Err(failure) = object(kind, &bytes) {
                    prop_assert!(failure.status == 400 || failure.status == 415);
                }
            }
        }
    }
}
