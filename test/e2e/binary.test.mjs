// [P 15] seriatim.v1.binary: spoken by lib/binary.mjs, which knows the protocol page only, beside
// clients that speak JSON: everybody sees the same, and what is wrong harms only its sender.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';

import { byte, decode, encode, int, unit } from './lib/binary.mjs';
import { channelName, Client } from './lib/client.mjs';
import { hex, rollText, start } from './lib/digest.mjs';
import { rawElements, rawMember, rawMembers } from './lib/json.mjs';
import { Server } from './lib/server.mjs';

const vectors = JSON.parse(fs.readFileSync(new URL('../vectors/binary.json', import.meta.url)));
const bytesOf = (vector) => Buffer.from(vector.hex, 'hex');

let server;
let json;
before(async () => {
  server = await Server.start();
  json = await Client.connect(server.ws);
});
after(async () => {
  await json?.close();
  await server?.stop();
});

const connect = (options) => Client.connect(server.ws, { binary: true, ...options });

/** A bare WebSocket that has sent `first`; with the texts of all that came. */
async function bare(first, protocols = ['seriatim.v1.binary'], url = server.ws) {
  const ws = new WebSocket(url, protocols, { perMessageDeflate: false });
  const texts = [];
  const waiters = [];
  ws.on('message', (data, isBinary) => {
    texts.push(...(isBinary ? decode(data) : [data.toString()]).map((raw) => JSON.parse(raw)));
    waiters.splice(0).forEach((wake) => wake());
  });
  const closed = new Promise((resolve) => ws.on('close', (code, reason) => {
    resolve({ code, reason: reason.toString() });
    waiters.splice(0).forEach((wake) => wake());
  }));
  await new Promise((resolve, reject) => {
    ws.on('open', resolve);
    ws.on('error', reject);
  });
  if (first !== null) ws.send(first);
  const reply = async (match) => {
    for (const deadline = Date.now() + 10_000; Date.now() < deadline;) {
      const at = texts.findIndex(match);
      if (at >= 0) return texts.splice(at, 1)[0];
      await new Promise((resolve) => {
        waiters.push(resolve);
        setTimeout(resolve, 200);
      });
    }
    throw new Error(`no such reply; had ${JSON.stringify(texts).slice(0, 500)}`);
  };
  return { ws, texts, closed, reply };
}

const hello = encode('{"type":"connect","id":1}');
const ping = (id) => encode(`{"type":"ping","id":${id}}`);

test('the vectors hold here as well', () => {
  for (const { json: raw, hex: expected } of vectors.commands) {
    assert.equal(encode(raw).toString('hex'), expected);
  }
  for (const vector of vectors.replies) assert.deepEqual(decode(bytesOf(vector)), [vector.json]);
  assert.ok(vectors.commands.length >= 30 && vectors.replies.length >= 30);
});

// ---- the same for everybody ----------------------------------------------------------------

/** Everything that a publish can be; numbered ones from `seq` on. */
async function publishAll(c, channel, seq) {
  await c.publish(channel, { n: 1 });
  await c.publish(channel, { n: 2 }, { key: '' });
  await c.publishRaw(channel, '{"a": 1,\t"a":1.0e0 , "\\u0061":"\\ud800"}');
  await c.publish(channel, 'grüße 世界 \u{1F600}', { key: '"\u{1F511}\\' });
  await c.publish(channel, 'x'.repeat(5000), { producer_seq: seq });
  await c.expect('published', { type: 'publish', channel, data_base64: 'AP8QgA==' });
  await c.expect('published', { type: 'publish', channel, data_base64: '' });
  const batch = await c.expect('published', { type: 'publish', channel, producer_seq: seq + 1,
    batch: [{ data: 1 }, { data: null, key: 'k'.repeat(255) },
      { data_base64: 'bnVsbA==', key: 'b' }, { data: [] }, { data: 'last' }] });
  assert.equal(batch.count, 5);
  await c.publish(channel, 'after the batch', { producer_seq: seq + 6 });
}
const ALL = 13;

const members = (raw) => rawMembers(raw).filter(([name]) => name !== 'type' && name !== 'channel')
  .map(([name, text]) => [name, name === 'key' || name === 'producer' ? JSON.parse(text) : text]);

