// Files that are not as they were written: what is refused by name, what repair keeps, what readers
// are told, and what is cut or built again silently. Damage is done between kill -9 and start.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { Client } from './lib/client.mjs';
import { files, find, flip, overwrite, records, until } from './lib/faults.mjs';
import { freePort, runCli, Server } from './lib/server.mjs';

const ONE = ['--partitions', '1'];
const text = (channel, n) => `${channel}/needle ${n};`;

async function fill(server, channel, from, to, size = 0) {
  const c = await Client.connect(server.ws);
  let epoch;
  for (let n = from; n <= to; n += 10) {
    const batch = Array.from({ length: Math.min(10, to - n + 1) },
      (_, i) => ({ data: text(channel, n + i) + 'x'.repeat(size) }));
    // One after another: each record is a commit of its own.
    for (const { data } of batch) ({ epoch } = await c.publish(channel, data));
  }
  await c.close();
  return epoch;
}

/** A start that must be refused: its standard error. */
async function refusedStart(server) {
  const port = await freePort();
  const { code, signal, stderr } = await runCli(
    ['serve', '--data', server.data, '--listen', `127.0.0.1:${port}`, ...server.flags],
    { timeoutMs: 10_000 });
  assert.deepEqual([code, signal], [1, null], stderr);
  return stderr;
}

const verify = (server) => runCli(['log', 'verify', server.data]);

async function verifyNames(server, file, at) {
  const { code, stdout, stderr } = await verify(server);
  const said = stdout + stderr;
  assert.equal(code, 1, said);
  assert.ok(said.includes(path.basename(file)), said);
  if (at !== undefined) assert.match(said, new RegExp(`\\b${at}\\b`));
}

async function verifyClean(server) {
  const { code, stdout, stderr } = await verify(server);
  assert.equal(code, 0, stdout + stderr);
}

/** All of a channel, in order; `missing` are the seqs that must not be there. */
async function holds(server, channel, count, missing = []) {
  const c = await Client.connect(server.ws);
  const { messages, latest } = await c.history(channel, { limit: 1000 });
  const want = Array.from({ length: count }, (_, i) => i + 1).filter((n) => !missing.includes(n));
  assert.deepEqual(messages.map((m) => m.seq), want);
  for (const m of messages) assert.ok(m.data.startsWith(text(channel, m.seq)), m.raw);
  assert.equal(latest, count);
  await c.close();
}

// ---- damage in the middle -----------------------------------------------------------------------

test('damage in the newest segment: refused by file and byte; repair keeps what is whole',
  async () => {
    const server = await Server.start({ flags: ONE });
    const epochA = await fill(server, 'a', 1, 20);
    const epochB = await fill(server, 'b', 1, 20);
    await fill(server, 'a', 21, 30);
    await server.kill();
    await verifyClean(server);
    const { file, byte, at } = find(server.data, text('a', 15));
    flip(file, byte);
    const said = await refusedStart(server);
    assert.ok(said.includes(path.basename(file)), said);
    assert.match(said, new RegExp(`\\b${at}\\b`));
    assert.match(said, /--repair/);
    await verifyNames(server, file, at);
    assert.match(await refusedStart(server), /--repair/, 'a refusal changes nothing');

    await server.restart([...ONE, '--repair']);
    const c = await Client.connect(server.ws);
    const gone = { epoch: epochA, seq: 20 };
    const gap = await c.expectError('gap', { type: 'subscribe', channel: 'a', from: gone });
    assert.equal(gap.reason, 'epoch');
    assert.notEqual(gap.epoch, epochA);
    const reset = await c.subscribe('a', gone, { on_gap: 'reset' });
    assert.equal(reset.reply.reset.reason, 'epoch');
    // What follows the hole is kept. Its messages are the channel's, in their order, with new seqs
    // or old ones; message 15 is not among them, and none is there twice.
    const { messages, latest, epoch } = await c.history('a', { limit: 1000 });
    assert.equal(epoch, gap.epoch);
    assert.deepEqual(messages.map((m) => Number(/needle (\d+);/.exec(m.data)[1])),
      Array.from({ length: 30 }, (_, i) => i + 1).filter((n) => n !== 15));
    assert.ok(messages.every((m, i) => i === 0 || m.seq > messages[i - 1].seq));
    const d = await Client.connect(server.ws);
    const good = await d.subscribe('a', { epoch: epochA, seq: 14 });
    assert.equal(good.reply.reset, undefined);
    assert.equal((await d.take(good, 1))[0].data, text('a', 14));
    const b = await d.subscribe('b', { epoch: epochB, seq: 20 });
    assert.equal(b.reply.epoch, epochB);
    assert.equal((await d.take(b, 1))[0].data, text('b', 20));
    assert.equal((await d.publish('a', 'after')).seq, latest + 1);
    assert.equal((await d.publish('b', 'after')).seq, 21);
    await Promise.all([c.close(), d.close()]);
    await server.kill();

    await server.restart(ONE); // and without --repair
    const e = await Client.connect(server.ws);
    assert.equal((await e.history('a', { limit: 1000 })).latest, latest + 1);
    assert.equal((await e.history('a')).epoch, gap.epoch);
    assert.equal((await e.history('b')).epoch, epochB);
    await e.close();
    await server.kill();
    await verifyClean(server);
  });

