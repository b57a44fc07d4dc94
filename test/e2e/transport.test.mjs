// [P 1] transport, RFC 6455 as seen from outside, Origin, keep-alive.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';

import { Client } from './lib/client.mjs';
import { acceptOf, exchange, frame, parseResponse, upgradeHead, wsExchange } from './lib/raw.mjs';
import { Server } from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start({ flags: ['--allowed-origins', 'https://app.example'] });
});
after(async () => {
  await server?.stop();
});

const headEnd = (b) => b.includes('\r\n\r\n');

async function upgrade(options) {
  const answer = await exchange(server.port, upgradeHead(server.port, options), { until: headEnd });
  return parseResponse(answer.bytes);
}

// ---- subprotocols -------------------------------------------------------------------------------

test('a client that offers no subprotocol speaks JSON', async () => {
  const c = await Client.connect(server.ws, { protocols: [] });
  assert.equal(c.ws.protocol, '');
  await c.barrier();
  await c.close();
});

test('seriatim.v1.json is named in the answer', async () => {
  const c = await Client.connect(server.ws, { protocols: ['seriatim.v1.json'] });
  assert.equal(c.ws.protocol, 'seriatim.v1.json');
  await c.close();
});

test('the known subprotocol is found among others', async () => {
  const c = await Client.connect(server.ws, { protocols: ['mqtt', 'seriatim.v1.json', 'wamp'] });
  assert.equal(c.ws.protocol, 'seriatim.v1.json');
  await c.close();
});

test('only unknown subprotocols get 400', async () => {
  const { status } = await upgrade({ fields: { 'Sec-WebSocket-Protocol': 'mqtt, wamp' } });
  assert.equal(status, 400);
});

test('a client that offers compression is served without it', async () => {
  const c = await Client.connect(server.ws, { perMessageDeflate: true });
  assert.equal(c.ws.extensions, '');
  await c.barrier();
  await c.close();
});

// ---- handshake ----------------------------------------------------------------------------------

