// Start, drain, kill, restart: what a client may rely on through the server's life.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from './lib/client.mjs';
import { faultyServer, until } from './lib/faults.mjs';
import { exchange, frame, parseFrames, parseResponse, upgradeHead } from './lib/raw.mjs';
import { runCli, Server, temporaryDir } from './lib/server.mjs';

test('SIGTERM: goaway, a clean close, exit 0, and what was acknowledged is there', async () => {
  const server = await Server.start();
  const c = await Client.connect(server.ws);
  const acked = new Set();
  let sent = 0;
  let going = true;
  const publishing = (async () => {
    while (going && c.ws.readyState === 1) {
      const n = (sent += 1);
      c.publish('a', n).then((r) => acked.add(r.seq), () => {});
      if (n % 20 === 0) await sleep(1);
    }
  })();
  await sleep(200);
  const stopping = server.stop();
  const goaway = await c.push((p) => p.type === 'goaway');
  assert.equal(goaway.reason, 'draining');
  assert.ok(goaway.reconnect_after_ms <= 60_000);
  going = false;
  await publishing;
  const closed = await c.closed;
  assert.ok([1000, 1001, 1012].includes(closed.code), `closed with ${closed.code}`);
  const result = await stopping;
  assert.deepEqual([result.code, result.signal], [0, null], server.stderr);
  assert.ok(result.ms < 15_000);
  c.check();
  await server.restart();
  const d = await Client.connect(server.ws);
  const { latest } = await d.history('a', { limit: 1 });
  assert.ok(acked.size > 0);
  assert.ok(Math.max(...acked) <= latest, 'acknowledged and gone');
  await d.close();
  await server.kill();
});

test('what is in flight when a drain begins is answered before the close', async () => {
  const [server, faults] = await faultyServer();
  const c = await Client.connect(server.ws);
  await c.publish('a', 0);
  faults.set({ call: 'sync', text: '.seg', delayMs: 2500 });
  const answers = Array.from({ length: 5 }, (_, i) => c.publish('a', i + 1));
  await faults.hit('sync');
  const stopping = server.stop();
  await c.push((p) => p.type === 'goaway');
  const seqs = (await Promise.all(answers)).map((answer) => answer.seq);
  assert.deepEqual(seqs, [2, 3, 4, 5, 6]);
  assert.equal((await c.closed).code, 1001);
  assert.equal((await stopping).code, 0, server.stderr);
  c.check();
});

test('goaway spreads the clients over time', async () => {
  const server = await Server.start({ flags: ['--reconnect-spread', '10s'] });
  const clients = await Promise.all(Array.from({ length: 20 }, () => Client.connect(server.ws)));
  const stopping = server.stop();
  const times = await Promise.all(clients.map(async (c) =>
    (await c.push((p) => p.type === 'goaway')).reconnect_after_ms));
  assert.ok(times.every((t) => t >= 0 && t <= 10_000), `${times}`);
  assert.ok(new Set(times).size >= 15, `${times}`);
  await stopping;
});

test('a terminal that goes is a drain, unless the server is to outlive it', async () => {
  const plain = await Server.start();
  assert.equal((await plain.stop('SIGHUP')).code, 0);

  const lasting = await Server.start({ under: ['sh', '-c', 'trap "" HUP; exec "$@"', 'sh'] });
  lasting.child.kill('SIGHUP');
  await sleep(100);
  const answer = await fetch(`${lasting.http}/readyz`);
  assert.equal(answer.status, 200);
  assert.equal((await lasting.stop()).code, 0);
});

test('while it drains, readyz is 503 and nobody new gets in', async () => {
  const server = await Server.start({ flags: ['--drain-timeout', '3s'] });
  // A client that neither reads nor answers keeps the drain going until its bound.
  const stuck = exchange(server.port,
    [upgradeHead(server.port), frame(1, '{"type":"connect","id":1}')], { ms: 10_000 });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const readyz = () => new Promise((resolve) => {
    const request = http.get(`${server.http}/readyz`, { agent }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode));
    });
    request.on('error', () => resolve('refused'));
  });
  assert.equal(await readyz(), 200);
  await sleep(100);
  const stopping = server.stop();
  await sleep(100);
  const seen = [await readyz(), await readyz()];
  assert.ok(seen.every((s) => s === 503 || s === 'refused'), `${seen}`);
  await assert.rejects(Client.connect(server.ws));
  const result = await stopping;
  assert.equal(result.code, 0, server.stderr);
  assert.ok(result.ms < 8000, `${result.ms} ms`);
  await stuck;
  agent.destroy();
});

