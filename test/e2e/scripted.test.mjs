// [P 6, P 14] pub and sub before a server that leaves, refuses, is silent or breaks the protocol:
// what waiting cures goes on exactly where it was, everything else is a clear end with status 1.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { message, refusal, startScripted, subscribed } from './lib/scripted.mjs';
import { binary, environment, runCli, temporaryDir } from './lib/server.mjs';

/** Runs a command before a server with that script: {code, stdout, stderr, heard, connections}. */
async function run(args, script, options = {}) {
  const server = await startScripted(script);
  const result = await runCli([...args, '--url', server.ws], { timeoutMs: 30_000, ...options });
  const { heard, connections } = server;
  await server.stop();
  return { ...result, stdout: result.stdout.toString(), heard, connections };
}

const published = (command, seq, more = {}) => ({
  type: 'published', id: command.id, channel: command.channel, seq, message_id: `m${seq}`,
  epoch: 'e1', ...more });

// ---- sub: it goes on ----------------------------------------------------------------------------

test('sub leaves with a goaway, comes back after it, and goes on at (epoch, seq)', async () => {
  const began = Date.now();
  const { code, stdout, stderr, heard } = await run(['sub', 'c', '--from', '5', '--count', '4'],
    (command, peer, { number }) => {
      if (command.type !== 'subscribe') return;
      if (number === 1) {
        peer.say(subscribed(command, 5));
        peer.say(message('c', 5, 'five'));
        peer.say(message('c', 6, 'six'));
        peer.say({ type: 'goaway', reason: 'draining', reconnect_after_ms: 600 });
        peer.close(1001, 'draining');
        return;
      }
      peer.say(subscribed(command, 7));
      peer.say(message('c', 7, 'seven'));
      peer.say(message('c', 8, { n: 8 }));
    });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'five\nsix\nseven\n{"n":8}\n');
  assert.ok(Date.now() - began >= 600);
  assert.match(stderr, /closed the connection \(code 1001, draining\); trying again\n/);
  assert.match(stderr, /connected again\n/);
  const subscribes = heard.filter((c) => c.type === 'subscribe').map((c) => c.from);
  assert.deepEqual(subscribes, [{ seq: 5 }, { epoch: 'e1', seq: 7 }]);
});

test('sub is told of an outage once, however long it is', async () => {
  const { code, stderr, connections } = await run(['sub', 'c', '--count', '1', '--from', 'latest'],
    (command, peer, { number }) => {
      if (number < 4) {
        peer.cut();
        return true;
      }
      if (command.type === 'subscribe') {
        assert.equal(command.from, 'latest');
        peer.say(subscribed(command, 1));
        peer.say(message('c', 1, 1));
      }
      return false;
    });
  assert.equal(code, 0, stderr);
  assert.equal(connections, 4);
  assert.equal(stderr.match(/trying again/g).length, 1, stderr);
  assert.match(stderr, /is the server running\?/);
  assert.match(stderr, /connected\n/);
});

test('sub waits where the server asks it to, and tells so', async () => {
  let asked = 0;
  const { code, stdout, stderr } = await run(['sub', 'c', '--count', '1', '--from', 'earliest'],
    (command, peer) => {
      if (command.type !== 'subscribe') return;
      asked += 1;
      if (asked === 1) peer.say(refusal(command, 'unavailable', { retry_after_ms: 30 }));
      else if (asked === 2) peer.say(refusal(command, 'internal'));
      else {
        peer.say(subscribed(command, 1));
        peer.say(message('c', 1, 1));
      }
    });
  assert.equal(code, 0, stderr);
  assert.equal(asked, 3);
  assert.equal(stdout, '1\n');
  assert.match(stderr, /c: the server cannot subscribe us now \(unavailable\): so it is\n/);
  assert.match(stderr, /c: the server cannot subscribe us now \(internal\): so it is\n/);
});

test('sub --on-gap reset goes on behind what is gone, and acknowledges the rest', async () => {
  const { code, stdout, stderr, heard } = await run(
    ['sub', 'c', '--from', '3', '--count', '4', '--on-gap', 'reset', '--window', '2'],
    (command, peer) => {
      if (command.type === 'subscribe') {
        peer.say(subscribed(command, 5, { earliest: 5, reset: { reason: 'trimmed' } }));
        peer.say(message('c', 5, 5));
        peer.say({ type: 'gap', channel: 'c', from: 6, to: 8, reason: 'trimmed' });
        peer.say(message('c', 9, 9));
      } else if (command.type === 'ack' && command.seq === 9) {
        peer.say({ type: 'reset', channel: 'c', epoch: 'e2', reason: 'epoch', next: 4 });
        peer.say(message('c', 4, 4));
        peer.say(message('c', 5, 'other'));
      }
    });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, '5\n9\n4\nother\n');
  assert.match(stderr, /messages 3 to 4 are lost \(trimmed\)\n/);
  assert.match(stderr, /messages 6 to 8 are lost \(trimmed\)\n/);
  assert.match(stderr, /history has changed: seq 10 was next, now it is 4\n/);
  assert.deepEqual(heard.find((c) => c.type === 'subscribe').window, 2);
  assert.ok(heard.some((c) => c.type === 'ack' && c.seq === 9));
});

