"""What users of the Kubernetes client library for Python do, against a running platform."""

import checks
import objects  # noqa: F401
import lists  # noqa: F401
import patches  # noqa: F401
import discovery  # noqa: F401
import coordination  # noqa: F401
import services  # noqa: F401
import watches  # noqa: F401 (last: it ends the daemon once)

checks.run()
