// [P 8] digest: computed by lib/digest.mjs from what a subscriber was sent, and compared with what
// the server says, for every message: live, after kill -9, sealed, trimmed, damaged, repaired.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';

import { channelName, Client } from './lib/client.mjs';
import { hex, roll, rollText, start, xxh3 } from './lib/digest.mjs';
import { files, find, flip, until } from './lib/faults.mjs';
import { runCli, Server } from './lib/server.mjs';

const ONE = ['--partitions', '1'];
const SMALL = [...ONE, '--segment-bytes', '16KiB'];

let server;
let c;
before(async () => {
  server = await Server.start();
  c = await Client.connect(server.ws, { producer: { id: 'größer', epoch: 1 } });
});
after(async () => {
  await c?.close();
  await server?.stop();
});

/** The digests of earliest - 1 … latest, from the messages; `from` is the first of them. */
async function computed(client, channel, from = start(channel)) {
  const sub = await client.subscribe(channel, 'earliest');
  const { earliest, latest } = sub.reply;
  const digests = new Map([[earliest - 1, from]]);
  for (const m of await client.take(sub, latest - earliest + 1)) {
    digests.set(m.seq, rollText(digests.get(m.seq - 1), m, m.raw));
  }
  await client.expect('unsubscribed', { type: 'unsubscribe', channel });
  return digests;
}

async function allAgree(client, channel, digests) {
  const replies = await Promise.all([...digests.keys()].map((seq) =>
    client.digest(channel, { seq })));
  for (const reply of replies) {
    assert.equal(reply.digest, hex(digests.get(reply.seq)), `message ${reply.seq}`);
  }
}

/** Everything that a publish can be. */
async function publishAll(client, channel) {
  await client.publish(channel, { n: 1 });
  await client.publish(channel, { n: 2 }, { key: '' });
  await client.publishRaw(channel, '{"a": 1,\t"a":1.0e0 , "\\u0061":"\\ud800"}');
  await client.publish(channel, 'grüße 世界 \u{1F600}', { key: '"\u{1F511}\\' });
  await client.publish(channel, 'x'.repeat(5000), { producer_seq: 1 });
  await client.expect('published', { type: 'publish', channel, data_base64: 'AP8QgA==' });
  await client.expect('published', { type: 'publish', channel, data_base64: '' });
  await client.expect('published', { type: 'publish', channel, producer_seq: 2, batch: [
    { data: 1 }, { data: null, key: 'k'.repeat(255) }, { data_base64: 'bnVsbA==', key: 'b' },
    { data: [] }, { data: 'last' }] });
  await client.publish(channel, 'after the batch', { producer_seq: 7 });
}

test('the vectors hold here as well', () => {
  const { histories } = JSON.parse(fs.readFileSync(
    new URL('../vectors/digest.json', import.meta.url)));
  let count = 0;
  for (const { channel, start: first, before: told, entries } of histories) {
    assert.equal(hex(start(channel)), first);
    let digest = told ? BigInt(`0x${told.digest}`) : start(channel);
    for (const entry of entries) {
      const isBytes = entry.data_base64 !== undefined;
      digest = entry.gap ? BigInt(`0x${entry.digest}`)
        : roll(digest, entry, isBytes ? Buffer.from(entry.data_base64, 'base64')
          : Buffer.from(entry.data_text), isBytes);
      assert.equal(hex(digest), entry.digest);
      count += 1;
    }
  }
  assert.ok(count >= 30);
});

test('what a subscriber computes is what the server says, at every message', async () => {
  const channel = channelName('Grüße/世界 ');
  await publishAll(c, channel);
  const digests = await computed(c, channel);
  assert.equal(digests.size, 14);
  await allAgree(c, channel, digests);
  const newest = await c.digest(channel);
  assert.deepEqual([newest.seq, newest.digest, newest.epoch],
    [13, hex(digests.get(13)), (await c.history(channel)).epoch]);
});

test('it is refused for what is not there, and for what is no seq', async () => {
  const channel = channelName();
  const { epoch } = await c.publish(channel, 1);
  const gap = await c.expectError('gap', { type: 'digest', channel, seq: 2 });
  assert.deepEqual([gap.reason, gap.epoch, gap.earliest, gap.latest], ['ahead', epoch, 1, 1]);
  for (const seq of [-1, 1.5, '1', null, true, 2 ** 53]) {
    await c.expectError('bad_request', { type: 'digest', channel, seq });
  }
  await c.expectError('bad_request', { type: 'digest' });
  await c.expectError('bad_request', { type: 'digest', channel: '' });
  assert.ok(c.connected.features.includes('digest'));
});

