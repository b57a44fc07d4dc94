// [P 3] history, both ways; agreement of every way to read a channel.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { channelName, checkShape, Client, MESSAGE_SHAPE } from './lib/client.mjs';
import { Server } from './lib/server.mjs';

let server;
let c;
const channel = channelName();
const COUNT = 250;
before(async () => {
  server = await Server.start();
  c = await Client.connect(server.ws, { producer: { id: 'p', epoch: 1 } });
  await Promise.all(Array.from({ length: COUNT }, (_, i) =>
    c.publish(channel, { n: i + 1 }, i % 3 === 0 ? { key: `k${i}` } : {})));
});
after(async () => {
  await c?.close();
  await server?.stop();
});

const seqs = (reply) => reply.messages.map((m) => m.seq);
const range = (from, to) => (from <= to
  ? Array.from({ length: to - from + 1 }, (_, i) => from + i)
  : Array.from({ length: from - to + 1 }, (_, i) => from - i));

test('each message of a reply has what a push has', async () => {
  const reply = await c.history(channel, { from: 1, limit: 10 });
  for (const m of reply.messages) {
    assert.deepEqual(checkShape(m, MESSAGE_SHAPE), []);
    assert.deepEqual(m.data, { n: m.seq });
  }
  assert.deepEqual([reply.earliest, reply.latest], [1, COUNT]);
});

test('forwards from any seq, with a limit and more', async () => {
  for (const [from, limit, to, more] of [[1, 10, 10, true], [241, 10, 250, false],
    [240, 10, 249, true], [250, 1, 250, false], [1, 1000, 250, false], [1, 250, 250, false],
    [1, 249, 249, true]]) {
    const reply = await c.history(channel, { from, limit });
    assert.deepEqual(seqs(reply), range(from, to));
    assert.equal(reply.more === true, more, `from ${from}, limit ${limit}`);
  }
});

test('without from it begins at the earliest, without limit it is bounded', async () => {
  const reply = await c.history(channel);
  assert.equal(reply.messages[0].seq, 1);
  assert.ok(reply.messages.length <= 1000);
  assert.equal(reply.more === true, reply.messages.length < COUNT);
});

test('from beyond the end is empty, not an error', async () => {
  for (const from of [COUNT + 1, COUNT + 1000, Number.MAX_SAFE_INTEGER]) {
    const reply = await c.history(channel, { from });
    assert.deepEqual(reply.messages, []);
    assert.notEqual(reply.more, true);
    assert.equal(reply.latest, COUNT);
  }
});

test('backwards from the latest or from any seq', async () => {
  for (const [from, limit, first, last, more] of [[undefined, 10, 250, 241, true],
    [100, 5, 100, 96, true], [3, 10, 3, 1, false], [3, 3, 3, 1, false], [1, 1, 1, 1, false],
    [COUNT, 1000, 250, 1, false]]) {
    const reply = await c.history(channel, { from, limit, reverse: true });
    assert.deepEqual(seqs(reply), range(first, last));
    assert.equal(reply.more === true, more, `from ${from}, limit ${limit}`);
  }
});

test('backwards from beyond the end starts at the latest', async () => {
  const reply = await c.history(channel, { from: COUNT + 50, limit: 2, reverse: true });
  assert.deepEqual(seqs(reply), [COUNT, COUNT - 1]);
});

test('a limit over 1000 gives no more than 1000', async () => {
  const big = channelName();
  for (let i = 0; i < 2; i += 1) {
    await c.expect('published', { type: 'publish', channel: big,
      batch: Array.from({ length: 600 }, (_, n) => ({ data: n })) });
  }
  const reply = await c.request({ type: 'history', channel: big, limit: 5000 });
  if (reply.type === 'error') {
    assert.equal(reply.code, 'bad_request');
  } else {
    assert.equal(reply.messages.length, 1000);
    assert.equal(reply.more, true);
  }
  const most = await c.history(big, { limit: 1000 });
  assert.deepEqual(seqs(most), range(1, 1000));
  assert.equal(most.more, true);
});

test('a reply is at most 1 MiB, and always at least one message', async () => {
  const big = channelName();
  const sizes = [400_000, 400_000, 400_000, 1_048_570, 10];
  for (const size of sizes) await c.publish(big, 'x'.repeat(size));
  for (const reverse of [false, true]) {
    const read = [];
    let from = reverse ? sizes.length : 1;
    for (;;) {
      const reply = await c.history(big, { from, limit: 1000, reverse });
      assert.ok(reply.messages.length >= 1);
      const bytes = reply.messages.reduce((sum, m) => sum + m.data.length, 0);
      assert.ok(reply.messages.length === 1 || bytes <= 1_048_576, `${bytes} bytes`);
      read.push(...reply.messages);
      if (reply.more !== true) break;
      from = read.at(-1).seq + (reverse ? -1 : 1);
    }
    const lengths = read.map((m) => m.data.length);
    assert.deepEqual(lengths, reverse ? [...sizes].reverse() : sizes);
  }
});

test('a channel that nobody has published to has an empty history', async () => {
  const reply = await c.history(channelName());
  assert.equal(reply.latest, 0);
  assert.deepEqual(reply.messages, []);
});

test('push, history both ways and HTTP agree in every member', async () => {
  const sub = await c.subscribe(channel, 'earliest');
  const pushed = (await c.take(sub, COUNT)).map(({ type, channel: _, ...m }) => m);
  const forwards = (await c.history(channel, { limit: 1000 })).messages;
  const backwards = (await c.history(channel, { limit: 1000, reverse: true })).messages.reverse();
  const url = `${server.http}/v1/channels/${encodeURIComponent(channel)}/messages?limit=1000`;
  const http = (await (await fetch(url)).json()).messages;
  const strip = (list) => list.map(({ type, channel: _, ...m }) => m);
  assert.deepEqual(strip(forwards), pushed);
  assert.deepEqual(strip(backwards), pushed);
  assert.deepEqual(strip(http), pushed);
  const ids = pushed.map((m) => BigInt(m.message_id));
  assert.ok(ids.every((id, i) => i === 0 || id > ids[i - 1]), 'ids rise with seq');
  assert.ok(pushed.every((m, i) => i === 0 || m.time >= pushed[i - 1].time), 'times do not fall');
});
