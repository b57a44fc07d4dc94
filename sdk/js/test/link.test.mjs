// Connections: which address, when again, and when one is dead.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Endpoints } from '../dist/endpoints.js';
import { SimClient, World } from './lib/world.mjs';

const nobody = new Set();

test('three failures in a row within 30 s leave an address out for 5 minutes, then 10; never all',
  () => {
    const all = new Endpoints(['ws://a', 'ws://b'], 0);
    const [a, b] = all.all;
    for (const at of [0, 10_000, 20_000]) all.failed(a, at);
    assert.equal(a.outUntil, 20_000 + 300_000);
    assert.equal(all.pick(21_000, nobody).endpoint, b);
    for (const at of [21_000, 21_001, 21_002, 21_003]) all.failed(b, at);
    assert.equal(b.outUntil, 0, 'the last one stays');
    assert.deepEqual(all.pick(22_000, nobody), { endpoint: b, at: 22_000 });
    for (const at of [320_001, 320_002, 320_003]) all.failed(a, at);
    assert.equal(a.outUntil, 320_003 + 600_000);
    all.held(a, 300_000);
    assert.equal(a.ejections, 0);
  });

test('failures that are not in a row, or not within 30 s, leave nothing out', () => {
  const all = new Endpoints(['ws://a', 'ws://b'], 0);
  const [a] = all.all;
  for (const at of [0, 16_000, 32_000, 48_000]) all.failed(a, at);
  assert.equal(a.outUntil, 0);
  all.failed(a, 50_000);
  all.connected(a);
  all.failed(a, 51_000);
  assert.equal(a.outUntil, 0);
});

test('two connections take two addresses, and share one where there is no other', () => {
  const two = new Endpoints(['ws://a', 'ws://b'], 0);
  const first = two.pick(0, nobody).endpoint;
  assert.notEqual(two.pick(0, new Set([first])).endpoint, first);
  const one = new Endpoints(['ws://a'], 0);
  assert.equal(one.pick(0, new Set(one.all)).endpoint, one.all[0]);
});

test('an address that is down is left out, and the client works through the other', () => {
  const world = new World(4);
  world.isDown = (url) => url === 'ws://a/' || url === 'ws://a';
  const client = new SimClient(world, 'p');
  for (let round = 0; round < 12; round += 1) {
    client.publish('a', { n: round });
    assert.ok(world.run(world.now + 60_000, [client], () => client.publisher.count === 0));
    for (const c of [...world.connections]) world.cut(c);
  }
  const down = client.engine.endpoints.all.find((e) => world.isDown(e.url));
  const up = client.engine.endpoints.all.find((e) => !world.isDown(e.url));
  assert.ok(down.outUntil > world.now, 'it is left out');
  assert.equal(up.outUntil, 0);
});

test('without a network it waits, and connects at once when it is back', () => {
  const world = new World(6);
  const client = new SimClient(world, 'p');
  assert.ok(world.run(world.now + 5000, [client], () => client.engine.links[0].ready));
  world.down = true;
  for (const c of [...world.connections]) world.cut(c);
  client.engine.setOnline(false, world.now);
  const { refused } = world;
  world.run(world.now + 29_000, [client]);
  assert.equal(world.refused, refused, 'it has tried without a network');
  world.down = false;
  client.engine.setOnline(true, world.now);
  const began = world.now;
  assert.ok(world.run(world.now + 5000, [client], () => client.engine.links[0].ready));
  assert.ok(world.now - began < 100, `${world.now - began} ms`);
});

test('attempts grow apart up to the cap, and retry_after_ms is honoured', () => {
  const world = new World(9);
  world.down = true;
  world.urls = ['ws://a'];
  const client = new SimClient(world, 'p', { backoff: { baseMs: 100, capMs: 4000 } });
  world.run(world.now + 60_000, [client]);
  assert.ok(world.refused >= 15 && world.refused <= 60, `${world.refused} attempts in 60 s`);
  world.down = false;
  let asked = 0;
  world.server.refuse = (c) => {
    if (c.type !== 'connect' || asked > 0) return undefined;
    asked = world.now;
    return { code: 'unavailable', retry_after_ms: 7000 };
  };
  assert.ok(world.run(world.now + 30_000, [client], () => client.engine.links[0].ready));
  assert.ok(world.now - asked >= 7000, `it came back after ${world.now - asked} ms`);
});

test('a silent connection is asked, given up, and made anew', () => {
  const world = new World(10);
  const client = new SimClient(world, 'p');
  const feed = client.subscribe('a');
  assert.ok(world.run(world.now + 5000, [client], () => feed.live));
  for (const c of world.connections) c.silent = true;
  const began = world.now;
  assert.ok(world.run(world.now + 60_000, [client], () => !feed.live));
  assert.ok(world.now - began <= 25_000 + 5000 + 100, `noticed after ${world.now - began} ms`);
  assert.ok(world.run(world.now + 10_000, [client], () => feed.live));
});

test('a refusal for good ends the client, with its reason', () => {
  const world = new World(11);
  world.server.refuse = (c) => (c.type === 'connect' ? { code: 'unauthorized' } : undefined);
  const client = new SimClient(world, 'p');
  world.run(world.now + 5000, [client]);
  assert.equal(client.engine.links[0].state, 'stopped');
  assert.equal(client.engine.links[0].why.code, 'unauthorized');
});

test('a refused token is asked for anew, where it can be', () => {
  const world = new World(12);
  let refused = 0;
  world.server.refuse = (c) => (c.type === 'connect' && (refused += 1) <= 2
    ? { code: 'unauthorized' } : undefined);
  const client = new SimClient(world, 'p', { tokenIsRefreshed: true });
  assert.ok(world.run(world.now + 20_000, [client], () => client.engine.links[0].ready));
  assert.deepEqual(client.refreshes, [false, true, true]);
});
