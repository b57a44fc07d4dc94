// [P 6] the command line: pub, sub, and how they end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { channelName, Client } from './lib/client.mjs';
import {
  binary, environment, freePort, runCli, Server, temporaryDir,
} from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  await server?.stop();
});

const cli = (args, options = {}) =>
  runCli(args, { ...options, env: { SERIATIM_URL: server.ws, ...options.env } });

test('pub publishes one message and sub prints its payload', async () => {
  const channel = channelName();
  const pub = await cli(['pub', channel, '{"n": 1.0}']);
  assert.equal(pub.code, 0, pub.stderr);
  const sub = await cli(['sub', channel, '--from', 'earliest', '--count', '1']);
  assert.equal(sub.code, 0, sub.stderr);
  assert.equal(sub.stdout.toString(), '{"n": 1.0}\n');
});

test('pub publishes each line of standard input in order', async () => {
  const channel = channelName();
  const lines = Array.from({ length: 500 }, (_, i) => `line ${i} "é" \\ ${'x'.repeat(i % 40)}`);
  const pub = await cli(['pub', channel], { input: `${lines.join('\n')}\n` });
  assert.equal(pub.code, 0, pub.stderr);
  const sub = await cli(['sub', channel, '--from', '1', '--count', '500']);
  assert.equal(sub.code, 0, sub.stderr);
  assert.equal(sub.stdout.toString(), `${lines.join('\n')}\n`);
});

test('sub --json prints whole messages, and --from takes a seq', async () => {
  const channel = channelName();
  for (const n of ['1', '2', '3']) assert.equal((await cli(['pub', channel, n])).code, 0);
  const sub = await cli(['sub', channel, '--from', '2', '--count', '2', '--json']);
  const messages = sub.stdout.toString().trim().split('\n').map((x) => JSON.parse(x));
  assert.deepEqual(messages.map((m) => m.seq), [2, 3]);
  assert.ok(messages.every((m) => typeof m.message_id === 'string'));
});

test('--url wins over the environment', async () => {
  const channel = channelName();
  const pub = await cli(['pub', '--url', server.ws, channel, '1'],
    { env: { SERIATIM_URL: 'ws://127.0.0.1:1/v1/ws' } });
  assert.equal(pub.code, 0, pub.stderr);
});

test('data is on standard output, all else on standard error', async () => {
  const channel = channelName();
  await cli(['pub', channel, '1']);
  const sub = await cli(['sub', channel, '--from', 'earliest', '--count', '1']);
  assert.equal(sub.stdout.toString(), '1\n');
});

test('pub makes a message of any text that is published over WebSocket too', async () => {
  const channel = channelName();
  assert.equal((await cli(['pub', channel, 'plain text'])).code, 0);
  const c = await Client.connect(server.ws);
  const { messages } = await c.history(channel);
  assert.equal(messages.length, 1);
  await c.close();
});

for (const args of [[], ['nonsense'], ['pub'], ['sub'], ['sub', 'a', '--from', 'x'],
  ['sub', 'a', '--count', '-1'], ['pub', 'a', '1', 'too many'], ['serve', '--no-such-flag'],
  ['serve', '--threads', 'many'], ['pub', '--url', 'http://x', 'a', '1'],
  ['pub', '', '1'], ['pub', 'a\tb', '1'], ['sub', ''], ['sub', 'é'.repeat(128)]]) {
  test(`seriatim ${args.join(' ')} is wrong usage: status 2 and a sentence`, async () => {
    const result = await cli(args, { timeoutMs: 10_000 });
    assert.equal(result.code, 2, result.stderr);
    assert.ok(result.stderr.length > 0);
    assert.equal(result.stdout.length, 0);
  });
}

for (const args of [['--help'], ['help'], ['serve', '--help'], ['pub', '--help'], ['sub', '--help'],
  ['--version']]) {
  test(`seriatim ${args.join(' ')} tells, with status 0`, async () => {
    const result = await cli(args, { timeoutMs: 10_000 });
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stdout.toString(), /seriatim/);
  });
}

// The lowest number that is free goes to the next file that is opened: what is logged would stand
// in it.
test('a server without standard descriptors logs into none of its files', async () => {
  const data = temporaryDir();
  const port = await freePort();
  const child = spawn('sh', ['-c', 'exec "$0" "$@" <&- >&- 2>&-', binary, 'serve', '--data', data,
    '--listen', `127.0.0.1:${port}`, '--log-level', 'debug'], { env: environment });
  const ended = once(child, 'exit');
  const http = `http://127.0.0.1:${port}`;
  const alive = () => fetch(`${http}/healthz`).then((r) => r.ok, () => false);
  for (let i = 0; i < 500 && !(await alive()); i += 1) await sleep(20);
  const answer = await fetch(`${http}/v1/publish`,
    { method: 'POST', body: '{"channel":"a","data":1}' });
  assert.equal(answer.status, 200);
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
  for (const name of fs.readdirSync(data, { recursive: true })) {
    const file = path.join(data, name);
    if (fs.statSync(file).isFile()) assert.ok(!fs.readFileSync(file).includes('"event"'), name);
  }
});

test('what needs a standard descriptor that is closed fails and says so', async () => {
  for (const [command, closed, why] of [['pub a', '<&-', /cannot read standard input/],
    ['sub a', '>&-', /no standard output/], ['version', '>&-', /cannot write/]]) {
    const child = spawn('sh', ['-c', `exec "$0" ${command} ${closed}`, binary],
      { env: { ...environment, SERIATIM_URL: server.ws } });
    let said = '';
    child.stderr.on('data', (d) => (said += d));
    assert.deepEqual(await once(child, 'close'), [1, null], command);
    assert.match(said, why);
  }
});

test('a channel that is refused ends pub with status 1 and the reason', async () => {
  const result = await cli(['pub', 'x'.repeat(256), '1'], { timeoutMs: 10_000 });
  assert.ok([1, 2].includes(result.code), `${result.code}`);
  assert.match(result.stderr, /255|too_large|too large/);
});

test('pub waits for a server that is not there yet', async () => {
  const port = await freePort();
  const pub = runCli(['pub', 'a', '"patience"'],
    { env: { SERIATIM_URL: `ws://127.0.0.1:${port}/v1/ws` }, timeoutMs: 30_000 });
  await new Promise((resolve) => setTimeout(resolve, 500));
  const late = await Server.start({ port });
  const result = await pub;
  // It may give up with status 1 instead, but never say that it published what it did not.
  const c = await Client.connect(late.ws);
  const { latest } = await c.history('a');
  assert.equal(latest, result.code === 0 ? 1 : 0, result.stderr);
  await c.close();
  await late.kill();
});