test('a channel that nobody has published to has the digest of its name', async () => {
  const channel = channelName();
  const reply = await c.digest(channel);
  assert.deepEqual([reply.seq, reply.digest], [0, hex(start(channel))]);
  assert.equal((await c.digest(channel, { seq: 0 })).digest, reply.digest);
  const gap = await c.expectError('gap', { type: 'digest', channel, seq: 1 });
  assert.deepEqual([gap.reason, gap.earliest, gap.latest], ['ahead', 1, 0]);
});

test('it waits for the publishes sent before it', async () => {
  const channel = channelName();
  for (let n = 1; n <= 20; n += 1) {
    const published = c.publish(channel, n);
    const { seq } = await c.digest(channel);
    assert.equal(seq, n);
    await published;
  }
});

test('over HTTP it is the same', async () => {
  const channel = channelName('ä/ö ');
  await publishAll(c, channel);
  const digests = await computed(c, channel);
  const url = `${server.http}/v1/channels/${encodeURIComponent(channel)}/digest`;
  for (const [seq, digest] of digests) {
    const answer = await fetch(`${url}?seq=${seq}`);
    assert.equal(answer.status, 200);
    const body = await answer.json();
    assert.deepEqual([body.channel, body.seq, body.digest], [channel, seq, hex(digest)]);
    assert.equal(body.type, undefined);
  }
  assert.equal((await (await fetch(url)).json()).seq, 13);
  const gone = await fetch(`${url}?seq=14`);
  assert.equal(gone.status, 410);
  const body = await gone.json();
  assert.deepEqual([body.code, body.reason, body.latest], ['gap', 'ahead', 13]);
  for (const query of ['seq=', 'seq=x', 'seq=-1', 'seq=99999999999999999999']) {
    assert.equal((await fetch(`${url}?${query}`)).status, 400);
  }
  assert.equal((await fetch(url, { method: 'POST' })).status, 405);
  assert.equal((await fetch(`${server.http}/v1/channels//digest`)).status, 404);
});

test('kill -9, restarts, seals and checkpoints leave every digest as it was', async () => {
  const own = await Server.start({ flags: SMALL });
  const d = await Client.connect(own.ws, { producer: { id: 'p', epoch: 1 } });
  await publishAll(d, 'a');
  for (let n = 0; n < 40; n += 1) {
    await d.expect('published', { type: 'publish', channel: 'a',
      batch: Array.from({ length: 10 }, (_, i) => ({ data: [n, i, 'y'.repeat(120)] })) });
    // Of two checkpoints that are due at once only the newer one is written.
    if (n === 20) await until(() => files(own.data, '.ckp').length >= 1, 'a checkpoint');
  }
  const digests = await computed(d, 'a');
  await allAgree(d, 'a', digests);
  await until(() => files(own.data, '.ckp').length >= 2 && files(own.data, '.idx').length >= 3,
    'checkpoints');
  await allAgree(d, 'a', digests);
  await own.kill();
  await own.restart();
  const e = await Client.connect(own.ws);
  await allAgree(e, 'a', digests);
  await own.kill();
  // Without index files and checkpoints the log alone must give the same.
  for (const suffix of ['.idx', '.ckp']) files(own.data, suffix).forEach((f) => fs.rmSync(f));
  await own.restart();
  const f = await Client.connect(own.ws);
  await allAgree(f, 'a', digests);
  await f.close();
  await own.kill();
});

test('what retention takes is a gap, and from earliest - 1 on it goes on', async () => {
  const own = await Server.start({ flags: [...SMALL, '--retention-messages', '25'] });
  const d = await Client.connect(own.ws);
  const sub = await d.subscribe('a', 'latest');
  const send = (k) => d.expect('published', { type: 'publish', channel: 'a',
    batch: Array.from({ length: 10 }, (_, i) => ({ data: [k, i, 'z'.repeat(200)] })) });
  for (let k = 0; k < 20; k += 1) await send(k);
  let whole = start('a');
  for (const m of await d.take(sub, 200)) whole = rollText(whole, m, m.raw);
  const { earliest, latest } = await d.history('a', { limit: 1 });
  assert.deepEqual([earliest, latest], [176, 200]); // in the middle of a batch
  const told = await d.digest('a', { seq: earliest - 1 });
  const e = await Client.connect(own.ws);
  const digests = await computed(e, 'a', BigInt(`0x${told.digest}`));
  await allAgree(e, 'a', digests);
  assert.equal(digests.get(latest), whole);
  const gap = await e.expectError('gap', { type: 'digest', channel: 'a', seq: earliest - 2 });
  assert.deepEqual([gap.reason, gap.earliest, gap.latest], ['trimmed', earliest, latest]);
  await Promise.all([d.close(), e.close()]);
  await own.kill();
});

