// `seriatim verify` and a server that refuses: what waiting cures is waited out, what it does not
// ends the run or is told in the account; a refusal against the server's own word is a violation.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';

import { startLiar } from './lib/liar.mjs';
import { refusal, startScripted, subscribed } from './lib/scripted.mjs';
import { binary, environment, freePort, runCli, Server } from './lib/server.mjs';

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
    both(withoutDigest, refuseDigest('bad_request')), [...small, '--channels', '16']);
  assert.equal(code, 0, stderr);
  assert.equal(account.end, 'whole');
  assert.equal(account.channels_read_back, 16);
  assert.equal(account.digests_compared, 0);
  assert.ok(account.digests_refused > 0);
  assert.ok(account.digests_refused < 16, 'it was asked for again and again');
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

test('without --json the account is for people only', async () => {
  const { code, stdout, stderr } = await runCli(['verify', '--url', server.ws, '--messages', '50']);
  assert.equal(code, 0, stderr);
  assert.equal(stdout.length, 0);
  assert.match(stderr, /\n {2}read back {10}50 from 8 of 8 channels, 24 digests compared\n/);
});

// ---- what waiting cures -------------------------------------------------------------------------

test('faults of the server are waited out, and nobody is accused', async () => {
  for (const lie of [
    instead(isType('published'), (o) => error(o.id, 'internal', { retry_after_ms: 30 }), 3),
    instead(isType('published'), (o) => error(o.id, 'internal'), 1),
    instead(isType('history'), (o) => error(o.id, 'rate_limited', { retry_after_ms: 10 }), 2),
    instead(isType('history'), (o) => error(o.id, 'internal'), 1),
    instead(isType('connected'), (o) => error(o.id, 'unavailable', { retry_after_ms: 20 }), 3),
  ]) {
    const { code, stderr, account } = await verifyLiar(lie);
    assert.equal(code, 0, stderr);
    assert.equal(account.end, 'whole');
    assert.equal(account.acknowledged, 600);
    assert.equal(account.delivered, 1200);
    assert.equal(account.read_back, 600);
  }
});

test('what the server had stored when it failed is found', async () => {
  const { account } = await verifyLiar(
    instead(isType('published'), (o) => error(o.id, 'internal', { retry_after_ms: 30 }), 3));
  assert.equal(account.refused_for_a_time, 3);
  assert.equal(account.indeterminate.count, 3);
  assert.equal(account.indeterminate.stored, 3);
  assert.equal(account.resent, account.duplicates_answered);
});

test('a load that is idle because nothing is due is not stalled', async () => {
  const args = ['--rate', '3', '--messages', '5', '--batch', '5', '--channels', '1', '--producers',
    '1', '--subscribers', '1', '--patience', '1'];
  const { code, stderr, account } = await verifyLiar(() => (text) => [text], args);
  assert.equal(code, 0, stderr);
  assert.equal(account.acknowledged, 5);
});

// ---- what it does not ---------------------------------------------------------------------------

for (const [what, lie, why] of [
  ['to publish', instead(isType('published'), (o) => error(o.id, 'forbidden'), 1),
    /producer \d: refused \(forbidden\): so it is/],
  ['to subscribe', instead(isType('subscribed'),
    (o) => error(o.id, 'limit_exceeded', { channel: o.channel }), 1),
  /subscriber \d, channel \d: refused \(limit_exceeded\): so it is/],
  ['a history', instead(isType('history'), (o) => error(o.id, 'forbidden'), 1),
    /history: refused \(forbidden\): so it is/],
  ['to connect', instead(isType('connected'), (o) => error(o.id, 'forbidden'), 1),
    /the server refuses to connect us: so it is/],
]) {
  test(`a server that refuses ${what} ends the run, and breaks no promise`, async () => {
    const { code, stderr, account } = await verifyLiar(lie);
    assert.equal(code, 1, stderr);
    assert.equal(account.end, 'refused');
    assert.match(account.why, why);
    assert.equal(account.violations_total, 0);
    assert.match(stderr, /\ngave up: /);
  });
}

test('a server that answers something else than what was asked breaks the protocol', async () => {
  const { code, stderr, account } = await verifyLiar(
    instead(isType('history'), (o) => ({ ...o, type: 'digest', digest: '0'.repeat(16) }), 1),
    [...small, '--patience', '2']);
  assert.equal(code, 1, stderr);
  assert.equal(account.violations.protocol, 1);
  assert.match(account.examples[0].text, /a reply of another type/);
});

test('an answer that nobody waits for is passed over', async () => {
  const { code, stderr } = await verifyLiar(() => (text, o) => (
    o.type === 'history' || o.type === 'digest'
      ? [JSON.stringify({ type: 'pong', id: 999_999 }), text, JSON.stringify({ ...o, id: 1 })]
      : [text]));
  assert.equal(code, 0, stderr);
});

test('a run that ends at a violation says how to go on, or that it cannot', async () => {
  const twice = () => (text, o) => (o.type === 'message' && o.seq === 50 ? [text, text] : [text]);
  const args = ['--rate', '500', '--seconds', '9', '--channels', '1', '--restart-subscribers', '0'];
  const first = await verifyLiar(twice, args);
  assert.equal(first.code, 1, first.stderr);
  assert.equal(first.account.end, 'violation');
  assert.ok(first.account.sent < 4500, `${first.account.sent} sent`);
  assert.match(first.stderr, /ended at a violation \(--keep-going goes on behind most\)/);
  const broken = await verifyLiar(
    () => (text, o) => (o.type === 'message' && o.seq === 50 ? ['{'] : [text]),
    [...args, '--keep-going']);
  assert.equal(broken.code, 1, broken.stderr);
  assert.equal(broken.account.end, 'violation');
  assert.match(broken.stderr, /ended at a violation: it cannot go on behind this one/);
});

