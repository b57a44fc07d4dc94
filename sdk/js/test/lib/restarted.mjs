// A publisher that is killed at any time: publishes {w, n} with a `w` of its own, and says on its
// standard output which numbers are in its outbox. One that gets to its end reads the channel back.
//
//   node restarted.mjs URL CHANNEL OUTBOX COUNT CODEC

import { randomUUID } from 'node:crypto';
import process from 'node:process';

import { Client } from '../../dist/index.js';
import { FileOutbox } from '../../dist/node/index.js';
import { Seen } from './judge.mjs';

const [, , url, channel, outbox, count, codec] = process.argv;
const client = new Client(url, { outbox: new FileOutbox(outbox), codec });
const w = randomUUID();
for (let n = 1; n <= Number(count); n += 1) {
  client.publish(channel, { w, n }).catch((error) => {
    console.error(error);
    process.exit(1);
  });
  if (n % 7 === 0) {
    await client.allStored();
    process.stdout.write(`${w} ${n}\n`);
  }
}
await client.flush();
const { latest } = await client.history(channel, { limit: 1 });
const seen = new Seen(channel);
for await (const message of client.subscribe(channel, { from: 'earliest' })) {
  seen.take(message);
  if (message.seq === latest) break;
}
if (seen.messages.length !== latest) throw new Error(`${seen.messages.length} of ${latest} came`);
process.stdout.write(`${w} ${count} done\n`);
await client.close();
