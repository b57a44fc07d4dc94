// RFC 6455 from outside, against ws-echo: the frames of src/wire over the sockets of src/io, with
// nothing of our protocol above them. A WebSocket client that is not ours where one can do it, a
// bare socket where no well-behaved client would.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import crypto from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { WebSocket } from 'ws';

import { exchange, frame, parseFrames, parseResponse, upgradeHead } from './lib/raw.mjs';
import { binary } from './lib/server.mjs';

const program = process.env.WS_ECHO_BIN ?? path.join(path.dirname(binary), 'ws-echo');
const MESSAGE_BYTES = 16 * 1024 * 1024;

let child;
let port;
before(async () => {
  child = spawn(program, ['--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  port = Number(/^listening on 127\.0\.0\.1:(\d+)\n$/.exec(line.toString())[1]);
});
after(() => child?.kill('SIGKILL'));

async function connect(options = {}) {
  const ws = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false, ...options });
  await once(ws, 'open');
  return ws;
}

/** One message there and back: {data, binary}. */
async function echo(ws, data, options = {}) {
  ws.send(data, options);
  const [got, isBinary] = await once(ws, 'message');
  return { data: got, binary: isBinary };
}

async function close(ws, ...args) {
  ws.close(...args);
  const [code, reason] = await once(ws, 'close');
  return { code, reason: reason.toString() };
}

/** Sends the pieces after an upgrade; what came back until the end: {frames, code, ended}. */
async function raw(pieces, options = {}) {
  const sent = [upgradeHead(port, { path: '/' }), ...pieces];
  const { bytes, ended } = await exchange(port, sent, options);
  const { status, rest } = parseResponse(bytes);
  assert.equal(status, 101);
  const frames = parseFrames(rest);
  const closing = frames.find((f) => f.opcode === 8);
  const code = closing?.payload.length >= 2 ? closing.payload.readUInt16BE(0) : undefined;
  return { frames, closing, code, ended };
}

// ---- messages -----------------------------------------------------------------------------------

test('text and binary come back as what they were, at every size of length', async () => {
  const ws = await connect();
  for (const size of [0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20]) {
    const bytes = crypto.randomBytes(size);
    const asBinary = await echo(ws, bytes);
    assert.ok(asBinary.binary && asBinary.data.equals(bytes), `binary of ${size}`);
    const text = 'é'.repeat(size / 2) + 'x'.repeat(size % 2);
    const asText = await echo(ws, text);
    assert.ok(!asText.binary && asText.data.toString() === text, `text of ${size}`);
  }
  await close(ws);
});

test('16 MiB come back, in one frame and in two', async () => {
  const ws = await connect();
  const bytes = crypto.randomBytes(MESSAGE_BYTES);
  assert.ok((await echo(ws, bytes)).data.equals(bytes));
  ws.send(bytes.subarray(0, 5), { fin: false });
  assert.ok((await echo(ws, bytes.subarray(5))).data.equals(bytes));
  await close(ws);
});

test('a byte more than 16 MiB is refused by its declared length', async () => {
  const { code, ended } = await raw([frame(2, 'x', { declared: MESSAGE_BYTES + 1 })]);
  assert.equal(code, 1009);
  assert.ok(ended);
});

test('65,536 fragments make one message', async () => {
  const ws = await connect();
  const bytes = crypto.randomBytes(4 * 1024 * 1024);
  for (let at = 0; at < bytes.length; at += 64) {
    ws.send(bytes.subarray(at, at + 64), { fin: at + 64 === bytes.length });
  }
  const [got] = await once(ws, 'message');
  assert.ok(got.equals(bytes));
  await close(ws);
});

