// [P 6] when_slow: what becomes of a subscriber that takes nothing for a while.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { channelName, Client } from './lib/client.mjs';
import { until } from './lib/faults.mjs';
import { Server } from './lib/server.mjs';

const LARGE = 'x'.repeat(50_000);
const COUNT = 500; // 25 MB: more than the sockets between the two take
const KEYS = 10;

/** Every fiftieth message has no key, the others have one of ten by turns. */
const keyOf = (n) => (n % 50 === 0 ? undefined : `k${n % KEYS}`);

const open = (server, binary) => Client.connect(server.ws, { binary });

/** The connection takes no more bytes, or takes them again. */
const socketOf = (c) => c.ws._socket ?? c.ws.ws._socket;

async function fill(publisher, channel, first, count, data = LARGE) {
  const all = [];
  for (let n = first; n < first + count; n += 1) {
    const key = keyOf(n);
    all.push(publisher.publish(channel, { n, data }, key === undefined ? {} : { key }));
    if (all.length % 20 === 0) await Promise.all(all.splice(0));
  }
  await Promise.all(all);
}

const gaps = (c) => c.pushes.filter((p) => p.type === 'gap');

/** Which seqs came, and which were told to be left out: together each once. */
function account(sub, told, latest) {
  const came = new Set(sub.messages.map((m) => m.seq));
  const left = new Set();
  for (const { from, to } of told) for (let n = from; n <= to; n += 1) left.add(n);
  for (let n = 1; n <= latest; n += 1) assert.ok(came.has(n) !== left.has(n), `message ${n}`);
  return { came, left };
}

/** A server, a subscriber that stalls while 25 MB pass, and one beside it that gets everything. */
async function stalled(binary, when_slow, run) {
  const server = await Server.start({ flags: ['--feed-bytes', '256KiB'] });
  const [publisher, other, slow] = [await Client.connect(server.ws), await open(server, binary),
    await open(server, binary)];
  const channel = channelName();
  const beside = await other.subscribe(channel);
  const sub = await slow.subscribe(channel, undefined, { when_slow });
  await fill(publisher, channel, 1, 5);
  await slow.take(sub, 5);
  socketOf(slow).pause();
  await fill(publisher, channel, 6, COUNT - 5);
  await other.take(beside, COUNT);
  assert.deepEqual(beside.messages.map((m) => m.data.n), Array.from({ length: COUNT },
    (_, i) => i + 1));
  socketOf(slow).resume();
  await until(() => sub.next === COUNT + 1, 'the slow one does not arrive');
  await run(slow, sub);
  await publisher.publish(channel, { n: COUNT + 1 });
  await until(() => sub.next === COUNT + 2, 'the slow one does not follow again');
  for (const c of [publisher, other, slow]) {
    c.check();
    await c.close();
  }
  await server.stop();
}

for (const binary of [false, true]) {
  const codec = binary ? 'binary' : 'json';

  test(`skip: a stalled subscriber goes on with the newest, and is told (${codec})`, () =>
    stalled(binary, 'skip', async (slow, sub) => {
      const told = gaps(slow);
      assert.ok(told.length >= 1, 'nothing was skipped');
      assert.ok(told.every((g) => g.reason === 'slow' && g.from > 5), JSON.stringify(told));
      const { left } = account(sub, told, COUNT);
      assert.ok(left.size > COUNT / 4, `${left.size} left out`);
      assert.equal(sub.messages.at(-1).seq, COUNT);
    }));

  test(`conflate: it gets the newest of each key, and is told of the others (${codec})`, () =>
    stalled(binary, 'conflate', async (slow, sub) => {
      const told = gaps(slow);
      assert.ok(told.length >= 1, 'nothing was conflated');
      assert.ok(told.every((g) => g.reason === 'conflated' && g.from > 5), JSON.stringify(told));
      const { came, left } = account(sub, told, COUNT);
      assert.ok(left.size > COUNT / 4, `${left.size} left out`);
      for (const n of left) {
        assert.notEqual(keyOf(n), undefined, `message ${n} has no key and is left out`);
      }
      for (let n = COUNT - KEYS; n <= COUNT; n += 1) assert.ok(came.has(n), `message ${n}`);
      assert.deepEqual(sub.messages.map((m) => m.key), sub.messages.map((m) => keyOf(m.data.n)));
    }));

  test(`catch_up: it gets everything, in order (${codec})`, () =>
    stalled(binary, 'catch_up', async (slow, sub) => {
      assert.deepEqual(gaps(slow), []);
      assert.equal(sub.messages.length, COUNT);
    }));
}

