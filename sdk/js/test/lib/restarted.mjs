// A publisher that is killed at any time: publishes {w, n} with a `w` of its own, and says on its
// standard output which numbers are in its outbox.
//
//   node restarted.mjs URL CHANNEL OUTBOX COUNT CODEC

import { randomUUID } from 'node:crypto';

import { Client } from '../../dist/index.js';
import { FileOutbox } from '../../dist/node/index.js';

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
process.stdout.write(`${w} ${count} done\n`);
await client.close();
