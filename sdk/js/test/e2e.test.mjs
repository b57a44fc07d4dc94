// The client against the real server, through kills, cuts, delays and restarts: what a handler gets
// is complete, once, in order.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { Server, temporaryDir } from '../../../test/e2e/lib/server.mjs';
import { Client, SeriatimError } from '../dist/index.js';
import { FileOutbox, FilePositions } from '../dist/node/index.js';
import { assertComplete, Seen, until } from './lib/judge.mjs';
import { Proxy } from './lib/proxy.mjs';

const KILLS = Number(process.env.SDK_KILLS ?? 3);
// What runs the publisher that is killed: `make sdk-runtimes` tries others.
const RUNTIME = process.env.SDK_RUNTIME?.split(' ') ?? [process.execPath];
const here = path.dirname(fileURLToPath(import.meta.url));
const quick = { baseMs: 20, capMs: 300 };

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  await server?.kill();
});

let channels = 0;
const channelName = () => `sdk-${process.pid}-${channels += 1}`;

for (const codec of ['json', 'binary']) {
  test(`${codec}: publish, subscribe, iterate, history and digest say the same`, async () => {
    const channel = channelName();
    const client = new Client(server.http, { codec, producer: `p-${channel}` });
    const values = [{ a: 1 }, 'grüße 😀', null, 0.5, [1, [2]], new Uint8Array([0, 255, 7])];
    const seen = [];
    const subscription = client.subscribe(channel, { from: 'earliest' }, (m) => void seen.push(m));
    const published = await Promise.all(values.map((v, i) =>
      client.publish(channel, v, i % 2 ? { key: `k-${i}` } : {})));
    assert.deepEqual(published.map((p) => p.seq), [1, 2, 3, 4, 5, 6]);
    await until(() => seen.length === 6, 'sixth message');
    assert.deepEqual(seen.map((m) => m.data), values);
    assert.deepEqual(seen.map((m) => m.key), [0, 1, 2, 3, 4, 5].map((i) =>
      (i % 2 ? `k-${i}` : undefined)));
    assert.deepEqual(seen.map((m) => m.producerSeq), [1, 2, 3, 4, 5, 6]);
    assert.equal(seen[0].producer, `p-${channel}`);
    assert.equal(subscription.state, 'live');
    assert.deepEqual(subscription.position, { epoch: published[0].epoch, seq: 7 });
    const history = await client.history(channel, { limit: 4 });
    assert.deepEqual(history.messages.map((m) => [m.seq, m.id, m.data]),
      seen.slice(0, 4).map((m) => [m.seq, m.id, m.data]));
    assert.equal(history.more, true);
    const back = await client.history(channel, { reverse: true, limit: 2 });
    assert.deepEqual(back.messages.map((m) => m.seq), [6, 5]);
    assert.match((await client.digest(channel)).digest, /^[0-9a-f]{16}$/);
    subscription.close();
    await subscription.closed;
    const some = [];
    for await (const m of client.subscribe(channel, { from: seen[2].next })) {
      some.push(m.seq);
      if (some.length === 3) break;
    }
    assert.deepEqual(some, [4, 5, 6]);
    await client.close();
  });
}

test('what is refused is told with its code, and what stands behind it gets through', async () => {
  const channel = channelName();
  const small = await Server.start({ flags: ['--limits-message-bytes', '1KiB'] });
  const client = new Client(small.ws);
  const results = await Promise.allSettled([1, 'x'.repeat(2000), 3, 'y'.repeat(5000), 5].map((v) =>
    client.publish(channel, v)));
  assert.deepEqual(results.map((r) => r.value?.seq ?? r.reason.code),
    [1, 'too_large', 2, 'too_large', 3]);
  assert.equal((await client.publish(channel, 6)).seq, 4);
  await assert.rejects(client.publish('', 1), { code: 'bad_request' });
  await assert.rejects(client.publish(channel, undefined), { code: 'bad_request' });
  await assert.rejects(client.publish(channel, 1, { key: 'k'.repeat(256) }), { code: 'too_large' });
  await assert.rejects(client.publish(channel, 'x'.repeat(2000)), { code: 'too_large' });
  await assert.rejects(client.digest(channel, 99), (e) => e instanceof SeriatimError &&
    e.code === 'gap' && e.detail.latest === 4);
  await client.close();
  await assert.rejects(client.publish(channel, 1), { code: 'closed' });
  await small.kill();
});

test('an asynchronous handler is backpressure: no more is sent than the window', async () => {
  const channel = channelName();
  const client = new Client(server.ws, { codec: 'binary' });
  await Promise.all(Array.from({ length: 300 }, (_, n) => client.publish(channel, { n })));
  let running = 0;
  let most = 0;
  let count = 0;
  const subscription = client.subscribe(channel, { from: 'earliest', window: 10 }, async (m) => {
    running += 1;
    assert.equal(running, 1, 'one at a time');
    assert.equal(m.seq, count + 1);
    most = Math.max(most, subscription.stats.queued);
    if (count < 20) await sleep(5);
    else await null;
    count += 1;
    running -= 1;
  });
  await until(() => count === 300, '300 messages');
  assert.ok(most <= 10, `${most} were queued`);
  await client.close();
});