// ---- damage below a checkpoint ------------------------------------------------------------------

const SMALL = [...ONE, '--segment-bytes', '16KiB'];

/** A server, killed, with several sealed segments below a checkpoint that is on disk. */
async function withHistory(count = 300) {
  const server = await Server.start({ flags: SMALL });
  await fill(server, 'a', 1, count / 2, 150);
  // Of two checkpoints that are due at once only the newer one is written.
  await until(() => files(server.data, '.ckp').length >= 1, 'a checkpoint');
  const epoch = await fill(server, 'a', count / 2 + 1, count, 150);
  const sealed = () => files(server.data, '.idx').length >= 3;
  await until(() => files(server.data, '.ckp').length >= 2 && sealed(), 'checkpoints');
  await server.kill();
  await verifyClean(server);
  return { server, epoch };
}

test('damage in a sealed segment below a checkpoint: starts, and each reader is told what is gone',
  async () => {
    const { server, epoch } = await withHistory();
    const { file, byte, at } = find(server.data, text('a', 20));
    assert.equal(file, files(server.data, '.seg')[0]);
    flip(file, byte);
    await verifyNames(server, file, at);
    await server.restart();
    const c = await Client.connect(server.ws);
    const history = await c.history('a', { limit: 1000 });
    assert.deepEqual(history.damaged, [{ from: 20, to: 20 }]);
    assert.equal(history.epoch, epoch);
    await holds(server, 'a', 300, [20]);
    const backwards = await c.history('a', { from: 25, limit: 10, reverse: true });
    assert.deepEqual(backwards.damaged, [{ from: 20, to: 20 }]);
    assert.ok(backwards.messages.every((m) => m.seq !== 20));
    const sub = await c.subscribe('a', 'earliest', { on_gap: 'reset' });
    const seen = await c.take(sub, 299);
    assert.deepEqual(seen.map((m) => m.seq),
      Array.from({ length: 300 }, (_, i) => i + 1).filter((n) => n !== 20));
    const told = await c.push((p) => p.type === 'gap');
    assert.deepEqual([told.from, told.to, told.reason], [20, 20, 'damaged']);
    // Without on_gap the subscription ends where the damage is, and says so.
    const d = await Client.connect(server.ws);
    const strict = await d.subscribe('a', 'earliest');
    const ended = await d.push((p) => p.type === 'unsubscribed');
    assert.equal(ended.reason, 'gap');
    assert.equal(strict.messages.length, 19);
    await Promise.all([c.close(), d.close()]);
    await server.kill();
  });

test('repair cuts damage below a checkpoint out: a new epoch, good up to the damage', async () => {
  const { server, epoch } = await withHistory();
  const { file, byte } = find(server.data, text('a', 20));
  flip(file, byte);
  await server.restart([...SMALL, '--repair']);
  const c = await Client.connect(server.ws);
  const gap = await c.expectError('gap',
    { type: 'subscribe', channel: 'a', from: { epoch, seq: 200 } });
  assert.equal(gap.reason, 'epoch');
  const good = await c.subscribe('a', { epoch, seq: 20 }, { on_gap: 'reset' });
  assert.equal(good.reply.reset, undefined);
  assert.notEqual(good.reply.epoch, epoch);
  await holds(server, 'a', 300, [20]);
  assert.equal((await c.publish('a', 'after')).seq, 301);
  await c.close();
  await server.kill();
  await verifyClean(server);
});

