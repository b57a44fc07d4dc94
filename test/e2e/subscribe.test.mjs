// [P 3] subscribe, ack and window, unsubscribe, gap and reset.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { channelName, Client } from './lib/client.mjs';
import { Server } from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  await server?.stop();
});

async function withClient(run) {
  const c = await Client.connect(server.ws);
  await run(c);
  await c.close();
}

/** A channel with the messages 1 … count. */
async function filled(c, count) {
  const channel = channelName();
  const replies = [];
  for (let n = 1; n <= count; n += 1) replies.push(c.publish(channel, n));
  const all = await Promise.all(replies);
  return { channel, epoch: all[0].epoch };
}

const data = (messages) => messages.map((m) => m.data);

test('the default is latest: only what is committed after the reply', async () => {
  await withClient(async (c) => {
    const { channel, epoch } = await filled(c, 3);
    for (const from of [undefined, 'latest']) {
      const sub = await c.subscribe(channel, from);
      assert.deepEqual(
        [sub.reply.next, sub.reply.earliest, sub.reply.latest, sub.epoch], [4, 1, 3, epoch]);
      assert.equal(sub.reply.reset, undefined);
      await c.expect('unsubscribed', { type: 'unsubscribe', channel });
    }
    const sub = await c.subscribe(channel);
    await c.publish(channel, 4);
    assert.deepEqual(data(await c.take(sub, 1)), [4]);
  });
});

test('earliest gives everything and then goes on live', async () => {
  await withClient(async (c) => {
    const { channel } = await filled(c, 20);
    const sub = await c.subscribe(channel, 'earliest');
    assert.equal(sub.reply.next, 1);
    await c.publish(channel, 21);
    assert.deepEqual(data(await c.take(sub, 21)), Array.from({ length: 21 }, (_, i) => i + 1));
  });
});

test('each seq from 1 to latest+1 is a good start, with and without the epoch', async () => {
  await withClient(async (c) => {
    const { channel, epoch } = await filled(c, 5);
    for (let seq = 1; seq <= 6; seq += 1) {
      for (const from of [{ seq }, { epoch, seq }]) {
        const sub = await c.subscribe(channel, from);
        assert.equal(sub.reply.next, seq);
        const messages = await c.take(sub, 6 - seq);
        assert.deepEqual(data(messages), [1, 2, 3, 4, 5].slice(seq - 1));
        await c.expect('unsubscribed', { type: 'unsubscribe', channel });
      }
    }
  });
});

test('a time starts at the first message that is not older', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    for (let n = 1; n <= 4; n += 1) {
      await c.publish(channel, n);
      await sleep(15);
    }
    const { messages } = await c.history(channel);
    for (const m of messages) {
      const expected = messages.find((x) => x.time >= m.time).seq;
      const sub = await c.subscribe(channel, { time: m.time });
      assert.equal(sub.reply.next, expected);
      await c.expect('unsubscribed', { type: 'unsubscribe', channel });
    }
    const before = await c.subscribe(channel, { time: messages[0].time - 1000 });
    assert.equal(before.reply.next, 1);
    await c.expect('unsubscribed', { type: 'unsubscribe', channel });
    const later = await c.subscribe(channel, { time: messages[3].time + 3_600_000 });
    assert.equal(later.reply.next, 5, 'nothing is so young: the next one');
  });
});

test('a channel that nobody has published to has latest 0 and an epoch that stays', async () => {
  await withClient(async (c) => {
    const channel = channelName();
    const sub = await c.subscribe(channel, 'earliest');
    assert.equal(sub.reply.latest, 0);
    assert.equal(sub.reply.next, 1);
    const { epoch } = await c.publish(channel, 'first');
    assert.equal(epoch, sub.epoch);
    assert.equal((await c.take(sub, 1))[0].seq, 1);
  });
});

test('a position beyond latest+1 is a gap error with the bounds', async () => {
  await withClient(async (c) => {
    const { channel, epoch } = await filled(c, 3);
    for (const from of [{ seq: 5 }, { epoch, seq: 5 }, { seq: Number.MAX_SAFE_INTEGER }]) {
      for (const more of [{}, { on_gap: 'error' }]) {
        const error = await c.expectError('gap', { type: 'subscribe', channel, from, ...more });
        assert.deepEqual([error.epoch, error.earliest, error.latest], [epoch, 1, 3]);
      }
    }
    await c.expectError('not_subscribed', { type: 'unsubscribe', channel });
  });
});

test('beyond latest+1 with reset starts at latest+1 and says ahead', async () => {
  await withClient(async (c) => {
    const { channel } = await filled(c, 3);
    const sub = await c.subscribe(channel, { seq: 9 }, { on_gap: 'reset' });
    assert.deepEqual(sub.reply.reset, { reason: 'ahead' });
    assert.equal(sub.reply.next, 4);
    await c.publish(channel, 4);
    assert.deepEqual(data(await c.take(sub, 1)), [4]);
  });
});

