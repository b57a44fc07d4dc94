// [P 3, 6] pub and sub before servers that close, refuse, err or are none: how each run ends, and
// what it says. The server is a few lines here, since ours never says most of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';

import { WebSocketServer } from 'ws';

import { runCli } from './lib/server.mjs';

const EPOCH = 'k3x'; // as docs/PROTOCOL.md writes it: opaque, and no number in base 32
const connected = (o) => ({ type: 'connected', id: o.id, connection: '1', namespace: 'default',
  node: 1, ping_interval_ms: 30000 });
const published = (o, seq) => ({ type: 'published', id: o.id, channel: 'c', seq,
  message_id: '7218000000000000001', epoch: EPOCH });
const subscribed = (o, next = 1, latest = 9) => ({ type: 'subscribed', id: o.id, channel: 'c',
  epoch: EPOCH, next, earliest: 1, latest });
const message = (seq, more = {}) => ({ type: 'message', channel: 'c', seq,
  message_id: `${7218000000000000000n + BigInt(seq)}`, time: 1780000000000, ...more, data: seq });
const refusal = (o, code, more = {}) => ({ type: 'error', id: o.id, code, message: 'as told',
  ...more });

/** Calls `act(object, say, socket, number of the connection)` for each command. */
async function withActor(act, run) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0,
    handleProtocols: () => 'seriatim.v1.json' });
  await once(server, 'listening');
  let count = 0;
  server.on('connection', (socket) => {
    const number = ++count;
    const say = (...objects) => {
      for (const o of objects) socket.send(typeof o === 'string' ? o : JSON.stringify(o));
    };
    socket.on('error', () => {});
    socket.on('message', (text) => act(JSON.parse(text.toString()), say, socket, number));
  });
  try {
    return await run(`ws://127.0.0.1:${server.address().port}/v1/ws`, () => count);
  } finally {
    for (const socket of server.clients) socket.terminate();
    server.close();
  }
}

/** Greets as it should be, and leaves the rest to `act`. */
const greeting = (act) => (o, say, socket, number) => (
  o.type === 'connect' ? say(connected(o)) : act(o, say, socket, number));

const pub = ['pub', 'c', '1', '--timeout', '3s'];
const pubAs = ['pub', 'c', '1', '--timeout', '3s', '--producer', 'p'];
const sub = ['sub', 'c', '--from', 'earliest', '--count', '2'];
const subReset = [...sub, '--on-gap', 'reset'];

