// The codecs against the vectors that the server's tests read too: test/vectors/.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';

import { BinaryCodec } from '../dist/codec_binary.js';
import { JsonCodec } from '../dist/codec_json.js';

const read = (name) => JSON.parse(fs.readFileSync(
  new URL(`../../../test/vectors/${name}.json`, import.meta.url)));
const binary = read('binary');

const collect = () => {
  const all = [];
  const push = (x) => all.push(x);
  return { all, message: push, published: push, reply: push };
};

/** What a codec gives of a message, with the protocol's names again. */
function plain(x) {
  if (x.type !== undefined) {
    return x.type === 'history' ? { ...x, messages: x.messages.map((m) => plain({ ...m, inner: true,
      id: m.id })) } : x;
  }
  const m = { seq: x.seq, message_id: x.id, time: x.time, key: x.key, producer: x.producer,
    producer_seq: x.producerSeq };
  if (!x.inner) Object.assign(m, { type: 'message', channel: x.channel });
  if (x.data instanceof Uint8Array) m.data_base64 = Buffer.from(x.data).toString('base64');
  else m.data = x.data;
  return Object.fromEntries(Object.entries(m).filter(([, v]) => v !== undefined));
}

/** As the vectors have it, but `more` and the like in whatever order. */
const sorted = (x) => JSON.parse(JSON.stringify(x));

test('every reply and push of the binary vectors, as its JSON form says', () => {
  let count = 0;
  for (const { json, hex } of binary.replies) {
    for (const frame of [Buffer.from(hex, 'hex'), new Uint8Array(Buffer.from(hex, 'hex')).buffer]) {
      const sink = collect();
      new BinaryCodec().decode(frame, sink);
      assert.equal(sink.all.length, 1, json);
      assert.deepEqual(sorted(plain(sink.all[0])), JSON.parse(json), json);
      count += 1;
    }
    const sink = collect();
    new JsonCodec().decode(json, sink);
    assert.deepEqual(sorted(plain(sink.all[0])), JSON.parse(json), json);
  }
  assert.ok(count > 50);
});

test('many units in one frame come one after another', () => {
  const all = binary.replies.map((r) => Buffer.from(r.hex, 'hex'));
  const sink = collect();
  new BinaryCodec().decode(Buffer.concat(all), sink);
  assert.deepEqual(sink.all.map((x) => sorted(plain(x))), binary.replies.map((r) =>
    JSON.parse(r.json)));
});

/** The members of a publish's data as they were written, which JSON.parse would change. */
const rawData = (json) => {
  const at = json.indexOf('"data":') + 7;
  for (let end = json.length; end > at; end -= 1) {
    try {
      JSON.parse(json.slice(at, end));
      return json.slice(at, end);
    } catch {
      // not the end of the value
    }
  }
  throw new Error(json);
};

test('every command that this client sends, byte for byte', () => {
  const seen = new Set();
  for (const { json, hex } of binary.commands) {
    const c = JSON.parse(json);
    const { id = 0, ...command } = c;
    const codec = new BinaryCodec();
    let wanted = hex;
    if (c.type === 'publish') {
      if (c.batch !== undefined || c.quiet || c.producer_seq === undefined) continue;
      const base64 = c.data_base64;
      codec.publish(id, c.channel, c.producer_seq, c.key, base64 === undefined ? rawData(json)
        : new Uint8Array(Buffer.from(base64, 'base64')));
    } else if (c.type === 'connect') {
      // This client asks for cumulative answers: flag 4.
      if (command.producer) command.producer.epoch ??= 1;
      codec.command(command, id);
      const bytes = Buffer.from(hex, 'hex');
      bytes[[1, 2, 4, 8][bytes[0] & 3] + 1] |= 4;
      wanted = bytes.toString('hex');
    } else {
      codec.command(command, id);
    }
    assert.equal(Buffer.from(codec.take()).toString('hex'), wanted, json);
    seen.add(c.type);
  }
  assert.deepEqual([...seen].sort(), ['ack', 'connect', 'digest', 'history', 'ping', 'publish',
    'subscribe', 'unsubscribe']);
});

test('payloads and names of any length and script, through JSON and binary alike', () => {
  for (const text of ['', 'a', 'ü', '😀', 'x'.repeat(63), 'ß'.repeat(5000), 'x'.repeat(70_000)]) {
    for (const channel of ['c', 'ü'.repeat(127)]) {
      const codec = new BinaryCodec();
      codec.publish(70_000, channel, 3, 'schlüssel', JSON.stringify(text));
      codec.publish(1, channel, 2 ** 40, undefined, new Uint8Array([1, 2]));
      const bytes = Buffer.from(codec.take());
      assert.ok(bytes.includes(Buffer.from(JSON.stringify(text))));
      const json = JSON.parse(new JsonCodec().publish(7, channel, 3, 'k', JSON.stringify(text)));
      assert.deepEqual(json, { type: 'publish', channel, id: 7, producer_seq: 3, key: 'k',
        data: text });
    }
  }
});

test('a frame that is none of the protocol is refused whole', () => {
  const bad = [...binary.broken.map((b) => b.hex), '0490', '0890', '140000', '3c9000'];
  for (const hex of bad) {
    assert.throws(() => new BinaryCodec().decode(Buffer.from(hex, 'hex'), collect()), hex);
  }
  assert.throws(() => new JsonCodec().decode('{"type":', collect()));
  // A unit of a type that a later server may have harms nothing.
  const sink = collect();
  new BinaryCodec().decode(Buffer.from('0cef00000c880014', 'hex'), sink);
  assert.deepEqual(sink.all.map((r) => r.type), ['pong']);
});