test('both codecs see the same messages, live, in catch-up and in history', async () => {
  const channel = channelName('Grüße/世界');
  const producer = { id: 'größer', epoch: 1 };
  const b = await connect({ producer });
  const j = await Client.connect(server.ws, { producer });
  const live = [await b.subscribe(channel), await j.subscribe(channel)];
  await publishAll(b, channel, 1);
  await publishAll(j, channel, 8);
  const late = [await connect(), await Client.connect(server.ws)];
  const behind = [await late[0].subscribe(channel, 'earliest'),
    await late[1].subscribe(channel, 'earliest')];
  const seen = await Promise.all([b.take(live[0], 2 * ALL), j.take(live[1], 2 * ALL),
    late[0].take(behind[0], 2 * ALL), late[1].take(behind[1], 2 * ALL)]);
  const expected = seen[1].map((m) => members(m.raw));
  for (const messages of seen) assert.deepEqual(messages.map((m) => members(m.raw)), expected);
  for (const [c, more] of [[b, {}], [j, {}], [b, { reverse: true }], [j, { reverse: true }]]) {
    const { raw, epoch, earliest, latest } = await c.history(channel, more);
    const elements = rawElements(rawMember(raw, 'messages')).map(members);
    assert.deepEqual(more.reverse ? elements.reverse() : elements, expected);
    assert.deepEqual([epoch, earliest, latest], [live[0].epoch, 1, 2 * ALL]);
  }
  let digest = start(channel);
  for (const m of seen[0]) {
    digest = rollText(digest, m, m.raw);
    assert.equal((await b.digest(channel, { seq: m.seq })).digest, hex(digest));
  }
  for (const c of [b, j, ...late]) await c.close();
});

test('replies say what they say in JSON', async () => {
  const channel = channelName();
  const b = await connect({ producer: { id: 'p', epoch: 2 } });
  assert.equal(b.ws.protocol, 'seriatim.v1.binary');
  assert.deepEqual(b.connected.features, json.connected.features);
  assert.deepEqual(b.connected.limits, json.connected.limits);
  const first = await b.publish(channel, 1, { producer_seq: 1 });
  assert.match(first.message_id, /^\d{1,19}$/);
  const again = await b.publish(channel, 1, { producer_seq: 1 });
  assert.deepEqual([again.seq, again.epoch, again.duplicate], [1, first.epoch, true]);
  const ahead = await b.expectError('out_of_sequence',
    { type: 'publish', channel, data: 1, producer_seq: 7 });
  assert.equal(ahead.expected, 2);
  const gap = await b.expectError('gap', { type: 'subscribe', channel, from: { seq: 99 } });
  assert.deepEqual([gap.epoch, gap.earliest, gap.latest, gap.reason], [first.epoch, 1, 1, 'ahead']);
  const sub = await b.subscribe(channel, { seq: 99 }, { on_gap: 'reset', window: 1 });
  assert.deepEqual(sub.reply.reset, { reason: 'ahead' });
  await b.publish(channel, 2);
  await b.publish(channel, 3);
  assert.equal((await b.take(sub, 1))[0].seq, 2);
  await b.expectError('bad_request', { type: 'ack', channel, seq: 3 });
  await b.barrier();
  assert.equal(sub.messages.length, 1);
  b.sendText(JSON.stringify({ type: 'ack', channel, seq: 2 }));
  assert.equal((await b.take(sub, 1))[0].seq, 3);
  await b.expectError('already_subscribed', { type: 'subscribe', channel });
  await b.expect('unsubscribed', { type: 'unsubscribe', channel });
  await b.expectError('not_subscribed', { type: 'unsubscribe', channel });
  const resumed = await b.subscribe(channel, { epoch: first.epoch, seq: 2 });
  assert.deepEqual((await b.take(resumed, 2)).map((m) => m.data), [2, 3]);
  const other = await b.expectError('gap',
    { type: 'subscribe', channel: channelName(), from: { epoch: 'zzz', seq: 1 } });
  assert.equal(other.reason, 'epoch');
  const trimmed = await b.expectError('gap', { type: 'digest', channel, seq: 9 });
  assert.equal(trimmed.reason, 'ahead');
  await b.close();
});

test('a message of the longest names and the largest payload passes', async () => {
  const channel = `${channelName()}-${'n'.repeat(200)}`.slice(0, 255).padEnd(255, 'n');
  const b = await connect({ producer: { id: 'i'.repeat(255) } });
  const sub = await b.subscribe(channel);
  const data = `"${'x'.repeat(1048574)}"`;
  await b.publishRaw(channel, data);
  assert.equal(rawMember((await b.take(sub, 1))[0].raw, 'data'), data);
  await b.expectError('too_large', { type: 'publish', channel, data: 'x'.repeat(1048575) });
  await b.close();
});