test('pings between fragments are answered before the message', async () => {
  const pieces = [];
  for (let i = 0; i < 8; i += 1) {
    pieces.push(frame(i === 0 ? 1 : 0, `part ${i} `, { fin: false }), frame(9, `ping ${i}`));
  }
  pieces.push(frame(0, 'end'), frame(8, Buffer.from([3, 232])));
  const { frames } = await raw([Buffer.concat(pieces)]);
  assert.deepEqual(frames.map((f) => f.opcode), [10, 10, 10, 10, 10, 10, 10, 10, 1, 8]);
  assert.deepEqual(frames.slice(0, 8).map((f) => f.payload.toString()),
    Array.from({ length: 8 }, (_, i) => `ping ${i}`));
  assert.equal(frames[8].payload.toString(),
    `${Array.from({ length: 8 }, (_, i) => `part ${i} `).join('')}end`);
});

test('bytes may be cut anywhere', async () => {
  const text = 'größer als ein Byte: ∀x∈ℝ, 🎉';
  const bytes = Buffer.concat([frame(9, 'p'), frame(1, text), frame(8, Buffer.from([3, 232]))]);
  const socket = net.connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  const chunks = [];
  socket.on('data', (d) => chunks.push(d));
  for (const byte of Buffer.concat([Buffer.from(upgradeHead(port, { path: '/' })), bytes])) {
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await once(socket, 'end');
  socket.destroy();
  const frames = parseFrames(parseResponse(Buffer.concat(chunks)).rest);
  assert.deepEqual(frames.map((f) => f.opcode), [10, 1, 8]);
  assert.equal(frames[1].payload.toString(), text);
});

test('subprotocols and compression may be offered; none is named', async () => {
  const { bytes } = await exchange(port, upgradeHead(port, {
    path: '/',
    fields: { 'Sec-WebSocket-Protocol': 'mqtt, wamp', 'Sec-WebSocket-Extensions':
      'permessage-deflate', Origin: 'http://elsewhere.example' },
  }), { until: (b) => b.includes('\r\n\r\n') });
  const { status, fields } = parseResponse(bytes);
  assert.equal(status, 101);
  assert.equal(fields['sec-websocket-protocol'], undefined);
  assert.equal(fields['sec-websocket-extensions'], undefined);
});

// ---- text that is none --------------------------------------------------------------------------

const notText = [
  ['a byte that begins nothing', [0xff]],
  ['a continuation byte at the start', [0x80]],
  ['an overlong slash', [0xc0, 0xaf]],
  ['a surrogate', [0xed, 0xa0, 0x80]],
  ['a character beyond U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
];
for (const [what, bytes] of notText) {
  test(`${what} fails inside the frame, before its end`, async () => {
    const start = Buffer.from([...Buffer.from('good so far '), ...bytes]);
    const { code, ended, frames } = await raw([frame(1, start, { declared: 100_000 })]);
    assert.equal(code, 1007);
    assert.ok(ended);
    assert.equal(frames.length, 1);
  });
}

test('a character may be cut by a fragment, but not by the end of the message', async () => {
  const [a, b] = [Buffer.from('a€').subarray(0, 3), Buffer.from('€').subarray(2)];
  const whole = await raw([frame(1, a, { fin: false }), frame(0, b), frame(8)]);
  assert.equal(whole.frames[0].payload.toString(), 'a€');
  const cut = await raw([frame(1, a)]);
  assert.equal(cut.code, 1007);
});

// ---- closing ------------------------------------------------------------------------------------

const closeFrame = (code, reason = '') => {
  const body = Buffer.alloc(2 + Buffer.byteLength(reason));
  body.writeUInt16BE(code);
  body.write(reason, 2);
  return frame(8, body);
};

for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000,
  3999, 4000, 4999]) {
  test(`a close with ${code} is answered with ${code}`, async () => {
    const { frames, code: got, ended } = await raw([closeFrame(code, 'bye')]);
    assert.equal(frames.length, 1);
    assert.equal(got, code);
    assert.ok(ended, 'the server ends the connection');
  });
}

for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]) {
  test(`a close with ${code}, which may not be sent, is a protocol error`, async () => {
    const { code: got, ended } = await raw([closeFrame(code)]);
    assert.equal(got, 1002);
    assert.ok(ended);
  });
}

