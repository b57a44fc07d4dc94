// [P 3] publish: payloads byte for byte, keys, batches, producers, refusals.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { channelName, Client } from './lib/client.mjs';
import { rawElements, rawMember, rawMembers } from './lib/json.mjs';
import { Server } from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  await server?.stop();
});

let producerCount = 0;
function producerName() {
  producerCount += 1;
  return `p-${process.pid}-${producerCount}`;
}

async function withClient(run, options) {
  const c = await Client.connect(server.ws, options);
  await run(c);
  await c.close();
}

/** The raw payloads of a history reply, in its order. */
function rawPayloads(history) {
  return rawElements(rawMember(history.raw, 'messages')).map((m) => rawMember(m, 'data'));
}

test('published has the seq, a message id and the epoch', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    const first = await c.publish(channel, { n: 1 });
    const second = await c.publish(channel, { n: 2 });
    assert.equal(first.seq, 1);
    assert.equal(second.seq, 2);
    assert.equal(first.channel, channel);
    assert.equal(first.epoch, second.epoch);
    assert.match(first.message_id, /^\d{1,19}$/);
    assert.ok(BigInt(second.message_id) > BigInt(first.message_id), 'ids rise');
    assert.equal(first.duplicate, undefined);
    assert.equal(first.count, undefined);
  });
});

const payloads = [
  '1.0', '1e2', '-0', '0.1e-7', '1E+400', '123456789012345678901234567890', 'null', 'true', '""',
  '[]', '{}', '{ "a" : [ 1 ,\t2 ] }', '{"a":1,"a":2}', '"\\u00e9"', '"é"', '"\\ud83d\\ude00 😀"',
  '"\\/ \\b\\f\\n\\r\\t \\" \\\\"', '"\\ud800"', '"\u2028\u007f"', '[[[[[[[[[[[[]]]]]]]]]]]]',
  '{"type":"publish","id":5,"channel":"x"}', '"}]"', '{"\\u0061":"\\u0000"}', '[1,\r\n 2]',
];
test('payloads pass byte for byte to a subscriber and to history', async (t) => {
  await withClient(async (c) => {
    const channel = channelName();
    const sub = await c.subscribe(channel);
    for (const raw of payloads) await c.publishRaw(channel, raw);
    const messages = await c.take(sub, payloads.length);
    const history = await c.history(channel);
    const read = rawPayloads(history);
    for (const [i, raw] of payloads.entries()) {
      await t.test(raw, () => {
        assert.equal(rawMember(messages[i].raw, 'data'), raw);
        assert.equal(read[i], raw);
      });
    }
  });
});

test('nothing outside its payload is added to a message', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    const sub = await c.subscribe(channel);
    await c.publish(channel, 1);
    const [m] = await c.take(sub, 1);
    const names = rawMembers(m.raw).map(([n]) => n).sort();
    assert.deepEqual(names, ['channel', 'data', 'message_id', 'seq', 'time', 'type']);
  });
});

test('key, producer and producer_seq are passed on where they were given', async () => {
  const id = producerName();
  await withClient(async (c) => {
    const channel = channelName();
    const sub = await c.subscribe(channel);
    await c.publish(channel, 1, { key: 'customer-9 é"\\', producer_seq: 1 });
    await c.publish(channel, 2);
    const [first, second] = await c.take(sub, 2);
    assert.equal(first.key, 'customer-9 é"\\');
    assert.equal(first.producer, id);
    assert.equal(first.producer_seq, 1);
    assert.equal(second.key, undefined);
    assert.equal(second.producer_seq, undefined);
  }, { producer: { id, epoch: 1 } });
});

test('bytes in base64 come back as the same bytes', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    const sub = await c.subscribe(channel);
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const cases = ['', 'YQ==', 'YWI=', 'YWJj', all.toString('base64')];
    for (const data_base64 of cases) {
      await c.expect('published', { type: 'publish', channel, data_base64 });
    }
    const messages = await c.take(sub, cases.length);
    assert.deepEqual(messages.map((m) => m.data_base64), cases);
    assert.ok(messages.every((m) => rawMember(m.raw, 'data') === undefined));
    const history = await c.history(channel);
    assert.deepEqual(history.messages.map((m) => m.data_base64), cases);
  });
});