for (const epoch of ['zzz-not-an-epoch', 'a', '', '0', 'é'.repeat(50)]) {
  test(`the unknown epoch ${JSON.stringify(epoch.slice(0, 20))} is a gap`, async () => {
    await withClient(async (c) => {
      const { channel, epoch: now } = await filled(c, 3);
      const from = { epoch, seq: 2 };
      const error = await c.expectError('gap', { type: 'subscribe', channel, from });
      assert.deepEqual([error.epoch, error.earliest, error.latest], [now, 1, 3]);
      const sub = await c.subscribe(channel, from, { on_gap: 'reset' });
      assert.deepEqual(sub.reply.reset, { reason: 'epoch' });
      assert.equal(sub.reply.next, 1);
      assert.deepEqual(data(await c.take(sub, 3)), [1, 2, 3]);
    });
  });
}

test('one subscription per channel and connection', async () => {
  await withClient(async (c) => {
    const { channel } = await filled(c, 1);
    await c.subscribe(channel);
    await c.expectError('already_subscribed', { type: 'subscribe', channel, from: 'earliest' });
    await c.publish(channel, 2);
    const other = await Client.connect(server.ws);
    await other.subscribe(channel);
    await other.close();
  });
});

test('no message follows unsubscribed, and one may subscribe again', async () => {
  await withClient(async (c) => {
    const { channel } = await filled(c, 200);
    await c.subscribe(channel, 'earliest');
    const reply = await c.expect('unsubscribed', { type: 'unsubscribe', channel });
    assert.equal(reply.channel, channel);
    await c.publish(channel, 'unseen');
    await c.barrier(); // a message now would be a violation
    const sub = await c.subscribe(channel, 'earliest');
    assert.equal((await c.take(sub, 201)).at(-1).data, 'unseen');
  });
});

test('what is not subscribed to cannot be unsubscribed from', async () => {
  await withClient(async (c) => {
    await c.expectError('not_subscribed', { type: 'unsubscribe', channel: channelName() });
  });
});

test('three hundred channels on one connection, each with its own order', async () => {
  await withClient(async (c) => {
    const channels = Array.from({ length: 300 }, () => channelName());
    const subs = await Promise.all(channels.map((ch) => c.subscribe(ch)));
    await Promise.all(channels.flatMap((ch) => [1, 2, 3].map((n) => c.publish(ch, `${ch} ${n}`))));
    for (const [i, sub] of subs.entries()) {
      const expected = [1, 2, 3].map((n) => `${channels[i]} ${n}`);
      assert.deepEqual(data(await c.take(sub, 3)), expected);
    }
  });
});

test('a window out of range is refused with its range, whichever side it is on', async () => {
  await withClient(async (c) => {
    for (const window of [0, -1, 1.5, '1', null, 1_000_001, Number.MAX_SAFE_INTEGER]) {
      const refused = await c.expectError('bad_request',
        { type: 'subscribe', channel: channelName(), window });
      assert.match(refused.message, /^window: expected an integer from 1 to 1000000$/);
    }
  });
});

test('subscriptions over the limit are limit_exceeded', async () => {
  const small = await Server.start({ flags: ['--limits-subscriptions', '3'] });
  try {
    const c = await Client.connect(small.ws);
    for (const channel of ['a', 'b', 'c']) await c.subscribe(channel);
    await c.expectError('limit_exceeded', { type: 'subscribe', channel: 'd' });
    await c.expect('unsubscribed', { type: 'unsubscribe', channel: 'b' });
    await c.subscribe('d');
    await c.close();
  } finally {
    await small.kill();
  }
});

// ---- window -------------------------------------------------------------------------------------

/** What has come once the server had time to send more than it may. */
async function settled(c, sub) {
  await c.barrier();
  await sleep(100);
  return sub.messages.length;
}

const ack = (c, channel, seq) => c.sendText(JSON.stringify({ type: 'ack', channel, seq }));

test('at most `window` messages are unacknowledged, in catch-up as well as live', async () => {
  await withClient(async (c) => {
    const { channel } = await filled(c, 30);
    const sub = await c.subscribe(channel, 'earliest', { window: 5 });
    assert.equal(await settled(c, sub), 5);
    ack(c, channel, 3);
    assert.equal(await settled(c, sub), 8);
    ack(c, channel, 2); // older: ignored
    ack(c, channel, 3); // again
    assert.equal(await settled(c, sub), 8);
    ack(c, channel, 8);
    assert.equal(await settled(c, sub), 13);
    for (let seq = 13; seq <= 30; seq += 5) {
      ack(c, channel, Math.min(seq, sub.messages.length));
      await settled(c, sub);
    }
    ack(c, channel, sub.messages.length);
    await settled(c, sub);
    assert.equal(sub.messages.length, 30);
    ack(c, channel, 30);
    for (let n = 31; n <= 40; n += 1) await c.publish(channel, n);
    assert.equal(await settled(c, sub), 35);
    ack(c, channel, 35);
    assert.equal(await settled(c, sub), 40);
    assert.deepEqual(data(sub.messages), Array.from({ length: 40 }, (_, i) => i + 1));
  });
});

