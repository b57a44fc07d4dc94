// --io: sockets are served the same with and without io_uring; what was taken is told, and so is
// why it could not be had. The refusals come from test/lib/fault_preload.c.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { Client } from './lib/client.mjs';
import { Faults, until } from './lib/faults.mjs';
import { freePort, runCli, Server, temporaryDir } from './lib/server.mjs';

const EPERM = 1;
const ENOMEM = 12;
const ENOSYS = 38;
const SUBSCRIBERS = 40;
const MESSAGES = 50;

/** The events that a server has logged, as far as their lines are whole. */
const events = (text) => text.split('\n').slice(0, -1).map((line) => JSON.parse(line));
const event = (server, name) => events(server.stderr).find((e) => e.event === name);
/** It answers a moment before its log says so, and all that comes before. */
const listening = (server) => until(() => event(server, 'listening'), 'the log');

/** How many rings a process holds. */
function rings(pid) {
  const folder = `/proc/${pid}/fd`;
  return fs.readdirSync(folder).filter((fd) => {
    try {
      return fs.readlinkSync(path.join(folder, fd)).includes('io_uring');
    } catch {
      return false; // closed meanwhile
    }
  }).length;
}

/** Many subscribers of one channel, who also publish all at once: reads and writes of many sockets
 *  in one turn, small ones and large ones. */
async function serves(server) {
  const clients = await Promise.all(
    Array.from({ length: SUBSCRIBERS }, () => Client.connect(server.ws)));
  const subscriptions = await Promise.all(clients.map((c) => c.subscribe('a')));
  for (let n = 0; n < MESSAGES; n += 10) {
    await Promise.all(clients.slice(0, 10).map((c, i) =>
      c.publish('a', { n: n + i, filler: 'x'.repeat(i === 0 ? 100_000 : 10) })));
  }
  const first = await clients[0].take(subscriptions[0], MESSAGES);
  const told = first.map((m) => m.data.n);
  assert.deepEqual([...told].sort((a, b) => a - b), Array.from({ length: MESSAGES }, (_, i) => i));
  for (let i = 1; i < SUBSCRIBERS; i += 1) {
    const got = await clients[i].take(subscriptions[i], MESSAGES);
    assert.deepEqual(got.map((m) => [m.seq, m.data.n]), told.map((n, k) => [k + 1, n]));
  }
  for (const c of clients) c.check();
  await Promise.all(clients.map((c) => c.close()));
}

test('io epoll, uring and auto: told, and everybody is served in order', async () => {
  const auto = await Server.start({ flags: ['--io', 'auto', '--threads', '2'] });
  const { io: taken } = await listening(auto);
  const possible = event(auto, 'io_uring is not used') === undefined;
  assert.equal(taken, possible ? 'uring' : 'epoll');
  assert.equal(rings(auto.pid), possible ? 2 : 0);
  await serves(auto);
  assert.equal((await auto.stop()).code, 0, auto.stderr);
  for (const io of possible ? ['epoll', 'uring'] : ['epoll']) {
    const server = await Server.start({ flags: ['--io', io, '--threads', '2'] });
    assert.equal((await listening(server)).io, io);
    assert.equal(rings(server.pid), io === 'uring' ? 2 : 0); // one a reactor
    await serves(server);
    assert.equal((await server.stop()).code, 0, server.stderr);
  }
});

test('where the system refuses io_uring, auto says why and serves all the same', async () => {
  for (const [error, why] of [[EPERM, /forbids/], [ENOSYS, /kernel/], [ENOMEM, /memory/]]) {
    const data = temporaryDir();
    const faults = new Faults(data);
    faults.set({ call: 'ring', error, skip: 1 }); // of the second reactor: none may keep one
    const server = await Server.start({ data, env: faults.env,
      flags: ['--io', 'auto', '--threads', '2'] });
    assert.equal((await listening(server)).io, 'epoll');
    // In a container that refuses it by itself the first one is not had either.
    assert.match(event(server, 'io_uring is not used').why, faults.hits().length > 0 ? why : /./);
    assert.equal(rings(server.pid), 0);
    if (error === EPERM) await serves(server);
    assert.equal((await server.stop()).code, 0, server.stderr);
  }
});

test('io uring where the system refuses it is an error by name', async () => {
  const data = temporaryDir();
  const faults = new Faults(data);
  faults.set({ call: 'ring', error: EPERM });
  const port = await freePort();
  const serve = ['serve', '--data', data, '--listen', `127.0.0.1:${port}`, '--io', 'uring'];
  const run = await runCli(serve, { env: faults.env });
  assert.equal(run.code, 1, run.stderr);
  const error = events(run.stderr).find((e) => e.level === 'error');
  assert.equal(error.event, 'cannot use io_uring, and --io uring asks for it');
  assert.match(error.detail, /forbids io_uring/);
  await assert.rejects(fetch(`http://127.0.0.1:${port}/readyz`));
  // The same data, without that wish.
  const server = await Server.start({ data, env: faults.env, flags: ['--io', 'epoll'] });
  assert.equal(faults.hits().length, 1, 'epoll does not even ask');
  assert.equal((await server.stop()).code, 0, server.stderr);
});

test('io is a setting as any other, and a wrong one is named', async () => {
  const shown = await runCli(['config', 'show'], { env: { SERIATIM_IO: 'epoll' } });
  assert.match(shown.stdout.toString(), /^io: epoll/m);
  const wrong = await runCli(['serve', '--data', temporaryDir(), '--io', 'kqueue']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /io.*kqueue|kqueue.*io/s);
  assert.match(wrong.stderr, /auto.*epoll.*uring/s);
});
