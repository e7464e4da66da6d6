"""Create, read, replace and delete, with the typed client."""

from kubernetes import client

from checks import NAMESPACE, check, config_map, eventually, names, refused

core = client.CoreV1Api()


@check
def create_read_replace_delete():
    made = core.create_namespaced_config_map(NAMESPACE, config_map("life", {"a": "1"}))
    assert made.metadata.uid and made.metadata.creation_timestamp, made.metadata
    read = core.read_namespaced_config_map("life", NAMESPACE)
    assert read.metadata.resource_version == made.metadata.resource_version
    read.data["a"] = "2"
    replaced = core.replace_namespaced_config_map("life", NAMESPACE, read)
    assert replaced.data == {"a": "2"}
    assert replaced.metadata.uid == made.metadata.uid
    assert int(replaced.metadata.resource_version) > int(made.metadata.resource_version)
    status = core.delete_namespaced_config_map("life", NAMESPACE)
    assert status["kind"] == "Status" and status["status"] == "Success", status
    with refused(404, "NotFound"):
        core.read_namespaced_config_map("life", NAMESPACE)
    with refused(404, "NotFound"):
        core.delete_namespaced_config_map("life", NAMESPACE)


@check
def a_second_create_is_refused():
    core.create_namespaced_config_map(NAMESPACE, config_map("twice"))
    with refused(409, "AlreadyExists"):
        core.create_namespaced_config_map(NAMESPACE, config_map("twice"))
    core.delete_namespaced_config_map("twice", NAMESPACE)


@check
def generate_name():
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="made-"))
    made = {core.create_namespaced_config_map(NAMESPACE, body).metadata.name for _ in range(3)}
    assert len(made) == 3 and all(n.startswith("made-") and len(n) == 10 for n in made), made
    for name in made:
        core.delete_namespaced_config_map(name, NAMESPACE)


@check
def a_stale_replace_conflicts():
    stale = core.create_namespaced_config_map(NAMESPACE, config_map("race", {"n": "0"}))
    fresh = core.read_namespaced_config_map("race", NAMESPACE)
    fresh.data["n"] = "1"
    core.replace_namespaced_config_map("race", NAMESPACE, fresh)
    stale.data["n"] = "2"
    with refused(409, "Conflict", "object has been modified"):
        core.replace_namespaced_config_map("race", NAMESPACE, stale)
    assert core.read_namespaced_config_map("race", NAMESPACE).data == {"n": "1"}
    core.delete_namespaced_config_map("race", NAMESPACE)


@check
def delete_with_preconditions():
    made = core.create_namespaced_config_map(NAMESPACE, config_map("guarded"))
    wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
    with refused(409, "Conflict"):
        core.delete_namespaced_config_map("guarded", NAMESPACE, body=wrong)
    right = client.V1Preconditions(
        uid=made.metadata.uid, resource_version=made.metadata.resource_version
    )
    core.delete_namespaced_config_map(
        "guarded", NAMESPACE, body=client.V1DeleteOptions(preconditions=right)
    )


@check
def dry_run_changes_nothing():
    core.create_namespaced_config_map(NAMESPACE, config_map("dry"), dry_run="All")
    with refused(404):
        core.read_namespaced_config_map("dry", NAMESPACE)
    made = core.create_namespaced_config_map(NAMESPACE, config_map("dry", {"a": "1"}))
    answer = core.replace_namespaced_config_map(
        "dry", NAMESPACE, config_map("dry", {"a": "2"}), dry_run="All"
    )
    assert answer.data == {"a": "2"}, answer
    core.delete_namespaced_config_map("dry", NAMESPACE, dry_run="All")
    core.delete_collection_namespaced_config_map(NAMESPACE, dry_run="All")
    kept = core.read_namespaced_config_map("dry", NAMESPACE)
    assert kept.data == {"a": "1"}
    assert kept.metadata.resource_version == made.metadata.resource_version
    core.delete_namespaced_config_map("dry", NAMESPACE)


