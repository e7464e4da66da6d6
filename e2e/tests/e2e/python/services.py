"""Knative Services: deploy, look at them, read their logs, scale and remove them."""

import datetime

from kubernetes import client, watch

from checks import IMAGE, JSON, MERGE, NAMESPACE, PATIENCE_S, check, eventually, refused

core = client.CoreV1Api()
objects = client.CustomObjectsApi()
GROUP = ("serving.knative.dev", "v1", NAMESPACE, "services")


def manifest(name, **spec):
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [{"image": IMAGE}], **spec}}},
    }


def ready(service):
    conditions = service.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pods():
    selector = "serving.knative.dev/service=hello"
    found = core.list_namespaced_pod(NAMESPACE, label_selector=selector).items
    return [p for p in found if p.status.phase == "Running"]


def service():
    return objects.get_namespaced_custom_object(*GROUP, "hello")


@check
def deploy_and_wait():
    objects.create_namespaced_custom_object(*GROUP, manifest("hello"))
    stream = watch.Watch()
    for event in stream.stream(
        objects.list_namespaced_custom_object, *GROUP, timeout_seconds=PATIENCE_S
    ):
        if event["object"]["metadata"]["name"] == "hello" and ready(event["object"]):
            stream.stop()
    status = service()["status"]
    said = [(e.reason, e.message) for e in core.list_namespaced_event(NAMESPACE).items]
    assert status.get("latestReadyRevisionName") == "hello-00001", (status, said)
    assert status["observedGeneration"] == 1, status
    for plural in ["configurations", "revisions", "routes"]:
        group = (*GROUP[:3], plural)
        assert objects.list_namespaced_custom_object(*group)["items"], plural


@check
def pods_show_instances():
    pod = eventually("a running instance", pods)[0]
    assert pod.status.container_statuses[0].ready, pod.status
    ready = {c.type: c.status for c in pod.status.conditions}
    assert ready["Ready"] == "True", ready
    assert pod.spec.containers[0].image and pod.status.pod_ip, pod


@check
def logs():
    pod = eventually("a running instance", pods)[0].metadata.name

    def log(**options):
        return core.read_namespaced_pod_log(pod, NAMESPACE, **options)

    assert "listening on port 8080" in log()
    assert log(tail_lines=0) == ""
    assert len(log(tail_lines=1).splitlines()) == 1
    stamp = log(timestamps=True).split(" ")[0]
    datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")[:26] + "+00:00")
    assert "listening" in log(since_seconds=3600)
    assert len(log(limit_bytes=5)) == 5
    container = core.read_namespaced_pod(pod, NAMESPACE).spec.containers[0].name
    assert "listening" in log(container=container)
    with refused(400):
        log(container="nobody")
    with refused(400):
        log(previous=True)
    stream = watch.Watch()
    for line in stream.stream(core.read_namespaced_pod_log, pod, NAMESPACE):
        if "listening" in line:
            stream.stop()


@check
def patches_of_custom_objects():
    body = {"metadata": {"annotations": {"team": "a"}}}
    patched = objects.patch_namespaced_custom_object(*GROUP, "hello", body, _content_type=MERGE)
    assert patched["metadata"]["annotations"]["team"] == "a"
    body = [{"op": "remove", "path": "/metadata/annotations/team"}]
    patched = objects.patch_namespaced_custom_object(*GROUP, "hello", body, _content_type=JSON)
    assert "team" not in patched["metadata"].get("annotations", {})
    assert patched["metadata"]["generation"] == 1, patched["metadata"]
    with refused(415):
        strategic = "application/strategic-merge-patch+json"
        objects.patch_namespaced_custom_object(*GROUP, "hello", {}, _content_type=strategic)


@check
def the_status_is_not_for_clients():
    before = service()
    body = {"status": {"url": "http://elsewhere"}}
    objects.patch_namespaced_custom_object(*GROUP, "hello", body, _content_type=MERGE)
    assert service()["status"]["url"] == before["status"]["url"]
    view = objects.get_namespaced_custom_object_status(*GROUP, "hello")
    assert view["kind"] == "Service" and view["status"]["url"] == before["status"]["url"]


@check
def the_status_subresource_changes_status_alone():
    # Of a Service that no controller has reasons to correct at once.
    body = {"spec": {"template": None}, "status": {"annotations": {"seen": "yes"}}}
    answer = objects.patch_namespaced_custom_object_status(
        *GROUP, "hello", body, _content_type=MERGE
    )
    assert answer["spec"]["template"]["spec"]["containers"], answer
    assert answer["metadata"]["generation"] == 1, answer["metadata"]


@check
def scale():
    view = objects.get_namespaced_custom_object_scale(*GROUP, "hello")
    assert (view["apiVersion"], view["kind"]) == ("autoscaling/v1", "Scale"), view
    body = {"spec": {"replicas": 2}}
    answer = objects.patch_namespaced_custom_object_scale(
        *GROUP, "hello", body, _content_type=MERGE
    )
    assert answer["spec"]["replicas"] == 2, answer
    eventually("a second instance", lambda: len(pods()) == 2)
    with refused(422):
        wrong = {"spec": {"replicas": -1}}
        objects.patch_namespaced_custom_object_scale(*GROUP, "hello", wrong, _content_type=MERGE)


@check
def a_new_template_makes_a_new_revision():
    body = service()
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "GREETING", "value": "good day"}]
    replaced = objects.replace_namespaced_custom_object(*GROUP, "hello", body)
    latest = lambda: service()["status"].get("latestReadyRevisionName")
    eventually("another revision", lambda: latest() not in (None, "hello-00001"))
    assert replaced["metadata"]["generation"] >= 2, replaced["metadata"]
    with refused(422, "Invalid"):
        wrong = manifest("wrong", timeoutSeconds=-1)
        objects.create_namespaced_custom_object(*GROUP, wrong)


@check
def deleting_a_pod_answers_the_pod():
    pod = eventually("a running instance", pods)[0].metadata
    answer = core.delete_namespaced_pod(pod.name, NAMESPACE)
    assert answer.metadata.uid == pod.uid, answer


@check
def deleting_a_service_removes_what_it_owns():
    objects.delete_namespaced_custom_object(*GROUP, "hello")
    with refused(404):
        service()
    for plural in ["configurations", "revisions", "routes"]:
        group = (*GROUP[:3], plural)
        eventually(
            f"the end of its {plural}",
            lambda: not objects.list_namespaced_custom_object(*group)["items"],
        )
    eventually("the end of its instances", lambda: not pods())
