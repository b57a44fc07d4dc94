#!/usr/bin/env node
// How many messages a second the JavaScript client publishes (pipelined, awaited) and hands to a
// handler: one process for each measured part, so that each has one core; the server beside it.
//
//   node bench/sdk.mjs [--seconds 3] [--codec json|binary] [--size 128]
//
// `publish`: the time from the first call to the last answer. `receive`: a channel full of messages
// is read from `earliest` by a handler that looks at each. CPU is that of the client's process.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { Client } from '../sdk/js/dist/index.js';

const { values } = parseArgs({ options: {
  seconds: { type: 'string', default: '3' },
  codec: { type: 'string' },
  size: { type: 'string', default: '128' },
  part: { type: 'string' },
  url: { type: 'string' },
  count: { type: 'string', default: '0' },
} });
const seconds = Number(values.seconds);
const size = Number(values.size);

async function publish(client) {
  const data = { n: 0, text: 'x'.repeat(Math.max(0, size - 20)) };
  const end = performance.now() + seconds * 1000;
  let count = 0;
  let failed;
  let open = 0;
  let more;
  const done = () => {
    open -= 1;
    if (more !== undefined && open < 2048) {
      more();
      more = undefined;
    }
  };
  const fail = (error) => {
    failed = error;
    done();
  };
  while (performance.now() < end && failed === undefined) {
    for (let i = 0; i < 64; i += 1) {
      data.n = count;
      count += 1;
      open += 1;
      client.publish('bench', data).then(done, fail);
    }
    if (open >= 4096) await new Promise((resolve) => (more = resolve));
  }
  await client.flush();
  if (failed !== undefined) throw failed;
  return count;
}

async function receive(client, wanted) {
  let sum = 0;
  let expected = 1;
  await new Promise((resolve, reject) => {
    const subscription = client.subscribe('bench', { from: 'earliest' }, (m) => {
      if (m.seq !== expected) throw new Error(`${m.seq} where ${expected} is next`);
      expected += 1;
      sum += m.data.n;
      if (m.seq === wanted) resolve();
    });
    subscription.closed.catch(reject);
  });
  if (sum !== (wanted * (wanted - 1)) / 2) throw new Error('a message is not what was published');
  return wanted;
}

async function part() {
  const client = new Client(values.url, { codec: values.codec });
  await client.history('bench').catch(() => {}); // connected, compiled
  const cpu = process.cpuUsage();
  const began = performance.now();
  const count = values.part === 'publish' ? await publish(client)
    : await receive(client, Number(values.count));
  const s = (performance.now() - began) / 1000;
  const used = process.cpuUsage(cpu);
  await client.close();
  process.send({ count, seconds: s, cpuUs: (used.user + used.system) / count });
}

async function run(codec, name, url, count) {
  const child = fork(fileURLToPath(import.meta.url), ['--part', name, '--codec', codec,
    '--url', url, '--count', String(count), '--seconds', String(seconds), '--size', String(size)]);
  const [result] = await Promise.race([once(child, 'message'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`${name} ended: ${code}`)))]);
  const rate = Math.round(result.count / result.seconds);
  console.log(`${codec.padEnd(7)} ${name.padEnd(8)} ${String(result.count).padStart(9)} messages ` +
    `${String(rate).padStart(8)}/s ${result.cpuUs.toFixed(2).padStart(6)} us of CPU each`);
  return result.count;
}

if (values.part !== undefined) {
  await part();
  process.exit(0);
}
const { Server } = await import('../test/e2e/lib/server.mjs');
for (const codec of values.codec === undefined ? ['json', 'binary'] : [values.codec]) {
  const server = await Server.start({ flags: ['--threads', '1'] });
  const count = await run(codec, 'publish', server.ws, 0);
  await run(codec, 'receive', server.ws, count);
  await server.stop();
}
