// [P 2], [P 3] connect, ping, shape of commands, close codes of the protocol.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { channelName, Client } from './lib/client.mjs';
import { Server } from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  await server?.stop();
});

test('connected tells everything that the protocol promises', async () => {
  const before = Date.now();
  const c = await Client.connect(server.ws);
  const reply = c.connected;
  assert.equal(reply.namespace, 'default');
  assert.equal(reply.durability, 'fsync');
  assert.equal(reply.limits.message_bytes, 1048576);
  assert.equal(reply.ping_ms, 25000);
  assert.ok(reply.features.includes('batch'), JSON.stringify(reply.features));
  assert.ok(reply.features.includes('history'), JSON.stringify(reply.features));
  assert.ok(reply.features.includes('when_slow'), JSON.stringify(reply.features));
  assert.ok(Math.abs(reply.time - before) < 60_000, `time ${reply.time}`);
  await c.close();
});

test('two connections have different names', async () => {
  const a = await Client.connect(server.ws);
  const b = await Client.connect(server.ws);
  assert.notEqual(a.connected.connection, b.connected.connection);
  await Promise.all([a.close(), b.close()]);
});

test('a token is taken and ignored where authentication is off', async () => {
  const c = await Client.open(server.ws);
  await c.expect('connected', { type: 'connect', token: 'a.b.c' });
  await c.close();
});

for (const first of ['ping', 'publish', 'subscribe', 'history', 'nonsense']) {
  test(`a first command ${first} closes with 4401`, async () => {
    const c = await Client.open(server.ws);
    c.sendText(JSON.stringify({ type: first, channel: 'x', data: 1 }));
    await c.expectClose(4401);
  });
}

test('no connect in time closes with 4401', async () => {
  const quick = await Server.start({ flags: ['--connect-timeout', '300ms'] });
  try {
    const began = Date.now();
    const c = await Client.open(quick.ws);
    await c.expectClose(4401, 5000);
    assert.ok(Date.now() - began >= 250, 'not before its time');
    // Who did connect stays.
    const d = await Client.connect(quick.ws);
    await new Promise((resolve) => setTimeout(resolve, 800));
    await d.barrier();
    await d.close();
  } finally {
    await quick.kill();
  }
});

const badProducers = [
  'x', 1, null, [], {}, { id: '' }, { id: 1, epoch: 1 }, { id: 'p', epoch: 0 },
  { id: 'p', epoch: -1 }, { id: 'p', epoch: 1.5 }, { id: 'p', epoch: '1' },
];
for (const producer of badProducers) {
  test(`connect refuses the producer ${JSON.stringify(producer)}`, async () => {
    const c = await Client.open(server.ws);
    const reply = await c.request({ type: 'connect', producer });
    assert.equal(reply.type, 'error');
    assert.equal(reply.code, 'bad_request');
    c.check();
    c.terminate();
  });
}

test('ping is answered with pong and the same id', async () => {
  const c = await Client.connect(server.ws);
  for (const id of [1000, 1001, Number.MAX_SAFE_INTEGER]) {
    const reply = await c.expect('pong', { type: 'ping', id });
    assert.equal(reply.id, id);
  }
  await c.close();
});

test('a hundred pipelined commands get a reply each', async () => {
  const c = await Client.connect(server.ws);
  const replies = await Promise.all(
    Array.from({ length: 100 }, () => c.request({ type: 'ping' })));
  assert.equal(new Set(replies.map((r) => r.id)).size, 100);
  await c.close();
});

test('escaped and unknown members, any order and any white space are fine', async () => {
  const c = await Client.connect(server.ws);
  const texts = [
    (id) => ` {\n"x":{"type":"y","id":[1,{"a":"}"}]}, "id" : ${id} ,\t"type":"ping"\r\n} `,
    (id) => `{"\\u0074ype":"p\\u0069ng","id":${id}}`,
    (id) => `{"id":${id},"type":"ping","é":"\\ud83d\\ude00","nothing":null}`,
  ];
  for (const text of texts) {
    const reply = await c.request({ type: 'ping' }, text);
    assert.equal(reply.type, 'pong', reply.raw);
  }
  await c.close();
});