test('who was let in before a drain and connects in it is told goaway, too', async () => {
  const server = await Server.start();
  const c = await Client.connect(server.ws);
  let late;
  const connect = new Promise((resolve) => (late = resolve));
  const talking = exchange(server.port, [upgradeHead(server.port), connect], { ms: 15_000 });
  await sleep(200);
  const stopping = server.stop();
  await c.push((p) => p.type === 'goaway');
  late(frame(1, '{"type":"connect","id":1}'));
  assert.equal((await stopping).code, 0, server.stderr);
  const frames = parseFrames(parseResponse((await talking).bytes).rest);
  assert.deepEqual(frames.map((f) => f.opcode), [1, 1, 8]);
  const [connected, goaway] = frames.slice(0, 2).map((f) => JSON.parse(f.payload));
  assert.equal(connected.type, 'connected');
  assert.deepEqual([goaway.type, goaway.reason], ['goaway', 'draining']);
  assert.equal(frames[2].payload.readUInt16BE(0), 1001);
});

test('two servers on one data directory: the second refuses to start', async () => {
  const server = await Server.start();
  const second = await runCli(['serve', '--data', server.data, '--listen', '127.0.0.1:0']);
  assert.notEqual(second.code, 0);
  assert.notEqual(second.code, null, 'it ended by itself');
  assert.match(second.stderr, /in use|lock|another/i);
  const c = await Client.connect(server.ws);
  await c.publish('a', 1);
  await c.close();
  await server.kill();
});

test('a data directory that cannot be one is refused, and why', async () => {
  const dir = temporaryDir();
  const file = path.join(dir, 'file');
  fs.writeFileSync(file, 'x');
  const link = path.join(dir, 'link');
  fs.symlinkSync('/not/there', link);
  for (const [data, why] of [
    [file, 'no folder'],
    [path.join(file, 'a'), 'something in its path is no folder'],
    [path.join(dir, 'not', 'there'), 'the folder that it is to be made in is not there'],
    [link, 'a symbolic link that leads nowhere'],
  ]) {
    const { code, stderr } = await runCli(['serve', '--data', data, '--listen', '127.0.0.1:0']);
    assert.equal(code, 1, data);
    assert.ok(stderr.includes(`${data}: ${why}`), stderr);
  }
});

test('a data directory without its meta.json is refused, not made anew', async () => {
  const server = await Server.start();
  await server.stop();
  const meta = path.join(server.data, 'meta.json');
  const text = fs.readFileSync(meta);
  fs.rmSync(meta);
  for (const flags of [[], ['--repair']]) {
    const { code, stderr } = await runCli(
      ['serve', '--data', server.data, '--listen', '127.0.0.1:0', ...flags]);
    assert.equal(code, 1);
    assert.match(stderr, /meta\.json is missing, but p000 is there/);
    assert.ok(!fs.existsSync(meta));
  }
  fs.writeFileSync(meta, text);
  await server.restart();
  await server.kill();
});

