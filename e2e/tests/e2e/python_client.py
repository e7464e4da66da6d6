"""What a user of the Kubernetes client library for Python does with a Service."""

import os

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

config.load_kube_config(os.environ["KUBECONFIG"])
core = client.CoreV1Api()
objects = client.CustomObjectsApi()
GROUP = ("serving.knative.dev", "v1", "default", "services")

assert "default" in [n.metadata.name for n in core.list_namespace().items]

core.create_namespaced_secret(
    "default", client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"a": "b"})
)
assert [s.metadata.name for s in core.list_namespaced_secret("default").items] == ["s"]
core.delete_namespaced_secret("s", "default")

manifest = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "hello"},
    "spec": {"template": {"spec": {"containers": [{"image": os.environ["IMAGE"]}]}}},
}
objects.create_namespaced_custom_object(*GROUP, manifest)


def ready(service):
    conditions = service.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


stream = watch.Watch()
for event in stream.stream(
    objects.list_namespaced_custom_object, *GROUP, timeout_seconds=60
):
    if ready(event["object"]):
        stream.stop()

names = [s["metadata"]["name"] for s in objects.list_namespaced_custom_object(*GROUP)["items"]]
assert names == ["hello"], names

pods = core.list_namespaced_pod("default", label_selector="serving.knative.dev/service=hello").items
log = core.read_namespaced_pod_log(pods[0].metadata.name, "default")
assert "listening on port 8080" in log, log

objects.delete_namespaced_custom_object(*GROUP, "hello")
try:
    objects.get_namespaced_custom_object(*GROUP, "hello")
    raise AssertionError("the Service is still there")
except ApiException as error:
    assert error.status == 404, error
print("done")