test('an epoch ended by an unclean stop leaves the digests of what is still there', async () => {
  const own = await Server.start({ flags: [...ONE, '--durability', 'os'] });
  const d = await Client.connect(own.ws);
  const { epoch } = await d.publish('a', 1);
  await d.publish('a', 2);
  const digests = await computed(d, 'a');
  await own.kill();
  fs.writeFileSync(`${own.data}/RUNNING`, 'os another-boot\n'); // as after a power cut
  await own.restart();
  const e = await Client.connect(own.ws);
  const reply = await e.digest('a');
  assert.deepEqual([reply.seq, reply.digest], [2, hex(digests.get(2))]);
  assert.notEqual(reply.epoch, epoch);
  await e.publish('a', 3);
  await allAgree(e, 'a', await computed(e, 'a'));
  await e.close();
  await own.kill();
});

// ---- damage -------------------------------------------------------------------------------------

/** A server, killed: batches of 5 with `needle n;` in each message, sealed below a checkpoint; and
 *  the digests of all of them. */
async function withHistory() {
  const own = await Server.start({ flags: SMALL });
  const d = await Client.connect(own.ws);
  for (let n = 1; n <= 300; n += 5) {
    await d.expect('published', { type: 'publish', channel: 'a',
      batch: [0, 1, 2, 3, 4].map((i) => ({ data: `needle ${n + i};${'x'.repeat(150)}` })) });
    // Of two checkpoints that are due at once only the newer one is written.
    if (n === 151) await until(() => files(own.data, '.ckp').length >= 1, 'a checkpoint');
  }
  const digests = await computed(d, 'a');
  await until(() => files(own.data, '.ckp').length >= 2 && files(own.data, '.idx').length >= 3,
    'checkpoints');
  await own.kill();
  return { own, digests };
}

/** Messages 21 … 25 are gone: told by a gap, and the digest of the last of them leads on. */
async function holeIsTold(own, digests) {
  const d = await Client.connect(own.ws);
  const sub = await d.subscribe('a', 'earliest', { on_gap: 'reset' });
  const seen = await d.take(sub, 295);
  const gap = await d.push((p) => p.type === 'gap');
  assert.deepEqual([gap.from, gap.to, gap.reason], [21, 25, 'damaged']);
  let digest = start('a');
  for (const m of seen) {
    if (m.seq === gap.to + 1) {
      digest = BigInt(`0x${(await d.digest('a', { seq: gap.to })).digest}`);
    }
    digest = rollText(digest, m, m.raw);
    assert.equal(digest, digests.get(m.seq), `message ${m.seq}`);
  }
  for (const seq of [21, 22, 23, 24]) { // in the middle of what is gone
    const error = await d.expectError('gap', { type: 'digest', channel: 'a', seq });
    assert.deepEqual([error.reason, error.earliest, error.latest], ['damaged', 1, 300]);
  }
  for (const seq of [20, 25, 26, 299, 300]) {
    assert.equal((await d.digest('a', { seq })).digest, hex(digests.get(seq)));
  }
  await d.publish('a', 'after');
  assert.equal((await d.digest('a')).seq, 301);
  await d.close();
}

test('behind damage on disk it goes on: the digest of the last message lost is told', async () => {
  const { own, digests } = await withHistory();
  const { file, byte } = find(own.data, 'needle 22;');
  flip(file, byte);
  await own.restart();
  await holeIsTold(own, digests);
  await own.kill();
});

test('a repair that cuts messages out below a checkpoint leaves the others', async () => {
  const { own, digests } = await withHistory();
  const { file, byte } = find(own.data, 'needle 22;');
  flip(file, byte);
  await own.restart([...SMALL, '--repair']);
  await holeIsTold(own, digests);
  await own.kill();
});

test('where a repair gives what is left other numbers, the digest is that of what is left',
  async () => {
    const own = await Server.start({ flags: ONE });
    const d = await Client.connect(own.ws);
    for (let n = 1; n <= 30; n += 1) await d.publish('a', `needle ${n};`);
    const digests = await computed(d, 'a');
    await own.kill();
    const { file, byte } = find(own.data, 'needle 15;');
    flip(file, byte);
    await own.restart([...ONE, '--repair']);
    const e = await Client.connect(own.ws);
    const left = await computed(e, 'a');
    assert.equal(left.size, 30);
    await allAgree(e, 'a', left);
    assert.equal(left.get(14), digests.get(14));
    assert.notEqual(left.get(15), digests.get(15));
    await e.close();
    await own.kill();
    await own.restart(ONE);
    const f = await Client.connect(own.ws);
    await allAgree(f, 'a', left);
    await f.close();
    await own.kill();
  });

// ---- log verify ---------------------------------------------------------------------------------

async function verify(own, ...options) {
  const { code, stdout, stderr } = await runCli(['log', 'verify', ...options, own.data]);
  return { code, said: stdout.toString() + stderr };
}

