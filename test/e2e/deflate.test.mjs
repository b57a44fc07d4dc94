// permessage-deflate (RFC 7692) from outside: npm ws at the other end, which shares nothing with
// our side but zlib; and bare sockets for what no well-behaved client would send.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import crypto from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import zlib from 'node:zlib';

import { WebSocket } from 'ws';

import { Client } from './lib/client.mjs';
import { exchange, frame, parseFrames, parseResponse, upgradeHead } from './lib/raw.mjs';
import { binary, Server } from './lib/server.mjs';

const MIB = 1024 * 1024;
const sanitized = /asan|tsan/.test(binary.split('/').at(-2) ?? '');
const program = process.env.WS_ECHO_BIN ?? path.join(path.dirname(binary), 'ws-echo');
const OFFER = 'permessage-deflate; client_max_window_bits';

let echoPort;
let child;
before(async () => {
  child = spawn(program, ['--port', '0', '--deflate'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  echoPort = Number(/^listening on 127\.0\.0\.1:(\d+)\n$/.exec(line.toString())[1]);
});
after(() => child?.kill('SIGKILL'));

/** What the payload of a whole compressed message is, by Node's zlib, without a context. */
function deflate(data) {
  return zlib.deflateRawSync(data, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
}

/** The answer to an offer, on a path of a port. */
async function answerTo(port, offer, wsPath = '/v1/ws') {
  const head = upgradeHead(port, {
    path: wsPath, fields: offer === null ? {} : { 'Sec-WebSocket-Extensions': offer } });
  const { bytes } = await exchange(port, head, { until: (b) => b.includes('\r\n\r\n') });
  const { status, fields } = parseResponse(bytes);
  assert.equal(status, 101);
  return fields['sec-websocket-extensions'] ?? '';
}

/** A client of npm ws that compresses whatever it sends. */
function compressing(server, options = {}) {
  return Client.connect(server.ws, { perMessageDeflate: { threshold: 0, ...options } });
}

/** Bytes that have come over a client's socket. */
function bytesRead(client) {
  return client.ws._socket.bytesRead;
}

function quote(i) {
  return { type: 'quote', symbol: `SYM${i % 7}`, price: 100 + (i % 13) / 4, volume: i * 10,
    exchange: 'XETR', currency: 'EUR', note: `trade number ${i}` };
}

// ---- the frames alone ---------------------------------------------------------------------------

test('every window and context that ws can ask for comes back as it was', async () => {
  for (const serverMaxWindowBits of [8, 9, 10, 12, 15]) {
    for (const takeover of [true, false]) {
      const ws = new WebSocket(`ws://127.0.0.1:${echoPort}`, {
        perMessageDeflate: {
          threshold: 0, serverMaxWindowBits, clientMaxWindowBits: 9,
          serverNoContextTakeover: !takeover, clientNoContextTakeover: !takeover,
        },
      });
      await once(ws, 'open');
      assert.match(ws.extensions, /permessage-deflate/);
      for (let i = 0; i < 40; i += 1) {
        // Sizes at random; what is like what was before, far back, and what is like nothing.
        const size = crypto.randomInt(1, i % 8 === 0 ? 200_000 : 2000);
        const noise = crypto.randomBytes(Math.ceil(size / 3)).toString('base64');
        const text = i % 3 === 0 ? noise : JSON.stringify(quote(i)).repeat(size / 100 + 1);
        ws.send(text);
        const [got, isBinary] = await once(ws, 'message');
        assert.ok(!isBinary && got.toString() === text, `${serverMaxWindowBits} ${takeover} ${i}`);
      }
      ws.close();
      await once(ws, 'close');
    }
  }
});

test('an offer is answered, and one that is malformed or out of range declined', async () => {
  const answers = new Map([
    [OFFER, 'permessage-deflate'],
    ['permessage-deflate; server_max_window_bits=8',
      'permessage-deflate; server_max_window_bits=8'],
    ['permessage-deflate; client_max_window_bits=10',
      'permessage-deflate; client_max_window_bits=10'],
    ['permessage-deflate; x, permessage-deflate; server_no_context_takeover',
      'permessage-deflate; server_no_context_takeover'],
    ['permessage-deflate; server_max_window_bits=7', ''],
    ['permessage-deflate; server_max_window_bits=09', ''],
    ['permessage-deflate; server_no_context_takeover=1', ''],
    ['x-webkit-deflate-frame', ''],
  ]);
  for (const [offer, answer] of answers) assert.equal(await answerTo(echoPort, offer, '/'), answer);
});

// ---- the server ---------------------------------------------------------------------------------

test('nothing is agreed on by default, and a compressed frame is refused', async () => {
  const server = await Server.start();
  assert.equal(await answerTo(server.port, OFFER), '');
  const head = upgradeHead(server.port, { fields: { 'Sec-WebSocket-Extensions': OFFER } });
  const { bytes } = await exchange(server.port, [head, frame(0x41, deflate('{"type":"ping"}'))]);
  const [closing] = parseFrames(parseResponse(bytes).rest).filter((f) => f.opcode === 8);
  assert.equal(closing.payload.readUInt16BE(0), 1002);
  await server.stop();
});

for (const mode of ['context', 'shared']) {
  test(`${mode}: publishers and subscribers with and without it see the same`, async () => {
    const server = await Server.start({
      flags: ['--deflate-mode', mode, '--deflate-min-bytes', '100', '--feed-bytes', '64KiB'] });
    const publisher = await compressing(server, { clientMaxWindowBits: true });
    assert.match(publisher.ws.extensions, /permessage-deflate/);
    const live = await compressing(server);
    const plain = await Client.connect(server.ws);
    assert.equal(plain.ws.extensions, '');
    const liveSub = await live.subscribe('quotes', 'latest');
    const plainSub = await plain.subscribe('quotes', 'latest');
    const before = [bytesRead(live), bytesRead(plain)];
    for (let i = 0; i < 1000; i += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, j) => {
        const big = j % 10 === 0 ? { list: Array.from({ length: 40 }, (__, k) => quote(k)) } : {};
        return publisher.publish('quotes', { ...quote(i + j), ...big });
      }));
    }
    const got = await live.take(liveSub, 1000);
    assert.deepEqual(got, await plain.take(plainSub, 1000));
    const cost = [bytesRead(live) - before[0], bytesRead(plain) - before[1]];
    assert.ok(cost[0] * (mode === 'context' ? 4 : 2) < cost[1], `${cost[0]} of ${cost[1]} bytes`);

    // From the log, on a fresh connection; the small window, no context, and a history.
    const late = await compressing(server, {
      serverNoContextTakeover: true, serverMaxWindowBits: mode === 'context' ? 8 : 15 });
    assert.match(late.ws.extensions, /permessage-deflate/);
    const lateSub = await late.subscribe('quotes', 'earliest');
    const again = await late.take(lateSub, 1000);
    assert.deepEqual(again.map((m) => [m.seq, m.data]), got.map((m) => [m.seq, m.data]));
    const history = await late.history('quotes', { limit: 1000 });
    assert.deepEqual(history.messages.map((m) => m.seq),
      history.messages.map((_, i) => history.messages[0].seq + i));
    for (const client of [publisher, live, plain, late]) await client.close();
    await server.stop();
  });
}