test('sub ignores what it does not know', async () => {
  const args = ['sub', 'c', '--count', '1', '--from', '1'];
  const { code, stdout } = await run(args, (command, peer) => {
    if (command.type !== 'subscribe') return;
    peer.say({ type: 'weather', channel: 'c', sunny: true });
    peer.say({ ...subscribed(command, 1), new_member: [1] });
    peer.say(message('c', 1, 1, { new_member: {} }));
  });
  assert.equal(code, 0);
  assert.equal(stdout, '1\n');
});

test('sub fetches what was left out and drops what came before', async () => {
  const { code, stdout, heard } = await run(['sub', 'c', '--count', '6', '--from', '1'],
    (command, peer) => {
      if (command.type === 'subscribe') {
        peer.say(subscribed(command, 1));
        peer.say(message('c', 1, 1));
        peer.say(message('c', 1, 'again'));
        peer.say(message('d', 2, 'not ours'));
        peer.say(message('c', 5, 5));
        peer.say(message('c', 4, 4));
      } else if (command.type === 'history') {
        const { from, limit } = command;
        peer.say({ type: 'history', id: command.id, channel: 'c', epoch: 'e1', earliest: 1,
          latest: 6, messages: Array.from({ length: Math.min(limit, 2) }, (_, i) => {
            const { type: _type, channel: _channel, ...rest } = message('c', from + i, from + i);
            return rest;
          }) });
        peer.say(message('c', 6, 6));
      }
    });
  assert.equal(code, 0);
  assert.equal(stdout, '1\n2\n3\n4\n5\n6\n');
  assert.equal(heard.find((c) => c.type === 'history').from, 2);
});

// ---- sub: it ends ------------------------------------------------------------------------------

/** A sub from 1 that has got message 1, and then hears `lie`. */
const afterOne = (lie) => (command, peer) => {
  if (command.type !== 'subscribe') return;
  peer.say(subscribed(command, 1));
  peer.say(message('c', 1, 'first'));
  peer.say(lie);
};

for (const [what, lie, says] of [
  ['a message without a payload', { ...message('c', 2, 1), data: undefined },
    /no message of the protocol/],
  ['bytes that are no base64', { ...message('c', 2, 1), data: undefined, data_base64: 'a' },
    /no message of the protocol/],
  ['something that is no JSON', '{"type":', /no message of the protocol/],
  ['the end of the subscription', { type: 'unsubscribed', channel: 'c', reason: 'gap' },
    /ended the subscription \(gap\); seq 2 was next; --on-gap reset goes on/],
  ['an error', { type: 'error', code: 'bad_request', message: 'no such ack' },
    /the server complains: no such ack/],
]) {
  test(`sub ends with status 1 at ${what}, behind all that was right`, async () => {
    const { code, stdout, stderr } = await run(['sub', 'c', '--from', '1'], afterOne(lie));
    assert.equal(code, 1, stderr);
    assert.equal(stdout, 'first\n');
    assert.match(stderr, says);
  });
}

test('sub says which messages there are where the one asked for is gone', async () => {
  const { code, stderr } = await run(['sub', 'c', '--from', '3'], (command, peer) => {
    if (command.type === 'subscribe') {
      peer.say(refusal(command, 'gap', { epoch: 'e1', earliest: 7, latest: 9, reason: 'trimmed' }));
    }
  });
  assert.equal(code, 1);
  assert.match(stderr, /seq 3 is not there: the channel has 7 to 9; --on-gap reset begins/);
});

test('sub and pub end where the server will never let them in', async () => {
  for (const args of [['sub', 'c'], ['pub', 'c', '1'], ['pub', 'c']]) {
    const refused = await run(args, (command, peer) => {
      peer.say(refusal(command, 'forbidden'));
      return true;
    }, { input: '1\n' });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /the server refuses to connect us: so it is/);
    const closed = await run(args, (command, peer) => {
      peer.close(4401, 'who are you?');
      return true;
    }, { input: '1\n' });
    assert.equal(closed.code, 1);
    assert.match(closed.stderr, /closed the connection \(code 4401, who are you\?\)/);
    assert.equal(closed.connections, 1);
  }
});