test('a restart is resumed from in either codec', async () => {
  const own = await Server.start();
  const channel = channelName();
  const b = await Client.connect(own.ws, { binary: true });
  const { epoch } = await b.publish(channel, 1);
  const goaway = b.push((f) => f.type === 'goaway');
  await Promise.all([own.stop(), goaway]);
  const again = await Server.start({ data: own.data });
  const c = await Client.connect(again.ws, { binary: true });
  const sub = await c.subscribe(channel, { epoch, seq: 1 });
  assert.deepEqual((await c.take(sub, 1)).map((m) => m.data), [1]);
  await c.close();
  await again.stop();
});

// ---- many commands in one message ----------------------------------------------------------

test('a message may hold many commands, from connect on', async () => {
  const channel = channelName();
  const { ws, reply, texts } = await bare(Buffer.concat([hello,
    ...Array.from({ length: 100 }, (_, i) =>
      encode(`{"type":"publish","id":${i + 2},"channel":"${channel}","data":${i}}`)),
    encode(`{"type":"history","id":500,"channel":"${channel}","limit":1000}`)]));
  const history = await reply((t) => t.id === 500);
  assert.deepEqual(history.messages.map((m) => m.data), Array.from({ length: 100 }, (_, i) => i));
  await reply((t) => t.id === 101);
  assert.deepEqual(texts.map((t) => t.type),
    ['connected', ...Array.from({ length: 99 }, () => 'published')]);
  ws.terminate();
});

test('a message of more commands than may be under way is taken as they are answered', async () => {
  const own = await Server.start({ flags: ['--limits-inflight', '3'] });
  const channel = channelName();
  const count = 2000;
  const { ws, reply, texts } = await bare(hello, undefined, own.ws);
  ws.send(Buffer.concat([...Array.from({ length: count }, (_, i) =>
    encode(`{"type":"publish","id":${i + 2},"channel":"${channel}","data":${i}}`)), ping(9999)]));
  ws.send(ping(10000)); // behind the whole of it
  await reply((t) => t.id === 10000);
  const order = texts.map((t) => t.id);
  assert.ok(order.indexOf(9999) >= count - 3, 'the ping waits for all but the last few');
  await reply((t) => t.id === count + 1);
  const published = texts.filter((t) => t.type === 'published');
  assert.deepEqual(published.map((t) => t.seq), Array.from({ length: count - 1 }, (_, i) => i + 1));
  ws.terminate();
  await own.stop();
});

test('a message of a hundred thousand answers is taken as they are read', async () => {
  const { ws, reply, texts } = await bare(hello);
  await reply((t) => t.type === 'connected');
  ws.pause(); // what is not read must not be gathered without bound
  ws.send(Buffer.concat(Array.from({ length: 100_000 }, () => ping(5))));
  ws.send(ping(6));
  await json.barrier();
  ws.resume();
  await reply((t) => t.id === 6);
  assert.equal(texts.length, 100_000);
  ws.terminate();
});

// ---- cumulative published ------------------------------------------------------------------

test('a run of publishes is answered once, and each of them exactly once', async () => {
  const channel = channelName();
  const b = await connect({ cumulative: true, producer: { id: 'p' } });
  let seq = 1;
  const all = [];
  for (let i = 0; i < 500; i++) {
    const count = i % 50 === 49 ? 3 : 1;
    const more = i % 50 === 49 ? { batch: [{ data: 1 }, { data: 2 }, { data: 3 }] } : { data: i };
    const expected = seq;
    all.push(b.expect('published', { type: 'publish', channel, producer_seq: seq, ...more })
      .then((reply) => {
        assert.equal(reply.seq, expected);
        assert.equal(reply.count, count === 1 ? undefined : count);
      }));
    seq += count;
  }
  await Promise.all(all);
  assert.ok(b.ws.runs >= 250, `${b.ws.runs} of 500 were answered in runs`);
  const again = await b.expect('published', { type: 'publish', channel, data: 0, producer_seq: 1 });
  assert.deepEqual([again.seq, again.duplicate], [1, true]);
  await b.close();
});

