// A client whose own wire is good: it publishes a message, waits until it has got it back, and
// again; a line on standard input ends a window and has its figures printed as JSON.
//
//   node calm.mjs URL

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from '../e2e/lib/client.mjs';

const PAUSE_MS = 10;
let times = [];

const at = (sorted, part) => sorted[Math.floor((sorted.length - 1) * part)] ?? null;

function report() {
  const sorted = times.sort((a, b) => a - b);
  times = [];
  return { count: sorted.length, p50: at(sorted, 0.5), p99: at(sorted, 0.99),
    max: at(sorted, 1) };
}

async function main() {
  const client = await Client.connect(process.argv[2]);
  const subscription = await client.subscribe('calm');
  const lines = createInterface({ input: process.stdin });
  let running = true;
  lines.on('line', () => {
    console.log(JSON.stringify({ ...report(), violations: client.violations }));
  });
  lines.on('close', () => (running = false));
  for (let n = 1; running; n += 1) {
    const began = performance.now();
    await client.publish('calm', n);
    const [message] = await client.take(subscription, 1);
    if (message.data !== n) client.violation(`sent ${n}, got ${message.raw}`);
    times.push(Math.round((performance.now() - began) * 100) / 100);
    subscription.messages = []; // it may be a long time
    subscription.taken = 0;
    await sleep(PAUSE_MS);
  }
  await client.terminate();
}

await main();
