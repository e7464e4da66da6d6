// What users of the Kubernetes client library for JavaScript do, against a running platform.

import { run } from './checks.mjs';

await import('./objects.mjs');
await import('./services.mjs');
await import('./informers.mjs'); // last: it ends the daemon once
await run();