test('repair cuts damage in a sealed segment above every checkpoint out: each message once',
  async () => {
    const { server, epoch } = await withHistory();
    files(server.data, '.ckp').forEach((f) => fs.rmSync(f));
    const { file, byte } = find(server.data, text('a', 20));
    flip(file, byte);
    await server.restart([...SMALL, '--repair']);
    // Nothing tells that there was a message 20: those behind it have moved up, in every segment.
    const wanted = Array.from({ length: 300 }, (_, i) => i + 1).filter((n) => n !== 20);
    for (let round = 0; round < 3; round += 1) {
      const c = await Client.connect(server.ws);
      const { messages, latest, damaged, epoch: now } = await c.history('a', { limit: 1000 });
      assert.deepEqual([latest, damaged], [299, undefined]);
      assert.deepEqual(messages.map((m) => m.seq), wanted.map((_, i) => i + 1));
      assert.deepEqual(messages.map((m) => Number(/needle (\d+);/.exec(m.data)[1])), wanted);
      assert.notEqual(now, epoch);
      await c.close();
      await server.kill();
      if (round < 2) await server.restart(SMALL);
    }
    await verifyClean(server);
  });

test('repair of a log whose end the machine may have lost, too: every channel has a new epoch',
  async () => {
    const OS = [...SMALL, '--durability', 'os'];
    const server = await Server.start({ flags: OS });
    const epochA = await fill(server, 'a', 1, 200, 200);
    const epochB = await fill(server, 'b', 1, 20);
    await server.kill();
    // A power cut took the last message of b, which was shown. A bit of a is another matter.
    const lost = find(server.data, text('b', 20));
    overwrite(lost.file, lost.at, Buffer.alloc(lost.size));
    files(server.data, '.ckp').forEach((f) => fs.rmSync(f));
    const { file, byte } = find(server.data, text('a', 20));
    assert.notEqual(file, lost.file);
    flip(file, byte);
    fs.writeFileSync(`${server.data}/RUNNING`, 'os another-boot\n');
    await server.restart([...OS, '--repair']);
    const c = await Client.connect(server.ws);
    const b = await c.publish('b', 'another 20');
    assert.equal(b.seq, 20);
    assert.notEqual(b.epoch, epochB, 'message 20 of one epoch is two messages');
    assert.notEqual((await c.publish('a', 'after')).epoch, epochA);
    await c.close();
    await server.kill();
  });

// ---- torn tails ---------------------------------------------------------------------------------

const last = (server) => {
  const file = files(server.data, '.seg').at(-1);
  return { file, ...records(file).at(-1) };
};

const TAILS = {
  'half zeros': ({ file, at, size }) => overwrite(file, at + 48, Buffer.alloc(size - 48)),
  'all zeros but its head': ({ file, at, size }) => overwrite(file, at + 8, Buffer.alloc(size - 8)),
  'all rubbish': ({ file, at, size }) => overwrite(file, at, Buffer.alloc(size, 0xa5)),
  'one wrong bit': ({ file, at }) => flip(file, at + 60),
};

for (const [what, tear] of Object.entries(TAILS)) {
  test(`a torn tail (${what}) is cut, and all before it is kept`, async () => {
    const server = await Server.start({ flags: ONE });
    const epoch = await fill(server, 'a', 1, 20);
    await server.kill();
    tear(last(server));
    await server.restart();
    assert.match(server.stderr, /"info","event":"torn tail cut"/);
    await holds(server, 'a', 19);
    const c = await Client.connect(server.ws);
    const sub = await c.subscribe('a', { epoch, seq: 20 });
    assert.equal((await c.publish('a', text('a', 20))).seq, 20);
    await c.take(sub, 1);
    await c.close();
    await server.kill();
    await server.restart();
    await holds(server, 'a', 20);
    await server.kill();
    await verifyClean(server);
  });
}