test('a handler that throws, and a client that is closed, get no message more', async () => {
  const channel = channelName();
  const client = new Client(server.ws);
  for (let n = 1; n <= 20; n += 1) client.publish(channel, n);
  await client.flush();
  const got = [];
  const throwing = client.subscribe(channel, { from: 'earliest' }, (m) => {
    got.push(m.seq);
    if (m.seq === 3) throw new Error('mine');
  });
  await assert.rejects(throwing.closed, { message: 'mine' });
  assert.deepEqual(got, [1, 2, 3]);
  assert.deepEqual(throwing.position.seq, 3, 'what was not handled comes again');
  const slow = [];
  const closing = client.subscribe(channel, { from: throwing.position }, async (m) => {
    slow.push(m.seq);
    await sleep(20);
  });
  await until(() => slow.length === 2, 'second message');
  await client.close();
  await closing.closed;
  await sleep(60);
  assert.deepEqual(slow, [3, 4]);
});

test('a gap is an error by default, and told in its place where that is wanted', async () => {
  const channel = channelName();
  const trimmed = await Server.start({ flags: ['--retention-messages', '5', '--segment-bytes',
    '4KiB', '--partitions', '1'] });
  const client = new Client(trimmed.ws);
  for (let n = 1; n <= 200; n += 1) client.publish(channel, { n, text: 'x'.repeat(200) });
  await client.flush();
  let earliest = 1;
  for (let i = 0; i < 200 && earliest === 1; i += 1) {
    ({ earliest } = await client.history(channel, { limit: 1 }));
    if (earliest === 1) await sleep(50);
  }
  assert.ok(earliest > 1, 'nothing was trimmed');
  const failing = client.subscribe(channel, { from: { seq: 1 } }, () => {});
  await assert.rejects(failing.closed, { code: 'gap' });
  assert.equal(failing.state, 'failed');
  const order = [];
  const going = client.subscribe(channel, { from: { seq: 1 },
    onGap: async (gap) => {
      await sleep(5);
      order.push(gap);
    } }, (m) => void order.push(m.seq));
  await until(() => order[order.length - 1] === 200, 'message 200');
  assert.equal(order[0].reason, 'trimmed');
  assert.equal(order[0].from, 1);
  assert.equal(order[0].to, order[1] - 1);
  assert.deepEqual(order.slice(1), Array.from({ length: 200 - order[0].to },
    (_, i) => order[1] + i));
  going.close();
  await client.close();
  await trimmed.kill();
});

test(`${KILLS} kills of the server, cuts and delays: complete, once, in order`, async (t) => {
  const channel = channelName();
  const own = await Server.start();
  const proxies = [await Proxy.start(own.port, { delay: 0.1, delayMs: 20 }),
    await Proxy.start(own.port, { delay: 0.1, delayMs: 20 })];
  const urls = proxies.map((p) => p.url);
  const seen = ['json', 'binary', 'two connections'].map((name) => new Seen(name));
  const readers = [{ codec: 'json' }, { codec: 'binary' }, { codec: 'binary', redundancy: 2 }]
    .map((o) => new Client(urls, { ...o, backoff: quick }));
  readers.forEach((client, i) => {
    const subscription = client.subscribe(channel, { from: 'earliest', window: 64 }, (m) => {
      seen[i].take(m);
      return i === 0 && m.seq % 50 === 0 ? sleep(1) : undefined;
    });
    subscription.closed.catch((error) => assert.fail(`${seen[i].name}: ${error.message}`));
  });
  const sent = new Map([['json', 0], ['binary', 0]]);
  const writers = [...sent.keys()].map((codec) => new Client(urls, { codec, backoff: quick,
    inflight: { messages: 100 }, outbox: new FileOutbox(path.join(temporaryDir(), 'outbox')) }));
  let stop = false;
  const loads = writers.map(async (client, i) => {
    const w = [...sent.keys()][i];
    while (!stop) {
      const n = sent.get(w) + 1;
      sent.set(w, n);
      const { seq } = await (n % 20 ? Promise.race([client.publish(channel, { w, n }),
        sleep(1).then(() => ({}))]) : client.publish(channel, { w, n }));
      assert.notEqual(seq, 0);
    }
    await client.flush();
  });
  for (let kill = 0; kill < KILLS; kill += 1) {
    await sleep(200 + Math.random() * 300);
    proxies[kill % 2].cut();
    await sleep(100 + Math.random() * 200);
    await own.kill();
    await sleep(Math.random() * 200);
    await own.restart();
  }
  await sleep(300);
  stop = true;
  await Promise.all(loads);
  const total = sent.get('json') + sent.get('binary');
  await until(() => seen.every((s) => s.messages.length >= total), `all ${total} messages`, 30_000);
  await sleep(50);
  for (const s of seen) assertComplete(s, sent);
  for (const s of seen.slice(1)) assert.deepEqual(s.messages.map((m) => m.id),
    seen[0].messages.map((m) => m.id));
  t.diagnostic(`${total} messages, ${writers.map((w) => w.resent).join(' and ')} sent again`);
  await Promise.all([...readers, ...writers].map((c) => c.close()));
  await Promise.all(proxies.map((p) => p.stop()));
  await own.kill();
});