// [what it does, arguments, act, status, what standard error says, standard output]
const plays = [
  ['a close for a violation', pub, greeting((o, say, s) => s.close(1008, 'no \u0007 way')), 1,
    /the server closed the connection \(code 1008, no \? way\)/],
  ['a close for its size', pub, greeting((o, say, s) => s.close(1009)), 1, /\(code 1009\)/],
  ['a close of the protocol', sub, greeting((o, say, s) => s.close(1002)), 1, /\(code 1002\)/],
  ['a close for its text', sub, greeting((o, say, s) => s.close(1007)), 1, /\(code 1007\)/],
  ['a close of the application', sub, greeting((o, say, s) => s.close(4000, 'bye')), 1,
    /\(code 4000, bye\)/],
  ['a close that may pass', pub, greeting((o, say, s, n) => (
    n === 1 ? s.close(1012, 'restart') : say(published(o, 7)))), 0, /code 1012, restart/],
  ['an end without a word', pub, greeting((o, say, s, n) => (
    n === 1 ? s.terminate() : say(published(o, 7)))), 0,
  /was lost; trying again\n.*connected again/],
  ['a ping and a pong before the answer', pub, greeting((o, say, s) => {
    s.ping('how are you');
    s.pong();
    s.once('pong', (data) => data.toString() === 'how are you' && say(published(o, 7)));
  }), 0, /^/],
  ['a binary message', pub, greeting((o, say, s) => s.send(Buffer.from('x'))), 1,
    /the server sent a binary frame/],
  ['no JSON', pub, greeting((o, say) => say('seven')), 1, /no message of the protocol/],
  ['a message cut into frames', pub, greeting((o, say, s) => {
    const text = JSON.stringify(published(o, 7));
    s.send(text.slice(0, 9), { fin: false });
    s.send(text.slice(9), { fin: true });
  }), 0, /^/],
  ['a refusal to connect', pub, (o, say) => say(refusal(o, 'invalid_field')), 1,
    /the server refuses to connect us: as told/],
  ['a refusal to connect for now', pub, (o, say, s, n) => {
    if (o.type !== 'connect') say(published(o, 7));
    else if (n === 1) say(refusal(o, 'unavailable', { retry_after_ms: 50 }));
    else say({ ...connected(o), ping_interval_ms: 0 });
  }, 0, /refuses to connect us/],
  ['something before the greeting', pub, (o, say) => (
    o.type === 'connect' ? say(message(1), connected(o)) : say(published(o, 7))), 0, /^/],
  ['a farewell', pub, greeting((o, say, s, n) => {
    if (n > 1) say(published(o, 7));
    else {
      say({ type: 'goaway', reason: 'draining', reconnect_after_ms: 100 });
      setTimeout(() => s.close(1001), 50);
    }
  }), 0, /^/],
  ['no answer', ['pub', 'c', '1', '--timeout', '500ms'], greeting(() => {}), 1,
    /gave up: nothing was acknowledged for 500ms/],
  ['an acknowledgement of another number', pub,
    greeting((o, say) => say(published({ id: 5 }, 7))), 1, /answered publish 5, which is not open/],
  ['an epoch too long', pub, greeting((o, say) => (
    say({ ...published(o, 7), epoch: 'e'.repeat(300) }))), 1, /no message of the protocol/],
  ['a refusal of a number that is not open', pub,
    greeting((o, say) => say(refusal({ id: 9 }, 'too_large'))), 1, /number 9, which is not open/],
  ['a refusal of the message', pub, greeting((o, say) => say(refusal(o, 'too_large'))), 1,
    /message 1 was refused \(too_large\): as told/],
  ['a complaint about nothing', pub, greeting((o, say) => say(refusal({}, 'malformed'))), 1,
    /the server complains: as told/],
  ['a refusal for a while', pub, (() => {
    let asked = 0;
    return greeting((o, say) => (
      asked++ < 3 ? say(refusal(o, ['unavailable', 'rate_limited', 'internal'][asked - 1],
        { retry_after_ms: 20 })) : say(published(o, 7))));
  })(), 0, /^/],
  ['a producer forgotten', pubAs, greeting((o, say) => say(refusal(o, 'producer_unknown'))), 1,
    /does not know this producer/],
  ['another number expected', pubAs, greeting((o, say) => say(refusal(o, 'out_of_sequence'))), 1,
    /does not know this producer/],
  ['a duplicate', pubAs, greeting((o, say) => say({ ...published(o, 7), duplicate: true })), 0,
    /1 of 1 messages were there already/],

  ['two messages', sub, greeting((o, say) => say(subscribed(o), message(1), message(2))), 0, /^/,
    '1\n2\n'],
  ['one of another channel', sub, greeting((o, say) => (
    say(subscribed(o), message(1), message(2, { channel: 'd' }), message(2)))), 0, /^$/, '1\n2\n'],
  ['a message twice', sub, greeting((o, say) => (
    say(subscribed(o), message(1), message(1), message(2)))), 0, /^$/, '1\n2\n'],
  ['a message left out', sub, greeting((o, say) => (o.type === 'history'
    ? say({ type: 'history', id: o.id, channel: 'c', epoch: EPOCH, earliest: 1, latest: 9,
      messages: [message(2)].map(({ type, channel, ...rest }) => rest) })
    : say(subscribed(o), message(1), message(3)))), 0, /^$/, '1\n2\n'],
  ['a gap', subReset, greeting((o, say) => (
    say(subscribed(o), message(1), { type: 'gap', channel: 'c', from: 2, to: 4, reason: 'trimmed' },
      message(5)))), 0, /messages 2 to 4 are lost \(trimmed\)/, '1\n5\n'],
  ['a gap of nothing', subReset, greeting((o, say) => (
    say(subscribed(o), { type: 'gap', channel: 'c', from: 4, to: 2, reason: 'trimmed' }))), 1,
  /told a gap that makes no sense/, ''],
  ['a reset', subReset, greeting((o, say) => (
    say(subscribed(o), message(1), { type: 'reset', channel: 'c', epoch: 'm7q', reason: 'epoch',
      next: 1 }, message(1)))), 0, /the channel's history has changed: seq 2 was next, now it is 1/,
  '1\n1\n'],
  ['a reset to nowhere', subReset, greeting((o, say) => (
    say(subscribed(o), { type: 'reset', channel: 'c', epoch: 'm7q', reason: 'epoch' }))), 1,
  /no message of the protocol/, ''],
  ['an end of the subscription', sub, greeting((o, say) => (
    say(subscribed(o), message(1), { type: 'unsubscribed', channel: 'c', reason: 'gap' }))), 1,
  /the server ended the subscription \(gap\); seq 2 was next/, '1\n'],
  ['a gap where it begins', sub, greeting((o, say) => (
    say(refusal(o, 'gap', { epoch: EPOCH, earliest: 81, latest: 99 })))), 1, /has 81 to 99/, ''],
  ['a refusal to subscribe', sub, greeting((o, say) => say(refusal(o, 'invalid_field'))), 1,
    /the server refuses \(invalid_field\): as told/, ''],
  ['a refusal to subscribe for a while', sub, (() => {
    let asked = 0;
    return greeting((o, say) => (asked++ < 3
      ? say(refusal(o, ['unavailable', 'rate_limited', 'internal'][asked - 1],
        { retry_after_ms: 20 }))
      : say(subscribed(o), message(1), message(2))));
  })(), 0, /cannot subscribe us now \(unavailable\): as told/, '1\n2\n'],
  ['a subscription lost on the way', sub, greeting((o, say, s, n) => {
    if (o.type !== 'subscribe') return;
    if (n === 1) {
      say(subscribed(o), message(1));
      setTimeout(() => s.terminate(), 100);
    } else {
      assert.equal(o.from.epoch, EPOCH); // else the run waits, and fails
      say(subscribed(o, o.from.seq), message(o.from.seq));
    }
  }), 0, /connected again/, '1\n2\n'],
];