test('log verify tells the digest of each channel, and null where history is missing', async () => {
  const { own, digests } = await withHistory();
  const json = JSON.parse((await verify(own, '--json', '--digests')).said);
  assert.deepEqual(json.partitions[0].channels,
    [{ channel: 'a', earliest: 1, latest: 300, digest: hex(digests.get(300)) }]);
  const plain = await verify(own, '--digests');
  assert.equal(plain.code, 0);
  assert.match(plain.said, new RegExp(`^  ${hex(digests.get(300))}  300  a$`, 'm'));
  assert.doesNotMatch((await verify(own)).said, /  300  a$/m);
  const { code, stderr } = await runCli(['log', 'inspect', '--digests', own.data]);
  assert.equal(code, 2, stderr);
  // Damage in the first segment: a checkpoint behind it has the state again.
  const first = find(own.data, 'needle 22;');
  flip(first.file, first.byte);
  const behind = await verify(own, '--json', '--digests');
  assert.equal(behind.code, 1);
  assert.equal(JSON.parse(behind.said).partitions[0].channels[0].digest, hex(digests.get(300)));
  // In the last: nobody knows.
  const last = find(own.data, 'needle 290;');
  flip(last.file, last.byte);
  const unknown = await verify(own, '--json', '--digests');
  assert.equal(JSON.parse(unknown.said).partitions[0].channels, null);
  assert.match((await verify(own, '--digests')).said, /digests are not known/);
});

function crc32c(crc, bytes) {
  let value = ~crc;
  for (const byte of bytes) {
    value ^= byte;
    for (let i = 0; i < 8; i += 1) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  }
  return ~value >>> 0;
}

/** Changes bytes of a file, checksums included: what no disk does, but a bug might. */
function forge(file, change) {
  const bytes = fs.readFileSync(file);
  change(bytes);
  fs.writeFileSync(file, bytes);
}

test('log verify finds a digest in an index that is not the log\'s, by file and byte', async () => {
  const { own } = await withHistory();
  assert.equal((await verify(own)).code, 0);
  const file = files(own.data, '.idx')[1];
  const at = 2 * 4096 + 3 * 36; // entry 3: pages are head, rows, entries
  forge(file, (bytes) => {
    bytes[at + 28] ^= 1;
    const page = bytes.subarray(2 * 4096, 3 * 4096);
    page.writeUInt32LE(crc32c(2, page.subarray(0, 4092)), 4092);
  });
  const { code, said } = await verify(own);
  assert.equal(code, 1);
  assert.match(said, /\d{20}\.idx:8300: digest differs from the log's/);
  assert.ok(said.includes(`${file.split('/').at(-1)}:${at}`), said);
  forge(file, (bytes) => { // the count of messages of the same entry
    bytes[at + 28] ^= 1;
    bytes[at + 8] ^= 1;
    const page = bytes.subarray(2 * 4096, 3 * 4096);
    page.writeUInt32LE(crc32c(2, page.subarray(0, 4092)), 4092);
  });
  assert.match((await verify(own)).said, /\.idx:8300: index differs from the log/);
});

/** Changes a digest in a checkpoint's state; gives its place in the state. */
function forgeCheckpoint(file, digests) {
  let place;
  forge(file, (bytes) => {
    const state = bytes.subarray(80);
    const latest = [...digests.keys()].find((seq) => {
      const raw = Buffer.alloc(8);
      raw.writeBigUInt64LE(digests.get(seq));
      place = state.indexOf(raw);
      return place >= 0;
    });
    assert.ok(latest > 0, 'no digest of ours is in the checkpoint');
    state[place] ^= 1;
    bytes.writeBigUInt64LE(xxh3(state), 56);
    bytes.writeUInt32LE(crc32c(0, bytes.subarray(0, 76)), 76);
  });
  return place;
}

test('log verify finds a checkpoint that is not what the log comes to, once', async () => {
  const { own, digests } = await withHistory();
  const file = files(own.data, '.ckp')[0];
  const place = forgeCheckpoint(file, digests);
  const { code, said } = await verify(own);
  assert.equal(code, 1);
  const name = file.split('/').at(-1);
  assert.ok(said.includes(`${name}:${80 + place}: state differs from the log's`), said);
  assert.equal(said.match(/differs/g).length, 1, said); // all else follows from the log
});

test('a start that replays past such a checkpoint tells it, and goes by the log', async () => {
  const { own, digests } = await withHistory();
  const file = files(own.data, '.ckp')[0];
  forgeCheckpoint(file, digests);
  fs.rmSync(files(own.data, '.idx')[0]); // so the replay begins at the beginning
  await own.restart();
  assert.match(own.stderr, /"state differs from the log's"/);
  assert.ok(own.stderr.includes(file.split('/').at(-1)), own.stderr);
  assert.equal(own.stderr.match(/differs/g).length, 1, own.stderr);
  const d = await Client.connect(own.ws);
  await allAgree(d, 'a', digests);
  await d.close();
  await own.kill();
});
