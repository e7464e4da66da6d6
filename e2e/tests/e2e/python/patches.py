"""The four forms of patches."""

import json

from kubernetes import client

from checks import APPLY, JSON, MERGE, NAMESPACE, STRATEGIC, check, config_map, refused

core = client.CoreV1Api()


def patch(name, body, content_type, **options):
    return core.patch_namespaced_config_map(
        name, NAMESPACE, body, _content_type=content_type, **options
    )


def apply(name, data, manager, **options):
    body = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data,
    }
    return patch(name, body, APPLY, field_manager=manager, **options)


@check
def merge_patch():
    core.create_namespaced_config_map(NAMESPACE, config_map("merge", {"a": "1", "b": "2"}))
    after = patch("merge", {"data": {"a": None, "c": "3"}}, MERGE)
    assert after.data == {"b": "2", "c": "3"}, after.data
    same = patch("merge", {"data": {"c": "3"}}, MERGE)
    assert same.metadata.resource_version == after.metadata.resource_version
    stale = {"metadata": {"resourceVersion": "1"}, "data": {"c": "4"}}
    with refused(409, "Conflict"):
        patch("merge", stale, MERGE)
    core.delete_namespaced_config_map("merge", NAMESPACE)


@check
def json_patch():
    core.create_namespaced_config_map(NAMESPACE, config_map("json", {"a": "1"}))
    after = patch(
        "json",
        [
            {"op": "test", "path": "/data/a", "value": "1"},
            {"op": "add", "path": "/metadata/labels", "value": {"x": "y"}},
            {"op": "replace", "path": "/data/a", "value": "2"},
            {"op": "copy", "from": "/data/a", "path": "/data/b"},
            {"op": "move", "from": "/data/b", "path": "/data/c"},
        ],
        JSON,
    )
    assert after.data == {"a": "2", "c": "2"} and after.metadata.labels == {"x": "y"}
    with refused(422):
        patch("json", [{"op": "test", "path": "/data/a", "value": "no"}], JSON)
    with refused(422):
        patch("json", [{"op": "remove", "path": "/data/none"}], JSON)
    assert core.read_namespaced_config_map("json", NAMESPACE).data == after.data
    core.delete_namespaced_config_map("json", NAMESPACE)


@check
def strategic_merge_patch():
    body = config_map("strategic", {"a": "1"}, finalizers=["example.com/one"])
    core.create_namespaced_config_map(NAMESPACE, body)
    added = {"metadata": {"finalizers": ["example.com/two"]}, "data": {"b": "2"}}
    after = patch("strategic", added, STRATEGIC)
    assert sorted(after.metadata.finalizers) == ["example.com/one", "example.com/two"]
    removed = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/one"]}}
    after = patch("strategic", removed, STRATEGIC)
    assert after.metadata.finalizers == ["example.com/two"]
    after = patch("strategic", {"data": {"$patch": "replace", "z": "26"}}, STRATEGIC)
    assert after.data == {"z": "26"}, after.data
    patch("strategic", {"metadata": {"finalizers": None}}, MERGE)
    core.delete_namespaced_config_map("strategic", NAMESPACE)


@check
def apply_creates_and_owns():
    made = apply("applied", {"a": "1", "b": "1"}, "one")
    (entry,) = made.metadata.managed_fields
    assert (entry.manager, entry.operation) == ("one", "Apply"), entry
    same = apply("applied", {"a": "1", "b": "1"}, "one")
    assert same.metadata.resource_version == made.metadata.resource_version
    # A field that is no longer applied goes away.
    assert apply("applied", {"a": "1"}, "one").data == {"a": "1"}


@check
def apply_of_another_manager_conflicts():
    both = apply("applied", {"c": "1"}, "two")
    assert both.data == {"a": "1", "c": "1"}, both.data
    with refused(409, "Conflict", 'conflict with \\"one\\"'):
        apply("applied", {"a": "2", "c": "1"}, "two")
    taken = apply("applied", {"a": "2", "c": "1"}, "two", force=True)
    assert taken.data == {"a": "2", "c": "1"}, taken.data
    with refused(409, "Conflict", 'conflict with \\"two\\"'):
        apply("applied", {"a": "1"}, "one")
    # What both hold in the same form is shared; it stays until both let go.
    apply("applied", {"a": "2"}, "one")
    left = apply("applied", {"c": "1"}, "two")
    assert left.data == {"a": "2", "c": "1"}, left.data
    with refused(422, "Invalid", "fieldManager"):
        patch("applied", {"apiVersion": "v1", "kind": "ConfigMap"}, APPLY)
    core.delete_namespaced_config_map("applied", NAMESPACE)


@check
def apply_dry_run():
    answer = apply("imagined", {"a": "1"}, "one", dry_run="All")
    assert answer.data == {"a": "1"}
    with refused(404):
        core.read_namespaced_config_map("imagined", NAMESPACE)


@check
def a_body_of_another_type_is_refused():
    core.create_namespaced_config_map(NAMESPACE, config_map("typed"))
    with refused(415, "UnsupportedMediaType"):
        patch("typed", {}, "application/x-other+json")
    with refused(400):
        patch("typed", [{"op": "add"}], MERGE)
    core.delete_namespaced_config_map("typed", NAMESPACE)
