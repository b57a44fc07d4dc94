// What retention takes away: the bounds move, files go, those who are overtaken are told; and a
// start that does not read what lies behind a checkpoint.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';

import { Client } from './lib/client.mjs';
import { ENOSPC, faultyServer, files, until } from './lib/faults.mjs';
import { Server } from './lib/server.mjs';

const SMALL = ['--partitions', '1', '--segment-bytes', '16KiB'];
const filler = 'x'.repeat(400);

/** Publishes the messages from … to of a channel, in batches, numbered by the producer. */
async function fill(c, channel, from, to) {
  for (let n = from; n <= to; n += 10) {
    const batch = Array.from({ length: Math.min(10, to - n + 1) },
      (_, i) => ({ data: [n + i, filler] }));
    const more = c.connected.numbered ? { producer_seq: n } : {};
    await c.expect('published', { type: 'publish', channel, batch, ...more });
  }
}

async function producer(server, id = 'p') {
  const c = await Client.connect(server.ws, { producer: { id, epoch: 1 } });
  c.connected.numbered = true;
  return c;
}

/** A file may go between the listing and the look at it. */
const folderBytes = (data) => fs.readdirSync(`${data}/p000`)
  .reduce((sum, name) =>
    sum + (fs.statSync(`${data}/p000/${name}`, { throwIfNoEntry: false })?.size ?? 0), 0);

const earliestOf = async (c, channel) => (await c.history(channel, { limit: 1 })).earliest;

/** The history from `earliest` to `latest` is whole, and what is below is a gap. */
async function holdsFrom(server, channel, latest) {
  const c = await Client.connect(server.ws);
  const { earliest, epoch } = await c.history(channel, { limit: 1 });
  const first = await c.history(channel, { from: 1, limit: 1 });
  assert.equal(first.messages[0].seq, earliest);
  const sub = await c.subscribe(channel, 'earliest');
  assert.equal(sub.reply.next, earliest);
  const seen = await c.take(sub, latest - earliest + 1);
  assert.ok(seen.every((m, i) => m.seq === earliest + i && m.data[0] === m.seq));
  if (earliest > 1) {
    const d = await Client.connect(server.ws);
    const from = { epoch, seq: earliest - 1 };
    const gap = await d.expectError('gap', { type: 'subscribe', channel, from });
    assert.deepEqual([gap.reason, gap.earliest, gap.latest, gap.epoch],
      ['trimmed', earliest, latest, epoch]);
    const reset = await d.subscribe(channel, from, { on_gap: 'reset' });
    assert.deepEqual([reset.reply.reset.reason, reset.reply.next], ['trimmed', earliest]);
    await d.close();
  }
  await c.close();
  return earliest;
}

/** Two followers that stand still at the beginning: one wants gaps told, one wants to be ended. */
async function stalledPair(server, channel) {
  const pair = [];
  for (const more of [{ on_gap: 'reset', window: 5 }, { window: 5 }]) {
    const c = await Client.connect(server.ws);
    const sub = await c.subscribe(channel, 'earliest', more);
    await c.take(sub, 5); // nothing is acknowledged: no more come
    pair.push({ c, sub });
  }
  return pair;
}

async function overtaken([told, ended], channel, earliest, latest) {
  for (const { c } of [told, ended]) c.sendText(JSON.stringify({ type: 'ack', channel, seq: 5 }));
  const gap = await told.c.push((p) => p.type === 'gap');
  assert.equal(gap.reason, 'trimmed');
  assert.ok(gap.from >= 6 && gap.to <= earliest - 1 && gap.to >= gap.from, JSON.stringify(gap));
  let acked = 5;
  while (told.sub.next <= latest) {
    const [m] = await told.c.take(told.sub, 1);
    acked = m.seq;
    told.c.sendText(JSON.stringify({ type: 'ack', channel, seq: acked }));
  }
  const end = await ended.c.push((p) => p.type === 'unsubscribed');
  assert.equal(end.reason, 'gap');
  assert.equal(end.channel, channel);
  await Promise.all([told.c.close(), ended.c.close()]);
}