test('a file shorter than it was written ahead is damage: no crash does that', async () => {
  const server = await Server.start({ flags: ONE });
  const epoch = await fill(server, 'a', 1, 20);
  await server.kill();
  const { file, at } = last(server);
  fs.truncateSync(file, at + 50);
  const said = await refusedStart(server);
  assert.ok(said.includes(path.basename(file)), said);
  assert.match(said, /--repair/);
  await verifyNames(server, file);
  await server.restart([...ONE, '--repair']);
  await holds(server, 'a', 19);
  const c = await Client.connect(server.ws);
  const gap = await c.expectError('gap',
    { type: 'subscribe', channel: 'a', from: { epoch, seq: 21 } });
  assert.equal(gap.reason, 'epoch');
  await c.close();
  await server.kill();
  await server.restart(ONE);
  await holds(server, 'a', 19);
  await server.kill();
});

test('rubbish behind the last record is cut, and all that was acknowledged is there', async () => {
  const server = await Server.start({ flags: ONE });
  await fill(server, 'a', 1, 20);
  await server.kill();
  const { file, at, size } = last(server);
  overwrite(file, at + size, Buffer.from('rubbish that a torn write left behind'.repeat(30)));
  await server.restart();
  assert.match(server.stderr, /torn tail cut/);
  await holds(server, 'a', 20);
  await fill(server, 'a', 21, 30);
  await server.kill();
  await server.restart();
  await holds(server, 'a', 30);
  await server.kill();
});

// ---- what can be built again --------------------------------------------------------------------

const REBUILT = {
  'every index file is gone': (data) => files(data, '.idx').forEach((f) => fs.rmSync(f)),
  'the first index file has a wrong byte': (data) => flip(files(data, '.idx')[0], 100),
  'an index file is cut short': (data) => fs.truncateSync(files(data, '.idx')[1], 40),
  'every checkpoint is gone': (data) => files(data, '.ckp').forEach((f) => fs.rmSync(f)),
  'the newest checkpoint has a wrong byte': (data) => flip(files(data, '.ckp').at(-1), 50),
  'every checkpoint and index is rubbish': (data) =>
    [...files(data, '.ckp'), ...files(data, '.idx')].forEach((f) => fs.writeFileSync(f, 'rubbish')),
};

for (const [what, harm] of Object.entries(REBUILT)) {
  test(`${what}: it is built again, with the same seqs, epoch and bytes`, async () => {
    const { server, epoch } = await withHistory();
    harm(server.data);
    await server.restart();
    await holds(server, 'a', 300);
    const c = await Client.connect(server.ws);
    assert.equal((await c.publish('a', text('a', 301))).epoch, epoch);
    const { messages } = await c.history('a', { from: 150, limit: 3, reverse: true });
    assert.deepEqual(messages.map((m) => m.seq), [150, 149, 148]);
    await c.close();
    await server.kill();
    await server.restart();
    await holds(server, 'a', 301);
    await server.kill();
  });
}

test('a missing segment in the middle is refused by name', async () => {
  const { server } = await withHistory();
  fs.rmSync(files(server.data, '.seg')[1]);
  const said = await refusedStart(server);
  assert.match(said, /\d{20}\.seg/);
  await verifyNames(server, '.seg');
});

test('the newest segment missing: refused by file and byte; repair begins new epochs', async () => {
  const { server, epoch } = await withHistory();
  fs.rmSync(files(server.data, '.seg').at(-1));
  const last = files(server.data, '.seg').at(-1);
  const said = await refusedStart(server);
  assert.ok(said.includes(path.basename(last)) && said.includes('missing segment'), said);
  await verifyNames(server, last);
  await server.restart([...server.flags, '--repair']);
  const c = await Client.connect(server.ws);
  const gap = await c.expectError('gap',
    { type: 'subscribe', channel: 'a', from: { epoch, seq: 301 } });
  assert.deepEqual([gap.reason, gap.epoch === epoch], ['epoch', false]);
  await c.close();
  await server.stop();
  await verifyClean(server);
});

test('verify finds that the beginning is missing, where retention has not removed it', async () => {
  const { server } = await withHistory();
  fs.rmSync(files(server.data, '.seg')[0]);
  const { code, stdout } = await verify(server);
  assert.equal(code, 1, `${stdout}`);
  assert.match(`${stdout}`, /p000:0: the beginning is missing/);
});

