"""Names every check, runs them all, and says at the end which failed."""

import contextlib
import os
import sys
import time
import traceback

from kubernetes import client, config
from kubernetes.client.rest import ApiException

config.load_kube_config(os.environ["KUBECONFIG"])

NAMESPACE = "default"
IMAGE = os.environ["IMAGE"]
PATIENCE_S = 20

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_checks = []


def check(function):
    """Adds a check; what it is called is what is printed."""
    _checks.append(function)
    return function


def run():
    """Runs every check in the order of definition; one that fails does not stop the others."""
    failed = []
    for function in _checks:
        name = f"{function.__module__}.{function.__name__}"
        begin = time.monotonic()
        try:
            function()
            print(f"ok {name} ({time.monotonic() - begin:.2f} s)", flush=True)
        except Exception:
            traceback.print_exc(file=sys.stdout)
            print(f"FAILED {name}", flush=True)
            failed.append(name)
    if failed:
        sys.exit("failed: " + ", ".join(failed))
    print("done")


@contextlib.contextmanager
def refused(status, reason=None, text=None):
    """What is inside must be refused with this status, reason and words."""
    try:
        yield
    except ApiException as error:
        assert error.status == status, f"{error.status}, not {status}: {error.body}"
        for part in filter(None, [reason and f'"reason":"{reason}"', text]):
            assert part in str(error.body), f"{part!r} is not in {error.body}"
    else:
        raise AssertionError(f"nothing was refused, {status} was expected")


def config_map(name, data=None, **metadata):
    """A ConfigMap of the typed client."""
    metadata = client.V1ObjectMeta(name=name, **metadata)
    return client.V1ConfigMap(metadata=metadata, data=data or {})


def names(listed):
    """Names of the objects of a list, sorted."""
    return sorted(item.metadata.name for item in listed.items)


def eventually(what, condition):
    """Polls until `condition` answers something true, and answers that."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {PATIENCE_S} s")