test('who does not ask for it gets no run', async () => {
  const channel = channelName();
  const b = await connect();
  await Promise.all(Array.from({ length: 200 }, (_, i) => b.publish(channel, i)));
  assert.equal(b.ws.runs, 0);
  await b.close();
});

for (const binary of [false, true]) {
  test(`a quiet publish is answered only by an error, ${binary ? 'binary' : 'JSON'}`, async () => {
    const channel = channelName();
    const c = await Client.connect(server.ws, { binary, producer: { id: 'p' } });
    const sub = await c.subscribe(channel);
    for (let i = 1; i <= 5; i++) {
      c.sendText(JSON.stringify({ type: 'publish', id: 1000 + i, channel, data: i, quiet: true,
        producer_seq: i }));
    }
    const loud = await c.publish(channel, 6, { producer_seq: 6, quiet: false });
    assert.equal(loud.seq, 6);
    assert.deepEqual((await c.take(sub, 6)).map((m) => m.data), [1, 2, 3, 4, 5, 6]);
    await c.expectError('out_of_sequence',
      { type: 'publish', channel, data: 0, quiet: true, producer_seq: 99 });
    await c.barrier();
    await c.close(); // a reply to 1001 … 1005 would be a violation
  });
}

// ---- refusals ------------------------------------------------------------------------------

test('a bad command is refused by name, alone, and with its id', async () => {
  const own = await Server.start({ flags: ['--limits-message-bytes', '1024'] });
  const { ws, reply, texts } = await bare(hello, undefined, own.ws);
  await reply((t) => t.type === 'connected');
  for (const vector of vectors.refused.filter(({ about }) => !/producer|token/.test(about))) {
    ws.send(bytesOf(vector));
    await reply((t) => t.id === 5 && t.type === 'pong');
    const [error, ...rest] = texts.splice(0);
    assert.equal(error?.type, 'error', vector.about);
    assert.deepEqual([error.code, error.id], [vector.code, vector.id], vector.about);
    assert.deepEqual(rest, [], vector.about);
  }
  ws.terminate();
  await own.stop();
});

for (const vector of vectors.broken) {
  test(`${vector.about} is bad_request and closes with 4400`, async () => {
    const { ws, reply, closed } = await bare(hello);
    await reply((t) => t.type === 'connected');
    ws.send(bytesOf(vector));
    const error = await reply((t) => t.type === 'error');
    assert.deepEqual([error.code, error.id], ['bad_request', undefined]);
    assert.equal((await closed).code, 4400);
    await json.barrier();
  });
}

test('what stands before the break is carried out', async () => {
  const { ws, reply, closed } = await bare(hello);
  ws.send(Buffer.concat([ping(7), byte(0), ping(8)]));
  await reply((t) => t.id === 7);
  await reply((t) => t.code === 'bad_request');
  assert.equal((await closed).code, 4400);
});

test('text on a binary connection and bytes on a JSON one close with 1003', async () => {
  const one = await bare(hello);
  one.ws.send('{"type":"ping"}');
  assert.deepEqual(await one.closed,
    { code: 1003, reason: 'this subprotocol has binary frames only' });
  const other = await bare('{"type":"connect"}', ['seriatim.v1.json']);
  other.ws.send(ping(5));
  assert.deepEqual(await other.closed,
    { code: 1003, reason: 'this subprotocol has text frames only' });
  await json.barrier();
});

test('the first command must be connect, and connect is it once', async () => {
  const { closed, reply } = await bare(ping(5));
  assert.equal((await reply((t) => t.type === 'error')).code, 'unauthorized');
  assert.equal((await closed).code, 4401);
  const b = await connect();
  await b.expectError('bad_request', { type: 'connect' });
  await b.expectError('bad_request', { type: 'publish', channel: 'c', data: 1, producer_seq: 1 });
  await b.close();
  const bad = await bare(unit(byte(1), byte(128), int(3)));
  assert.equal((await bad.reply((t) => t.type === 'error')).id, 3);
  assert.equal((await bad.closed).code, 4401);
});

test('of the subprotocols offered the first that is known is taken', async () => {
  for (const [offered, taken] of [
    [['chat', 'seriatim.v1.binary', 'seriatim.v1.json'], 'seriatim.v1.binary'],
    [['seriatim.v1.json', 'seriatim.v1.binary'], 'seriatim.v1.json'],
  ]) {
    const { ws } = await bare(null, offered);
    assert.equal(ws.protocol, taken);
    ws.terminate();
  }
});