for (const [what, flags, stays] of [
  ['messages', ['--retention-messages', '100'], (earliest, latest) => latest - earliest === 99],
  ['bytes', ['--retention-bytes', '128KiB'], (earliest, latest) => latest - earliest < 400],
  ['age', ['--retention-age', '1s'], (earliest) => earliest > 500],
]) {
  test(`retention by ${what}: bounds move, files go, the overtaken are told, a restart keeps it`,
    async () => {
      const server = await Server.start({ flags: [...SMALL, ...flags] });
      const c = await producer(server);
      await fill(c, 'a', 1, 20);
      const pair = await stalledPair(server, 'a');
      const firstSegment = files(server.data, '.seg')[0];
      await fill(c, 'a', 21, 1000);
      let n = 1000;
      // What is not full yet is kept, so more messages must push the old ones out.
      const moved = async () => {
        await fill(c, 'a', n + 1, n + 10);
        n += 10;
        return stays(await earliestOf(c, 'a'), n) && !fs.existsSync(firstSegment);
      };
      await until(moved, 'the bounds to move', 20_000);
      await until(() => folderBytes(server.data) < 600 * 1024, 'files to go', 20_000);
      // Nothing moves any more, so that what follows can be exact.
      const before = await earliestOf(c, 'a');
      if (what !== 'age') {
        await overtaken(pair, 'a', before, n);
        const earliest = await holdsFrom(server, 'a', n);
        await server.kill();
        await server.restart();
        assert.equal(await holdsFrom(server, 'a', n), earliest);
      } else {
        await Promise.all(pair.map(({ c: p }) => p.terminate()));
        await server.kill();
        await server.restart(SMALL); // retention off: what it has done stays
        assert.ok((await holdsFrom(server, 'a', n)) >= before);
      }
      const d = await producer(server);
      const again = await d.request({ type: 'publish', channel: 'a', data: 0, producer_seq: n });
      assert.deepEqual([again.duplicate, again.seq], [true, n], again.raw);
      const old = await d.request({ type: 'publish', channel: 'a', data: 0, producer_seq: 3 });
      assert.equal(old.duplicate, true, old.raw);
      const next = await d.request({ type: 'publish', channel: 'a', data: 0, producer_seq: n + 1 });
      assert.equal(next.seq, n + 1, next.raw);
      await d.close();
      await c.terminate();
      await server.kill();
    });
}

test('retention by messages counts per channel; a quiet channel loses nothing', async () => {
  const server = await Server.start({ flags: [...SMALL, '--retention-messages', '50'] });
  const c = await producer(server);
  await fill(c, 'quiet', 1, 30);
  await fill(c, 'busy', 1, 2000);
  assert.equal(await earliestOf(c, 'busy'), 1951);
  assert.equal(await earliestOf(c, 'quiet'), 1);
  assert.equal(await holdsFrom(server, 'quiet', 30), 1);
  assert.equal(await holdsFrom(server, 'busy', 2000), 1951);
  await c.close();
  await server.kill();
  await server.restart();
  assert.equal(await holdsFrom(server, 'quiet', 30), 1);
  assert.equal(await holdsFrom(server, 'busy', 2000), 1951);
  await server.kill();
});

test('retention by fewer messages: channels that nobody writes to are trimmed, too', async () => {
  const server = await Server.start({ flags: SMALL });
  const c = await producer(server);
  await fill(c, 'idle', 1, 400);
  await fill(c, 'small', 1, 20);
  const firstSegment = files(server.data, '.seg')[0];
  await fill(c, 'busy', 1, 200);
  await c.close();
  await server.stop();
  await server.restart([...SMALL, '--retention-messages', '50']);
  await until(() => !fs.existsSync(firstSegment), 'the first segment to go', 20_000);
  assert.equal(await holdsFrom(server, 'idle', 400), 351);
  assert.equal(await holdsFrom(server, 'small', 20), 1);
  await server.kill();
});

test('memory and disk stay flat while retention removes what comes in', async () => {
  const server = await Server.start({
    flags: [...SMALL, '--retention-messages', '200', '--retention-bytes', '256KiB'] });
  const c = await producer(server);
  let n = 0;
  const load = async (count) => {
    await fill(c, 'a', n + 1, n + count);
    n += count;
  };
  await load(6000);
  const rss = server.rssBytes();
  for (let round = 0; round < 4; round += 1) {
    await load(6000);
    await until(() => folderBytes(server.data) < 1024 * 1024, 'old files to go', 20_000);
  }
  const grown = server.rssBytes() - rss;
  assert.ok(grown < 16 * 2 ** 20, `the server grew by ${grown} bytes`);
  assert.ok(files(server.data, '.seg').length < 60);
  await c.close();
  await server.kill();
});

