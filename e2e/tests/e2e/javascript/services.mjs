// Knative Services through CustomObjectsApi; Pods and their logs.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';

import { CoreV1Api, CustomObjectsApi, Log, Watch } from '@kubernetes/client-node';

import {
    apply, check, eventually, image, json, kubeconfig, merge, namespace, refused,
} from './checks.mjs';

const core = kubeconfig.makeApiClient(CoreV1Api);
const objects = kubeconfig.makeApiClient(CustomObjectsApi);
const services = {
    group: 'serving.knative.dev', version: 'v1', namespace, plural: 'services',
};
const hello = { ...services, name: 'hello' };
const manifest = {
    apiVersion: 'serving.knative.dev/v1', kind: 'Service', metadata: { name: 'hello' },
    spec: { template: { spec: { containers: [{ image }] } } },
};
const isReady = (service) => (service.status?.conditions ?? [])
    .some(({ type, status }) => type === 'Ready' && status === 'True');

async function pods() {
    const labelSelector = 'serving.knative.dev/service=hello';
    const found = await core.listNamespacedPod({ namespace, labelSelector });
    return found.items.filter((pod) => pod.status.phase === 'Running');
}

check('deploy and watch until ready', async () => {
    await objects.createNamespacedCustomObject({ ...services, body: manifest });
    const path = `/apis/serving.knative.dev/v1/namespaces/${namespace}/services`;
    await new Promise((resolve, reject) => {
        const watch = new Watch(kubeconfig);
        const query = { fieldSelector: 'metadata.name=hello', timeoutSeconds: 60 };
        const request = watch.watch(path, query, async (type, object) => {
            if (!isReady(object)) return;
            resolve();
            (await request).abort();
        }, (error) => reject(error ?? new Error('the watch ended')));
    });
});

check('logs: tail, timestamps, since, follow', async () => {
    const [pod] = await eventually('an instance', async () => {
        const found = await pods();
        return found.length ? found : null;
    });
    const name = pod.metadata.name;
    const container = pod.spec.containers[0].name;
    assert.match(await core.readNamespacedPodLog({ name, namespace }), /listening on port 8080/);
    const line = await core.readNamespacedPodLog({ name, namespace, tailLines: 1, timestamps: true });
    assert.match(line, /^\d{4}-\d\d-\d\dT\S+Z /);
    const recent = await core.readNamespacedPodLog({ name, namespace, sinceSeconds: 3600 });
    assert.match(recent, /listening/);
    const stream = new PassThrough();
    const request = await new Log(kubeconfig).log(namespace, name, container, stream, { follow: true });
    for await (const chunk of stream) {
        if (String(chunk).includes('listening')) break;
    }
    request.abort();
});

check('patch, apply and scale a custom object', async () => {
    const annotated = await objects.patchNamespacedCustomObject(
        { ...hello, body: { metadata: { annotations: { team: 'a' } } } }, merge);
    assert.equal(annotated.metadata.annotations.team, 'a');
    const removed = await objects.patchNamespacedCustomObject(
        { ...hello, body: [{ op: 'remove', path: '/metadata/annotations/team' }] }, json);
    assert.equal(removed.metadata.annotations?.team, undefined);
    assert.equal(removed.metadata.generation, 1);
    const body = { ...manifest, metadata: { name: 'hello', labels: { by: 'apply' } } };
    const applied = await objects.patchNamespacedCustomObject(
        { ...hello, body, fieldManager: 'js', force: true }, apply);
    assert.equal(applied.metadata.labels.by, 'apply');
    const scale = await objects.getNamespacedCustomObjectScale(hello);
    assert.equal(scale.kind, 'Scale');
    const status = await objects.getNamespacedCustomObjectStatus(hello);
    assert.ok(isReady(status), JSON.stringify(status.status));
});

check('a wrong manifest is refused with its field', async () => {
    const body = structuredClone(manifest);
    body.metadata.name = 'wrong';
    body.spec.template.spec.timeoutSeconds = -1;
    const answer = await refused(422, objects.createNamespacedCustomObject({ ...services, body }));
    assert.equal(answer.reason, 'Invalid');
    assert.match(answer.details.causes[0].field, /timeoutSeconds/);
});

check('delete', async () => {
    await objects.deleteNamespacedCustomObject(hello);
    await refused(404, objects.getNamespacedCustomObject(hello));
    await eventually('the end of its instances', async () => (await pods()).length === 0);
});
