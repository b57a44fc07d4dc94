// `seriatim verify` and a server that refuses: what waiting cures is waited out, what it does not
// ends the run or is told in the account; a refusal against the server's own word is a violation.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startLiar } from './lib/liar.mjs';
import { runCli, Server } from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  await server?.stop();
});

const small = ['--rate', '5000', '--messages', '600', '--channels', '3', '--producers', '2',
  '--restart-subscribers', '0', '--patience', '20'];

/** Runs it before a server that tells `lie`: {code, stderr, account}. */
async function verifyLiar(lie, args = small) {
  const liar = await startLiar(server, lie);
  const run = await runCli(['verify', '--url', liar.ws, '--json', '-', ...args]);
  await liar.stop();
  const text = run.stdout.toString();
  return { ...run, account: text === '' ? null : JSON.parse(text) };
}

const error = (id, code, more = {}) =>
  JSON.stringify({ type: 'error', id, code, message: 'so it is', ...more });

/** Says `change(object)` in place of the first `times` texts for which `when` holds. */
function instead(when, change, times = Infinity) {
  let left = times;
  return () => (text, object) => {
    if (left === 0 || !when(object)) return [text];
    left -= 1;
    const said = change(object);
    return [typeof said === 'string' ? said : JSON.stringify(said)];
  };
}

const both = (one, two) => () => {
  const [first, second] = [one(), two()];
  return (text, object) => first(text, object).flatMap((t) => second(t, JSON.parse(t)));
};

const isType = (type) => (object) => object.type === type;

const withoutDigest = instead(isType('connected'),
  (o) => ({ ...o, features: o.features.filter((f) => f !== 'digest') }));
const refuseDigest = (code, more, times) =>
  instead(isType('digest'), (o) => error(o.id, code, more), times);

// ---- digests ------------------------------------------------------------------------------------

test('a server that lists no digest may refuse it; the account says so', async () => {
  const { code, stderr, account } = await verifyLiar(
    both(withoutDigest, refuseDigest('bad_request')));
  assert.equal(code, 0, stderr);
  assert.equal(account.end, 'whole');
  assert.equal(account.digests_compared, 0);
  assert.ok(account.digests_refused > 0);
  assert.equal(account.digests_refused_code, 'bad_request');
  assert.match(stderr,
    /\n {2}digests {12}refused by the server \(code bad_request\), which does not list/);
});

test('a server that lists no digest and tells it all the same is compared', async () => {
  const { code, stderr, account } = await verifyLiar(withoutDigest);
  assert.equal(code, 0, stderr);
  assert.equal(account.digests_compared, 9);
  assert.equal(account.digests_refused, 0);
  assert.equal(account.digests_refused_code, '');
  assert.doesNotMatch(stderr, /refused by the server/);
});

test('a server that lists digest and refuses it breaks its word', async () => {
  const { code, stderr, account } = await verifyLiar(refuseDigest('bad_request'),
    [...small, '--keep-going']);
  assert.equal(code, 1, stderr);
  assert.equal(account.violations.protocol, 3);
  assert.equal(account.violations_total, 3);
  assert.equal(account.digests_refused, 3);
  assert.match(account.examples[0].text, /lists `digest` among its features and refuses it/);
  assert.match(stderr, /\n {2}digests {12}refused by the server \(code bad_request\)\n/);
});

test('a digest that is gone is an announced gap', async () => {
  const gone = refuseDigest('gap', { reason: 'damaged', epoch: 'e', earliest: 1, latest: 9 });
  const strict = await verifyLiar(gone, [...small, '--keep-going']);
  assert.equal(strict.code, 1, strict.stderr);
  assert.equal(strict.account.violations.gap_announced, 3);
  const tolerant = await verifyLiar(gone, [...small, '--tolerate', 'gap']);
  assert.equal(tolerant.code, 0, tolerant.stderr);
  assert.match(tolerant.stderr, /refused by the server \(code gap\)/);
});

test('a digest that cannot be told now is asked for again', async () => {
  const { code, stderr, account } = await verifyLiar(
    refuseDigest('unavailable', { retry_after_ms: 20 }, 2));
  assert.equal(code, 0, stderr);
  assert.equal(account.digests_compared, 9);
  assert.equal(account.digests_refused, 0);
});

test('a digest without one is a violation', async () => {
  for (const change of [(o) => ({ ...o, digest: undefined }), (o) => ({ ...o, digest: 17 }),
    (o) => ({ ...o, digest: 'Z'.repeat(16) })]) {
    const { code, stderr, account } = await verifyLiar(instead(isType('digest'), change, 1));
    assert.equal(code, 1, stderr);
    assert.equal(account.violations.protocol, 1);
    assert.match(account.examples[0].text, /a `digest` without one/);
  }
});

// ---- the account --------------------------------------------------------------------------------

test('an account for which there is no room is told with the reason, short or long', async () => {
  const full = ['--json', '/dev/full'];
  const short = await runCli(['verify', '--url', server.ws, '--messages', '20', ...full]);
  const long = await verifyLiar(instead((o) => o.type === 'message' && o.seq % 5 === 0,
    (o) => ({ ...o, data: 'another' })), [...small, '--keep-going', ...full]);
  for (const { code, stderr } of [short, long]) {
    assert.equal(code, 1, stderr);
    assert.match(stderr, /cannot write \/dev\/full: No space left on device/);
  }
});
