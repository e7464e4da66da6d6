"""What controllers need: Leases, leader election, Events, and questions about rights."""

import datetime
import threading

from kubernetes import client
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from checks import MERGE, NAMESPACE, PATIENCE_S, check, eventually, names, refused

core = client.CoreV1Api()
leases = client.CoordinationV1Api()


@check
def leases_are_held_and_taken():
    now = datetime.datetime.now(datetime.timezone.utc)
    spec = client.V1LeaseSpec(holder_identity="a", lease_duration_seconds=15, renew_time=now)
    body = client.V1Lease(metadata=client.V1ObjectMeta(name="lock"), spec=spec)
    made = leases.create_namespaced_lease(NAMESPACE, body)
    assert made.spec.renew_time == now, (made.spec.renew_time, now)
    stale = leases.read_namespaced_lease("lock", NAMESPACE)
    made.spec.holder_identity = "b"
    leases.replace_namespaced_lease("lock", NAMESPACE, made)
    stale.spec.holder_identity = "c"
    with refused(409, "Conflict"):
        leases.replace_namespaced_lease("lock", NAMESPACE, stale)
    taken = leases.patch_namespaced_lease(
        "lock", NAMESPACE, {"spec": {"leaseTransitions": 1}}, _content_type=MERGE
    )
    assert (taken.spec.holder_identity, taken.spec.lease_transitions) == ("b", 1)
    with refused(422, "Invalid"):
        wrong = {"spec": {"leaseDurationSeconds": 0}}
        leases.patch_namespaced_lease("lock", NAMESPACE, wrong, _content_type=MERGE)
    assert names(leases.list_namespaced_lease(NAMESPACE)) == ["lock"]
    leases.delete_namespaced_lease("lock", NAMESPACE)


class EndingLock(LeaseLock):
    """A lock whose candidates go when it is over; the library has no way to stop one."""

    over = threading.Event()

    def get(self, name, namespace):
        if self.over.is_set():
            raise SystemExit
        return super().get(name, namespace)


@check
def leader_election_has_one_leader():
    leaders, led, threads = [], threading.Event(), []

    def candidate(name):
        def started():
            leaders.append(name)
            led.set()

        election = leaderelection.LeaderElection(
            electionconfig.Config(
                EndingLock("leader", NAMESPACE, name),
                lease_duration=10, renew_deadline=8, retry_period=1,
                onstarted_leading=started, onstopped_leading=None,
            )
        )
        threads.append(threading.Thread(target=election.run, daemon=True))
        threads[-1].start()

    for name in ["one", "two", "three"]:
        candidate(name)
    assert led.wait(PATIENCE_S), "nobody leads"

    def renewed():
        spec = leases.read_namespaced_lease("leader", NAMESPACE).spec
        return spec if spec.renew_time > spec.acquire_time else None

    spec = eventually("a renewal", renewed)
    assert leaders == [spec.holder_identity], (leaders, spec)
    EndingLock.over.set()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "a candidate goes on"


@check
def events_are_written_and_selected():
    reference = client.V1ObjectReference(
        api_version="v1", kind="ConfigMap", name="subject", namespace=NAMESPACE, uid="u-1"
    )
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    event = client.CoreV1Event(
        metadata=client.V1ObjectMeta(generate_name="subject."),
        involved_object=reference, reason="Tested", message="a test looked at it", type="Normal",
        count=1, first_timestamp=now, last_timestamp=now,
        source=client.V1EventSource(component="e2e"),
    )
    made = core.create_namespaced_event(NAMESPACE, event)
    body = {"count": 2}
    core.patch_namespaced_event(made.metadata.name, NAMESPACE, body, _content_type=MERGE)
    selectors = [
        "involvedObject.name=subject", "involvedObject.uid=u-1",
        "involvedObject.kind=ConfigMap,reason=Tested", "involvedObject.name=subject,type=Normal",
    ]
    for selector in selectors:
        found = core.list_namespaced_event(NAMESPACE, field_selector=selector).items
        assert [e.count for e in found] == [2], (selector, found)
    core.delete_namespaced_event(made.metadata.name, NAMESPACE)


@check
def access_reviews():
    attributes = client.V1ResourceAttributes(
        namespace=NAMESPACE, verb="create", group="serving.knative.dev", resource="services"
    )
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    )
    answer = client.AuthorizationV1Api().create_self_subject_access_review(review)
    assert answer.status.allowed is True, answer
    rules = client.AuthorizationV1Api().create_self_subject_rules_review(
        client.V1SelfSubjectRulesReview(
            spec=client.V1SelfSubjectRulesReviewSpec(namespace=NAMESPACE)
        )
    )
    assert rules.status.resource_rules, rules
    who = client.AuthenticationV1Api().create_self_subject_review(client.V1SelfSubjectReview())
    assert who.status.user_info.username, who
