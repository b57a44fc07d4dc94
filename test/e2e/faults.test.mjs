// A disk that fails, fills up or hangs under the running server: what is refused, what goes on, and
// what is there afterwards. The faults come from test/lib/fault_preload.c and a small tmpfs.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from './lib/client.mjs';
import { EIO, EMFILE, ENOSPC, faultyServer, isReady, status, until } from './lib/faults.mjs';
import { Server, temporaryDir } from './lib/server.mjs';

const CHANNELS = Array.from({ length: 24 }, (_, i) => `channel-${i}`);

const publish = (c, channel, data, more = {}) =>
  c.request({ type: 'publish', channel, data, ...more });

function assertUnavailable(reply) {
  assert.equal(reply.code, 'unavailable', reply.raw);
  assert.ok(reply.retry_after_ms > 0, reply.raw);
}

/** The data of a whole history, whose seqs must be dense from 1. */
async function dataOf(c, channel) {
  const { messages, latest } = await c.history(channel, { limit: 1000 });
  assert.deepEqual(messages.map((m) => m.seq), messages.map((_, i) => i + 1));
  assert.equal(latest, messages.length);
  return messages.map((m) => m.data);
}

// ---- a partition that stops -------------------------------------------------------------------

/** Publishes to all channels while p000 fails; checks what is refused and what goes on, then that
 *  it stays so without the fault, and what a restart finds. */
async function stopsForGood(rule) {
  const [server, faults] = await faultyServer({ flags: ['--partitions', '4'] });
  const c = await Client.connect(server.ws);
  const live = await Client.connect(server.ws);
  for (const channel of CHANNELS) {
    for (let n = 1; n <= 3; n += 1) await c.publish(channel, n);
    await live.subscribe(channel);
  }
  faults.set(rule);
  const replies = await Promise.all(CHANNELS.map((channel) => publish(c, channel, 4)));
  assert.ok(faults.hits().length > 0, 'the fault has not happened');
  const dead = CHANNELS.filter((_, i) => replies[i].type === 'error');
  const good = CHANNELS.filter((_, i) => replies[i].type === 'published');
  assert.ok(dead.length > 0 && good.length > 0, `${dead.length} dead, ${good.length} good`);
  replies.filter((r) => r.type === 'error').forEach(assertUnavailable);

  faults.off();
  await sleep(2500); // time enough to come back, wrongly
  assertUnavailable(await publish(c, dead[0], 5));
  const body = JSON.stringify({ channel: dead[0], data: 5 });
  const posted = await fetch(`${server.http}/v1/publish`, { method: 'POST', body,
    headers: { 'content-type': 'application/json' } });
  assert.equal(posted.status, 503);
  assert.equal((await posted.json()).code, 'unavailable');
  const ready = await status(server, '/readyz');
  assert.equal(ready.status, 503);
  assert.equal(JSON.parse(ready.body).reason, 'log');
  assert.equal((await status(server, '/healthz')).status, 200);
  for (const channel of dead) {
    assert.deepEqual(await dataOf(c, channel), [1, 2, 3]);
    await c.take(await c.subscribe(channel, 'earliest'), 3);
    assert.equal(live.subscriptions.get(channel).messages.length, 0);
  }
  for (const channel of good) {
    await c.publish(channel, 5);
    await live.take(live.subscriptions.get(channel), 2);
  }
  await Promise.all([c.close(), live.close()]);
  const stopped = await server.stop();
  assert.equal(stopped.code, 0, server.stderr);

  await server.restart();
  const d = await Client.connect(server.ws);
  for (const channel of dead) assert.deepEqual(await dataOf(d, channel), [1, 2, 3]);
  for (const channel of good) assert.deepEqual(await dataOf(d, channel), [1, 2, 3, 4, 5]);
  assert.equal((await d.publish(dead[0], 4)).seq, 4);
  await d.close();
  await server.kill();
}

test('a failed fdatasync: unavailable until a restart, nothing of it ever seen, the rest goes on',
  () => stopsForGood({ call: 'sync', text: 'p000/', times: 1, error: EIO }));

test('a failed write: unavailable until a restart, nothing of it ever seen, the rest goes on',
  () => stopsForGood({ call: 'write', text: 'p000/', times: 1, error: EIO }));