test('sub and pub say so where nobody speaks the protocol', async () => {
  const other = http.createServer((_, answer) => {
    answer.writeHead(404, { 'content-length': 12 }).end('nothing here');
  });
  other.unref();
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const url = `ws://127.0.0.1:${other.address().port}/v1/ws`;
  for (const args of [['sub', 'c'], ['pub', 'c', '1']]) {
    const result = await runCli([...args, '--url', url], { timeoutMs: 20_000 });
    assert.equal(result.code, 1);
    assert.match(result.stderr, /the server answers HTTP 404 nothing here/);
  }
  other.close();
});

// ---- sub: its output ----------------------------------------------------------------------------

/** Says so many messages of so many bytes at once, from 1. */
const pours = (count, bytes) => (command, peer) => {
  if (command.type !== 'subscribe') return;
  peer.say(subscribed(command, 1));
  for (let seq = 1; seq <= count; seq += 1) peer.say(message('c', seq, 'x'.repeat(bytes)));
};

/** Starts `seriatim` with these streams; {child, err(), ended} */
function start(args, stdio) {
  const child = spawn(binary, args, { env: environment, stdio });
  let err = '';
  child.stderr.on('data', (d) => (err += d));
  const ended = once(child, 'close');
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  ended.finally(() => clearTimeout(timer));
  return { child, err: () => err, ended };
}

test('sub writes as much as comes to a file', async () => {
  const file = path.join(temporaryDir(), 'out');
  const server = await startScripted(pours(100, 2000));
  const out = fs.openSync(file, 'w');
  const sub = start(['sub', 'c', '--from', '1', '--count', '100', '--url', server.ws],
    ['ignore', out, 'pipe']);
  const [code] = await sub.ended;
  fs.closeSync(out);
  await server.stop();
  assert.equal(code, 0, sub.err());
  assert.equal(fs.readFileSync(file, 'utf8'), `${'x'.repeat(2000)}\n`.repeat(100));
});

test('sub waits for a slow reader, and loses nothing', async () => {
  const { code, stdout } = await run(['sub', 'c', '--from', '1', '--count', '500'],
    pours(500, 1000));
  assert.equal(code, 0);
  assert.equal(stdout, `${'x'.repeat(1000)}\n`.repeat(500));
});

test('sub whose reader takes nothing ends within seconds of a signal', async () => {
  const server = await startScripted(pours(300, 2000));
  const sub = start(['sub', 'c', '--from', '1', '--url', server.ws], ['ignore', 'pipe', 'pipe']);
  sub.child.stdout.pause(); // the pipe fills up
  await sleep(700);
  const began = Date.now();
  sub.child.kill('SIGTERM');
  const exited = once(sub.child, 'exit');
  const [, signal] = await exited;
  assert.equal(signal, null, 'it had to be killed');
  assert.ok(Date.now() - began < 10_000);
  sub.child.stdout.resume();
  await sub.ended;
  await server.stop();
});

test('sub with a count that was not reached fails when it is stopped, and without one it does not',
  async () => {
    for (const [args, wanted] of [[['--count', '5'], 1], [[], 0]]) {
      const server = await startScripted(afterOne({ type: 'pong' }));
      const sub = start(['sub', 'c', '--from', '1', ...args, '--url', server.ws],
        ['ignore', 'pipe', 'pipe']);
      await once(sub.child.stdout, 'data');
      sub.child.kill('SIGINT');
      const [code] = await sub.ended;
      assert.equal(code, wanted, sub.err());
      await server.stop();
    }
  });