for (const [what, args, act, status, says, output = ''] of plays) {
  test(`${args[0]}, before ${what}`, async () => {
    await withActor(act, async (url) => {
      const result = await runCli([...args, '--url', url], { timeoutMs: 20_000 });
      assert.equal(result.code, status, result.stderr);
      assert.match(result.stderr, says);
      if (args[0] === 'sub') assert.equal(result.stdout.toString(), output);
    });
  });
}

// What answers without being a WebSocket server of this protocol.
const OK = 'HTTP/1.1 101 Switching Protocols\r\n';
for (const [what, answer, says] of [
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\n', /does not answer as an HTTP\/1.1 server does/],
  ['404', 'HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\u0001', /answers HTTP 404 no /],
  ['no Upgrade', `${OK}Connection: Upgrade\r\n\r\n`, /no 'Upgrade: websocket'/],
  ['no Connection', `${OK}Upgrade: websocket\r\n\r\n`, /no 'Connection: Upgrade'/],
  ['a wrong key', `${OK}Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n`
    + 'Sec-WebSocket-Accept: AAAA\r\n\r\n', /Sec-WebSocket-Accept is wrong/],
  ['a head without end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`, /has no end/],
  ['503', 'HTTP/1.1 503 Busy\r\n\r\n', /answers HTTP 503/],
  ['a head cut off', 'HTTP/1.1 101 Swi', /gave up/],
]) {
  test(`what answers with ${what} is told apart from a server of ours`, async () => {
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(answer, 'latin1'));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const result = await runCli(['pub', 'c', '1', '--timeout', '700ms', '--url',
      `ws://127.0.0.1:${server.address().port}/v1/ws`], { timeoutMs: 20_000 });
    server.close();
    assert.equal(result.code, 1, result.stderr);
    assert.match(result.stderr, says);
  });
}
