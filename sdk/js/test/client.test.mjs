// The client's shell, with a WebSocket of the test's own: tokens, backpressure, what is pending,
// and outboxes that fail.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, MemoryOutbox } from '../dist/index.js';
import { until } from './lib/judge.mjs';

/** A server that answers `connect` and keeps all else until answer() is called. */
function wire({ connect = () => ({ type: 'connected' }) } = {}) {
  const sockets = [];
  class Socket {
    binaryType = 'blob';
    sent = [];

    constructor(url, protocol) {
      Object.assign(this, { url, protocol });
      sockets.push(this);
      setTimeout(() => this.onopen?.({}), 1);
    }

    send(text) {
      const command = JSON.parse(text);
      if (command.type === 'connect') {
        this.hello = command;
        setTimeout(() => this.push({ ...connect(command), id: command.id }), 1);
      } else {
        this.sent.push(command);
      }
    }

    push(reply) {
      this.onmessage?.({ data: JSON.stringify(reply) });
    }

    /** Answers so many publishes. */
    answer(count = this.sent.length) {
      for (const { id, channel, producer_seq: seq } of this.sent.splice(0, count)) {
        this.push({ type: 'published', id, channel, seq, epoch: 'e' });
      }
    }

    close() {
      this.isClosed = true;
    }
  }
  return { Socket, sockets };
}

const quick = { baseMs: 1, capMs: 5 };

test('a token is asked for before each attempt, and anew where one was refused', async () => {
  const asked = [];
  const { Socket, sockets } = wire({ connect: ({ token }) => (token === 'good'
    ? { type: 'connected' } : { type: 'error', code: 'unauthorized', message: 'no' }) });
  const client = new Client('wss://example.org', { WebSocket: Socket, backoff: quick,
    token: async (refresh) => {
      asked.push(refresh);
      return refresh ? 'good' : 'old';
    } });
  await until(() => client.state === 'open', 'connection');
  assert.deepEqual(asked, [false, true]);
  assert.equal(sockets[1].url, 'wss://example.org/v1/ws');
  assert.equal(sockets[1].protocol, 'seriatim.v1.json');
  assert.ok(sockets[0].isClosed);
  await client.close();
});

test('a fixed token that is refused ends the client with its reason', async () => {
  const connect = () => ({ type: 'error', code: 'unauthorized', message: 'no' });
  const { Socket } = wire({ connect });
  const client = new Client('ws://a', { WebSocket: Socket, token: 'bad' });
  const waits = client.publish('a', 1);
  const subscription = client.subscribe('a', () => {});
  await assert.rejects(waits, { code: 'unauthorized' });
  await assert.rejects(subscription.closed, { code: 'unauthorized' });
  assert.equal(client.state, 'failed');
  assert.equal(client.error.code, 'unauthorized');
  await assert.rejects(client.history('a'), { code: 'unauthorized' });
});

