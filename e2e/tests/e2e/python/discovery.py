"""The dynamic client: everything from discovery alone."""

import os

from kubernetes import client, dynamic
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

from checks import MERGE, NAMESPACE, check

api = client.ApiClient()
KINDS = {
    "v1": ["ConfigMap", "Event", "Namespace", "Node", "Pod", "Secret"],
    "coordination.k8s.io/v1": ["Lease"],
    "serving.knative.dev/v1": ["Configuration", "Revision", "Route", "Service"],
}


def dynamic_client():
    # The cache would outlive the platform.
    cache = os.path.join(os.environ["SCRATCH"], "discovery.json")
    return dynamic.DynamicClient(api, cache_file=cache)


@check
def every_kind_is_discovered():
    resources = dynamic_client().resources
    for version, kinds in KINDS.items():
        for kind in kinds:
            resource = resources.get(api_version=version, kind=kind)
            namespaced = kind not in ("Namespace", "Node")
            assert resource.namespaced == namespaced, kind
            assert {"get", "list", "watch"} <= set(resource.verbs), (kind, resource.verbs)
    service = resources.get(api_version="serving.knative.dev/v1", kind="Service")
    assert "ksvc" in service.short_names, service.short_names


@check
def groups_and_versions():
    groups = [g.name for g in client.ApisApi().get_api_versions().groups]
    assert {"serving.knative.dev", "coordination.k8s.io", "authorization.k8s.io"} <= set(groups)
    assert client.CoreApi().get_api_versions().versions == ["v1"]
    version = client.VersionApi().get_code()
    assert version.git_version.startswith("v1."), version
    resources = {r.name: r for r in client.CoreV1Api().get_api_resources().resources}
    assert "pods/log" in resources and "cm" in resources["configmaps"].short_names


@check
def dynamic_verbs():
    maps = dynamic_client().resources.get(api_version="v1", kind="ConfigMap")
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "dynamic"}}
    maps.create(body=body, namespace=NAMESPACE)
    patch = {"data": {"a": "1"}}
    maps.patch(body=patch, name="dynamic", namespace=NAMESPACE, content_type=MERGE)
    got = maps.get(name="dynamic", namespace=NAMESPACE)
    assert got.data.a == "1"
    replaced = got.to_dict() | {"data": {"a": "2"}}
    assert maps.replace(body=replaced, namespace=NAMESPACE).data.a == "2"
    found = maps.get(namespace=NAMESPACE, field_selector="metadata.name=dynamic")
    assert len(found.items) == 1
    maps.delete(name="dynamic", namespace=NAMESPACE)
    try:
        maps.get(name="dynamic", namespace=NAMESPACE)
        raise AssertionError("it is still there")
    except NotFoundError:
        pass


@check
def dynamic_server_side_apply():
    services = dynamic_client().resources.get(api_version="serving.knative.dev/v1", kind="Service")

    def apply(manager, timeout, **options):
        spec = {"containers": [{"image": os.environ["IMAGE"]}], "timeoutSeconds": timeout}
        body = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "applied"},
            "spec": {"template": {"spec": spec}},
        }
        return services.server_side_apply(
            body=body, namespace=NAMESPACE, field_manager=manager, **options
        )

    first = apply("gitops", 30)
    assert first.spec.template.spec.timeoutSeconds == 30
    try:
        apply("other", 40)
        raise AssertionError("no conflict")
    except ConflictError as error:
        assert "timeoutSeconds" in str(error.body), error.body
    forced = apply("other", 40, force_conflicts=True)
    assert forced.spec.template.spec.timeoutSeconds == 40
    services.delete(name="applied", namespace=NAMESPACE)


@check
def openapi_documents():
    def get(path):
        response = api.call_api(
            "GET", api.configuration.host + path,
            {"Accept": "application/json", "Authorization": token()},
        )
        response.read()
        assert response.status == 200, (path, response.status, response.data[:500])
        import json
        return json.loads(response.data)

    def token():
        return api.configuration.get_api_key_with_prefix("BearerToken", "authorization")

    index = get("/openapi/v3")["paths"]
    for version in KINDS:
        path = f"apis/{version}" if "/" in version else f"api/{version}"
        document = get(index[path]["serverRelativeURL"])
        schemas = document["components"]["schemas"].values()
        served = {
            gvk["kind"] for s in schemas for gvk in s.get("x-kubernetes-group-version-kind", [])
        }
        assert set(KINDS[version]) <= served, (version, served)
    definitions = get("/openapi/v2")["definitions"]
    assert "io.k8s.api.core.v1.ConfigMap" in definitions, list(definitions)[:20]