test('the accept key is the one of RFC 6455', async () => {
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  const { status, fields } = await upgrade({ fields: { 'Sec-WebSocket-Key': key } });
  assert.equal(status, 101);
  assert.equal(fields['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  assert.equal(acceptOf(key), fields['sec-websocket-accept']);
});

const refused = [
  ['version 12', { fields: { 'Sec-WebSocket-Version': '12' } }, 426],
  ['no version', { fields: { 'Sec-WebSocket-Version': null } }, [400, 426]],
  ['no key', { fields: { 'Sec-WebSocket-Key': null } }, 400],
  ['a short key', { fields: { 'Sec-WebSocket-Key': 'YQ==' } }, 400],
  ['no Host', { fields: { Host: null } }, 400],
  ['a POST', { method: 'POST' }, [400, 405]],
  ['HTTP/1.0', { version: 'HTTP/1.0' }, [400, 426, 505]],
  ['a body', { fields: { 'Content-Length': '5' } }, 400],
  ['an unknown path', { path: '/v2/ws' }, 404],
];
for (const [what, options, expected] of refused) {
  test(`an upgrade with ${what} is refused`, async () => {
    const { status, fields } = await upgrade(options);
    assert.ok([expected].flat().includes(status), `status ${status}`);
    if (status === 426) assert.equal(fields['sec-websocket-version'], '13');
  });
}

test('a plain GET of the WebSocket path is no upgrade', async () => {
  const answer = await fetch(`${server.http}/v1/ws`);
  assert.ok([400, 426].includes(answer.status), `status ${answer.status}`);
});

// ---- Origin -------------------------------------------------------------------------------------

test('the own host, a listed origin and no origin may connect', async () => {
  for (const origin of [`http://127.0.0.1:${server.port}`, 'https://app.example', null]) {
    const { status } = await upgrade({ fields: { Origin: origin } });
    assert.equal(status, 101, `${origin}`);
  }
});

for (const origin of ['https://evil.example', 'null', 'https://app.example.evil.example',
  'https://app.example:444', 'http://app.example', 'https://evil-app.example',
  'http://127.0.0.1:1']) {
  test(`the origin ${origin} is refused with 403`, async () => {
    const { status } = await upgrade({ fields: { Origin: origin } });
    assert.equal(status, 403);
  });
}

// ---- frames -------------------------------------------------------------------------------------

const text = (s) => frame(1, s);
const violations = [
  ['an unmasked frame', [frame(1, '{}', { mask: false })]],
  ['a reserved bit', [frame(1, '{}', { rsv: 4 })]],
  ['opcode 3', [frame(3, '')]],
  ['opcode 11', [frame(11, '')]],
  ['a long control frame', [frame(9, 'x'.repeat(126))]],
  ['a fragmented ping', [frame(9, 'x', { fin: false })]],
  ['a continuation of nothing', [frame(0, 'x')]],
  ['a new message inside one', [frame(1, 'a', { fin: false }), frame(1, 'b')]],
  ['a length in too many bytes', [frame(1, '{}', { lengthBytes: 2 })]],
  ['a close of one byte', [frame(8, 'x')]],
  ['a close with code 1005', [frame(8, Buffer.from([0x03, 0xed]))]],
];
for (const [what, pieces] of violations) {
  test(`${what} closes with 1002`, async () => {
    const { status, code, frames } = await wsExchange(server.port, pieces);
    assert.equal(status, 101);
    assert.equal(code, 1002);
    assert.ok(frames.every((f) => !f.masked), 'a server never masks');
  });
}

for (const [what, bytes] of [
  ['an overlong form', [0xc0, 0xaf]], ['a surrogate', [0xed, 0xa0, 0x80]],
  ['a cut sequence', [0xe2, 0x82]], ['a code above U+10FFFF', [0xf4, 0x90, 0x80, 0x80]]]) {
  test(`text with ${what} closes with 1007`, async () => {
    const { code } = await wsExchange(server.port, [frame(1, Buffer.from(bytes))]);
    assert.equal(code, 1007);
  });
}

test('a declared length over the limit closes with 1009 before its bytes come', async () => {
  const { code } = await wsExchange(server.port, [
    frame(1, '', { declared: 2 ** 40, lengthBytes: 8 })]);
  assert.equal(code, 1009);
});

test('an oversized frame after connect closes with 1009', async () => {
  const { code } = await wsExchange(server.port, [
    text('{"type":"connect","id":1}'),
    frame(1, '', { declared: 4 * 1048576 + 1, lengthBytes: 8 })]);
  assert.equal(code, 1009);
});

test('before connect a message may have 16 KiB, and no more', async () => {
  const connect = (size) => {
    const start = '{"type":"connect","id":1,"token":"';
    return text(`${start}${'x'.repeat(size - start.length - 2)}"}`);
  };
  const good = await wsExchange(server.port, [connect(16384)],
    { until: (bytes) => bytes.includes('"connected"') });
  assert.ok(good.frames.some((f) => f.payload.toString().includes('"connected"')));
  for (const pieces of [[connect(16385)], [frame(1, '', { declared: 16385, lengthBytes: 2 })]]) {
    const { code, frames } = await wsExchange(server.port, pieces);
    assert.equal(code, 1009);
    assert.ok(!frames.some((f) => f.payload.toString().includes('"connected"')));
  }
});

test('a message in many fragments with a ping between is one message', async () => {
  const { frames } = await wsExchange(server.port, [
    frame(1, '{"type":"con', { fin: false }), frame(9, 'are you there'),
    frame(0, 'nect",', { fin: false }), frame(0, '', { fin: false }), frame(0, '"id":1}')],
  { until: (bytes) => bytes.includes('"connected"') && bytes.includes('are you there') });
  const pong = frames.find((f) => f.opcode === 10);
  assert.equal(pong?.payload.toString(), 'are you there');
  const reply = JSON.parse(frames.find((f) => f.opcode === 1).payload.toString());
  assert.equal(reply.type, 'connected');
});

test('one byte at a time works', async () => {
  const whole = Buffer.concat([
    Buffer.from(upgradeHead(server.port)), text('{"type":"connect","id":1}'),
    frame(8, Buffer.from([0x03, 0xe8]))]);
  const pieces = Array.from(whole, (b) => Buffer.from([b]));
  const answer = await exchange(server.port, pieces);
  const response = parseResponse(answer.bytes);
  assert.equal(response.status, 101);
  assert.ok(response.rest.includes('"connected"'));
});

test('a close is answered with its code, and the server ends the connection', async () => {
  const { code, ended } = await wsExchange(server.port, [frame(8, Buffer.from([0x0f, 0xa0]))]);
  assert.equal(code, 4000);
  assert.ok(ended);
});

test('a close by the client is a clean one', async () => {
  const c = await Client.connect(server.ws);
  const closed = await c.close();
  assert.equal(closed.code, 1000);
});

// ---- keep-alive ---------------------------------------------------------------------------------

test('a silent connection gets pings, and who answers stays', async () => {
  const quick = await Server.start({
    flags: ['--ping-interval', '200ms', '--pong-timeout', '800ms'] });
  try {
    const c = await Client.connect(quick.ws);
    assert.equal(c.connected.ping_ms, 200);
    let pings = 0;
    c.ws.on('ping', () => (pings += 1));
    await new Promise((resolve) => setTimeout(resolve, 1800));
    assert.ok(pings >= 3, `${pings} pings`);
    assert.equal(c.ws.readyState, WebSocket.OPEN);
    await c.close();
  } finally {
    await quick.kill();
  }
});

test('who sends nothing for the pong timeout is closed', async () => {
  const quick = await Server.start({
    flags: ['--ping-interval', '200ms', '--pong-timeout', '800ms'] });
  try {
    const began = Date.now();
    const { frames, ended } = await wsExchange(quick.port, [text('{"type":"connect","id":1}')],
      { ms: 8000 });
    assert.ok(frames.some((f) => f.opcode === 9), 'a ping came');
    assert.ok(ended, 'the server closed');
    assert.ok(Date.now() - began >= 700, 'not before its time');
  } finally {
    await quick.kill();
  }
});

test('a head that does not end in time is given up', async () => {
  const quick = await Server.start({ flags: ['--head-timeout', '300ms'] });
  try {
    const began = Date.now();
    await exchange(quick.port, 'GET /v1/ws HTTP/1.1\r\nHost: a', { ms: 8000 });
    const ms = Date.now() - began;
    assert.ok(ms >= 250 && ms < 5000, `${ms} ms`);
  } finally {
    await quick.kill();
  }
});