test('a close without a code is answered with one without a code', async () => {
  const { closing, ended } = await raw([frame(8)]);
  assert.equal(closing.payload.length, 0);
  assert.ok(ended);
});

test('a close with one byte, or with a reason that is not UTF-8, is refused', async () => {
  assert.equal((await raw([frame(8, Buffer.from([3]))])).code, 1002);
  assert.equal((await raw([frame(8, Buffer.from([3, 232, 0xff]))])).code, 1007);
});

test('nothing is answered after a close', async () => {
  const { frames } = await raw([
    Buffer.concat([frame(1, 'a'), closeFrame(1000), frame(1, 'b'), frame(9, 'c')])]);
  assert.deepEqual(frames.map((f) => f.opcode), [1, 8]);
});

test('a client that closes sees its own code', async () => {
  const ws = await connect();
  assert.deepEqual(await close(ws, 4321, 'done'), { code: 4321, reason: '' });
});

// ---- peers that do not read ---------------------------------------------------------------------

/** AddressSanitizer keeps freed memory aside; a build with it may use that much more. */
const aside = () =>
  (fs.readFileSync(`/proc/${child.pid}/maps`, 'utf8').includes('libasan') ? 512 * 1024 * 1024 : 0);

function peakBytes() {
  const status = fs.readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)[1]) * 1024;
}

/** Upgrades a socket that is not read until the caller says so. */
async function silent() {
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.pause();
  socket.write(upgradeHead(port, { path: '/' }));
  return socket;
}

async function readToEnd(socket) {
  const chunks = [];
  socket.on('data', (d) => chunks.push(d));
  socket.resume();
  await once(socket, 'end');
  socket.destroy();
  return parseFrames(parseResponse(Buffer.concat(chunks)).rest);
}

test('a peer that does not read is not read either, and loses nothing', async () => {
  const socket = await silent();
  const messages = 160;
  const one = frame(2, crypto.randomBytes(1 << 20));
  for (let i = 0; i < messages; i += 1) socket.write(one);
  socket.write(closeFrame(1000));
  let left = -1;
  while (left !== socket.writableLength) {
    left = socket.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.ok(left > 0, 'the server has stopped reading');
  const frames = await readToEnd(socket);
  assert.equal(frames.length, messages + 1);
  assert.ok(frames.slice(0, -1).every((f) => f.opcode === 2 && f.payload.length === 1 << 20));
  assert.ok(peakBytes() < 256 * 1024 * 1024 + aside(), `${peakBytes()} bytes`);
});

test('of pings whose answers nobody reads the last one is answered', async () => {
  const socket = await silent();
  const count = 200_000;
  const peak = peakBytes();
  for (let i = 1; i <= count; i += 1000) {
    const many = Array.from({ length: 1000 }, (_, j) => frame(9, String(i + j).padStart(120, '.')));
    if (!socket.write(Buffer.concat(many))) await once(socket, 'drain');
  }
  assert.ok(peakBytes() - peak < 8 * 1024 * 1024 + aside(), `${peakBytes()} bytes`);
  const chunks = [];
  const last = String(count).padStart(120, '.');
  let tail = Buffer.alloc(0);
  socket.on('data', (d) => {
    chunks.push(d);
    tail = Buffer.concat([tail, d]).subarray(-200); // it may come in two pieces
    if (tail.includes(last)) socket.write(closeFrame(1000));
  });
  socket.resume();
  await once(socket, 'end');
  socket.destroy();
  const frames = parseFrames(parseResponse(Buffer.concat(chunks)).rest);
  const pongs = frames.filter((f) => f.opcode === 10)
    .map((f) => Number(f.payload.toString().replace(/^\.*/, '')));
  assert.equal(pongs.at(-1), count);
  assert.ok(pongs.length < count, `${pongs.length} pongs`);
  assert.ok(pongs.every((n, i) => i === 0 || n > pongs[i - 1]), 'in order, none twice');
});
