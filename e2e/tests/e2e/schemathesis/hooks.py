"""Makes generated requests meet: few names, one namespace, and answers that end."""

import schemathesis

NAMES = ["hello", "other", "third"]


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Random names would never be found again; some stay as they are."""
    if not isinstance(path_parameters, dict):
        return path_parameters
    for key, known in (("namespace", ["default"]), ("name", NAMES)):
        value = path_parameters.get(key)
        if isinstance(value, str) and len(value) % 4:
            path_parameters[key] = known[len(value) % len(known)]
    return path_parameters


@schemathesis.hook
def map_query(context, query):
    """A watch and a followed log go on, and are no single document. A version that is not there yet
    is answered with 504, as by Kubernetes, and would be taken for a fault."""
    if isinstance(query, dict):
        for key in ("watch", "follow", "sendInitialEvents", "resourceVersion"):
            query.pop(key, None)
    return query


@schemathesis.hook
def map_body(context, body):
    """Most objects get a name that another request may ask for."""
    if isinstance(body, dict) and isinstance(body.get("metadata"), dict):
        name = body["metadata"].get("name")
        if not isinstance(name, str) or len(name) % 4:
            body["metadata"]["name"] = NAMES[len(str(body)) % len(NAMES)]
            body["metadata"].pop("namespace", None)
    return body
