// The state machines through any order of faults: seeds draw cuts, servers that are down, silent
// connections, refusals, and messages that vanish; then the faults cease, and everything must have
// arrived, once and in order.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SimClient, World } from './lib/world.mjs';

const SEEDS = Number(process.env.SDK_SEEDS ?? 100);
const CHANNELS = ['a', 'b'];

function fault(world, clients) {
  const connections = [...world.connections];
  const some = connections[Math.floor(world.random() * connections.length)];
  const kind = Math.floor(world.random() * 7);
  const later = (ms, run) => world.at(world.now + world.random() * ms, run);
  if (kind === 0 && some) world.cut(some);
  if (kind === 1) {
    world.down = true;
    for (const c of connections) world.cut(c);
    later(3000, () => (world.down = false));
  }
  if (kind === 2 && some) some.silent = true;
  if (kind === 3) {
    world.server.refuse = (c) => (c.type === 'publish' && world.random() < 0.5
      ? { code: 'unavailable', retry_after_ms: 100 } : undefined);
    later(2000, () => (world.server.refuse = () => undefined));
  }
  if (kind === 4 && some) {
    some.push({ type: 'goaway', reason: 'draining', reconnect_after_ms: world.random() * 500 });
    later(200, () => some.open && world.cut(some));
  }
  if (kind === 5) {
    world.server.drop = () => world.random() < 0.2;
    later(1000, () => (world.server.drop = () => false));
  }
  if (kind === 6) {
    const client = clients[Math.floor(world.random() * clients.length)];
    client.engine.setOnline(false, world.now);
    later(2000, () => client.engine.setOnline(true, world.now));
  }
}

/** Messages in order, without a hole; gaps are told where a history was lost. */
function assertDense(items, messages, what) {
  assert.deepEqual(items.map((m) => m.seq), messages.map((m) => m.seq), what);
  assert.deepEqual(items.map((m) => m.id), messages.map((m) => m.message_id), what);
}

for (const redundancy of [1, 2]) {
  test(`${SEEDS} worlds with ${redundancy} connection(s): complete, once, in order`, () => {
    let resent = 0;
    let filled = 0;
    let dropped = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const world = new World(seed * 7919 + redundancy);
      const clients = ['p', 'q', 'r'].map((name) => new SimClient(world, name, { redundancy }));
      const feeds = [...CHANNELS.map((c) => clients[0].subscribe(c)), clients[1].subscribe('a')];
      const sent = { p: { a: 0, b: 0 }, q: { a: 0, b: 0 } };
      for (let i = 0; i < 120; i += 1) {
        world.run(world.now + world.random() * 150, clients);
        for (const [k, name] of ['p', 'q'].entries()) {
          const channel = CHANNELS[Math.floor(world.random() * 2)];
          sent[name][channel] += 1;
          clients[k].publish(channel, { w: name, n: sent[name][channel] });
        }
        if (world.random() < 0.08) fault(world, clients);
      }
      world.down = false;
      world.server.refuse = () => undefined;
      world.server.drop = () => false;
      for (const c of clients) c.engine.setOnline(true, world.now);
      const complete = () => clients[0].published.length === 120 &&
        clients[1].published.length === 120 && feeds.every((f) => !f.busy &&
          f.receiver.handled === world.server.channel(f.receiver.channel).messages.length);
      // A hole at the very end shows only with what comes next, or when a connection is made anew.
      const calm = world.run(world.now + 60_000, clients, complete);
      if (!calm) for (const c of [...world.connections]) world.cut(c);
      assert.ok(calm || world.run(world.now + 120_000, clients, complete), `seed ${seed}: stuck`);
      for (const channel of CHANNELS) {
        const { messages } = world.server.channel(channel);
        for (const w of ['p', 'q']) {
          assert.deepEqual(messages.filter((m) => m.data.w === w).map((m) => m.data.n),
            Array.from({ length: sent[w][channel] }, (_, i) => i + 1), `seed ${seed}: ${w}`);
        }
        assertDense(clients[0].seen.get(channel), messages, `seed ${seed}`);
      }
      assertDense(clients[1].seen.get('a'), world.server.channel('a').messages, `seed ${seed}`);
      for (const c of clients) {
        assert.deepEqual([c.failures, c.gaps, c.error], [[], [], undefined], `seed ${seed}`);
        resent += c.publisher.resent;
      }
      for (const { receiver } of feeds) {
        filled += receiver.filled;
        dropped += receiver.dropped;
      }
    }
    assert.ok(resent > SEEDS && filled > SEEDS && dropped > 0,
      `the faults did nothing: ${resent} sent again, ${filled} filled, ${dropped} dropped`);
  });
}
