// The typed API and the generic one: create, read, list, patch, replace, delete.

import assert from 'node:assert/strict';

import {
    AuthorizationV1Api, CoordinationV1Api, CoreV1Api, KubernetesObjectApi, PatchStrategy, V1MicroTime,
    VersionApi,
} from '@kubernetes/client-node';

import {
    apply, check, eventually, json, kubeconfig, merge, namespace, refused, strategic,
} from './checks.mjs';

const core = kubeconfig.makeApiClient(CoreV1Api);
const map = (name, data = {}, metadata = {}) => ({ metadata: { name, ...metadata }, data });
const create = (body, options = {}) => core.createNamespacedConfigMap({ namespace, body, ...options });
const read = (name) => core.readNamespacedConfigMap({ name, namespace });
const patch = (name, body, how, options = {}) =>
    core.patchNamespacedConfigMap({ name, namespace, body, ...options }, how);
const remove = (name) => core.deleteNamespacedConfigMap({ name, namespace });

check('create, read, replace, delete', async () => {
    const made = await create(map('life', { a: '1' }));
    assert.ok(made.metadata.creationTimestamp instanceof Date);
    const body = await read('life');
    assert.equal(body.metadata.uid, made.metadata.uid);
    body.data.a = '2';
    const replaced = await core.replaceNamespacedConfigMap({ name: 'life', namespace, body });
    assert.deepEqual(replaced.data, { a: '2' });
    const stale = await refused(
        409, core.replaceNamespacedConfigMap({ name: 'life', namespace, body: made }));
    assert.equal(stale.reason, 'Conflict');
    assert.equal((await refused(409, create(map('life')))).reason, 'AlreadyExists');
    assert.equal((await remove('life')).status, 'Success');
    assert.equal((await refused(404, read('life'))).reason, 'NotFound');
});

check('generateName', async () => {
    const made = await create({ metadata: { generateName: 'made-' } });
    assert.match(made.metadata.name, /^made-[a-z0-9]{5}$/);
    await remove(made.metadata.name);
});

check('dryRun and fieldValidation', async () => {
    await create(map('dry'), { dryRun: 'All' });
    await refused(404, read('dry'));
    const objects = KubernetesObjectApi.makeApiClient(kubeconfig);
    const typo = { apiVersion: 'v1', kind: 'ConfigMap', dataa: {}, metadata: { name: 'typo', namespace } };
    const made = await objects.create(typo, undefined, 'All');
    assert.equal(made.dataa, undefined);
});

check('lists: selectors and pages', async () => {
    for (let n = 0; n < 5; n += 1) {
        await create(map(`page-${n}`, {}, { labels: { set: 'js', odd: String(n % 2) } }));
    }
    const list = (options) => core.listNamespacedConfigMap({ namespace, ...options });
    const names = (found) => found.items.map((item) => item.metadata.name);
    assert.deepEqual(names(await list({ labelSelector: 'set=js,odd in (1)' })), ['page-1', 'page-3']);
    assert.deepEqual(names(await list({ fieldSelector: 'metadata.name=page-2' })), ['page-2']);
    let page = await list({ labelSelector: 'set=js', limit: 2 });
    const seen = names(page);
    while (page.metadata._continue) {
        page = await list({ labelSelector: 'set=js', limit: 2, _continue: page.metadata._continue });
        seen.push(...names(page));
    }
    assert.deepEqual(seen, [0, 1, 2, 3, 4].map((n) => `page-${n}`));
    await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'set=js' });
    assert.deepEqual(names(await list({ labelSelector: 'set=js' })), []);
});

check('merge, JSON and strategic merge patches', async () => {
    await create(map('patched', { a: '1', b: '2' }, { finalizers: ['example.com/one'] }));
    assert.deepEqual((await patch('patched', { data: { a: null } }, merge)).data, { b: '2' });
    const steps = [{ op: 'replace', path: '/data/b', value: '3' }];
    assert.deepEqual((await patch('patched', steps, json)).data, { b: '3' });
    await refused(422, patch('patched', [{ op: 'test', path: '/data/b', value: '9' }], json));
    const both = await patch('patched', { metadata: { finalizers: ['example.com/two'] } }, strategic);
    assert.deepEqual([...both.metadata.finalizers].sort(), ['example.com/one', 'example.com/two']);
    await patch('patched', { metadata: { finalizers: null } }, merge);
    await remove('patched');
});

check('server-side apply: owners, conflicts, force', async () => {
    const applied = (data, fieldManager, force) => patch(
        'applied', { apiVersion: 'v1', kind: 'ConfigMap', ...map('applied', data) }, apply,
        { fieldManager, force });
    const made = await applied({ a: '1' }, 'one');
    assert.equal(made.metadata.managedFields[0].manager, 'one');
    await applied({ b: '1' }, 'two');
    const conflict = await refused(409, applied({ a: '2', b: '1' }, 'two'));
    assert.equal(conflict.details.causes[0].reason, 'FieldManagerConflict');
    assert.equal(conflict.details.causes[0].field, '.data.a');
    assert.deepEqual((await applied({ a: '2', b: '1' }, 'two', true)).data, { a: '2', b: '1' });
    await remove('applied');
});

check('objects of any kind, by discovery', async () => {
    const objects = KubernetesObjectApi.makeApiClient(kubeconfig);
    const metadata = { name: 'any', namespace };
    const header = { apiVersion: 'v1', kind: 'Secret', metadata };
    await objects.create({ ...header, stringData: { password: 'p' } });
    assert.equal((await objects.read(header)).data.password, 'cA==');
    const change = { ...header, metadata: { ...metadata, labels: { l: '1' } } };
    await objects.patch(change, undefined, undefined, undefined, undefined, PatchStrategy.MergePatch);
    const found = await objects.list(
        'v1', 'Secret', namespace, undefined, undefined, undefined, undefined, 'l=1');
    assert.equal(found.items.length, 1);
    await objects.delete(header);
    await refused(404, objects.read(header));
});

check('namespaces are made and emptied', async () => {
    await core.createNamespace({ body: { metadata: { name: 'team' } } });
    await core.createNamespacedSecret({ namespace: 'team', body: { metadata: { name: 'inside' } } });
    await core.deleteNamespace({ name: 'team' });
    await eventually('the end of the namespace', () =>
        core.readNamespace({ name: 'team' }).then(() => false, (error) => error.code === 404));
});

check('leases', async () => {
    const leases = kubeconfig.makeApiClient(CoordinationV1Api);
    const renewTime = new V1MicroTime();
    const spec = { holderIdentity: 'js', leaseDurationSeconds: 15, renewTime };
    const made = await leases.createNamespacedLease({ namespace, body: { metadata: { name: 'js' }, spec } });
    assert.equal(made.spec.renewTime, renewTime.toISOString());
    made.spec.holderIdentity = 'other';
    const taken = await leases.replaceNamespacedLease({ name: 'js', namespace, body: made });
    assert.equal(taken.spec.holderIdentity, 'other');
    await leases.deleteNamespacedLease({ name: 'js', namespace });
});

check('version and access reviews', async () => {
    const version = await kubeconfig.makeApiClient(VersionApi).getCode();
    assert.match(version.gitVersion, /^v1\./);
    const resourceAttributes = { verb: 'delete', resource: 'secrets', namespace };
    const answer = await kubeconfig.makeApiClient(AuthorizationV1Api)
        .createSelfSubjectAccessReview({ body: { spec: { resourceAttributes } } });
    assert.equal(answer.status.allowed, true);
});