// [P 2] an unknown type, a missing, ill-typed or repeated member is bad_request: answered, and the
// connection goes on.
const badCommands = [
  ['an unknown type', '{"type":"dance","id":ID}'],
  ['no type', '{"id":ID}'],
  ['a type that is no string', '{"type":7,"id":ID}'],
  ['a type in capitals', '{"type":"PING","id":ID}'],
  ['a repeated type', '{"type":"ping","id":ID,"type":"ping"}'],
  ['a repeated channel', '{"type":"publish","id":ID,"channel":"a","channel":"a","data":1}'],
  ['a repeated data', '{"type":"publish","id":ID,"channel":"a","data":1,"data":1}'],
  ['a repeated member behind an escape',
    '{"type":"history","id":ID,"channel":"a","ch\\u0061nnel":"a"}'],
  ['a publish without a channel', '{"type":"publish","id":ID,"data":1}'],
  ['a publish without data', '{"type":"publish","id":ID,"channel":"a"}'],
  ['a channel that is a number', '{"type":"publish","id":ID,"channel":1,"data":1}'],
  ['an empty channel', '{"type":"publish","id":ID,"channel":"","data":1}'],
  ['a control character in a channel', '{"type":"publish","id":ID,"channel":"a\\u0007","data":1}'],
  ['a NUL in a channel', '{"type":"publish","id":ID,"channel":"a\\u0000b","data":1}'],
  ['a lone surrogate in a channel', '{"type":"publish","id":ID,"channel":"\\ud800","data":1}'],
  ['a key that is a number', '{"type":"publish","id":ID,"channel":"a","data":1,"key":5}'],
  ['base64 that is none', '{"type":"publish","id":ID,"channel":"a","data_base64":"a*c="}'],
  ['base64 without its padding', '{"type":"publish","id":ID,"channel":"a","data_base64":"YQ"}'],
  ['base64 that is a number', '{"type":"publish","id":ID,"channel":"a","data_base64":5}'],
  ['a batch that is an object', '{"type":"publish","id":ID,"channel":"a","batch":{}}'],
  ['an empty batch', '{"type":"publish","id":ID,"channel":"a","batch":[]}'],
  ['a batch with an item that is no object',
    '{"type":"publish","id":ID,"channel":"a","batch":[1]}'],
  ['a batch with an item without data',
    '{"type":"publish","id":ID,"channel":"a","batch":[{"key":"k"}]}'],
  ['a producer_seq of zero', '{"type":"publish","id":ID,"channel":"a","data":1,"producer_seq":0}'],
  ['a fractional producer_seq',
    '{"type":"publish","id":ID,"channel":"a","data":1,"producer_seq":1.5}'],
  ['a producer_seq over 2^53-1',
    '{"type":"publish","id":ID,"channel":"a","data":1,"producer_seq":9007199254740992}'],
  ['a producer_seq without a producer',
    '{"type":"publish","id":ID,"channel":"a","data":1,"producer_seq":1}'],
  ['a from that is no position', '{"type":"subscribe","id":ID,"channel":"a","from":"yesterday"}'],
  ['a from that is a number', '{"type":"subscribe","id":ID,"channel":"a","from":5}'],
  ['a from without seq', '{"type":"subscribe","id":ID,"channel":"a","from":{"epoch":"e"}}'],
  ['a from that is empty', '{"type":"subscribe","id":ID,"channel":"a","from":{}}'],
  ['a seq of zero', '{"type":"subscribe","id":ID,"channel":"a","from":{"seq":0}}'],
  ['a negative seq', '{"type":"subscribe","id":ID,"channel":"a","from":{"seq":-1}}'],
  ['an epoch that is a number',
    '{"type":"subscribe","id":ID,"channel":"a","from":{"epoch":1,"seq":1}}'],
  ['a time that is text', '{"type":"subscribe","id":ID,"channel":"a","from":{"time":"now"}}'],
  ['a when_slow that is none', '{"type":"subscribe","id":ID,"channel":"a","when_slow":"drop"}'],
  ['an on_gap that is none', '{"type":"subscribe","id":ID,"channel":"a","on_gap":"ignore"}'],
  ['a window of zero', '{"type":"subscribe","id":ID,"channel":"a","window":0}'],
  ['a window that is text', '{"type":"subscribe","id":ID,"channel":"a","window":"5"}'],
  ['a history without a channel', '{"type":"history","id":ID}'],
  ['a history limit of zero', '{"type":"history","id":ID,"channel":"a","limit":0}'],
  ['a history from that is text', '{"type":"history","id":ID,"channel":"a","from":"1"}'],
  ['a reverse that is a number', '{"type":"history","id":ID,"channel":"a","reverse":1}'],
  ['an unsubscribe without a channel', '{"type":"unsubscribe","id":ID}'],
];
test('bad commands are answered with bad_request and harm nothing', async (t) => {
  const c = await Client.connect(server.ws);
  for (const [what, text] of badCommands) {
    await t.test(what, async () => {
      const reply = await c.request({ type: 'bad' }, (id) => text.replace('ID', id));
      assert.equal(reply.type, 'error', reply.raw);
      assert.equal(reply.code, 'bad_request', reply.raw);
    });
  }
  await c.barrier();
  const history = await c.history('a');
  assert.equal(history.latest, 0, 'nothing was stored');
  await c.close();
});

