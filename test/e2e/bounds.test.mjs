// What clients that are slow, hasty or many cost the server and one another: bounded memory (I11),
// progress for those who behave (I12).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from './lib/client.mjs';
import { ENOSPC, faultyServer, isReady, until } from './lib/faults.mjs';
import { frame, upgradeHead } from './lib/raw.mjs';
import { binary, Server } from './lib/server.mjs';

const MIB = 1024 * 1024;
const sanitized = /asan|tsan/.test(binary.split('/').at(-2) ?? '');

/** A bare socket that has upgraded and sent `connect`. */
async function rawClient(server) {
  const socket = net.connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(upgradeHead(server.port));
  await once(socket, 'data');
  socket.write(frame(1, '{"type":"connect","id":1}'));
  await once(socket, 'data');
  return socket;
}

test('a subscriber that reads slowly all the time is not taken for a dead one', async () => {
  const server = await Server.start({
    flags: ['--ping-interval', '500ms', '--pong-timeout', '2s'] });
  const publisher = await Client.connect(server.ws);
  const data = 'x'.repeat(200 * 1024); // so little that the server goes on listening
  for (let i = 0; i < 250; i += 1) await publisher.publish('c', data);

  const socket = await rawClient(server);
  const began = Date.now();
  let bytes = 0;
  let seen = Buffer.alloc(0);
  let closed = null;
  socket.on('data', (piece) => {
    bytes += piece.length;
    seen = Buffer.concat([seen, piece]).subarray(-200);
    socket.pause();
    setTimeout(() => socket.resume(), 10); // about 6 MiB/s at most
  });
  socket.on('end', () => (closed = Date.now() - began));
  socket.on('error', () => (closed ??= Date.now() - began));
  socket.write(frame(1, '{"type":"subscribe","id":2,"channel":"c","from":"earliest"}'));
  while (closed === null && bytes < 48 * MIB && Date.now() - began < 60_000) await sleep(20);
  assert.equal(closed, null, `closed after ${closed} ms: ${seen.toString('latin1')}`);
  assert.ok(bytes >= 48 * MIB, `${bytes} bytes`);
  assert.ok(Date.now() - began > 4000, 'too fast to show anything');
  socket.destroy();
  await publisher.close();
  await server.stop();
});

test('channels subscribed to and left before the answer leave nothing behind', { skip: sanitized },
  async () => {
    const server = await Server.start();
    const socket = await rawClient(server);
    let pong = () => {};
    socket.on('data', (bytes) => bytes.includes('"pong"') && pong());
    const answered = () => new Promise((resolve) => {
      pong = resolve;
      socket.write(frame(1, '{"type":"ping"}'));
    });
    // In one piece, so that the subscriptions wait at their owners for what is published first.
    const round = async (n) => {
      const all = [];
      for (let p = 0; p < 8; p += 1) all.push({ type: 'publish', channel: `p${p}`, data: 1 });
      for (let i = 0; i < 250; i += 1) {
        const channel = `${n}-${i}-`.padEnd(250, 'n');
        all.push({ type: 'subscribe', channel }, { type: 'unsubscribe', channel });
      }
      socket.write(Buffer.concat(all.map((command) => frame(1, JSON.stringify(command)))));
      await answered();
    };
    for (let n = 0; n < 20; n += 1) await round(n);
    const before = server.rssBytes();
    for (let n = 20; n < 420; n += 1) await round(n);
    const grown = server.rssBytes() - before;
    assert.ok(grown < 15 * MIB, `100,000 subscriptions that ended keep ${grown >> 20} MiB`);
    socket.destroy();
    await server.stop();
  });