for (const codec of ['json', 'binary']) {
  test(`${codec}: a publisher killed in mid-publish and started again loses and repeats nothing`,
    async (t) => {
      const channel = channelName();
      const outbox = path.join(temporaryDir(), 'outbox');
      const stored = new Map();
      const run = (count) => {
        const args = [...RUNTIME, path.join(here, 'lib', 'restarted.mjs'), server.ws, channel,
          outbox, String(count), codec];
        const child = spawn(args[0], args.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
        let text = '';
        child.stdout.on('data', (d) => {
          text += d;
          for (const line of text.split('\n').slice(0, -1)) {
            const [w, n] = line.split(' ');
            stored.set(w, Number(n));
          }
        });
        return child;
      };
      for (let kill = 0; kill < KILLS; kill += 1) {
        const child = run(1_000_000);
        await once(child.stdout, 'data');
        await sleep(Math.random() * 150);
        child.kill('SIGKILL');
        await once(child, 'close');
      }
      const [code] = await once(run(50), 'close');
      assert.equal(code, 0);
      const client = new Client(server.ws, { codec });
      const { latest } = await client.history(channel, { limit: 1 });
      const seen = new Seen(codec);
      client.subscribe(channel, { from: 'earliest' }, (m) => seen.take(m));
      await until(() => seen.messages.length === latest, 'everything');
      const arrived = new Map();
      for (const { data: { w, n } } of seen.messages) {
        assert.equal(n, (arrived.get(w) ?? 0) + 1, `number ${n} of ${w}`);
        arrived.set(w, n);
      }
      for (const [w, n] of stored) {
        assert.ok(arrived.get(w) >= n, `${w}: ${n} were in the outbox, ${arrived.get(w)} came`);
      }
      t.diagnostic(`${latest} messages of ${arrived.size} runs`);
      await client.close();
    });
}

test('a subscriber that keeps its position goes on there after a restart', async () => {
  const channel = channelName();
  const position = new FilePositions(temporaryDir());
  const writer = new Client(server.ws);
  const got = [];
  for (let run = 0; run < 3; run += 1) {
    for (let n = 0; n < 10; n += 1) await writer.publish(channel, run * 10 + n);
    const reader = new Client(server.ws);
    reader.subscribe(channel, { from: 'earliest', position }, (m) => void got.push(m.data));
    await until(() => got.length === run * 10 + 10, 'ten more');
    await reader.close();
  }
  assert.deepEqual(got, Array.from({ length: 30 }, (_, i) => i));
  await writer.close();
});

test('with two connections the loss of one costs no time', async () => {
  const channel = channelName();
  const proxies = [await Proxy.start(server.port), await Proxy.start(server.port)];
  // A connection that is lost does not come back soon.
  const reader = new Client(proxies.map((p) => p.url), { redundancy: 2,
    backoff: { baseMs: 60_000, capMs: 60_000 } });
  const writer = new Client(server.ws);
  const seen = new Seen('two connections');
  const late = [];
  reader.subscribe(channel, { from: 'earliest' }, (m) => {
    seen.take(m);
    late.push(Date.now() - m.data.at);
  });
  let up = 0;
  reader.on('connection', ({ state }) => (up += state === 'ready' ? 1 : 0));
  await until(() => up === 2, 'second connection');
  for (let n = 0; n < 100; n += 1) {
    if (n === 50) proxies[0].cut();
    await writer.publish(channel, { at: Date.now() });
    if (n % 10 === 0) await sleep(5);
  }
  await until(() => seen.messages.length === 100, '100 messages');
  assert.ok(Math.max(...late) < 500, `the slowest took ${Math.max(...late)} ms`);
  await Promise.all([reader.close(), writer.close()]);
  await Promise.all(proxies.map((p) => p.stop()));
});

test('a server that goes away tells when to come back, and the client does', async () => {
  const channel = channelName();
  const own = await Server.start({ flags: ['--reconnect-spread', '300ms'] });
  const client = new Client(own.ws, { backoff: quick });
  const seen = new Seen('drained');
  client.subscribe(channel, { from: 'earliest' }, (m) => seen.take(m));
  await client.publish(channel, 1);
  await own.stop();
  await own.restart();
  assert.equal((await client.publish(channel, 2)).seq, 2);
  await until(() => seen.messages.length === 2, 'second message');
  await client.close();
  await own.kill();
});