test('an acknowledgement beyond what was sent is bad_request and changes nothing', async () => {
  await withClient(async (c) => {
    const { channel } = await filled(c, 10);
    const sub = await c.subscribe(channel, 'earliest', { window: 2 });
    assert.equal(await settled(c, sub), 2);
    ack(c, channel, 3);
    const error = await c.push((p) => p.type === 'error');
    assert.equal(error.code, 'bad_request');
    assert.equal(await settled(c, sub), 2);
    ack(c, channel, 2);
    assert.equal(await settled(c, sub), 4);
  });
});

test('an acknowledgement for what is not subscribed to is refused', async () => {
  await withClient(async (c) => {
    ack(c, channelName(), 1);
    const error = await c.push((p) => p.type === 'error');
    assert.ok(['not_subscribed', 'bad_request'].includes(error.code), error.code);
  });
});

// ---- retention ----------------------------------------------------------------------------------

/** Publishes until the channel's beginning has moved behind `beyond`; gives the bounds. */
async function trimmedBeyond(c, channel, beyond) {
  for (let round = 0; round < 100; round += 1) {
    await Promise.all(Array.from({ length: 100 }, (_, i) => c.publish(channel, i)));
    const bounds = await c.history(channel, { limit: 1 });
    if (bounds.earliest > beyond) return bounds;
    await sleep(100);
  }
  throw new Error(`retention never moved earliest beyond ${beyond}`);
}

test('retention: trimmed positions are named, never skipped in silence', async (t) => {
  const small = await Server.start({
    flags: ['--retention-messages', '200', '--segment-bytes', '64KiB', '--feed-bytes', '4KiB'] });
  const c = await Client.connect(small.ws);
  try {
    await t.test('a trimmed start is a gap error, or a reset to earliest', async () => {
      await trimmedBeyond(c, 'a', 50);
      const error = await c.expectError('gap',
        { type: 'subscribe', channel: 'a', from: { seq: 1 } });
      assert.ok(error.earliest > 50);
      assert.ok(error.latest >= error.earliest);
      const sub = await c.subscribe('a', { seq: 1 }, { on_gap: 'reset' });
      assert.deepEqual(sub.reply.reset, { reason: 'trimmed' });
      assert.equal(sub.reply.next, sub.reply.earliest);
      await c.take(sub, sub.reply.latest - sub.reply.next + 1);
      await c.expect('unsubscribed', { type: 'unsubscribe', channel: 'a' });
    });

    await t.test('earliest, and history from 1, start at what is kept', async () => {
      const history = await c.history('a', { from: 1, limit: 5 });
      assert.equal(history.messages[0].seq, history.earliest);
      const sub = await c.subscribe('a', 'earliest');
      assert.equal(sub.reply.next, sub.reply.earliest);
      assert.equal(sub.reply.reset, undefined);
      await c.expect('unsubscribed', { type: 'unsubscribe', channel: 'a' });
    });

    await t.test('at least what retention promises is kept', async () => {
      const { earliest, latest } = await c.history('a', { limit: 1 });
      assert.ok(latest - earliest + 1 >= 200, `${earliest} … ${latest}`);
    });

    await t.test('a subscription that is overtaken gets a gap and goes on', async () => {
      const sub = await c.subscribe('b', 'earliest', { window: 10, on_gap: 'reset' });
      const { earliest } = await trimmedBeyond(c, 'b', 300);
      assert.equal(sub.messages.length, 10);
      ack(c, 'b', 10);
      const gap = await c.push((p) => p.type === 'gap');
      assert.equal(gap.channel, 'b');
      assert.equal(gap.from, 11);
      assert.ok(gap.to >= earliest - 1, `${gap.to}, ${earliest}`);
      assert.equal(gap.reason, 'trimmed');
      await c.take(sub, 11);
      assert.equal(sub.messages[10].seq, gap.to + 1);
    });

    await t.test('with on_gap error it is ended by name instead', async () => {
      const sub = await c.subscribe('d', 'earliest', { window: 10, on_gap: 'error' });
      await trimmedBeyond(c, 'd', 300);
      ack(c, 'd', 10);
      const ended = await c.push((p) => p.type === 'unsubscribed');
      assert.equal(ended.channel, 'd');
      assert.equal(ended.reason, 'gap');
      assert.equal(sub.messages.length, 10);
      await c.subscribe('d', 'earliest');
    });

    await t.test('bounds survive a kill', async () => {
      const { earliest, latest, epoch } = await c.history('a', { limit: 1 });
      await small.kill();
      await small.restart();
      const d = await Client.connect(small.ws);
      const after = await d.history('a', { limit: 1 });
      assert.equal(after.epoch, epoch);
      assert.equal(after.latest, latest);
      assert.ok(after.earliest >= earliest, 'what was trimmed does not come back');
      await d.close();
    });
    c.check();
  } finally {
    c.terminate();
    await small.kill();
  }
});