// ---- a server that says nothing more ------------------------------------------------------------

const short = (args) => [...args, '--patience', '1'];

test('what was never answered is told, and what of it was seen', async () => {
  const { code, stderr, account } = await verifyLiar(
    () => (text, o) => (o.type === 'published' && o.seq > 100 ? [] : [text]), short(small));
  assert.equal(code, 1, stderr);
  assert.equal(account.end, 'stalled');
  assert.equal(account.acknowledged, 300);
  const { never_answered: open, never_answered_seen: seen } = account.indeterminate;
  assert.ok(open > 0);
  assert.equal(seen, open); // the server had stored and pushed them all
  assert.equal(account.violations_total, 0);
});

test('a history that never comes stalls the run, and the progress tells where', async () => {
  let told = 0;
  const { code, stderr, account } = await verifyLiar(() => (text, o) => {
    if (o.type !== 'history') return [text];
    told += 1;
    return told === 1 ? [text] : [];
  }, short(small));
  assert.equal(code, 1, stderr);
  assert.equal(account.end, 'stalled');
  assert.equal(account.channels_read_back, 1);
  assert.match(stderr, /\nreading back: .* 200 read back/);
  assert.match(stderr, /gave up: the server is there, but nothing moved for 1 s/);
});

test('a subscription that is never answered loses nothing', async () => {
  const { code, stderr, account } = await verifyLiar(
    () => (text, o) => (o.type === 'subscribed' ? [] : [text]), short(small));
  assert.equal(code, 1, stderr);
  assert.equal(account.end, 'stalled');
  assert.equal(account.sent, 0);
  assert.equal(account.violations_total, 0);
});

test('a server that lets only subscribers in, though not at once, is away', async () => {
  const scripted = await startScripted((command, peer, state) => {
    // A producer of the load has its name; a subscriber has one that was drawn.
    if (command.type === 'connect' && /-p\d+$/.test(command.producer.id)) {
      peer.close(1001, 'no room for producers');
      return true;
    }
    if (command.type === 'subscribe') {
      peer.say(state.asked ? subscribed(command, 1)
        : refusal(command, 'unavailable', { retry_after_ms: 50 }));
      state.asked = true;
    }
    return false;
  });
  const run = await runCli(['verify', '--url', scripted.ws, ...short(small)]);
  await scripted.stop();
  assert.equal(run.code, 1, run.stderr);
  assert.equal(scripted.heard.filter((c) => c.type === 'subscribe').length, 2 * 6);
  assert.match(run.stderr, /away for more than 1 s \(.*code 1001, no room for producers/);
});

test('a signal before anything has begun ends it without a word of success', async () => {
  const child = spawn(binary, ['verify', '--url', `ws://127.0.0.1:${await freePort()}/v1/ws`,
    '--json', '-'], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (d) => (stdout += d));
  child.stderr.on('data', (d) => (stderr += d));
  while (!stderr.includes('connecting: ')) await once(child.stderr, 'data');
  child.kill('SIGINT');
  const [code] = await once(child, 'close');
  assert.equal(code, 1, stderr);
  const account = JSON.parse(stdout);
  assert.equal(account.end, 'stopped');
  assert.equal(account.sent, 0);
});

// ---- options ------------------------------------------------------------------------------------

test('a channel that got no message is read back as empty, and has no digest to compare',
  async () => {
    const { code, stderr, account } = await verifyLiar(() => (text) => [text],
      ['--messages', '3', '--channels', '8', '--producers', '1', '--subscribers', '1']);
    assert.equal(code, 0, stderr);
    assert.equal(account.channels_read_back, 8);
    assert.equal(account.read_back, 3);
    assert.equal(account.digests_compared, 3 * 2);
  });

test('the options that no other test takes have their effect', async () => {
  const run = await runCli(['verify', '--url', server.ws, '--json', '-', '--messages', '60',
    '--inflight', '2', '--seed', '7', '--no-audit', '--prefix', `A.z_9-${process.pid}`, '--size',
    '400000', '--batch', '2', '--rate', '2000', '--tolerate', 'epoch', '--tolerate', 'gap']);
  assert.equal(run.code, 0, run.stderr);
  const account = JSON.parse(run.stdout.toString());
  assert.equal(account.seed, 7);
  assert.equal(account.inflight, 2);
  assert.equal(account.prefix, `A.z_9-${process.pid}`);
  assert.equal(account.acknowledged, 60);
  assert.equal(account.delivered, 120);
  assert.equal(account.channels_read_back, 0);
  assert.deepEqual(account.tolerated.sort(), ['gap_announced', 'history_changed']);
});

test('a new epoch is tolerated where asked for, and counted all the same', async () => {
  const { code, stderr, account } = await verifyLiar(
    instead((o) => o.type === 'published' && o.seq === 50, (o) => ({ ...o, epoch: 'other' }), 1),
    [...small, '--tolerate', 'epoch', '--keep-going', '--no-audit']);
  assert.equal(code, 0, stderr);
  assert.ok(account.violations.history_changed > 0);
  assert.equal(account.violations_total, 0);
  assert.match(stderr, /history_changed \d+: .* \(tolerated\)/);
});