test('one that does not acknowledge is slow, too; a gap counts as acknowledged', async () => {
  const server = await Server.start({ flags: ['--feed-bytes', '4KiB'] });
  const c = await Client.connect(server.ws);
  const skip = await c.subscribe('s', undefined, { window: 10, when_slow: 'skip' });
  await fill(c, 's', 1, 300, 'small');
  await c.take(skip, 10);
  assert.deepEqual(gaps(c), []);
  c.sendText('{"type":"ack","channel":"s","seq":1}');
  const gap = await c.push((p) => p.type === 'gap');
  assert.deepEqual([gap.from, gap.to, gap.reason], [11, 299, 'slow']);
  await c.take(skip, 1);
  assert.equal(skip.messages.at(-1).seq, 300);
  await fill(c, 's', 301, 9, 'small'); // nine more fit into the window of ten
  await c.take(skip, 9);

  const conflate = await c.subscribe('c', undefined, { window: 3, when_slow: 'conflate' });
  await fill(c, 'c', 1, 1500, 'small'); // a span of 1000 takes more than one read of the log
  for (let acked = 0; conflate.next <= 1500;) {
    await until(() => conflate.next - 1 > acked, 'nothing more comes');
    acked = conflate.next - 1;
    c.sendText(`{"type":"ack","channel":"c","seq":${acked}}`);
    await c.request({ type: 'ping' });
  }
  const told = gaps(c).filter((g) => g.channel === 'c');
  const { left } = account(conflate, told, 1500);
  assert.ok(left.size > 0);
  for (const n of left) assert.notEqual(keyOf(n), undefined, `message ${n}`);
  c.check();
  await c.close();
  await server.stop();
});

test('what stood in the channel comes complete, also to one that skips', async () => {
  const server = await Server.start({ flags: ['--feed-bytes', '4KiB'] });
  const c = await Client.connect(server.ws);
  await fill(c, 's', 1, 300, 'small');
  for (const when_slow of ['skip', 'conflate']) {
    const d = await Client.connect(server.ws);
    const sub = await d.subscribe('s', 'earliest', { when_slow });
    await d.take(sub, 300);
    assert.deepEqual(gaps(d), []);
    d.check();
    await d.close();
  }
  await c.close();
  await server.stop();
});

// Retention beyond the cursor is no matter to one that skips; damage and trims still are to others.
test('one that skips is not ended by retention', async () => {
  const server = await Server.start({
    flags: ['--feed-bytes', '4KiB', '--retention-messages', '50', '--segment-bytes', '64KiB'] });
  const c = await Client.connect(server.ws);
  const skip = await c.subscribe('s', undefined, { window: 10, when_slow: 'skip' });
  const filler = 'y'.repeat(1000);
  // The window first, at ease: who is overtaken before it is full is slow from there on.
  for (let n = 1; n <= 10; n += 1) {
    await fill(c, 's', n, 1, filler);
    await c.take(skip, 1);
  }
  for (let n = 11, earliest = 1; earliest <= 11; n += 100) {
    await fill(c, 's', n, 100, filler);
    ({ earliest } = await c.history('s', { limit: 1 }));
  }
  c.sendText('{"type":"ack","channel":"s","seq":10}');
  const gap = await c.push((p) => p.type === 'gap');
  assert.deepEqual([gap.from, gap.reason], [11, 'slow']);
  await c.take(skip, 1);
  assert.equal(skip.messages.at(-1).seq, gap.to + 1);
  assert.equal(skip.ended, null);
  c.check();
  await c.close();
  await server.stop();
});