test('reads behind publishes that were lost are answered when the log is back', async () => {
  const [server, faults] = await faultyServer({
    flags: ['--partitions', '1', '--threads', '1', '--segment-bytes', '4KiB'] });
  const publisher = await Client.connect(server.ws);
  for (let n = 0; n < 100; n += 1) await publisher.publish('c', 'x'.repeat(200));
  const readers = await Promise.all(Array.from({ length: 5 }, () => Client.connect(server.ws)));
  // A commit fails while others wait behind it, more than are read at a time, and slowly.
  faults.set({ call: 'write', text: '.seg', times: 1, error: ENOSPC, delayMs: 300 },
    { call: 'read', text: '.seg', delayMs: 100 });
  const lost = publisher.request({ type: 'publish', channel: 'c', data: 1 });
  await faults.hit('write');
  const answers = readers.flatMap((c) => [
    c.request({ type: 'publish', channel: 'c', data: 2 }),
    ...Array.from({ length: 8 }, () =>
      c.request({ type: 'history', channel: 'c', from: 1, limit: 1 })),
  ]);
  assert.equal((await lost).code, 'unavailable');
  for (const reply of await Promise.all(answers)) {
    assert.ok(reply.type === 'history' || reply.code === 'unavailable', reply.raw);
  }
  assert.ok(faults.hits().filter((h) => h.startsWith('read')).length >= 32, 'no slow reads');
  await until(() => isReady(server), 'the log');
  for (const c of [publisher, ...readers]) await c.close();
  await server.stop();
});

test('small messages that grow large for who follows cost no more memory than the bound',
  { skip: sanitized }, async () => {
    const [server, faults] = await faultyServer({ flags: ['--partitions', '1', '--threads', '1'] });
    const peak = () => {
      const status = fs.readFileSync(`/proc/${server.pid}/status`, 'utf8');
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)[1]) * 1024;
    };
    const channel = '"'.repeat(255); // 510 bytes in each frame
    const [publishers, each] = [40, 4];
    const follower = await Client.connect(server.ws);
    let next = 1;
    const wrong = [];
    follower.ws.removeAllListeners('message');
    follower.ws.on('message', (text) => {
      const { type, seq } = JSON.parse(text);
      if (type !== 'message') return;
      if (seq !== next) wrong.push([next, seq]);
      next = seq + 1;
    });
    follower.ws.send(JSON.stringify({ type: 'subscribe', channel }));
    const clients = await Promise.all(Array.from({ length: publishers }, (_, i) =>
      Client.connect(server.ws, { producer: { id: `${i}`.padEnd(255, '"'), epoch: 1 } })));
    const before = peak();
    // While the first commit lasts all the rest becomes one batch.
    faults.set({ call: 'sync', text: '.seg', times: 1, delayMs: 1500 });
    const batch = Array.from({ length: 1000 }, () => ({ data: 1 }));
    const replies = await Promise.all(clients.flatMap((c) =>
      Array.from({ length: each }, (_, k) =>
        c.request({ type: 'publish', channel, batch, producer_seq: 1 + k * 1000 }))));
    assert.ok(replies.every((r) => r.type === 'published'), replies[0].raw);
    await until(() => next > publishers * each * 1000, 'all messages', 60_000);
    assert.deepEqual(wrong.slice(0, 3), []);
    const grown = peak() - before;
    assert.ok(grown < 120 * MIB, `grew by ${grown >> 20} MiB`);
    for (const c of clients) await c.close();
    follower.ws.terminate();
    await server.stop();
  });

// What a reactor may have under way to a partition is 8 MiB: this is six times as much over a slow
// disk, so most of them wait for room, small ones behind large ones, and each gets its turn.
test('more under way than there is room for: everybody has his turn, in order', async () => {
  const [server, faults] = await faultyServer({ flags: ['--threads', '1', '--partitions', '1'] });
  const large = 'x'.repeat(900_000);
  const clients = await Promise.all(Array.from({ length: 6 }, (_, p) =>
    Client.connect(server.ws, { producer: { id: `p${p}`, epoch: 1 } })));
  faults.set({ call: 'sync', text: '.seg', delayMs: 400 }); // so that they pile up
  const replies = await Promise.all(clients.flatMap((c, p) =>
    Array.from({ length: p < 3 ? 18 : 40 }, (_, i) =>
      c.publish('a', p < 3 ? [p, i + 1, large] : [p, i + 1], { producer_seq: i + 1 }))
    .concat(fetch(`http://127.0.0.1:${server.port}/v1/publish`, { method: 'POST',
      body: JSON.stringify({ channel: 'a', data: ['http', p, large] }) }).then((r) => r.json()))));
  const count = 3 * 18 + 3 * 40 + 6;
  faults.off();
  assert.equal(new Set(replies.map((r) => r.seq)).size, count);
  const reader = await Client.connect(server.ws);
  const seen = await reader.take(await reader.subscribe('a', 'earliest'), count, 60_000);
  const last = new Array(6).fill(0);
  for (const { data: [p, n] } of seen.filter((m) => m.data[0] !== 'http')) {
    assert.equal(n, last[p] + 1, `publisher ${p} out of order`);
    last[p] = n;
  }
  await Promise.all([reader, ...clients].map((c) => c.close()));
  await server.kill();
});

