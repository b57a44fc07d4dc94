// Kill -9 at random moments, and a look from outside at what is left.
//
//   node crash.mjs [--kills N] [--seed S] [--plant NAME]    a run; exit 1 on any violation
//   node crash.mjs --canary                                 each planted violation must be found
//
// Goal: I1 to I6 hold through any number of kills. Method: numbered publishers that keep what is
// not acknowledged and send it again, some over two connections at once; subscribers that resume
// after the last seq they saw, one of them slow, one with a window; a server that is killed while
// it works, while it is idle and while it recovers. Everything seen is recorded; checker.mjs
// judges. The seed fixes the plan (not the machine's timing) and is printed.

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Server } from '../e2e/lib/server.mjs';
import { account, judge, PLANTS, printAccount } from './checker.mjs';
import { Load } from './load.mjs';

const ROUND = 25; // kills of one server and one account
const SERVE = '--segment-bytes 256KiB --feed-bytes 64KiB --threads 2 --partitions 2';
let serverFlags = SERVE.split(' ');
let passed = 0; // checks of all rounds
let failed = 0;

// ---- a run --------------------------------------------------------------------------------------

async function killLoop(server, load, kills) {
  let slowest = 0;
  let killed = 0;
  for (let k = 1; k <= kills; k += 1) {
    await sleep(load.between(20, 700));
    await server.kill();
    killed += 1;
    // Now and then once more while it recovers, wherever it has got to.
    if (load.random() < 0.25) {
      await server.restartAndKill(load.between(0, 60));
      killed += 1;
    }
    const began = Date.now();
    await server.restart();
    slowest = Math.max(slowest, Date.now() - began);
    if (process.stdout.isTTY) process.stdout.write(`\rkill ${k}, slowest start ${slowest} ms `);
  }
  if (process.stdout.isTTY) process.stdout.write('\n');
  return killed;
}

/** {history, killed}: `kills` under load, and some more of the recovering server. */
async function crashRun(kills, seed) {
  // Small segments and feeds: rolls, sealed indexes, checkpoints and reads from disk all happen.
  const server = await Server.start({ flags: serverFlags });
  const load = new Load(server, seed);
  try {
    load.start();
    const killed = await killLoop(server, load, kills);
    await sleep(200);
    const history = await load.finish();
    const stopped = await server.stop();
    if (stopped.code !== 0) load.note(`SIGTERM ended with ${JSON.stringify(stopped)}`);
    return { history, killed };
  } catch (error) {
    console.log(server.stderr.slice(-4000));
    throw error;
  }
}

async function canary(seed) {
  const { history } = await crashRun(2, seed);
  const clean = judge(history);
  [passed, failed] = clean.failed === 0 ? [1, 0] : [0, 1];
  if (clean.failed > 0) console.log(clean.lines.join('\n'));
  for (const [name, [plant, check]] of Object.entries(PLANTS)) {
    const bent = history.clone();
    plant(bent);
    const found = judge(bent).failedNames.some((n) => n.startsWith(check));
    console.log(`${found ? 'found ' : 'MISSED'}  ${name} (${check})`);
    if (found) passed += 1;
    else failed += 1;
  }
  console.log(`checks: ${passed} passed, ${failed} failed`);
  return failed;
}

async function main() {
  const { values } = parseArgs({ options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string' },
    plant: { type: 'string' },
    canary: { type: 'boolean', default: false },
    serve: { type: 'string', default: SERVE }, // flags of the server, with spaces between them
  } });
  serverFlags = values.serve.split(' ').filter((flag) => flag !== '');
  const seed = values.seed === undefined ? Date.now() % 2 ** 32 : Number(values.seed);
  console.log(`seed ${seed}`);
  if (values.canary) return canary(seed);
  return crash(Number(values.kills), seed, values.plant);
}

/** All rounds, and their account in one line. */
async function crash(kills, seed, plant) {
  const total = { kills: 0, acked: 0, delivered: 0, violations: 0 };
  for (let done = 0; done < kills; done += ROUND) {
    const one = await round(Math.min(ROUND, kills - done), seed + done / ROUND, plant);
    for (const name of Object.keys(total)) total[name] += one[name];
  }
  console.log(`account: ${total.kills} kills, ${total.acked} acknowledged,`
    + ` ${total.delivered} delivered, ${total.violations} violations`);
  console.log(`checks: ${passed} passed, ${failed} failed`);
  return failed;
}

/** A server of its own, and its account: the history of more kills would not fit into memory. */
async function round(kills, seed, plant) {
  const began = Date.now();
  console.log(`round with seed ${seed}`);
  const { history, killed } = await crashRun(kills, seed);
  if (plant !== undefined) PLANTS[plant][0](history);
  console.log(`${killed} kills in ${((Date.now() - began) / 1000).toFixed(1)} s`);
  const result = judge(history);
  printAccount(history, result);
  passed += result.passed;
  failed += result.failed;
  const { acked, delivered } = account(history);
  return { kills: killed, acked, delivered, violations: result.violations };
}

process.exit((await main()) === 0 ? 0 : 1);