// [P 10] limit_exceeded
for (const flag of ['--limits-connections', '--limits-connections-per-ip']) {
  test(`${flag}: one connection too many is told so, and the others go on`, async () => {
    const server = await Server.start({ flags: [flag, '3'] });
    const ask = async () => parseResponse((await exchange(server.port,
      'GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).bytes);
    const clients = [await Client.connect(server.ws)]; // who waited for its start may be another
    await assert.rejects(async () => {
      while (clients.length < 4) clients.push(await Client.connect(server.ws));
    }, /503/);
    const answer = await ask();
    assert.deepEqual([answer.status, answer.fields['retry-after']], [503, '5']);
    const { code, retry_after_ms: wait } = JSON.parse(answer.rest);
    assert.deepEqual([code, wait], ['limit_exceeded', 5000]);
    for (const c of clients) await c.publish('a', 1);
    await clients.pop().close();
    await until(async () => (await ask()).status === 200, 'the place to be free');
    for (const c of clients) await c.close();
    await server.kill();
  });
}

test('an address in use is said by name', async () => {
  const server = await Server.start();
  const second = await runCli(['serve', '--data', temporaryDir(), '--listen',
    `127.0.0.1:${server.port}`]);
  assert.notEqual(second.code, 0);
  assert.match(second.stderr, /in use|another program has/i);
  assert.ok(second.stderr.includes(`127.0.0.1:${server.port}`));
  await server.kill();
});

for (const how of ['kill', 'stop']) {
  test(`a restart after ${how} keeps epochs, seqs, bytes and producers`, async () => {
    const server = await Server.start();
    const producer = { id: 'p', epoch: 3 };
    const c = await Client.connect(server.ws, { producer });
    const empty = await c.subscribe('empty');
    for (let n = 1; n <= 100; n += 1) {
      await c.publish(`ch-${n % 7}`, { n }, { key: `k${n}`, producer_seq: Math.ceil(n / 7) });
    }
    const read = async (client) => {
      const all = [];
      for (let i = 0; i < 7; i += 1) all.push((await client.history(`ch-${i}`)).raw);
      return all.map((t) => t.replace(/"id":\d+/, ''));
    };
    const before = await read(c);
    c.terminate();
    await server[how]();
    await server.restart();
    const d = await Client.connect(server.ws, { producer });
    assert.deepEqual(await read(d), before);
    const again = await d.subscribe('empty');
    assert.equal(again.epoch, empty.epoch, 'an empty channel keeps its epoch');
    assert.equal((await d.publish('empty', 1)).epoch, empty.epoch);
    const duplicate = await d.publish('ch-1', { n: 1 }, { producer_seq: 1 });
    assert.equal(duplicate.duplicate, true);
    assert.equal(duplicate.seq, 1);
    const error = await d.expectError('out_of_sequence',
      { type: 'publish', channel: 'ch-1', data: 1, producer_seq: 99 });
    const sub = await d.subscribe('ch-1', 'earliest');
    assert.equal(error.expected, sub.reply.latest + 1);
    const next = await d.publish('ch-1', 'next', { producer_seq: error.expected });
    assert.equal(next.seq, error.expected);
    await d.close();
    await server.kill();
  });
}

test('a subscriber resumes after a kill where it stood', async () => {
  const server = await Server.start();
  const c = await Client.connect(server.ws);
  const sub = await c.subscribe('a');
  for (let n = 1; n <= 50; n += 1) await c.publish('a', n);
  const before = await c.take(sub, 50);
  await server.kill();
  await server.restart();
  const d = await Client.connect(server.ws);
  for (let n = 51; n <= 60; n += 1) await d.publish('a', n);
  const resumed = await d.subscribe('a', { epoch: sub.epoch, seq: before.at(-1).seq + 1 });
  assert.equal(resumed.reply.reset, undefined);
  const after = await d.take(resumed, 10);
  assert.deepEqual(after.map((m) => m.data), [51, 52, 53, 54, 55, 56, 57, 58, 59, 60]);
  await d.close();
  await server.kill();
});

test('one kill after the other keeps what was acknowledged', async () => {
  const server = await Server.start({ flags: ['--segment-bytes', '16KiB'] });
  const acked = [];
  for (let round = 0; round < 5; round += 1) {
    const c = await Client.connect(server.ws);
    for (let n = 0; n < 40; n += 1) acked.push(await c.publish('a', `${round} ${n}`));
    await server.kill();
    await server.restart();
  }
  const c = await Client.connect(server.ws);
  const { messages, epoch } = await c.history('a', { limit: 1000 });
  assert.equal(messages.length, 200);
  for (const [i, m] of messages.entries()) {
    assert.equal(m.seq, acked[i].seq);
    assert.equal(m.message_id, acked[i].message_id);
    assert.equal(epoch, acked[i].epoch);
  }
  await c.close();
  await server.kill();
});

test('the data directory is for its owner only', async () => {
  const data = `${temporaryDir()}/made/by/server`;
  fs.mkdirSync(`${data}/..`, { recursive: true });
  const server = await Server.start({ data });
  const c = await Client.connect(server.ws);
  await c.publish('a', 'secret');
  await c.close();
  await server.kill();
  const open = [];
  for (const entry of fs.readdirSync(data, { recursive: true })) {
    const stat = fs.statSync(`${data}/${entry}`);
    if ((stat.mode & 0o077) !== 0 && stat.isFile()) open.push(entry);
  }
  assert.deepEqual(open, []);
});

test('a server that is told to drain while idle ends at once', async () => {
  const server = await Server.start();
  const result = await server.stop();
  assert.equal(result.code, 0);
  assert.ok(result.ms < 3000, `${result.ms} ms`);
});

test('a drain says goodbye with a close frame', async () => {
  const server = await Server.start();
  const talking = exchange(server.port,
    [upgradeHead(server.port), frame(1, '{"type":"connect","id":1}')], { ms: 15_000 });
  await sleep(200);
  await server.stop();
  const frames = parseFrames(parseResponse((await talking).bytes).rest);
  const kinds = frames.map((f) => f.opcode);
  assert.equal(kinds.at(-1), 8, `${kinds}`);
  assert.match(frames.at(-2).payload.toString(), /"goaway"/);
});