test('a failed fdatasync at a roll loses nothing acknowledged', async () => {
  const [server, faults] = await faultyServer({
    flags: ['--partitions', '1', '--segment-bytes', '16KiB'] });
  const c = await Client.connect(server.ws);
  for (let n = 1; n <= 10; n += 1) await c.publish('a', n);
  faults.set({ call: 'sync', text: '2.seg', error: EIO });
  let acked = 10;
  for (;;) {
    const reply = await publish(c, 'a', acked + 1, { key: 'k'.repeat(200) });
    if (reply.type === 'error') {
      assertUnavailable(reply);
      break;
    }
    acked += 1;
  }
  assert.ok(faults.hits().length > 0);
  faults.off();
  await c.close();
  await server.kill();
  await server.restart();
  const d = await Client.connect(server.ws);
  assert.equal((await dataOf(d, 'a')).length, acked);
  assert.equal((await d.publish('a', acked + 1)).seq, acked + 1);
  await d.close();
  await server.kill();
});

test('what a restart shows is on disk: a record that no sync has covered is synced first',
  async () => {
    const [server, faults] = await faultyServer({ flags: ['--partitions', '1'] });
    const c = await Client.connect(server.ws);
    await c.publish('a', 1);
    faults.set({ call: 'sync', text: '.seg', delayMs: 5000 });
    publish(c, 'a', 'unsynced').catch(() => {}); // the connection ends with the server
    await faults.hit('.seg');
    await server.kill();
    faults.set({ call: 'sync', text: '.seg' }); // only watches
    await server.restart();
    const synced = faults.hits().length;
    const d = await Client.connect(server.ws);
    const { messages } = await d.history('a');
    assert.equal(messages.length, 2, 'the operating system has kept what was written');
    assert.ok(synced > 0, 'shown, and not on disk');
    await d.close();
    await server.kill();
  });

// ---- a full disk ------------------------------------------------------------------------------

/** Producers publish through a full disk and come back with the same numbers. */
async function survivesFull(server, fill, free, payload) {
  const c = await Client.connect(server.ws, { producer: { id: 'p', epoch: 1 } });
  const live = await Client.connect(server.ws);
  const sub = await live.subscribe('a');
  let n = 0;
  const next = () => publish(c, 'a', [n + 1, payload], { producer_seq: n + 1 });
  for (; n < 5; n += 1) assert.equal((await next()).type, 'published');
  const refused = async () => {
    const reply = await next();
    if (reply.type === 'published') n += 1;
    else assertUnavailable(reply);
    return reply.type === 'error';
  };
  for (let round = 0; round < 2; round += 1) {
    await fill();
    await until(refused, 'a refusal');
    const ready = await status(server, '/readyz');
    assert.equal(ready.status, 503);
    assert.equal(JSON.parse(ready.body).reason, 'log');
    assert.equal((await status(server, '/healthz')).status, 200);
    assert.equal((await c.history('a', { limit: 1000 })).latest, n);
    const reader = await Client.connect(server.ws);
    await reader.take(await reader.subscribe('a', 'earliest'), n);
    await reader.close();
    assertUnavailable(await next());
    await free();
    await until(() => isReady(server), 'room to be noticed');
    const resent = await publish(c, 'a', 'resent', { producer_seq: n });
    assert.equal(resent.duplicate, true, resent.raw);
    assert.equal(resent.seq, n);
    for (const end = n + 5; n < end; n += 1) {
      const reply = await next();
      assert.equal(reply.seq, n + 1, reply.raw);
    }
  }
  const seen = await live.take(sub, n);
  assert.deepEqual(seen.map((m) => m.data[0]), Array.from({ length: n }, (_, i) => i + 1));
  await Promise.all([c.close(), live.close()]);
  return n;
}

async function keepsAfterKill(server, count) {
  await server.kill();
  await server.restart();
  const c = await Client.connect(server.ws, { producer: { id: 'p', epoch: 1 } });
  const data = (await dataOf(c, 'a')).map((d) => d[0]);
  assert.deepEqual(data, Array.from({ length: count }, (_, i) => i + 1));
  const reply = await publish(c, 'a', 'again', { producer_seq: count });
  assert.deepEqual([reply.duplicate, reply.seq], [true, count]);
  assert.equal((await c.publish('a', 'on', { producer_seq: count + 1 })).seq, count + 1);
  await c.close();
  await server.kill();
}

