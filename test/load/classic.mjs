// The classic load test: a million messages at 10,000 a second, five million at 50,000 and ten
// million at 100,000, while consumers are restarted all the time; and once more while the server
// is killed with -9 and started again every few seconds. Each run has a fresh server. `seriatim
// verify` makes the load and keeps the account; here is only the table.
//
//   node test/load/classic.mjs [--series calm|kills|all] [--only RATE] [--part N] [--json FILE]
//
// --part 100 sends a hundredth of the messages. The program is E2E_BINARY, or build/seriatim. Ends
// with 1 if any account shows a violation, or a run was not finished.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { binary, environment, Server } from '../e2e/lib/server.mjs';

const { values: options } = parseArgs({ options: {
  series: { type: 'string', default: 'all' },
  only: { type: 'string', default: '' },
  part: { type: 'string', default: '1' },
  json: { type: 'string', default: '' },
} });
const part = Number(options.part);
if (!['calm', 'kills', 'all'].includes(options.series) || !(part >= 1)) {
  console.error('usage: classic.mjs [--series calm|kills|all] [--only RATE] [--part N] '
    + '[--json FILE]');
  process.exit(2);
}

const LOADS = [[10_000, 1_000_000], [50_000, 5_000_000], [100_000, 10_000_000]]
  .filter(([rate]) => options.only === '' || rate === Number(options.only));
const KILL_EVERY_MS = [3000, 6000];

const number = (n) => n.toLocaleString('en-US');

/** Kills the server again and again until `running.ended`; how often. */
async function killLoop(server, running) {
  let kills = 0;
  for (;;) {
    const [least, most] = KILL_EVERY_MS;
    await Promise.race([running.end, sleep(least + Math.random() * (most - least))]);
    if (running.ended) return kills;
    await server.kill();
    await server.restart();
    kills++;
  }
}

async function run(rate, messages, withKills) {
  const server = await Server.start();
  const args = ['verify', '--url', server.ws, '--json', '-', '--keep-going',
    '--rate', rate, '--messages', Math.ceil(messages / part), '--batch', 10, '--channels', 8,
    '--producers', 8, '--subscribers', 2, '--inflight', 4000, '--restart-subscribers', 500,
    '--restart-producers', withKills ? 3000 : 0, '--patience', 120].map(String);
  const child = spawn(binary, args, { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (d) => (stdout += d));
  const running = { ended: false };
  running.end = once(child, 'close').then(([code]) => {
    running.ended = true;
    return code;
  });
  const kills = withKills ? await killLoop(server, running) : 0;
  const code = await running.end;
  await server.kill();
  fs.rmSync(server.data, { recursive: true, force: true });
  return { code, kills, account: JSON.parse(stdout) };
}

const HEAD = `| asked for | messages | reached | consumer restarts | kills -9 | delivered | lost \
| twice | out of order | inconsistent | gaps | published p50 / p99 / max \
| delivered p50 / p99 / max |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|`;

const latency = (h) => [h.p50, h.p99, h.max].map((ms) => ms.toFixed(ms < 10 ? 1 : 0)).join(' / ');

function row({ account: a, kills }) {
  const v = a.violations;
  const wrong = v.inconsistent + v.ack_mismatch + v.payload_changed + v.digest_mismatch;
  const cells = [`${number(a.rate)}/s`, number(a.acknowledged),
    `${number(Math.round(a.rate_reached))}/s`, number(a.restarts), kills, number(a.delivered),
    a.lost, v.duplicated + v.stored_twice, v.out_of_order + v.producer_order, wrong,
    v.gap_unannounced + v.gap_announced, `${latency(a.publish_published_ms)} ms`,
    `${latency(a.publish_delivered_ms)} ms`];
  return `| ${cells.join(' | ')} |`;
}

const results = [];
for (const withKills of [false, true]) {
  if (options.series === (withKills ? 'calm' : 'kills')) continue;
  for (const [rate, messages] of LOADS) {
    console.error(`\n==== ${number(rate)} a second${withKills ? ', server killed' : ''} ====`);
    results.push({ withKills, ...(await run(rate, messages, withKills)) });
    if (options.json !== '') fs.writeFileSync(options.json, JSON.stringify(results, null, 1));
  }
}
console.log(`${os.cpus().length} cores for the server and the load; 8 channels, 8 producers in `
  + 'batches of 10, 2 subscribers of each channel, 128 bytes of data\n');
console.log(HEAD);
for (const result of results) console.log(row(result));
const bad = results.filter((r) => r.code !== 0);
const total = results.reduce((sum, r) => sum + r.account.violations_total, 0);
console.log(`\n${total} violations, ${bad.length} of ${results.length} runs failed`);
process.exit(bad.length === 0 ? 0 : 1);
