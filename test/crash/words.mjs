// The main job on real input: every line of a dictionary goes through `seriatim pub`, the server is
// killed twice on the way, and `seriatim sub` must print the same bytes.
//
//   node words.mjs [FILE]

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { binary, environment, runCli, Server } from '../e2e/lib/server.mjs';

const file = process.argv[2] ?? '/usr/share/dict/words';
const LINES_MIN = 100_000;
const KILLS = 2;
const HELD_BACK = 1000; // lines that pub gets behind the last kill: before, it cannot have ended
const LIMIT_MS = 120_000;

/** A seriatim program with its output gathered; `lines` counts what it has printed. */
function start(args, url, stdin = 'ignore') {
  const child = spawn(binary, args, { env: { ...environment, SERIATIM_URL: url },
    stdio: [stdin, 'pipe', 'pipe'] });
  const out = [];
  const program = { child, lines: 0, stderr: '', output: () => Buffer.concat(out) };
  child.stdout.on('data', (d) => {
    out.push(d);
    for (const byte of d) if (byte === 10) program.lines += 1;
  });
  child.stderr.on('data', (d) => (program.stderr += d));
  child.stdin?.on('error', () => {}); // its exit status tells
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  program.exited = once(child, 'close').then(([code]) => {
    clearTimeout(timer);
    return code;
  });
  return program;
}

/** Where the last `count` lines begin. */
function tailOf(input, count) {
  let at = input.length - 1;
  for (let i = 0; i < count; i += 1) at = input.lastIndexOf(10, at - 1);
  return at + 1;
}

async function main() {
  const checks = [];
  const check = (name, good, detail = '') => {
    checks.push(good);
    console.log(`${good ? 'ok    ' : 'FAILED'}  ${name}${good || !detail ? '' : `: ${detail}`}`);
  };
  const input = fs.readFileSync(file);
  const lines = input.toString('latin1').split('\n').length - 1;
  check(`${file} has at least ${LINES_MIN} lines (${lines})`, lines >= LINES_MIN);

  const server = await Server.start();
  // One reader follows live from the beginning, through the kills.
  const follower = start(['sub', 'words', '--from', 'earliest', '--count', `${lines}`], server.ws);
  const publisher = start(['pub', 'words'], server.ws, 'pipe');
  const held = tailOf(input, HELD_BACK);
  publisher.child.stdin.write(input.subarray(0, held));
  let publisherEnded = false;
  publisher.exited.then(() => (publisherEnded = true));
  for (let k = 1; k <= KILLS; k += 1) {
    // When the follower has seen a third, then two thirds.
    while (follower.lines < (lines * k) / (KILLS + 1) && !publisherEnded) await sleep(2);
    check(`kill ${k} comes while pub is at work`, !publisherEnded, `${follower.lines} lines seen`);
    await server.kill();
    await server.restart();
  }
  publisher.child.stdin.end(input.subarray(held));
  const published = await publisher.exited;
  check('pub ends with status 0', published === 0, `${published} ${publisher.stderr.slice(-500)}`);
  const followed = await follower.exited;
  check('the sub that followed ends with status 0', followed === 0,
    `${followed}, ${follower.lines} lines ${follower.stderr.slice(-500)}`);
  check('the sub that followed printed the file, byte for byte',
    Buffer.compare(follower.output(), input) === 0, `${follower.lines} of ${lines} lines`);
  const again = await runCli(['sub', 'words', '--from', '1', '--count', `${lines}`],
    { env: { SERIATIM_URL: server.ws }, timeoutMs: LIMIT_MS });
  check('a sub that comes later prints the file, byte for byte',
    again.code === 0 && Buffer.compare(again.stdout, input) === 0, again.stderr.slice(-500));
  const answer = await fetch(`${server.http}/v1/channels/words/messages?limit=1`);
  const { latest } = await answer.json();
  check('the channel holds exactly as many messages', latest === lines, `${latest}`);
  await server.stop();
  const failed = checks.filter((good) => !good).length;
  console.log(`checks: ${checks.length - failed} passed, ${failed} failed`);
  return failed;
}

process.exit((await main()) === 0 ? 0 : 1);