test('sub without a standard output fails at once', async () => {
  const server = await startScripted(afterOne({ type: 'pong' }));
  const sub = spawn('/bin/sh', ['-c', 'exec "$0" "$@" >&-', binary, 'sub', 'c', '--from', '1',
    '--url', server.ws], { env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
  const [code] = await once(sub, 'close');
  assert.equal(code, 1);
  await server.stop();
});

// ---- pub ----------------------------------------------------------------------------------------

test('pub sends again what was not answered, with the same numbers, and tells nothing of it',
  async () => {
    const { code, stderr, heard } = await run(['pub', 'c'], (command, peer, { number }) => {
      if (command.type !== 'publish') return;
      if (number === 1) {
        if (command.producer_seq === 1) peer.say(published(command, 11));
        if (command.producer_seq === 3) peer.cut(); // stored or not: who knows?
        return;
      }
      // The second message had been stored.
      const seq = command.producer_seq;
      peer.say(published(command, 10 + seq, seq === 2 ? { duplicate: true } : {}));
    }, { input: 'one\ntwo\nthree\n' });
    assert.equal(code, 0, stderr);
    assert.match(stderr, /connected again/);
    assert.doesNotMatch(stderr, /were there already/);
    const sent = heard.filter((c) => c.type === 'publish').map((c) => [c.producer_seq, c.data]);
    assert.deepEqual(sent, [[1, 'one'], [2, 'two'], [3, 'three'], [2, 'two'], [3, 'three']]);
    const producers = new Set(heard.filter((c) => c.type === 'connect').map((c) => c.producer.id));
    assert.equal(producers.size, 1);
  });

test('pub finishes what is under way when the server says that it goes', async () => {
  const { code, stderr, connections } = await run(['pub', 'c', '1'], (command, peer) => {
    if (command.type !== 'publish') return;
    peer.say({ type: 'goaway', reason: 'draining', reconnect_after_ms: 60_000 });
    peer.say(published(command, 1));
  });
  assert.equal(code, 0, stderr);
  assert.equal(connections, 1);
});

test('pub waits where the server asks it to, however long it may, and sends in order', async () => {
  let refused = 0;
  const { code, stderr, heard } = await run(['pub', 'c', '--timeout', '0'], (command, peer) => {
    if (command.type !== 'publish') return;
    if (refused < 3) {
      refused += 1;
      peer.say(refusal(command, 'unavailable', { retry_after_ms: 50 }));
      return;
    }
    peer.say(published(command, command.producer_seq));
  }, { input: '1\n2\n3\n' });
  assert.equal(code, 0, stderr);
  assert.deepEqual(heard.filter((c) => c.type === 'publish').map((c) => c.producer_seq),
    [1, 2, 3, 1, 2, 3]);
});

test('pub gives up on a server that says nothing, and says what is not done', async () => {
  const { code, stderr } = await run(['pub', 'c', '--timeout', '300ms', '--first', '7'],
    (command, peer) => {
      if (command.type === 'publish' && command.producer_seq === 7) peer.say(published(command, 1));
    }, { input: '1\n2\n3\n' });
  assert.equal(code, 1);
  assert.match(stderr, /gave up: nothing was acknowledged for 300ms\n/);
  assert.match(stderr, /1 messages are acknowledged, number 8 and those behind it are not/);
});

for (const [what, lie, says] of [
  ['an answer to another number', (c) => published({ ...c, id: 9 }, 1),
    /answered publish 9, which is not open/],
  ['a refusal', (c) => refusal(c, 'forbidden'), /message 1 was refused \(forbidden\): so it is/],
  ['a fence', (c) => refusal(c, 'producer_fenced'), /message 1 was refused \(producer_fenced\)/],
  ['numbers that it has never seen', (c) => refusal(c, 'out_of_sequence', { expected: 5 }),
    /the server expects number 5, but this is number 1/],
  ['a producer forgotten', (c) => refusal(c, 'producer_unknown'), /does not know this producer/],
  ['a complaint', () => ({ type: 'error', code: 'bad_request', message: 'not JSON' }),
    /the server complains: not JSON/],
  ['a published without a seq', (c) => ({ ...published(c, 1), seq: undefined }),
    /said `published` without a seq/],
]) {
  test(`pub ends with status 1 at ${what}`, async () => {
    const { code, stderr } = await run(['pub', 'c', '1'], (command, peer) => {
      if (command.type === 'publish') peer.say(lie(command));
    });
    assert.equal(code, 1, stderr);
    assert.match(stderr, says);
    assert.match(stderr, /0 messages are acknowledged, number 1 and those behind it are not/);
  });
}

test('pub publishes long lines to a server that reads slowly', async () => {
  const lines = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(200_000));
  const { code, stderr, heard } = await run(['pub', 'c'], (command, peer) => {
    if (command.type === 'publish') peer.say(published(command, command.producer_seq));
  }, { input: lines.join('\n') });
  assert.equal(code, 0, stderr);
  assert.deepEqual(heard.filter((c) => c.type === 'publish').map((c) => c.data), lines);
});

test('pub stopped while it waits for the server says what is done', async () => {
  const server = await startScripted((command, peer) => {
    if (command.type === 'publish' && command.producer_seq === 1) peer.say(published(command, 1));
  });
  const pub = start(['pub', 'c', '--timeout', '0', '--url', server.ws], ['pipe', 'ignore', 'pipe']);
  pub.child.stdin.write('1\n2\n');
  while (!server.heard.some((c) => c.producer_seq === 2)) await sleep(20);
  await sleep(50);
  pub.child.kill('SIGTERM');
  const [code] = await pub.ended;
  assert.equal(code, 1);
  assert.match(pub.err(), /stopped by a signal\n/);
  assert.match(pub.err(), /1 messages are acknowledged, number 2 and those behind it are not/);
  await server.stop();
});