test('a client that cannot do with a small window is agreed with as well', async () => {
  const server = await Server.start({ flags: ['--deflate-mode', 'context'] });
  assert.equal(await answerTo(server.port, 'permessage-deflate'),
    'permessage-deflate; client_no_context_takeover; server_max_window_bits=9');
  assert.equal(await answerTo(server.port, OFFER),
    'permessage-deflate; server_max_window_bits=9; client_max_window_bits=9');
  await server.stop();
});

test('a window that is not ours is declined where all share what is compressed', async () => {
  const server = await Server.start({
    flags: ['--deflate-mode', 'shared', '--deflate-window-bits', '12'] });
  assert.equal(await answerTo(server.port, 'permessage-deflate; server_max_window_bits=11'), '');
  assert.equal(
    await answerTo(server.port, 'permessage-deflate; server_max_window_bits=11, ' + OFFER),
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover; ' +
    'server_max_window_bits=12');
  await server.stop();
});

test('over the bound on memory connections are served without it', async () => {
  const server = await Server.start({
    flags: ['--deflate-mode', 'context', '--limits-deflate-bytes', '40KiB', '--threads', '1'] });
  const clients = [];
  for (let i = 0; i < 6; i += 1) clients.push(await compressing(server));
  const agreed = clients.filter((c) => c.ws.extensions !== '');
  assert.ok(agreed.length >= 1 && agreed.length <= 3, `${agreed.length}`);
  for (const client of clients) await client.publish('c', quote(1));
  // Who leaves makes room.
  await agreed[0].close();
  await sleep(200);
  const next = await compressing(server);
  assert.match(next.ws.extensions, /permessage-deflate/);
  for (const client of [next, ...clients.filter((c) => c !== agreed[0])]) await client.close();
  await server.stop();
});