test('a channel name may be written in escapes and is the same channel', async () => {
  await withClient(async (c) => {
    const channel = `${channelName()}-é/ %"😀`;
    const first = await c.publish(channel, 1);
    const escaped = Array.from(channel, (ch) => Array.from({ length: ch.length }, (_, i) =>
      `\\u${ch.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')).join('');
    const second = await c.request({ type: 'publish', channel }, (id) =>
      `{"type":"publish","id":${id},"channel":"${escaped}","data":2}`);
    assert.equal(second.seq, first.seq + 1, second.raw);
    assert.equal(second.channel, channel);
  });
});

test('names of 255 bytes are taken, of 256 refused', async () => {
  await withClient(async (c) => {
    const long = channelName('n').padEnd(253, 'x') + 'é';
    assert.equal(Buffer.byteLength(long), 255);
    assert.equal((await c.publish(long, 1)).channel, long);
    const reply = await c.request({ type: 'publish', channel: `${long}x`, data: 1 });
    assert.equal(reply.type, 'error');
    assert.ok(['too_large', 'bad_request'].includes(reply.code), reply.raw);
  });
});

for (const size of [65_536, 262_144, 1_048_576]) {
  test(`a payload of ${size} bytes goes through`, async () => {
    await withClient(async (c) => {
      const channel = channelName();
      const sub = await c.subscribe(channel);
      const raw = `"${'0123456789abcdef'.repeat(size / 16).slice(2)}"`;
      assert.equal(raw.length, size);
      await c.publishRaw(channel, raw);
      await c.publishRaw(channel, '"behind"');
      const [big, small] = await c.take(sub, 2);
      assert.equal(rawMember(big.raw, 'data'), raw);
      assert.equal(small.data, 'behind');
      const history = await c.history(channel, { limit: 1 });
      assert.equal(rawPayloads(history)[0], raw);
    });
  });
}

test('a payload over the limit is too_large, and the connection goes on', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    await c.expectError('too_large', { type: 'publish', channel, data: 'x'.repeat(1_048_575) });
    assert.equal((await c.publish(channel, 1)).seq, 1);
  });
});

// ---- batch --------------------------------------------------------------------------------------

test('a batch stands together and is answered with the first seq and count', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    const sub = await c.subscribe(channel);
    await c.publish(channel, 'before');
    const batch = [{ data: 1, key: 'a' }, { data: { x: 1.5 } }, { data_base64: 'YQ==' }];
    const reply = await c.expect('published', { type: 'publish', channel, batch });
    assert.equal(reply.seq, 2);
    assert.equal(reply.count, 3);
    const messages = await c.take(sub, 4);
    assert.deepEqual(messages.map((m) => m.data ?? m.data_base64),
      ['before', 1, { x: 1.5 }, 'YQ==']);
    assert.equal(messages[1].key, 'a');
    assert.equal(messages[2].key, undefined);
    const ids = new Set(messages.map((m) => m.message_id));
    assert.equal(ids.size, 4, 'each message has an id of its own');
  });
});

test('a batch of 1000 is taken, of 1001 refused whole', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    const items = (n) => Array.from({ length: n }, (_, i) => ({ data: i }));
    const reply = await c.expect('published', { type: 'publish', channel, batch: items(1000) });
    assert.equal(reply.count, 1000);
    const refusal = await c.request({ type: 'publish', channel, batch: items(1001) });
    assert.equal(refusal.type, 'error');
    assert.ok(['too_large', 'bad_request'].includes(refusal.code), refusal.raw);
    assert.equal((await c.history(channel)).latest, 1000);
  });
});

test('a batch with one bad item stores nothing', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    await c.expectError('bad_request',
      { type: 'publish', channel, batch: [{ data: 1 }, { data: 2, key: 7 }] });
    assert.equal((await c.history(channel)).latest, 0);
  });
});

test('a numbered batch counts its messages, and seen as a whole it is a duplicate', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    const batch = [{ data: 1 }, { data: 2 }, { data: 3 }];
    const publish = { type: 'publish', channel, batch, producer_seq: 1 };
    const first = await c.expect('published', publish);
    assert.equal(first.seq, 1);
    const again = await c.expect('published', publish);
    assert.equal(again.duplicate, true);
    assert.equal(again.seq, 1);
    // Only a part was seen: 3 is old, 4 is new.
    const overlap = await c.expectError('out_of_sequence',
      { type: 'publish', channel, batch: [{ data: 3 }, { data: 4 }], producer_seq: 3 });
    assert.equal(overlap.expected, 4);
    const next = await c.expect('published',
      { type: 'publish', channel, data: 4, producer_seq: 4 });
    assert.equal(next.seq, 4);
    const { messages } = await c.history(channel);
    assert.deepEqual(messages.map((m) => m.producer_seq), [1, 2, 3, 4]);
  }, { producer: { id: producerName(), epoch: 1 } });
});

// ---- producers ----------------------------------------------------------------------------------

test('a number seen before is answered with its seq and stored once', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    const one = await c.publish(channel, 'a', { producer_seq: 1 });
    await c.publish(channel, 'between');
    const two = await c.publish(channel, 'b', { producer_seq: 2 });
    for (const [n, original] of [[1, one], [2, two], [1, one]]) {
      const again = await c.publish(channel, 'other bytes', { producer_seq: n });
      assert.equal(again.duplicate, true);
      assert.equal(again.seq, original.seq);
      assert.equal(again.epoch, original.epoch);
    }
    const { messages } = await c.history(channel);
    assert.deepEqual(messages.map((m) => m.data), ['a', 'between', 'b']);
  }, { producer: { id: producerName(), epoch: 1 } });
});

test('a number ahead is refused with the expected one, and nothing is stored', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    await c.publish(channel, 1, { producer_seq: 1 });
    const error = await c.expectError('out_of_sequence',
      { type: 'publish', channel, data: 3, producer_seq: 3 });
    assert.equal(error.expected, 2);
    assert.equal(error.message, 'expected producer_seq 2, got 3');
    assert.equal((await c.history(channel)).latest, 1);
    assert.equal((await c.publish(channel, 2, { producer_seq: 2 })).seq, 2);
  }, { producer: { id: producerName(), epoch: 1 } });
});

test('a producer that the channel does not know begins with 1', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    await c.expectError('producer_unknown', { type: 'publish', channel, data: 1, producer_seq: 2 });
    assert.equal((await c.publish(channel, 1, { producer_seq: 1 })).seq, 1);
  }, { producer: { id: producerName(), epoch: 1 } });
});

test('numbers are per channel', async () => {
  await withClient(async (c) => {
    const [a, b] = [channelName(), channelName()];
    await c.publish(a, 1, { producer_seq: 1 });
    await c.publish(b, 1, { producer_seq: 1 });
    await c.publish(a, 2, { producer_seq: 2 });
    const reply = await c.publish(b, 2, { producer_seq: 2 });
    assert.equal(reply.duplicate, undefined);
    assert.equal(reply.seq, 2);
  }, { producer: { id: producerName(), epoch: 1 } });
});

test('a pipelined window of numbers keeps its order through a reconnect that sends it again',
  async () => {
    const channel = channelName();
    const producer = { id: producerName(), epoch: 1 };
    const first = await Client.connect(server.ws, { producer });
    for (let n = 1; n <= 50; n += 1) {
      first.request({ type: 'publish', channel, data: n, producer_seq: n }).catch(() => {});
    }
    await first.terminate();
    await withClient(async (c) => {
      const replies = await Promise.all(Array.from({ length: 60 }, (_, i) =>
        c.publish(channel, i + 1, { producer_seq: i + 1 })));
      assert.deepEqual(replies.map((r) => r.seq), Array.from({ length: 60 }, (_, i) => i + 1));
      const { messages } = await c.history(channel);
      assert.deepEqual(messages.map((m) => m.data), Array.from({ length: 60 }, (_, i) => i + 1));
    }, { producer });
  });

test('two connections of one producer: the numbers decide', async () => {
  const channel = channelName();
  const producer = { id: producerName(), epoch: 1 };
  const a = await Client.connect(server.ws, { producer });
  const b = await Client.connect(server.ws, { producer });
  for (let n = 1; n <= 20; n += 1) {
    const both = [a, b].map((c) => c.publish(channel, n, { producer_seq: n }));
    const replies = await Promise.all(both);
    assert.deepEqual(replies.map((r) => r.seq), [n, n]);
    assert.equal(replies.filter((r) => r.duplicate === true).length, 1);
  }
  assert.equal((await a.history(channel)).latest, 20);
  await Promise.all([a.close(), b.close()]);
});

test('a higher epoch numbers from 1 again and fences the lower one in that channel', async () => {
  const [channel, other] = [channelName(), channelName()];
  const id = producerName();
  const old = await Client.connect(server.ws, { producer: { id, epoch: 1 } });
  const young = await Client.connect(server.ws, { producer: { id, epoch: 2 } });
  await old.publish(channel, 'old 1', { producer_seq: 1 });
  await old.publish(other, 'old 1', { producer_seq: 1 });
  await young.expectError('producer_unknown',
    { type: 'publish', channel, data: 'x', producer_seq: 2 });
  // Refused: so the old one is not fenced yet.
  await old.publish(channel, 'old 2', { producer_seq: 2 });
  await young.publish(channel, 'young 1', { producer_seq: 1 });
  await old.expectError('producer_fenced',
    { type: 'publish', channel, data: 'x', producer_seq: 3 });
  await old.expectError('producer_fenced',
    { type: 'publish', channel, data: 'x', producer_seq: 1 });
  // Fencing is per channel.
  await old.publish(other, 'old 2', { producer_seq: 2 });
  const { messages } = await young.history(channel);
  assert.deepEqual(messages.map((m) => m.data), ['old 1', 'old 2', 'young 1']);
  await Promise.all([old.close(), young.close()]);
});

test('a publish without id is carried out', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    const sub = await c.subscribe(channel);
    c.sendText(JSON.stringify({ type: 'publish', channel, data: 'quiet' }));
    const [m] = await c.take(sub, 1);
    assert.equal(m.data, 'quiet');
  });
});

test('an expired producer is unknown, never silently accepted', async () => {
  const quick = await Server.start({ flags: ['--producer-expiry', '1s'] });
  try {
    const c = await Client.connect(quick.ws, { producer: { id: 'p', epoch: 1 } });
    const d = await Client.connect(quick.ws, { producer: { id: 'q', epoch: 1 } });
    await c.publish('a', 1, { producer_seq: 1 });
    for (let n = 1; n <= 6; n += 1) {
      // q goes on and stays known; p is silent.
      await d.publish('a', n, { producer_seq: n });
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    for (const seq of [2, 1, 3]) { // 1 as well: nobody knows any more whether it was stored
      const refused = await c.expectError('producer_unknown',
        { type: 'publish', channel: 'a', data: 2, producer_seq: seq });
      assert.match(refused.message, /take a higher epoch/);
    }
    const e = await Client.connect(quick.ws, { producer: { id: 'p', epoch: 2 } });
    await e.publish('a', 2, { producer_seq: 1 });
    await Promise.all([c.close(), d.close(), e.close()]);
  } finally {
    await quick.kill();
  }
});

test('channels over the node\'s limit are limit_exceeded', async () => {
  // One partition: more of them share the limit out between them.
  const small = await Server.start({ flags: ['--limits-channels', '3', '--partitions', '1'] });
  try {
    const c = await Client.connect(small.ws);
    for (const channel of ['a', 'b', 'c']) await c.publish(channel, 1);
    await c.expectError('limit_exceeded', { type: 'publish', channel: 'd', data: 1 });
    await c.publish('a', 2);
    await c.close();
  } finally {
    await small.kill();
  }
});
