// What the publisher does with each kind of answer, and what an outbox must hold when.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { backoffMs, resendMs } from '../dist/backoff.js';
import { SimClient, World } from './lib/world.mjs';

const stored = (world, channel = 'a') =>
  world.server.channel(channel).messages.map((m) => m.data.n);

function settled(world, client, count) {
  return world.run(world.now + 60_000, [client], () => client.published.length === count &&
    client.publisher.count === 0);
}

test('a message refused for good fails alone: those behind it take its number', () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const world = new World(seed);
    const client = new SimClient(world, 'p');
    for (let n = 1; n <= 30; n += 1) client.publish('a', { n, bad: n % 7 === 0 });
    const cut = () => [...world.connections].forEach((c) => world.cut(c));
    if (seed % 2) world.at(world.now + 60, cut);
    assert.ok(settled(world, client, 26), `seed ${seed}`);
    const good = Array.from({ length: 30 }, (_, i) => i + 1).filter((n) => n % 7);
    assert.deepEqual(stored(world), good);
    assert.deepEqual(client.failures.map((f) => f.data.n), [7, 14, 21, 28]);
    client.publish('a', { n: 31 });
    assert.ok(settled(world, client, 27));
    assert.deepEqual(stored(world), [...good, 31]);
    assert.equal(client.publisher.producer.epoch, 1);
  }
});

test('a channel that forgot the producer: a higher epoch, numbers from 1, nothing twice', () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const world = new World(seed);
    const client = new SimClient(world, 'p');
    for (let n = 1; n <= 5; n += 1) {
      client.publish('a', { n });
      client.publish('b', { n });
    }
    assert.ok(settled(world, client, 10));
    world.server.channel('a').producers.clear();
    for (let n = 6; n <= 20; n += 1) {
      client.publish('a', { n });
      client.publish('b', { n });
    }
    assert.ok(settled(world, client, 40), `seed ${seed}`);
    const all = Array.from({ length: 20 }, (_, i) => i + 1);
    assert.deepEqual(stored(world, 'a'), all);
    assert.deepEqual(stored(world, 'b'), all);
    assert.equal(client.publisher.producer.epoch, 2);
    assert.equal(client.uncertain, 0, 'none was under way when a connection was lost');
  }
});

test('before a higher epoch, what may be stored elsewhere is settled under the old one', () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const world = new World(seed);
    const client = new SimClient(world, 'p');
    client.publish('a', { n: 1 });
    client.publish('b', { n: 1 });
    const all = () => client.publisher.count === 0;
    assert.ok(world.run(world.now + 20_000, [client], all));
    world.server.channel('a').producers.clear();
    for (let n = 2; n <= 8; n += 1) {
      client.publish('a', { n });
      client.publish('b', { n });
    }
    // Refusals of the one and answers of the other are lost in every way.
    for (let cut = 0; cut < 4; cut += 1) {
      world.run(world.now + world.random() * 80, [client]);
      if (client.publisher.producer.epoch > 1) break; // a message may be under way anew by now
      for (const c of [...world.connections]) world.cut(c);
    }
    assert.ok(world.run(world.now + 60_000, [client], all), `seed ${seed}`);
    assert.deepEqual(stored(world, 'b'), [1, 2, 3, 4, 5, 6, 7, 8], `seed ${seed}`);
    assert.deepEqual(stored(world, 'a'), [1, 2, 3, 4, 5, 6, 7, 8], `seed ${seed}`);
    assert.equal(client.publisher.producer.epoch, 2);
  }
});

test('who is fenced sends nothing more, and says so', () => {
  const world = new World(1);
  const client = new SimClient(world, 'p');
  client.publish('a', { n: 1 });
  assert.ok(settled(world, client, 1));
  world.server.channel('a').producers.set('p', { epoch: 9, last: 0 });
  client.publish('a', { n: 2 });
  world.run(world.now + 10_000, [client]);
  assert.equal(client.error.code, 'producer_fenced');
  assert.deepEqual(client.failures, [{ data: { n: 2 }, code: 'producer_fenced' }]);
  assert.deepEqual(stored(world), [1]);
});

test('an outbox taken over in mid-flight repeats nothing: the numbers go with the messages', () => {
  const world = new World(3);
  const first = new SimClient(world, 'p');
  for (let n = 1; n <= 12; n += 1) first.publish('a', { n });
  assert.ok(world.run(world.now + 1000, [first], () => stored(world).length > 3 &&
    stored(world).length < 12 && first.publisher.count > 3), 'it is in mid-flight');
  // What an outbox would hold, its last removals not yet carried out.
  const entries = [...first.publisher.pending()].map(({ ord, channel, number, key, payload }) =>
    ({ ord, channel, number, key, payload }));
  for (const c of [...world.connections]) world.cut(c);
  first.engine.stop(world.now);
  const second = new SimClient(world, 'p', { outbox: { producer: { id: 'p', epoch: 1 },
    next: new Map([['a', 13]]), entries } });
  for (let n = 13; n <= 15; n += 1) second.publish('a', { n });
  assert.ok(world.run(world.now + 60_000, [second], () => second.publisher.count === 0));
  assert.deepEqual(stored(world), Array.from({ length: 15 }, (_, i) => i + 1));
});

test('what is not acknowledged is sent again after 1 s, 2 s, 4 s … up to 30 s, and stored once',
  () => {
    assert.deepEqual([1, 2, 3, 4, 5, 6, 7, 99].map((n) => resendMs(n, 0)),
      [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    assert.equal(resendMs(1, 0.999), 1249);
    const world = new World(5);
    const client = new SimClient(world, 'p');
    world.run(world.now + 200, [client]);
    const began = world.now;
    const times = [];
    const real = world.server.publish;
    world.server.publish = (connection, c, reply) => {
      times.push(world.now - began);
      if (times.length === 5) real.call(world.server, connection, c, reply);
    };
    client.publish('a', { n: 1 });
    assert.ok(settled(world, client, 1));
    const waits = times.slice(1).map((at, i) => at - times[i]);
    for (const [i, least] of [1000, 2000, 4000, 8000].entries()) {
      assert.ok(waits[i] >= least - 25 && waits[i] <= least * 1.25 + 50, `wait ${i}: ${waits[i]}`);
    }
    assert.deepEqual(stored(world), [1]);
  });

test('"not now" is waited for, and the order stays', () => {
  const world = new World(8);
  const client = new SimClient(world, 'p');
  let refusals = 0;
  world.server.refuse = (c) => {
    if (c.type !== 'publish' || refusals >= 6 || c.data.n % 3 !== 1) return undefined;
    refusals += 1;
    return { code: 'unavailable', retry_after_ms: 200 };
  };
  const began = world.now;
  for (let n = 1; n <= 20; n += 1) client.publish('a', { n });
  assert.ok(settled(world, client, 20));
  assert.equal(refusals, 6);
  assert.ok(world.now - began >= 200, 'it has not waited');
  assert.deepEqual(stored(world), Array.from({ length: 20 }, (_, i) => i + 1));
});

test('backoff has full jitter and a cap', () => {
  const options = { baseMs: 200, capMs: 5000 };
  assert.deepEqual([0, 1, 2, 5, 50].map((n) => backoffMs(options, n, 0.9999)),
    [199, 399, 799, 4999, 4999]);
  assert.equal(backoffMs(options, 9, 0), 0);
});