test('bombs are closed with 1009 before connect and after, and cost no memory',
  { skip: sanitized }, async () => {
    const server = await Server.start({
      flags: ['--deflate-mode', 'context', '--limits-frame-bytes', '1MiB'] });
    const bomb = deflate(Buffer.alloc(512 * MIB)); // half a megabyte on the wire
    assert.ok(bomb.length * 1000 < 512 * MIB);
    const head = upgradeHead(server.port, { fields: { 'Sec-WebSocket-Extensions': OFFER } });
    const connect = frame(1, '{"type":"connect","id":1}');
    const codeOf = async (pieces) => {
      const { bytes } = await exchange(server.port, [head, ...pieces]);
      const closing = parseFrames(parseResponse(bytes).rest).find((f) => f.opcode === 8);
      return closing?.payload.readUInt16BE(0);
    };
    const small = deflate(Buffer.alloc(16 * MIB)); // fits what a stranger may send
    assert.ok(small.length <= 16 * 1024);
    const before = server.rssBytes();
    for (let i = 0; i < 10; i += 1) {
      assert.equal(await codeOf([frame(0x41, small)]), 1009);
      assert.equal(await codeOf([connect, frame(0x41, bomb)]), 1009);
      // In fragments, and of the declared length alone.
      const half = bomb.length >> 1;
      assert.equal(await codeOf([connect, frame(0x41, bomb.subarray(0, half), { fin: false }),
        frame(0, bomb.subarray(half))]), 1009);
    }
    const grown = server.rssBytes() - before;
    assert.ok(grown < 12 * MIB, `${grown} bytes more`);
    await server.stop();
  });

test('who does not read costs no more with a context than without', { skip: sanitized },
  async () => {
    const server = await Server.start({ flags: ['--deflate-mode', 'context'] });
    const publisher = await Client.connect(server.ws);
    const noise = crypto.randomBytes(100 * 1024).toString('base64');
    for (let i = 0; i < 200; i += 1) await publisher.publish('c', noise);
    const before = server.rssBytes();
    const sockets = [];
    for (let i = 0; i < 20; i += 1) {
      const socket = net.connect(server.port, '127.0.0.1');
      await once(socket, 'connect');
      socket.write(upgradeHead(server.port, { fields: { 'Sec-WebSocket-Extensions': OFFER } }));
      await once(socket, 'data');
      socket.pause();
      socket.write(frame(1, '{"type":"connect","id":1}'));
      socket.write(frame(1, '{"type":"subscribe","id":2,"channel":"c","from":"earliest"}'));
      sockets.push(socket);
    }
    await sleep(2000);
    const each = (server.rssBytes() - before) / sockets.length;
    assert.ok(each < 512 * 1024, `${each} bytes a connection`);
    for (const socket of sockets) socket.destroy();
    await publisher.close();
    await server.stop();
  });