test('a partition missing: refused by name; with --repair nobody is given its numbers again',
  async () => {
    const server = await Server.start({ flags: ['--partitions', '2'] });
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const epochs = {};
    for (const name of names) epochs[name] = await fill(server, name, 1, 3);
    await server.stop();
    for (const file of files(server.data, '', 'p001')) fs.rmSync(file);
    await verifyNames(server, 'p001');
    assert.match(await refusedStart(server), /p001 has no segment/);
    await server.restart([...server.flags, '--repair']);
    const c = await Client.connect(server.ws);
    let lost = 0;
    for (const name of names) {
      const { reply } = await c.subscribe(name, { epoch: epochs[name], seq: 4 },
        { on_gap: 'reset' });
      assert.notEqual(reply.epoch, epochs[name]);
      assert.equal(reply.reset?.reason, reply.latest === 0 ? 'epoch' : undefined);
      lost += reply.latest === 0;
    }
    assert.ok(lost > 0 && lost < names.length, `${lost} lost`);
    await c.close();
    await server.stop();
    await verifyClean(server);
  });

test('files of another data directory are refused, and --repair does not touch them', async () => {
  const one = await Server.start({ flags: ONE });
  const two = await Server.start({ flags: ONE });
  await fill(one, 'a', 1, 5);
  await fill(two, 'a', 1, 5);
  await Promise.all([one.kill(), two.kill()]);
  const [segment] = files(one.data, '.seg');
  fs.copyFileSync(files(two.data, '.seg')[0], segment);
  const before = fs.readFileSync(segment);
  for (const flags of [ONE, [...ONE, '--repair']]) {
    one.flags = flags;
    assert.match(await refusedStart(one), /incarnation/);
    assert.deepEqual(fs.readFileSync(segment), before);
  }
});

/** What stands in place of a file, and what is said of it. */
const intruders = [
  ['a symbolic link', 'a symbolic link, which is not followed', (file) => {
    fs.renameSync(file, `${file}.elsewhere`);
    fs.symlinkSync(`${file}.elsewhere`, file);
    return () => fs.renameSync(`${file}.elsewhere`, file);
  }],
  ['a folder', 'no regular file', (file) => {
    const aside = `${file}.elsewhere`;
    fs.renameSync(file, aside);
    fs.mkdirSync(file);
    return () => {
      fs.rmdirSync(file);
      fs.renameSync(aside, file);
    };
  }],
];

for (const [what, said, put] of intruders) {
  test(`${what} in place of a file is refused by its name, at a start, repair and verify`,
    async () => {
      const server = await Server.start({ flags: [...ONE, '--segment-bytes', '16KiB'] });
      await fill(server, 'a', 1, 60, 1000);
      await until(() => files(server.data, '.ckp').length > 0, 'a checkpoint');
      await server.stop();
      const { flags } = server;
      for (const file of [files(server.data, '.seg')[0], files(server.data, '.seg').at(-1),
        files(server.data, '.idx')[0], files(server.data, '.ckp').at(-1),
        `${server.data}/meta.json`, `${server.data}/LOCK`]) {
        const takeAway = put(file);
        for (const more of [[], ['--repair']]) {
          server.flags = [...flags, ...more];
          const stderr = await refusedStart(server);
          assert.ok(stderr.includes(`${file}: ${said}`), stderr);
        }
        if (!file.endsWith('LOCK')) {
          const { code, stderr } = await verify(server);
          assert.equal(code, 1);
          assert.ok(stderr.includes(`${file}: ${said}`), stderr);
        }
        takeAway();
      }
      server.flags = flags;
      await verifyClean(server);
      await server.restart();
      await holds(server, 'a', 60);
      await server.kill();
    });
}

test('a partition that is a symbolic link is refused by name, also by --repair', async () => {
  const server = await Server.start({ flags: ['--partitions', '2'] });
  for (let n = 1; n <= 8; n += 1) await fill(server, `c${n}`, 1, 1);
  await server.stop();
  const folder = `${server.data}/p001`;
  fs.renameSync(folder, `${server.data}.moved`);
  fs.symlinkSync(`${server.data}.moved`, folder);
  for (const flags of [[], ['--repair']]) {
    server.flags = flags;
    const stderr = await refusedStart(server);
    assert.ok(stderr.includes(`${folder}: a symbolic link, which is not followed`), stderr);
  }
  assert.ok(!fs.existsSync(`${server.data}/DOUBT`)); // or every channel would begin a new epoch
  fs.rmSync(`${server.data}.moved`, { recursive: true });
});
