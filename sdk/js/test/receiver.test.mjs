// The receive window: repetitions, early messages, holes, and histories that change.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Message } from '../dist/message.js';
import { Attachment, Receiver } from '../dist/receiver.js';
import { SimClient, World } from './lib/world.mjs';

const message = (seq, id = `m${seq}`) =>
  new Message('a', seq, id, 0, 0, 0, undefined, 'p', seq, seq);

function subscribed(options = {}, reply = {}) {
  const receiver = new Receiver('a', { from: 'earliest', window: 4, stopAtGap: false, ...options });
  const at = new Attachment();
  receiver.subscribed(at, { epoch: 'e', next: 1, earliest: 1, latest: 0, ...reply });
  return [receiver, at];
}

function handled(receiver) {
  const items = [];
  for (let item = receiver.take(); item !== undefined; item = receiver.take()) {
    receiver.done(item);
    items.push(item.reason === undefined ? item.seq : `${item.reason} ${item.from}-${item.to}`);
  }
  return items;
}

test('what is old is dropped, what is early waits for the hole before it', () => {
  const [receiver, at] = subscribed();
  for (const seq of [1, 2, 2, 1, 4]) receiver.message(at, message(seq));
  assert.deepEqual(handled(receiver), [1, 2]);
  assert.deepEqual(receiver.missing(), { from: 3, limit: 1 });
  assert.ok(receiver.history({ epoch: 'e', earliest: 1, latest: 4, messages: [message(3)] }));
  assert.deepEqual(handled(receiver), [3, 4]);
  assert.equal(receiver.missing(), undefined);
  assert.deepEqual([receiver.dropped, receiver.filled], [2, 1]);
});

test('what lies beyond the window is dropped and fetched when there is room', () => {
  const [receiver, at] = subscribed();
  receiver.message(at, message(9));
  assert.deepEqual(receiver.missing(), { from: 1, limit: 4 });
  receiver.history({ epoch: 'e', earliest: 1, latest: 9,
    messages: [1, 2, 3, 4].map((n) => message(n)) });
  assert.equal(receiver.missing(), undefined, 'the window is full');
  assert.deepEqual(handled(receiver), [1, 2, 3, 4]);
  assert.deepEqual(receiver.missing(), { from: 5, limit: 4 });
});

test('a reconnect begins behind what is handled, and what is queued comes once', () => {
  const [receiver, at] = subscribed();
  for (const seq of [1, 2, 3]) receiver.message(at, message(seq));
  receiver.done(receiver.take());
  assert.deepEqual(receiver.from, { epoch: 'e', seq: 2 });
  const again = new Attachment();
  receiver.subscribed(again, { epoch: 'e', next: 2, earliest: 1, latest: 3 });
  for (const seq of [2, 3, 4]) receiver.message(again, message(seq));
  assert.deepEqual(handled(receiver), [2, 3, 4]);
});

test('holes that nobody can fill are told in their place, or end the subscription', () => {
  const [receiver, at] = subscribed();
  receiver.message(at, message(1));
  receiver.gap(at, { from: 2, to: 5, reason: 'trimmed' });
  receiver.message(at, message(6));
  receiver.gap(at, { from: 4, to: 5, reason: 'trimmed' }); // told again: nothing new
  assert.deepEqual(handled(receiver), [1, 'trimmed 2-5', 6]);
  const [strict, there] = subscribed({ stopAtGap: true });
  strict.message(there, message(1));
  strict.gap(there, { from: 2, to: 5, reason: 'damaged' });
  assert.deepEqual(handled(strict), [1]);
  assert.equal(strict.error.code, 'gap');
});

test('damage in the middle of what history gives is told between its messages', () => {
  const [receiver, at] = subscribed({ window: 20 });
  receiver.message(at, message(9));
  receiver.history({ epoch: 'e', earliest: 1, latest: 9, damaged: [{ from: 3, to: 5 }],
    messages: [1, 2, 6, 7, 8].map((n) => message(n)) });
  assert.deepEqual(handled(receiver), [1, 2, 'damaged 3-5', 6, 7, 8, 9]);
});

test('another history: what is queued of the old one is forgotten, what both have is kept', () => {
  const [receiver, at] = subscribed({ window: 20 });
  for (const seq of [1, 2, 3, 4, 5]) receiver.message(at, message(seq));
  receiver.done(receiver.take());
  receiver.reset(at, { epoch: 'f', next: 3, reason: 'epoch' });
  receiver.message(at, message(3, 'another'));
  assert.deepEqual(handled(receiver), [2, 'epoch 6-2', 3]);
  assert.deepEqual(receiver.position, { epoch: 'f', seq: 4 });
});

test('a connection that still tells the old history is not listened to', () => {
  const [receiver, one] = subscribed({ window: 20 });
  const other = new Attachment();
  receiver.subscribed(other, { epoch: 'e', next: 1, earliest: 1, latest: 0 });
  receiver.message(one, message(1));
  receiver.reset(one, { epoch: 'f', next: 1, reason: 'epoch' });
  receiver.message(other, message(1));
  receiver.message(other, message(2));
  receiver.message(one, message(1, 'another'));
  assert.deepEqual(handled(receiver), ['epoch 2-0', 1]);
});

test('a message in the handler when the history is renamed is not handled twice', () => {
  for (const id of ['m1', 'another']) {
    const [receiver, at] = subscribed();
    receiver.message(at, message(1));
    const item = receiver.take();
    const again = new Attachment();
    receiver.subscribed(again, { epoch: 'f', next: 1, earliest: 1, latest: 1 });
    receiver.message(again, message(1, id));
    receiver.done(item);
    receiver.message(again, message(2));
    assert.deepEqual(handled(receiver), id === 'm1' ? [2] : ['epoch 1-0', 1, 2]);
  }
});

test('a repair that takes messages away: subscribers are told, then get the new history', () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const world = new World(seed);
    const [writer, reader] = ['p', 'r'].map((name) => new SimClient(world, name));
    const clients = [writer, reader];
    const feed = reader.subscribe('a');
    for (let n = 1; n <= 10; n += 1) writer.publish('a', { n });
    const all = (count) => () => writer.publisher.count === 0 &&
      world.server.channel('a').messages.length === count;
    assert.ok(world.run(world.now + 20_000, clients, all(10)));
    world.run(world.now + world.random() * 100, clients);
    const from = 1 + Math.floor(world.random() * 10);
    world.server.loseFrom('a', from, 'e2');
    if (seed % 2) for (const c of [...world.connections]) world.cut(c);
    else for (const c of [...world.connections]) c.serve('a');
    const other = new SimClient(world, 'q');
    clients.push(other);
    for (let n = 1; n <= 5; n += 1) other.publish('a', { n: 100 + n });
    const done = () => feed.receiver.epoch === 'e2' && feed.receiver.handled === from + 4 &&
      !feed.busy;
    assert.ok(world.run(world.now + 30_000, clients, done), `seed ${seed}`);
    const { messages } = world.server.channel('a');
    // What the handler knows after the last reset is what the server has.
    const known = new Map();
    let next = 1;
    for (const item of reader.seen.get('a')) {
      if (item.reason !== undefined) {
        for (const seq of known.keys()) if (seq >= item.next) known.delete(seq);
      } else {
        assert.equal(item.seq, next, `seed ${seed}`);
        known.set(item.seq, item.id);
      }
      next = item.reason === undefined ? item.seq + 1 : item.next;
    }
    assert.deepEqual([...known], messages.map((m) => [m.seq, m.message_id]), `seed ${seed}`);
  }
});