// [P 2] A publish takes effect when it is committed; what comes behind it on the same connection
// waits for that, however long the disk takes.
test('a subscribe and a history see the publishes sent before them', async () => {
  const [server, faults] = await faultyServer();
  const c = await Client.connect(server.ws);
  await c.publish('a', 1);
  faults.set({ call: 'sync', text: '.seg', delayMs: 300 });
  const [, , subscribed, history] = await Promise.all([
    c.publish('a', 2),
    c.publish('a', 3),
    c.expect('subscribed', { type: 'subscribe', channel: 'a' }),
    c.history('a'),
  ]);
  assert.equal(subscribed.latest, 3);
  assert.equal(subscribed.next, 4);
  assert.deepEqual(history.messages.map((m) => m.data), [1, 2, 3]);
  faults.off();
  await c.close();
  await server.kill();
});

// The publishes before the subscribe and those behind it become one batch of the log, which is then
// told in two parts: to those who follow already, and to who has come in the middle of it.
test('a subscribe sees none of the publishes before it, and all those behind it', async () => {
  const [server, faults] = await faultyServer();
  const clients = [];
  for (let i = 0; i < 5; i += 1) clients.push(await Client.connect(server.ws));
  const [c, ...others] = clients; // on all the reactors
  const early = await Promise.all(others.map((o) => o.subscribe('a')));
  faults.set({ call: 'sync', text: '.seg', delayMs: 200 });
  const first = c.publish('a', 1); // alone in its batch; those below wait for it together
  const published = [c.publish('a', 2), c.publish('a', 3)];
  const subscribed = c.subscribe('a');
  published.push(c.publish('a', 4), c.publish('a', 5));
  const sub = await subscribed;
  await Promise.all([first, ...published]);
  assert.deepEqual([sub.reply.latest, sub.reply.next], [3, 4]);
  assert.deepEqual((await c.take(sub, 2)).map((m) => m.data), [4, 5]);
  for (const [i, o] of others.entries()) {
    assert.deepEqual((await o.take(early[i], 5)).map((m) => m.data), [1, 2, 3, 4, 5]);
  }
  faults.off();
  for (const one of clients) await one.close();
  await server.kill();
});

// A crowd whose bytes have all come already, and one from inside who speaks last: it must not wait
// for them all. The server is halted meanwhile, so that it finds them together; the numbers of the
// messages in a channel tell whom it served when.
test('a crowd at the door does not keep those inside waiting', async () => {
  const CROWD = 1000;
  const server = await Server.start({ flags: ['--threads', '1'] });
  const inside = await Client.connect(server.ws);
  const descriptors = () => fs.readdirSync(`/proc/${server.pid}/fd`).length;
  const before = descriptors();
  const crowd = [];
  for (let i = 0; i < CROWD; i += 1) {
    const socket = net.connect(server.port, '127.0.0.1');
    socket.resume();
    socket.on('error', () => {});
    crowd.push(socket);
    if (i % 100 === 99) await once(socket, 'connect');
  }
  await until(() => descriptors() === before + CROWD, 'the crowd to be accepted');

  process.kill(server.pid, 'SIGSTOP');
  const bytes = Buffer.concat([Buffer.from(upgradeHead(server.port)),
    frame(1, '{"type":"connect","id":1}'),
    frame(1, '{"type":"publish","id":2,"channel":"door","data":0}')]);
  await Promise.all(crowd.map((socket) =>
    new Promise((resolve) => socket.write(bytes, resolve))));
  const answer = inside.publish('door', 1);
  await sleep(200); // for the last bytes to be there
  process.kill(server.pid, 'SIGCONT');
  const { seq } = await answer;
  await until(async () => (await inside.history('door', { limit: 1 })).latest === CROWD + 1,
    'the crowd to be let in');
  assert.ok(seq < CROWD / 4, `${seq - 1} of ${CROWD} were served before`);

  for (const socket of crowd) socket.destroy();
  await inside.close();
  await server.stop();
});