for (const [name, call] of [['write', 'write'], ['roll', 'create']]) {
  test(`no room at a ${name}: unavailable, and back by itself when there is room`, async () => {
    const [server, faults] = await faultyServer({
      flags: ['--partitions', '1', '--segment-bytes', name === 'roll' ? '4KiB' : '1MiB'] });
    const count = await survivesFull(server, () => faults.set(
      { call, text: 'p000/', error: ENOSPC }, { call: 'room', error: ENOSPC }),
    () => {
      assert.ok(faults.hits().some((h) => h.startsWith(call)), 'the fault has not happened');
      faults.off();
    }, 'x'.repeat(300));
    await keepsAfterKill(server, count);
  });
}

// As many connections as there are descriptors must not cost more than their time.
test('no descriptor for the next segment: unavailable, and back by itself', async () => {
  const [server, faults] = await faultyServer({
    flags: ['--partitions', '1', '--segment-bytes', '4KiB'] });
  const count = await survivesFull(server,
    () => faults.set({ call: 'create', text: 'p000/', error: EMFILE }),
    () => {
      assert.ok(faults.hits().some((h) => h.includes('.seg')), 'the fault has not happened');
      faults.off();
    }, 'x'.repeat(300));
  await keepsAfterKill(server, count);
});

/** A mount namespace of its own with a small tmpfs; null where we may not have one. */
async function smallDisk(size) {
  const dir = temporaryDir();
  const may = process.getuid() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
  if (!may) return null;
  const script = `mount -t tmpfs -o size=${size} none ${dir} && echo ok && exec sleep 300`;
  const holder = spawn('unshare', ['-m', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 2] });
  process.on('exit', () => holder.kill('SIGKILL'));
  await new Promise((resolve, reject) => {
    holder.stdout.once('data', resolve);
    holder.once('close', () => reject(new Error('no tmpfs')));
  });
  holder.unref();
  holder.stdout.unref();
  return { dir, holder, inside: `/proc/${holder.pid}/root${dir}`,
    under: ['nsenter', '-t', `${holder.pid}`, '-m'] };
}

test('a file system that is really full: back by itself when there is room', async (t) => {
  const disk = await smallDisk('8m');
  if (disk === null) {
    t.skip('needs the right to mount');
    return;
  }
  const server = await Server.start({ data: `${disk.dir}/data`, under: disk.under,
    flags: ['--partitions', '1', '--segment-bytes', '64KiB'] });
  const filler = `${disk.inside}/filler`;
  const fill = () => {
    const fd = fs.openSync(filler, 'w');
    const block = Buffer.alloc(4096, 1);
    try {
      for (;;) fs.writeSync(fd, block);
    } catch (error) {
      assert.equal(error.code, 'ENOSPC');
    }
    fs.closeSync(fd);
  };
  const count = await survivesFull(server, fill, () => fs.rmSync(filler), 'x'.repeat(3000));
  await keepsAfterKill(server, count);
  disk.holder.kill('SIGKILL');
});

// ---- durability -------------------------------------------------------------------------------

test('durability os: kill -9 loses nothing acknowledged', async () => {
  const server = await Server.start({
    flags: ['--durability', 'os', '--segment-bytes', '64KiB', '--partitions', '2'] });
  const c = await Client.connect(server.ws);
  assert.equal(c.connected.durability, 'os');
  const acked = [];
  const flood = (async () => {
    for (let n = 1; ; n += 1) {
      await Promise.all(CHANNELS.slice(0, 8).map(async (channel) =>
        acked.push({ ...(await c.publish(channel, n)), n })));
    }
  })().catch(() => {});
  await sleep(500);
  await server.kill();
  await flood;
  await server.restart();
  const d = await Client.connect(server.ws);
  assert.ok(acked.length > 100);
  for (const channel of CHANNELS.slice(0, 8)) {
    const mine = acked.filter((a) => a.channel === channel);
    const sub = await d.subscribe(channel, { epoch: mine[0].epoch, seq: 1 });
    const seen = await d.take(sub, mine.length);
    assert.deepEqual(seen.map((m) => [m.seq, m.data]), mine.map((a) => [a.seq, a.n]));
  }
  await d.close();
  await server.kill();
});