test('a full outbox lets publish wait, in order, and what is pending can be listed', async () => {
  const { Socket, sockets } = wire();
  const client = new Client('ws://a', { WebSocket: Socket, outboxLimits: { messages: 4 } });
  const done = [];
  const all = [1, 2, 3, 4, 5, 6].map((n) => client.publish('a', n, { key: `k${n}` })
    .then(({ seq }) => done.push(seq)));
  await until(() => sockets[0]?.sent.length === 4, 'fourth publish');
  await sleep(5);
  assert.deepEqual(sockets[0].sent.map((c) => c.data), [1, 2, 3, 4], 'more than the outbox holds');
  const pending = client.pending();
  assert.deepEqual(pending.map((p) => [p.channel, p.number, p.key, p.state, p.attempts]),
    [1, 2, 3, 4].map((n) => ['a', n, `k${n}`, 'sent', 1]));
  assert.ok(pending[0].resendInMs > 500 && pending[0].ageMs < 5000);
  sockets[0].answer(2);
  await until(() => sockets[0].sent.length === 4, 'room for two more');
  sockets[0].answer();
  await Promise.all(all);
  await client.flush();
  assert.deepEqual(done, [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(client.pending(), []);
  await client.close();
});

test('or fail at once, if that is wanted; and nobody waits without a bound', async () => {
  const { Socket, sockets } = wire();
  const client = new Client('ws://a', { WebSocket: Socket, whenFull: 'error',
    outboxLimits: { bytes: 200 } });
  await until(() => client.state === 'open', 'connection');
  const first = client.publish('a', 'x'.repeat(300));
  await assert.rejects(client.publish('a', 1), { code: 'outbox_full' });
  sockets[0].answer();
  await first;
  const second = client.publish('a', 2);
  sockets[0].answer();
  assert.equal((await second).seq, 2, 'a refused message takes no number');
  await client.close();
  const patient = new Client('ws://a', { WebSocket: Socket, outboxLimits: { messages: 2 } });
  const results = Promise.allSettled(Array.from({ length: 10_002 }, (_, n) =>
    patient.publish('a', n)));
  await until(() => patient.state === 'open', 'connection');
  await patient.close();
  const codes = (await results).map((r) => r.reason.code);
  assert.deepEqual(codes.slice(9998), ['closed', 'closed', 'outbox_full', 'outbox_full']);
});

test('nothing is sent before the outbox has it, and allStored() tells when that is', async () => {
  const { Socket, sockets } = wire();
  const stores = [];
  const outbox = Object.assign(new MemoryOutbox(), {
    append: (entries) => new Promise((resolve) => stores.push({ entries, resolve })) });
  Object.setPrototypeOf(outbox, { ...Object.fromEntries(['open', 'remove', 'rewrite', 'close']
    .map((name) => [name, MemoryOutbox.prototype[name]])) });
  outbox.open = () => Promise.resolve({ producer: { id: 'p', epoch: 3 }, next: new Map([['a', 7]]),
    entries: [] });
  const client = new Client('ws://a', { WebSocket: Socket, outbox });
  await until(() => client.state === 'open', 'connection');
  assert.deepEqual(sockets[0].hello.producer, { id: 'p', epoch: 3 });
  for (const n of [1, 2, 3]) client.publish('a', n);
  let stored = false;
  const all = client.allStored().then(() => (stored = true));
  await sleep(5);
  assert.deepEqual([sockets[0].sent, stores.length], [[], 1]);
  stores[0].resolve();
  await until(() => sockets[0].sent.length === 1 && stores.length === 2, 'the next group');
  assert.equal(stored, false);
  stores[1].resolve();
  await all;
  await until(() => sockets[0].sent.length === 3, 'all three');
  assert.deepEqual(sockets[0].sent.map((c) => c.producer_seq), [7, 8, 9]);
  await client.close();
});

test('an outbox that fails ends publishing by name, and subscriptions go on', async () => {
  const { Socket, sockets } = wire();
  const outbox = { open: () => Promise.resolve({ producer: { id: 'p', epoch: 1 }, next: new Map(),
    entries: [] }), append: () => Promise.reject(new Error('disk full')), close() {} };
  const client = new Client('ws://a', { WebSocket: Socket, outbox });
  const told = [];
  client.on('publisher', ({ error }) => told.push(error.code));
  await assert.rejects(client.publish('a', 1),
    { code: 'storage', message: 'the outbox: disk full' });
  await assert.rejects(client.publish('a', 2), { code: 'storage' });
  await assert.rejects(client.flush(), { code: 'storage' });
  assert.deepEqual(told, ['storage']);
  client.subscribe('a', () => {});
  await until(() => sockets[0].sent.some((c) => c.type === 'subscribe'), 'subscribe');
  assert.deepEqual(sockets[0].sent.map((c) => c.type), ['subscribe']);
  await client.close();
});

test('a listener that throws harms nobody but itself', async () => {
  const { Socket } = wire();
  const client = new Client('ws://a', { WebSocket: Socket });
  const caught = new Promise((resolve) =>
    process.setUncaughtExceptionCaptureCallback(resolve));
  const states = [];
  const end = client.on('state', ({ state }) => {
    states.push(state);
    throw new Error('mine');
  });
  assert.equal((await caught).message, 'mine');
  process.setUncaughtExceptionCaptureCallback(null);
  end();
  await until(() => client.state === 'open', 'connection');
  await client.close();
  assert.deepEqual(states, ['open']);
});

test('what was taken offline and is too large for the server is not sent', async () => {
  const { Socket, sockets } = wire({ connect: () => ({ type: 'connected',
    limits: { message_bytes: 20 } }) });
  const client = new Client('ws://a', { WebSocket: Socket });
  const all = Promise.allSettled([1, 'x'.repeat(30), 3, new Uint8Array(21), 5].map((data) =>
    client.publish('a', data)));
  const sent = [];
  await until(() => {
    if (sockets.length > 0) sent.push(...sockets[0].sent.map((c) => c.producer_seq));
    sockets[0]?.answer();
    return sent.length >= 3;
  }, 'three publishes');
  assert.deepEqual((await all).map((r) => r.value?.seq ?? r.reason.code),
    [1, 'too_large', 2, 'too_large', 3]);
  assert.deepEqual(sent, [1, 2, 3], 'those behind it take its number');
  await client.close();
});

test('a full outbox fails those too that were published before it was open', async () => {
  const { Socket } = wire();
  const client = new Client('ws://a', { WebSocket: Socket, whenFull: 'error',
    outboxLimits: { messages: 2 } });
  const all = [1, 2, 3, 4].map((n) => client.publish('a', n));
  await assert.rejects(all[2], { code: 'outbox_full' });
  await assert.rejects(all[3], { code: 'outbox_full' });
  assert.equal(client.pending().length, 2);
  await client.close();
});

test('a clock that is set back delays nothing', async (t) => {
  const { Socket, sockets } = wire();
  const client = new Client('ws://a', { WebSocket: Socket });
  const published = client.publish('a', 1);
  await until(() => sockets[0]?.sent.length === 1, 'publish');
  const { now } = Date;
  t.after(() => { Date.now = now; });
  Date.now = () => now() - 3_600_000;
  await until(() => sockets[0].sent.filter((c) => c.type === 'publish').length === 2,
    'the second attempt, after 1 s');
  sockets[0].answer();
  await published;
  await client.close();
});

test('what is no JSON value is refused by name; any view of bytes goes as its bytes', async () => {
  const { Socket, sockets } = wire();
  const client = new Client('ws://a', { WebSocket: Socket });
  const cycle = {};
  cycle.cycle = cycle;
  const throws = { toJSON: () => { throw new Error('mine'); } };
  for (const data of [1n, cycle, throws, undefined, () => 1]) {
    await assert.rejects(client.publish('a', data), { code: 'bad_request' });
  }
  const { buffer } = new Uint8Array([0, 1, 2, 3, 4, 5]);
  const views = [new Uint8Array(buffer, 1, 2), new DataView(buffer, 2, 3),
    new Uint16Array(buffer, 2, 1), buffer, Buffer.from('é')];
  const all = views.map((data) => client.publish('a', data));
  new Uint8Array(buffer).fill(9); // what it shows later is of no matter
  await until(() => sockets[0]?.sent.length === views.length, 'publishes');
  assert.deepEqual(sockets[0].sent.map((c) => [...Buffer.from(c.data_base64 ?? '', 'base64')]),
    [[1, 2], [2, 3, 4], [2, 3], [0, 1, 2, 3, 4, 5], [0xc3, 0xa9]]);
  sockets[0].answer();
  await Promise.all(all);
  await client.close();
});

test('what is no number or no position never reaches the wire, in either codec', async () => {
  for (const codec of ['json', 'binary']) {
    const { Socket, sockets } = wire();
    const client = new Client('ws://a', { WebSocket: Socket, codec });
    const refused = { code: 'bad_request' };
    for (const n of [-1, 1.5, NaN, 2 ** 53, '1', null]) {
      await assert.rejects(client.digest('a', n), refused, `digest ${n}`);
      await assert.rejects(client.history('a', { from: n }), refused, `history ${n}`);
      await assert.rejects(client.history('a', { limit: n }), refused, `limit ${n}`);
      assert.throws(() => client.subscribe('a', { from: { seq: n ?? 0 } }), refused, `seq ${n}`);
      assert.throws(() => client.subscribe('a', { window: n }), refused, `window ${n}`);
    }
    for (const from of ['newest', {}, { epoch: 'e' }, { epoch: 7, seq: 1 }, { time: -1 }, 5]) {
      assert.throws(() => client.subscribe('a', { from }), refused, JSON.stringify(from));
    }
    const good = client.subscribe('a', { from: { time: 0 } });
    assert.equal(good.state, 'opening', 'the channel is free');
    await client.close();
    assert.deepEqual(sockets.flatMap((s) => s.sent), []);
  }
});

/** A subscription to which `count` messages have come. */
async function subscribed(options, handler, count = 5) {
  const { Socket, sockets } = wire();
  const client = new Client('ws://a', { WebSocket: Socket });
  const subscription = client.subscribe('a', options, handler);
  await until(() => sockets[0]?.sent.length === 1, 'subscribe');
  const message = (seq) => sockets[0].push({ type: 'message', channel: 'a', seq, data: seq });
  sockets[0].push({ type: 'subscribed', id: sockets[0].sent[0].id, channel: 'a', epoch: 'e',
    next: 1, earliest: 1, latest: count });
  for (let seq = 1; seq <= count; seq += 1) message(seq);
  return { client, subscription, message };
}

test('next() that is called while another waits has its own message', async () => {
  const { client, subscription, message } = await subscribed({}, undefined, 1);
  const messages = subscription[Symbol.asyncIterator]();
  const all = [messages.next(), messages.next(), messages.next(), messages.next()];
  message(2);
  message(3);
  assert.deepEqual(await Promise.all(all.slice(0, 3)).then((r) => r.map((m) => m.value.seq)),
    [1, 2, 3]);
  assert.equal(subscription.position.seq, 4, 'the fourth is asked for, so the third is handled');
  subscription.close();
  assert.deepEqual(await all[3], { done: true, value: undefined });
  await client.close();
});

test('close() waits until the position is saved, and null is no position', async () => {
  const saved = [];
  const position = { load: () => null, save: async (_, { seq }) => {
    await sleep(20);
    saved.push(seq);
  } };
  const handled = [];
  const { client } = await subscribed({ position }, (m) => void handled.push(m.seq));
  assert.deepEqual(handled, [1, 2, 3, 4, 5]);
  await client.close();
  assert.equal(saved.at(-1), 6);
  const again = await subscribed({ position }, () => {});
  again.subscription.close();
  await again.subscription.closed;
  assert.deepEqual(saved.slice(-1), [6]);
  await again.client.close();
});
