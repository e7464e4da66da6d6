// An informer keeps a copy, across connections and across a restart of the platform.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { CoreV1Api, makeInformer } from '@kubernetes/client-node';

import { check, eventually, kubeconfig, merge, namespace } from './checks.mjs';

const core = kubeconfig.makeApiClient(CoreV1Api);
const labelSelector = 'informed=yes';
const map = (name) => ({ metadata: { name, labels: { informed: 'yes' } } });
const create = (name) => core.createNamespacedConfigMap({ namespace, body: map(name) });

check('an informer reconnects and misses nothing', async () => {
    const seen = [];
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const list = () => core.listNamespacedConfigMap({ namespace, labelSelector });
    await create('first');
    const informer = makeInformer(kubeconfig, path, list, labelSelector);
    for (const event of ['add', 'update', 'delete']) {
        informer.on(event, (object) => seen.push(`${event} ${object.metadata.name}`));
    }
    let stopped = false;
    informer.on('error', async () => {
        await sleep(100);
        if (!stopped) await informer.start();
    });
    let connects = 0;
    informer.on('connect', () => { connects += 1; });
    await informer.start();
    const saw = (what) => eventually(what, () => seen.includes(what));
    await saw('add first');
    await create('second');
    await saw('add second');

    process.kill(Number(process.env.DAEMON), 'SIGKILL');
    await eventually('the daemon\'s return', () => create('third').then(() => true, (error) => error.code === 409));
    await saw('add third');
    assert.ok(connects >= 2, `${connects}`);
    await core.patchNamespacedConfigMap({ name: 'first', namespace, body: { data: { a: '1' } } }, merge);
    await saw('update first');
    await core.deleteNamespacedConfigMap({ name: 'second', namespace });
    await saw('delete second');
    const copy = informer.list(namespace).map((object) => object.metadata.name).sort();
    assert.deepEqual(copy, ['first', 'third']);
    stopped = true;
    await informer.stop();
    await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector });
});