test('durability memory: a restart begins a new epoch and says so to who resumes', async () => {
  const server = await Server.start({ flags: ['--durability', 'memory'] });
  const c = await Client.connect(server.ws);
  const { epoch } = await c.publish('a', 1);
  await c.publish('a', 2);
  await server.kill();
  await server.restart();
  const d = await Client.connect(server.ws);
  const from = { epoch, seq: 3 };
  const gap = await d.expectError('gap', { type: 'subscribe', channel: 'a', from });
  assert.equal(gap.reason, 'epoch');
  assert.notEqual(gap.epoch, epoch);
  const sub = await d.subscribe('a', from, { on_gap: 'reset' });
  assert.equal(sub.reply.reset.reason, 'epoch');
  assert.equal((await d.publish('a', 'new')).seq, 1);
  assert.equal((await d.take(sub, 1))[0].data, 'new');
  await d.close();
  await server.kill();
});

// ---- SIGTERM ----------------------------------------------------------------------------------

test('SIGTERM under load: each publish is answered or the connection ends; what is acked is kept',
  async () => {
    const server = await Server.start({ flags: ['--partitions', '4', '--threads', '2'] });
    const clients = await Promise.all(Array.from({ length: 8 }, () => Client.connect(server.ws)));
    const acked = [];
    let open = 0;
    const floods = clients.map(async (c, p) => {
      for (let n = 1; c.ws.readyState === 1; n += 1) {
        const channel = CHANNELS[(n + p) % 8];
        open += 1;
        c.request({ type: 'publish', channel, data: [p, n] }).then((r) => {
          if (r.type === 'published') acked.push({ channel, seq: r.seq, p, n });
          else assert.equal(r.code, 'unavailable', r.raw);
        }, () => {}).finally(() => (open -= 1));
        if (n % 32 === 0) await sleep(1);
      }
    });
    await sleep(400);
    const result = await server.stop();
    assert.deepEqual([result.code, result.signal], [0, null], server.stderr);
    assert.ok(result.ms < 12_000, `${result.ms} ms`);
    await Promise.all(floods);
    await until(() => open === 0, 'an answer or an end for each publish', 2000);
    clients.forEach((c) => c.check());
    await server.restart();
    const d = await Client.connect(server.ws);
    assert.ok(acked.length > 100);
    for (const channel of CHANNELS.slice(0, 8)) {
      const mine = acked.filter((a) => a.channel === channel);
      const count = Math.max(...mine.map((a) => a.seq));
      const seen = await d.take(await d.subscribe(channel, 'earliest'), count);
      for (const a of mine) assert.deepEqual(seen[a.seq - 1].data, [a.p, a.n]);
    }
    await d.close();
    await server.kill();
  });

async function hanging(flags) {
  const [server, faults] = await faultyServer({ flags: ['--partitions', '1', ...flags] });
  const c = await Client.connect(server.ws);
  await c.publish('a', 1);
  faults.set({ call: 'sync', text: '.seg', delayMs: 15_000 });
  const answer = publish(c, 'a', 2).then((r) => r.type, () => 'closed');
  await faults.hit('.seg');
  return { server, faults, answer };
}

test('SIGTERM while a commit hangs ends within the drain timeout and a little', async () => {
  const { server, faults, answer } = await hanging(['--drain-timeout', '1s']);
  const result = await server.stop();
  assert.ok(result.ms < 4000, `${result.ms} ms`);
  assert.equal(result.signal, null);
  assert.equal(await answer, 'closed');
  faults.off();
  await server.restart();
  const c = await Client.connect(server.ws);
  assert.equal((await c.history('a')).messages[0].data, 1);
  await c.close();
  await server.kill();
});

test('a second SIGTERM ends a drain at once', async () => {
  const { server, faults } = await hanging(['--drain-timeout', '10s']);
  const began = Date.now();
  const stopping = server.stop();
  await sleep(500);
  server.child.kill('SIGTERM');
  await stopping;
  const ms = Date.now() - began;
  assert.ok(ms < 3500, `${ms} ms`);
  faults.off();
  await server.restart();
  await server.kill();
});

// ---- a subscriber that stands still -------------------------------------------------------------

