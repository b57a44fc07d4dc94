// The wall clock is set while the server runs: neither deadlines nor the order of anything may
// depend on it (P25, P26).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from './lib/client.mjs';
import { frame, parseFrames, upgradeHead } from './lib/raw.mjs';
import { binary, Server, temporaryDir } from './lib/server.mjs';

const HOUR_MS = 3_600_000;

/** A server with a clock that can be set: [server, set(ms)]. */
async function clockServer(flags = []) {
  const file = path.join(temporaryDir('clock-'), 'shift');
  const set = (ms) => {
    fs.writeFileSync(`${file}.new`, String(ms));
    fs.renameSync(`${file}.new`, file);
  };
  set(0);
  const env = {
    LD_PRELOAD: path.join(path.dirname(path.resolve(binary)), 'test', 'clock_preload.so'),
    FAULT_CLOCK: file,
    // A sanitizer's library wants to be the first; behind ours it works as well.
    ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`,
  };
  return [await Server.start({ flags, env }), set];
}

/** A bare socket that has upgraded and says nothing; its bytes gather in `seen`. */
async function silentClient(server) {
  const socket = net.connect(server.port, '127.0.0.1');
  const client = { socket, seen: Buffer.alloc(0), ended: false };
  await once(socket, 'connect');
  socket.write(upgradeHead(server.port));
  await once(socket, 'data');
  socket.unref(); // a test that fails must not wait for it
  socket.on('data', (piece) => (client.seen = Buffer.concat([client.seen, piece])));
  socket.on('end', () => (client.ended = true));
  socket.on('error', () => (client.ended = true));
  return client;
}

test('a clock set forwards by an hour lets no deadline pass', async () => {
  const [server, set] = await clockServer();
  const silent = await silentClient(server);
  const c = await Client.connect(server.ws);
  const before = await c.publish('a', 1);
  set(HOUR_MS);
  await sleep(1500);
  assert.equal(silent.ended, false, 'the connect deadline has passed');
  silent.socket.write(frame(1, '{"type":"connect","id":1}'));
  while (silent.seen.length === 0 && !silent.ended) await sleep(10);
  assert.match(silent.seen.toString('latin1'), /"type":"connected"/);
  const after = await c.publish('a', 2);
  assert.ok(BigInt(after.message_id) > BigInt(before.message_id));
  const [first, second] = (await c.history('a', { from: 1 })).messages;
  assert.ok(second.time - first.time > HOUR_MS / 2, 'the clock was not set');
  silent.socket.destroy();
  await c.close();
  await server.stop();
});

test('a clock set back by an hour holds no deadline up, and no time or id goes back', async () => {
  const [server, set] = await clockServer(['--connect-timeout', '1s']);
  const c = await Client.connect(server.ws);
  const before = await c.publish('a', 1);
  set(-HOUR_MS);
  await sleep(200);
  const silent = await silentClient(server);
  const began = Date.now();
  while (!silent.ended && Date.now() - began < 10_000) await sleep(20);
  assert.ok(silent.ended, 'who never says connect stays for ever');
  const close = parseFrames(silent.seen).find(({ opcode }) => opcode === 8);
  assert.equal(close.payload.readUInt16BE(0), 4401);
  const after = await c.publish('a', 2);
  assert.ok(BigInt(after.message_id) > BigInt(before.message_id));
  const [first, second] = (await c.history('a', { from: 1 })).messages;
  assert.equal(second.time, first.time);
  silent.socket.destroy();
  await c.close();
  await server.stop();
});
