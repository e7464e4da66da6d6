"""Lists: selectors, pages, versions, and deleting what a selector selects."""

from kubernetes import client

from checks import NAMESPACE, check, config_map, names, refused

core = client.CoreV1Api()
COUNT = 25


def fill():
    for n in range(COUNT):
        labels = {"set": "lists", "parity": "even" if n % 2 == 0 else "odd"}
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{n:02}", labels=labels))


def listed(**options):
    return core.list_namespaced_config_map(NAMESPACE, **options)


@check
def label_selectors():
    fill()
    cases = {
        "set=lists": COUNT,
        "set=lists,parity=even": 13,
        "set=lists,parity!=even": 12,
        "set=lists,parity in (odd,none)": 12,
        "set=lists,parity notin (odd)": 13,
        "set,set=lists,!absent": COUNT,
        "set=lists,absent": 0,
    }
    for selector, count in cases.items():
        found = len(listed(label_selector=selector).items)
        assert found == count, f"{selector}: {found}, not {count}"
    with refused(400, "BadRequest"):
        listed(label_selector="a in (")


@check
def field_selectors():
    assert names(listed(field_selector="metadata.name=page-03")) == ["page-03"]
    rest = listed(field_selector="metadata.name!=page-03", label_selector="set=lists")
    assert len(rest.items) == COUNT - 1
    everywhere = core.list_config_map_for_all_namespaces(
        field_selector=f"metadata.namespace={NAMESPACE},metadata.name=page-04"
    )
    assert names(everywhere) == ["page-04"]
    with refused(400, "BadRequest"):
        listed(field_selector="spec.colour=red")


@check
def pages_are_of_one_version():
    first = listed(label_selector="set=lists", limit=10)
    assert len(first.items) == 10 and first.metadata._continue, first.metadata
    # What is made and deleted between two pages is not seen by the second.
    core.create_namespaced_config_map(NAMESPACE, config_map("page-99", labels={"set": "lists"}))
    core.delete_namespaced_config_map("page-24", NAMESPACE)
    seen, token = names(first), first.metadata._continue
    while token:
        page = listed(label_selector="set=lists", limit=10, _continue=token)
        assert page.metadata.resource_version == first.metadata.resource_version
        seen, token = seen + names(page), page.metadata._continue
    assert seen == [f"page-{n:02}" for n in range(COUNT)], seen
    with refused(400):
        listed(limit=10, _continue="nonsense")


@check
def versions_of_a_list():
    version = listed().metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, config_map("page-98", labels={"set": "lists"}))
    then = listed(resource_version=version, resource_version_match="Exact")
    assert "page-98" not in names(then) and then.metadata.resource_version == version
    now = listed(resource_version=version, resource_version_match="NotOlderThan")
    assert "page-98" in names(now)
    assert "page-98" in names(listed(resource_version="0"))


@check
def pages_say_how_much_follows():
    first = listed(limit=10)
    count = len(listed().items)
    assert first.metadata.remaining_item_count == count - 10, first.metadata
    second = listed(limit=10, _continue=first.metadata._continue)
    assert second.metadata.remaining_item_count == count - 20, second.metadata
    assert listed(limit=5, label_selector="set=lists").metadata.remaining_item_count is None
    assert listed().metadata.remaining_item_count is None


@check
def delete_collection_page_by_page():
    for n in range(5):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"few-{n}", labels={"set": "few"}))
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="set=few", limit=2)
    assert names(listed(label_selector="set=few")) == ["few-2", "few-3", "few-4"]
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="set=few")
    assert listed(label_selector="set=few").items == []


@check
def delete_collection_by_selector():
    core.create_namespaced_config_map(NAMESPACE, config_map("bystander"))
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="parity=odd")
    left = names(listed(label_selector="set=lists"))
    assert left and not any(n in left for n in ["page-01", "page-03"]), left
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="set=lists")
    assert names(listed(label_selector="set=lists")) == []
    assert "bystander" in names(listed())
    core.delete_collection_namespaced_config_map(
        NAMESPACE, field_selector="metadata.name=bystander"
    )
    assert "bystander" not in names(listed())
