"""Watches: from a version, through a selector, across connections and across a restart."""

import os
import signal

from kubernetes import client, watch
from kubernetes.client.rest import ApiException

from checks import NAMESPACE, check, config_map, eventually, names

core = client.CoreV1Api()


def events(count, **options):
    """The next events, on a connection of their own."""
    stream, seen = watch.Watch(), []
    if count == 0:
        return seen
    for event in stream.stream(
        core.list_namespaced_config_map, NAMESPACE, timeout_seconds=30, **options
    ):
        seen.append((event["type"], event["object"]))
        if len(seen) == count:
            stream.stop()
    return seen


def shown(seen):
    return [(kind, object.metadata.name) for kind, object in seen]


def change(name, **data):
    core.patch_namespaced_config_map(
        name, NAMESPACE, {"data": data}, _content_type="application/merge-patch+json"
    )


@check
def a_watch_resumes_from_any_version():
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, config_map("seen"))
    change("seen", a="1")
    core.delete_namespaced_config_map("seen", NAMESPACE)
    expected = [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")]
    first = events(3, resource_version=version)
    assert shown(first) == expected, shown(first)
    # One event at a time, each on a new connection: nothing is missed and nothing comes twice.
    again = []
    for _ in expected:
        again += events(1, resource_version=version)
        version = again[-1][1].metadata.resource_version
    assert shown(again) == expected, shown(again)


@check
def a_watch_from_zero_shows_what_is_there():
    core.create_namespaced_config_map(NAMESPACE, config_map("there", labels={"w": "0"}))
    for options in [{}, {"resource_version": "0"}]:
        seen = shown(events(1, label_selector="w=0", **options))
        assert seen == [("ADDED", "there")], seen
    core.delete_namespaced_config_map("there", NAMESPACE)


@check
def objects_enter_and_leave_a_selector():
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, config_map("in-out"))
    for labels in [{"w": "in"}, {"w": "out"}]:
        core.patch_namespaced_config_map(
            "in-out", NAMESPACE, {"metadata": {"labels": labels}},
            _content_type="application/merge-patch+json",
        )
    seen = shown(events(2, resource_version=version, label_selector="w=in"))
    assert seen == [("ADDED", "in-out"), ("DELETED", "in-out")], seen
    core.delete_namespaced_config_map("in-out", NAMESPACE)


@check
def a_watch_ends_when_it_was_asked_to():
    stream = watch.Watch()
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    seen = list(
        stream.stream(
            core.list_namespaced_config_map, NAMESPACE, timeout_seconds=1,
            resource_version=version, allow_watch_bookmarks=True,
        )
    )
    assert all(event["type"] == "BOOKMARK" for event in seen), seen


@check
def a_restart_leaves_no_gap():
    core.create_namespaced_config_map(NAMESPACE, config_map("before"))
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    live = core.list_namespaced_pod(NAMESPACE).metadata.resource_version
    change("before", a="1")
    os.kill(int(os.environ["DAEMON"]), signal.SIGKILL)

    def answers():
        try:
            return core.read_namespaced_config_map("before", NAMESPACE)
        except Exception:
            return None

    eventually("the daemon's return", answers)
    core.delete_namespaced_config_map("before", NAMESPACE)
    seen = shown(events(2, resource_version=version))
    assert seen == [("MODIFIED", "before"), ("DELETED", "before")], seen
    # Pods mirror the machine: their versions begin anew, and whoever asks for an older one is told.
    stream = watch.Watch()
    try:
        for _ in stream.stream(
            core.list_namespaced_pod, NAMESPACE, resource_version=live, timeout_seconds=2
        ):
            pass
        raise AssertionError("a watch went on from a version of before the restart")
    except ApiException as error:
        assert error.status == 410, error
    listed = core.list_namespaced_pod(NAMESPACE)
    assert listed.metadata.resource_version, listed
    assert "before" not in names(core.list_namespaced_config_map(NAMESPACE))
