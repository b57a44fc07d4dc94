// Many at once: concurrent publishers, agreeing subscribers, slow ones that lose nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from './lib/client.mjs';
import { Server } from './lib/server.mjs';

test('concurrent publishers, several subscribers: dense, agreed, each publisher in order',
  async () => {
    const server = await Server.start({ flags: ['--threads', '2'] });
    const PUBLISHERS = 8;
    const EACH = 250;
    const channels = ['a', 'b', 'c'];
    const subscribers = await Promise.all(
      Array.from({ length: 4 }, () => Client.connect(server.ws)));
    const subs = await Promise.all(subscribers.map((s) =>
      Promise.all(channels.map((ch) => s.subscribe(ch, 'earliest')))));
    const publishers = await Promise.all(Array.from({ length: PUBLISHERS }, (_, p) =>
      Client.connect(server.ws, { producer: { id: `p${p}`, epoch: 1 } })));
    const acked = new Map(); // "channel p n" -> seq
    await Promise.all(publishers.map((c, p) => Promise.all(channels.flatMap((ch) =>
      Array.from({ length: EACH }, async (_, i) => {
        const reply = await c.publish(ch, [p, i + 1], { producer_seq: i + 1 });
        acked.set(`${ch} ${p} ${i + 1}`, reply.seq);
      })))));
    const seen = await Promise.all(subscribers.map((s, k) =>
      Promise.all(subs[k].map((sub) => s.take(sub, PUBLISHERS * EACH)))));
    for (let k = 0; k < channels.length; k += 1) {
      const reference = seen[0][k].map((m) => m.raw);
      for (const other of seen) assert.deepEqual(other[k].map((m) => m.raw), reference);
      const last = new Array(PUBLISHERS).fill(0);
      for (const m of seen[0][k]) {
        const [p, n] = m.data;
        assert.equal(n, last[p] + 1, `publisher ${p} out of order`);
        last[p] = n;
        assert.equal(acked.get(`${channels[k]} ${p} ${n}`), m.seq);
      }
    }
    await Promise.all([...subscribers, ...publishers].map((c) => c.close()));
    await server.kill();
  });

test('a subscriber that stops reading costs no memory and loses nothing', async () => {
  const server = await Server.start({ flags: ['--feed-bytes', '64KiB'] });
  const COUNT = 20_000;
  const size = 2000;
  const slow = await Client.connect(server.ws);
  const fast = await Client.connect(server.ws);
  const publisher = await Client.connect(server.ws);
  const slowSub = await slow.subscribe('a');
  const fastSub = await fast.subscribe('a');
  await publisher.publish('a', 0);
  await slow.take(slowSub, 1);
  slow.ws.pause();
  const rssBefore = server.rssBytes();
  const filler = 'x'.repeat(size);
  for (let n = 1; n <= COUNT;) {
    const batch = [];
    for (; batch.length < 200 && n <= COUNT; n += 1) batch.push({ data: [n, filler] });
    await publisher.expect('published', { type: 'publish', channel: 'a', batch });
  }
  // The fast one is not held up by the slow one.
  await fast.take(fastSub, COUNT + 1, 30_000);
  const grown = server.rssBytes() - rssBefore;
  assert.ok(grown < (COUNT * size) / 2, `the server grew by ${grown} bytes`);
  slow.ws.resume();
  const messages = await slow.take(slowSub, COUNT, 60_000);
  assert.ok(messages.every((m, i) => m.data[0] === i + 1));
  // It has caught up and gets live messages again.
  await publisher.publish('a', 'live');
  assert.equal((await slow.take(slowSub, 1))[0].data, 'live');
  await Promise.all([slow, fast, publisher].map((c) => c.close()));
  await server.kill();
});

test('catching up while others publish joins the live tail without a seam', async () => {
  const server = await Server.start({ flags: ['--feed-bytes', '16KiB'] });
  const publisher = await Client.connect(server.ws);
  let n = 0;
  let going = true;
  const publishing = (async () => {
    while (going) {
      const batch = Array.from({ length: 20 }, () => ({ data: (n += 1) }));
      await publisher.expect('published', { type: 'publish', channel: 'a', batch });
    }
  })();
  await sleep(300);
  const clients = [];
  for (let i = 0; i < 20; i += 1) {
    const c = await Client.connect(server.ws);
    clients.push([c, await c.subscribe('a', i % 2 ? 'earliest' : { seq: 1 + 10 * i })]);
    await sleep(20);
  }
  await sleep(300);
  going = false;
  await publishing;
  for (const [c, sub] of clients) {
    const messages = await c.take(sub, n - sub.reply.next + 1, 30_000);
    assert.ok(messages.every((m) => m.data === m.seq));
    await c.close();
  }
  await publisher.close();
  await server.kill();
});

test('subscribers that come and go at random seqs see the same stream', async () => {
  const server = await Server.start();
  const publisher = await Client.connect(server.ws);
  const COUNT = 500;
  await Promise.all(Array.from({ length: COUNT }, (_, i) => publisher.publish('a', i + 1)));
  const c = await Client.connect(server.ws);
  for (let round = 0; round < 100; round += 1) {
    const seq = 1 + ((round * 7919) % COUNT);
    const sub = await c.subscribe('a', { seq });
    const want = Math.min(COUNT - seq + 1, 1 + (round % 50));
    const messages = await c.take(sub, want);
    assert.ok(messages.every((m, i) => m.seq === seq + i && m.data === m.seq));
    await c.expect('unsubscribed', { type: 'unsubscribe', channel: 'a' });
  }
  await Promise.all([c.close(), publisher.close()]);
  await server.kill();
});