test('a stalled subscriber among 50: bounded memory, order for all, and it catches up',
  async () => {
    const server = await Server.start({ flags: ['--partitions', '1', '--write-timeout', '60s'] });
    const COUNT = 16_000;
    const BATCH = 50;
    const filler = 'x'.repeat(700);
    const publisher = await Client.connect(server.ws);
    await publisher.publish('a', [0, filler]);
    const stalled = await Client.connect(server.ws);
    const late = await stalled.subscribe('a', 'earliest');
    await stalled.take(late, 1);
    stalled.ws._socket.pause();
    const seen = new Array(50).fill(0); // the client checks the order of every message
    const active = await Promise.all(seen.map(async (_, k) => {
      const c = await Client.connect(server.ws);
      await c.expect('subscribed', { type: 'subscribe', channel: 'a',
        onMessage: () => (seen[k] += 1) });
      return c;
    }));
    const before = server.rssBytes();
    for (let n = 0; n < COUNT; n += BATCH) {
      const batch = Array.from({ length: BATCH }, (_, i) => ({ data: [n + i + 1, filler] }));
      await publisher.expect('published', { type: 'publish', channel: 'a', batch });
    }
    await until(() => seen.every((s) => s === COUNT), 'the active subscribers', 40_000);
    const grown = server.rssBytes() - before;
    assert.ok(grown < 48 * 2 ** 20, `the server grew by ${grown} bytes`);
    stalled.ws._socket.resume();
    const messages = await stalled.take(late, COUNT, 40_000);
    assert.ok(messages.every((m, i) => m.data[0] === i + 1));
    await publisher.publish('a', 'live');
    assert.equal((await stalled.take(late, 1))[0].data, 'live');
    for (const c of [...active, stalled, publisher]) await c.close();
    await server.kill();
  });

test('nobody is let in before channels in doubt have their new epochs, however full the disk is',
  async () => {
    const [server, faults] = await faultyServer({
      flags: ['--durability', 'os', '--partitions', '1'] });
    let c = await Client.connect(server.ws);
    const before = await c.publish('a', 1);
    await server.kill();
    // As if the machine had gone down: another boot than the one that the mark names.
    fs.writeFileSync(`${server.data}/RUNNING`, 'os another-boot\n');
    // Recovery begins a segment; the first command is what finds no space.
    faults.set({ call: 'write', text: '.seg', skip: 1, error: ENOSPC },
      { call: 'room', error: ENOSPC });
    const back = server.restart();
    await faults.hit('write');
    const early = Client.connect(server.ws)
      .then(async (e) => [e, await e.subscribe('a', 'earliest')]);
    await sleep(1500);
    faults.off();
    await back;
    const [e, sub] = await early;
    assert.notEqual(sub.epoch, before.epoch, 'told of an epoch that is about to end');
    c = await Client.connect(server.ws);
    const after = await c.publish('a', 2);
    assert.equal(after.epoch, sub.epoch);
    assert.deepEqual((await e.take(sub, 2)).map((m) => m.data), [1, 2]);
    await e.close();
    await c.close();
    await server.stop();
  });

test('without fsync, a failed sync begins new epochs at the next start, also on the same boot',
  async () => {
    const [server, faults] = await faultyServer({
      flags: ['--durability', 'os', '--partitions', '1', '--segment-bytes', '16KiB'] });
    const c = await Client.connect(server.ws);
    const { epoch } = await c.publish('a', 1);
    faults.set({ call: 'sync', text: '.seg', error: EIO });
    let seq = 1; // the newest that was acknowledged
    for (let n = 2; n < 2000; n += 1) {
      const reply = await publish(c, 'a', [n, 'x'.repeat(200)]);
      if (reply.type === 'error') {
        assertUnavailable(reply);
        break;
      }
      seq = reply.seq;
    }
    assert.ok(faults.hits().length > 0 && seq > 10, `${seq} messages`);
    await server.kill();
    faults.off();
    await server.restart();
    const back = await Client.connect(server.ws);
    // Whatever the kernel has kept of it: no number means two messages in one epoch.
    const after = await back.publish('a', 'after');
    assert.notEqual(after.epoch, epoch);
    const resumed = await back.subscribe('a', { epoch, seq: Math.min(seq, after.seq - 1) });
    assert.equal(resumed.epoch, after.epoch);
    await back.close();
    await server.stop();
    await server.restart();
    const again = await Client.connect(server.ws);
    assert.equal((await again.publish('a', 'again')).epoch, after.epoch); // told once
    await again.close();
    await server.stop();
  });
