// What clients that are slow, hasty or many cost the server and one another: bounded memory (I11),
// progress for those who behave (I12).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from './lib/client.mjs';
import { frame, upgradeHead } from './lib/raw.mjs';
import { Server } from './lib/server.mjs';

const MIB = 1024 * 1024;

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
  const server = await Server.start({ flags: ['--ping-interval', '500ms', '--pong-timeout', '2s'] });
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
