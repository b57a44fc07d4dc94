#!/usr/bin/env node
// A crowd of JavaScript clients when the server comes back: how long until all of them are
// subscribed again and have what was published meanwhile, and what a client that was not in the
// crowd notices.
//
//   node bench/sdk_crowd.mjs [--clients 10000] [--subscriptions 10] [--channels 1000] [--spread 10]
//
// The server is stopped with SIGTERM, so each client is told to come back after a random time up to
// the spread; then it is started again, a message goes to each channel, and the clock runs from
// when the server is ready. The crowd lives in one process, which takes a core of its own.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { Client } from '../sdk/js/dist/index.js';

const { values } = parseArgs({ options: {
  clients: { type: 'string', default: '10000' },
  subscriptions: { type: 'string', default: '10' },
  channels: { type: 'string', default: '1000' },
  spread: { type: 'string', default: '10' },
  url: { type: 'string' },
} });
const [count, subscriptions, channels, spread] =
  [values.clients, values.subscriptions, values.channels, values.spread].map(Number);
const channelOf = (i) => `crowd-${i % channels}`;

/** The crowd: tells how many messages have come, and whether one has come out of order. */
async function crowd() {
  let got = 0;
  let live = 0;
  for (let i = 0; i < count; i += 1) {
    const client = new Client(values.url, { codec: 'binary' });
    for (let k = 0; k < subscriptions; k += 1) {
      let last = 0;
      const subscription = client.subscribe(channelOf(i * subscriptions + k),
        { from: 'earliest', window: 16 }, (m) => {
          if (m.seq !== last + 1) process.send({ wrong: `${m.seq} behind ${last}` });
          last = m.seq;
          got += 1;
        });
      subscription.on('state', ({ state }) => (live += state === 'live' ? 1 : 0));
    }
    if (i % 50 === 49) await sleep(10);
  }
  setInterval(() => process.send({ got, live }), 20);
}

if (values.url !== undefined) {
  await crowd();
} else {
  const { Server } = await import('../test/e2e/lib/server.mjs');
  const server = await Server.start({ flags: ['--reconnect-spread', `${spread}s`] });
  const child = fork(fileURLToPath(import.meta.url),
    ['--url', server.ws, ...process.argv.slice(2)]);
  let got = 0;
  let live = 0;
  child.on('message', (m) => {
    if (m.wrong) throw new Error(m.wrong);
    ({ got, live } = m);
  });
  const all = count * subscriptions;
  const writer = new Client(server.ws, { codec: 'binary' });
  const publishAll = () => Promise.all(Array.from({ length: channels }, (_, i) =>
    writer.publish(channelOf(i), { at: i })));
  const reach = async (wanted, what, ms) => {
    const end = Date.now() + ms;
    while (got < wanted) {
      if (Date.now() > end) throw new Error(`${got} of ${wanted} ${what}`);
      await sleep(20);
    }
  };
  await publishAll();
  while (live < all) await sleep(50);
  await reach(all, 'messages before the stop', 120_000);
  console.log(`${count} clients, ${all} subscriptions live`);
  await server.stop();
  await server.restart();
  const began = Date.now();
  await publishAll();
  const latencies = [];
  const probe = setInterval(async () => {
    const at = performance.now();
    await writer.publish('probe', 1);
    latencies.push(performance.now() - at);
  }, 20);
  await reach(2 * all, 'messages after it', (spread + 60) * 1000);
  const seconds = (Date.now() - began) / 1000;
  clearInterval(probe);
  latencies.sort((a, b) => a - b);
  const p = (q) => latencies[Math.floor(latencies.length * q)]?.toFixed(1);
  console.log(`all have the next message ${seconds.toFixed(1)} s after the server is ready` +
    ` (spread ${spread} s)`);
  console.log(`another client's publishes meanwhile: p50 ${p(0.5)} ms, p99 ${p(0.99)} ms`);
  child.kill();
  await once(child, 'exit');
  await writer.close();
  await server.kill();
}