@check
def field_validation_in_its_three_modes():
    api = client.ApiClient()
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "dataa": {}, "metadata": {"name": "typo"}}

    def create(mode):
        url = f"{api.configuration.host}{path}?fieldValidation={mode}&dryRun=All"
        response = api.call_api("POST", url, headers | api_token(api), body)
        response.read()
        return response

    strict = create("Strict")
    assert strict.status == 400 and b'unknown field \\"dataa\\"' in strict.data, strict.data
    warned = create("Warn")
    assert warned.status == 201, warned.data
    assert "unknown field" in warned.getheader("Warning"), warned.getheaders()
    ignored = create("Ignore")
    assert ignored.status == 201 and not ignored.getheader("Warning"), ignored.getheaders()


def api_token(api):
    return {"Authorization": api.configuration.get_api_key_with_prefix("BearerToken", "authorization")}


@check
def secrets_take_text_and_keep_bytes():
    body = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"a": "b"})
    core.create_namespaced_secret(NAMESPACE, body)
    read = core.read_namespaced_secret("s", NAMESPACE)
    assert read.data == {"a": "Yg=="} and read.string_data is None, read
    assert read.type == "Opaque", read.type
    assert "s" in names(core.list_namespaced_secret(NAMESPACE))
    core.delete_namespaced_secret("s", NAMESPACE)


@check
def immutable_is_immutable():
    body = config_map("fixed", {"a": "1"})
    body.immutable = True
    made = core.create_namespaced_config_map(NAMESPACE, body)
    made.data["a"] = "2"
    with refused(422, "Invalid", "immutable"):
        core.replace_namespaced_config_map("fixed", NAMESPACE, made)
    core.delete_namespaced_config_map("fixed", NAMESPACE)


@check
def finalizers_hold_an_object():
    body = config_map("held", finalizers=["example.com/wait"])
    core.create_namespaced_config_map(NAMESPACE, body)
    core.delete_namespaced_config_map("held", NAMESPACE)
    held = core.read_namespaced_config_map("held", NAMESPACE)
    assert held.metadata.deletion_timestamp, held.metadata
    held.metadata.finalizers = None
    core.replace_namespaced_config_map("held", NAMESPACE, held)
    with refused(404):
        core.read_namespaced_config_map("held", NAMESPACE)


def owned(name, owner):
    reference = client.V1OwnerReference(
        api_version="v1", kind="ConfigMap", name=owner.metadata.name, uid=owner.metadata.uid,
        block_owner_deletion=True, controller=True,
    )
    return config_map(name, owner_references=[reference])


def exists(name):
    return name in names(core.list_namespaced_config_map(NAMESPACE))


@check
def what_is_owned_goes_with_its_owner():
    for policy in ["Background", "Foreground"]:
        owner = core.create_namespaced_config_map(NAMESPACE, config_map("owner"))
        core.create_namespaced_config_map(NAMESPACE, owned("child", owner))
        options = client.V1DeleteOptions(propagation_policy=policy)
        core.delete_namespaced_config_map("owner", NAMESPACE, body=options)
        eventually("the end of the child", lambda: not exists("child"))
        eventually("the end of the owner", lambda: not exists("owner"))


@check
def orphans_stay():
    owner = core.create_namespaced_config_map(NAMESPACE, config_map("owner"))
    core.create_namespaced_config_map(NAMESPACE, owned("child", owner))
    options = client.V1DeleteOptions(propagation_policy="Orphan")
    core.delete_namespaced_config_map("owner", NAMESPACE, body=options)
    eventually("the end of the owner", lambda: not exists("owner"))
    left = core.read_namespaced_config_map("child", NAMESPACE)
    assert not left.metadata.owner_references, left.metadata
    core.delete_namespaced_config_map("child", NAMESPACE)


@check
def namespaces_are_made_and_emptied():
    body = client.V1Namespace(metadata=client.V1ObjectMeta(name="team"))
    assert core.create_namespace(body).status.phase == "Active"
    core.create_namespaced_config_map("team", config_map("inside"))
    with refused(404):
        core.create_namespaced_config_map("nobody", config_map("inside"))
    core.delete_namespace("team")
    eventually("the end of the namespace", lambda: "team" not in names(core.list_namespace()))
    assert "inside" not in names(core.list_config_map_for_all_namespaces())


@check
def nodes_say_what_they_have():
    (node,) = core.list_node().items
    assert {"cpu", "memory", "pods"} <= set(node.status.capacity), node.status.capacity
    ready = [c.status for c in node.status.conditions if c.type == "Ready"]
    assert ready == ["True"], node.status.conditions