test('an id that is none is bad_request', async (t) => {
  const c = await Client.connect(server.ws);
  for (const id of ['0', '-1', '1.5', '"7"', '9007199254740992', 'null', '[]']) {
    await t.test(id, async () => {
      c.sendText(`{"type":"ping","id":${id}}`);
      const push = await c.push((p) => p.type === 'error');
      assert.equal(push.code, 'bad_request');
    });
  }
  await c.close();
});

for (const text of ['', ' ', 'x', '7', '"text"', 'null', '[]', '[{"type":"ping"}]', '{', '{"type"',
  '{"type":"ping"}}', '{"type":"ping",}', "{'type':'ping'}", '{"type":"ping"} x', '{"a":01}',
  '{"a":1.}', '{"a":+1}', '{"a":nul}', '{"a":"\t"}', '{"a":"\\x"}', '{"a":[1,]}', '{"a" 1}']) {
  test(`the frame ${JSON.stringify(text)} is bad_request and closes with 4400`, async () => {
    const c = await Client.connect(server.ws);
    c.sendText(text);
    const push = await c.push((p) => p.type === 'error');
    assert.equal(push.code, 'bad_request');
    await c.expectClose(4400);
    c.check();
  });
}

test('what harms one connection leaves the others alone', async () => {
  const good = await Client.connect(server.ws);
  const channel = channelName();
  const sub = await good.subscribe(channel);
  for (let i = 0; i < 10; i += 1) {
    const bad = await Client.connect(server.ws);
    bad.sendText('not json');
    await bad.expectClose(4400);
    await good.publish(channel, i);
  }
  const messages = await good.take(sub, 10);
  assert.deepEqual(messages.map((m) => m.data), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await good.close();
});

test('commands on one connection are carried out in the order sent', async () => {
  const c = await Client.connect(server.ws);
  const channel = channelName();
  const replies = [];
  for (let i = 0; i < 200; i += 1) replies.push(c.publish(channel, i));
  const seqs = (await Promise.all(replies)).map((r) => r.seq);
  assert.deepEqual(seqs, Array.from({ length: 200 }, (_, i) => i + 1));
  await c.close();
});