test('old files go also where there is no room for new ones', async () => {
  const [server, faults] = await faultyServer({ flags: [...SMALL, '--retention-bytes', '200KiB'] });
  const c = await producer(server);
  // Of two checkpoints that are due at once only the newer one is written.
  for (const n of [1, 2, 3]) {
    await fill(c, 'a', 70 * n - 69, 70 * n);
    await until(() => files(server.data, '.ckp').length >= n, `checkpoint ${n}`);
  }
  await until(() => files(server.data, '.idx').length >= 5, 'segments that may go');
  const old = files(server.data, '.seg').slice(0, 3);
  // What is full from now on cannot be sealed: that is tried again each second, and fails.
  faults.set({ call: 'write', text: '.idx', error: ENOSPC });
  await fill(c, 'a', 211, 600);
  await until(() => old.every((file) => !fs.existsSync(file)), 'old segments to go');
  assert.ok(faults.hits().length > 0);
  faults.off();
  await holdsFrom(server, 'a', 600);
  await c.close();
  await server.kill();
});

test('a start reads a bounded tail, however long the history', async () => {
  const server = await Server.start({
    flags: ['--partitions', '1', '--segment-bytes', '64KiB', '--durability', 'os'] });
  const c = await producer(server);
  const clients = [];
  for (let i = 0; i < 4; i += 1) clients.push(await producer(server, `p${i}`));
  const count = 20_000;
  await Promise.all(clients.map((p, i) => fill(p, `c${i}`, 1, count)));
  // A busy keeper passes checkpoints over: what counts is that the newest one is far on.
  const segments = files(server.data, '.seg');
  const far = segments[Math.floor(segments.length * 7 / 8)];
  await until(() => (files(server.data, '.ckp').at(-1) ?? '') > far, 'a late checkpoint');
  await server.kill();
  assert.ok(segments.length > 300, `${segments.length}`);
  const size = segments.reduce((sum, f) => sum + fs.statSync(f).size, 0);
  const began = Date.now();
  await server.restart();
  const ms = Date.now() - began;
  // What the process has read since its start, as the kernel counts it, is no tenth of the log.
  const io = fs.readFileSync(`/proc/${server.pid}/io`, 'utf8');
  const read = Number(/rchar: (\d+)/.exec(io)[1]);
  assert.ok(read < size / 4, `${read} of ${size} bytes were read`);
  assert.ok(ms < 5000, `${ms} ms`);
  const d = await producer(server, 'p0');
  const reply = await d.request({ type: 'publish', channel: 'c0', data: 0, producer_seq: count });
  assert.deepEqual([reply.duplicate, reply.seq], [true, count], reply.raw);
  const { messages } = await d.history('c0', { from: 77, limit: 3 });
  assert.deepEqual(messages.map((m) => m.data[0]), [77, 78, 79]);
  await Promise.all([d.close(), c.terminate(), ...clients.map((p) => p.terminate())]);
  await server.kill();
});

/** Runs an action over a list, so many at a time. */
async function overAll(list, action) {
  for (let at = 0; at < list.length; at += 200) {
    await Promise.all(list.slice(at, at + 200).map(action));
  }
}

test('more channels than one trim takes: all are trimmed, in portions, and stay so', async () => {
  const flags = [...SMALL, '--retention-bytes', '64KiB'];
  const server = await Server.start({ flags });
  const c = await Client.connect(server.ws);
  const names = Array.from({ length: 1400 }, (_, i) => `one-message-${i}`);
  await overAll(names, (channel) =>
    c.expect('published', { type: 'publish', channel, data: channel }));
  const batch = Array.from({ length: 20 }, () => ({ data: filler }));
  const isTrimmed = async (name) => (await earliestOf(c, name)) === 2;
  const trimmed = async () => {
    await overAll(Array.from({ length: 10 }, (_, i) => i), () =>
      c.expect('published', { type: 'publish', channel: 'busy', batch }));
    return await isTrimmed(names[0]) && await isTrimmed(names[700]) && isTrimmed(names.at(-1));
  };
  await until(trimmed, 'the oldest and the newest of them to be trimmed', 120_000);
  await overAll(names, async (name) => assert.ok(await isTrimmed(name), name));
  await until(() => folderBytes(server.data) < 1024 * 1024, 'files to go', 60_000);
  // Their numbers go on where they were.
  const next = await c.expect('published', { type: 'publish', channel: names[7], data: 2 });
  assert.equal(next.seq, 2);
  await c.close();
  await server.kill();
  await server.restart(flags);
  const d = await Client.connect(server.ws);
  await overAll(names, async (name) => {
    const { earliest, latest } = await d.history(name, { limit: 1 });
    assert.deepEqual([earliest, latest], name === names[7] ? [2, 2] : [2, 1], name);
  });
  await d.close();
  await server.stop();
});
