// Names every check, runs them all, and says at the end which failed.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { KubeConfig, PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';

export const kubeconfig = new KubeConfig();
kubeconfig.loadFromFile(process.env.KUBECONFIG);
export const namespace = 'default';
export const image = process.env.IMAGE;
export const patience = 20_000;

const checks = [];

/** Adds a check. */
export function check(name, run) {
    checks.push({ name, run });
}

/** Runs every check in the order of definition; one that fails does not stop the others. */
export async function run() {
    const failed = [];
    for (const { name, run } of checks) {
        const begin = performance.now();
        try {
            await run();
            console.log(`ok ${name} (${Math.round(performance.now() - begin)} ms)`);
        } catch (error) {
            console.log(error);
            console.log(`FAILED ${name}`);
            failed.push(name);
        }
    }
    console.log(failed.length ? `failed: ${failed.join(', ')}` : 'done');
    process.exit(failed.length ? 1 : 0);
}

/** The promise must be refused with this code; answers the Status. */
export async function refused(code, promise) {
    const error = await promise.then(() => null, (error) => error);
    assert.ok(error, `nothing was refused, ${code} was expected`);
    assert.equal(error.code, code, String(error));
    return typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
}

/** Polls until `condition` answers something true, and answers that. */
export async function eventually(what, condition) {
    const end = Date.now() + patience;
    while (Date.now() < end) {
        const found = await condition();
        if (found) return found;
        await sleep(50);
    }
    assert.fail(`${what} did not happen`);
}

const as = (type) => setHeaderOptions('Content-Type', type);
export const merge = as(PatchStrategy.MergePatch);
export const json = as(PatchStrategy.JsonPatch);
export const strategic = as(PatchStrategy.StrategicMergePatch);
export const apply = as(PatchStrategy.ServerSideApply);
