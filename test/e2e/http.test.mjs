// [P 5] HTTP: publish, messages, health.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { channelName, Client } from './lib/client.mjs';
import { rawElements, rawMember } from './lib/json.mjs';
import { exchange, parseResponse, upgradeHead } from './lib/raw.mjs';
import { Server } from './lib/server.mjs';

let server;
before(async () => {
  server = await Server.start({ flags: ['--allowed-origins', 'https://app.example'] });
});
after(async () => {
  await server?.stop();
});

async function post(body, init = {}) {
  const answer = await fetch(`${server.http}/v1/publish`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
  });
  const text = await answer.text();
  return { status: answer.status, text, body: JSON.parse(text), headers: answer.headers };
}

async function get(path) {
  const answer = await fetch(server.http + path);
  const text = await answer.text();
  return { status: answer.status, text, headers: answer.headers };
}

async function messages(channel, query = '') {
  const answer = await get(`/v1/channels/${encodeURIComponent(channel)}/messages${query}`);
  return { ...answer, body: JSON.parse(answer.text) };
}

test('a publish is answered as over WebSocket, less the type', async () => {
  const channel = channelName();
  const { status, body, headers } = await post({ channel, data: { n: 1 }, key: 'k' });
  assert.equal(status, 200);
  assert.match(headers.get('content-type'), /^application\/json/);
  assert.equal(body.type, undefined);
  assert.equal(body.channel, channel);
  assert.equal(body.seq, 1);
  assert.match(body.message_id, /^\d+$/);
  assert.ok(body.epoch.length > 0);
});

test('what HTTP publishes a subscriber gets, byte for byte', async () => {
  const channel = channelName();
  const c = await Client.connect(server.ws);
  const sub = await c.subscribe(channel);
  const raw = '{ "a" : [1.0, 1e2 ,"\\u00e9"] }';
  await post(`{"channel":${JSON.stringify(channel)}, "data": ${raw} }`);
  const [m] = await c.take(sub, 1);
  assert.equal(rawMember(m.raw, 'data'), raw);
  const { text } = await messages(channel);
  const [first] = rawElements(rawMember(text, 'messages'));
  assert.equal(rawMember(first, 'data'), raw);
  await c.close();
});

test('a batch and base64 over HTTP', async () => {
  const channel = channelName();
  const { status, body } = await post({ channel, batch: [{ data: 1 }, { data_base64: 'YQ==' }] });
  assert.equal(status, 200);
  assert.deepEqual([body.seq, body.count], [1, 2]);
  const read = await messages(channel);
  assert.deepEqual(read.body.messages.map((m) => m.data ?? m.data_base64), [1, 'YQ==']);
});

test('a producer in the body numbers its messages', async () => {
  const channel = channelName();
  const producer = { id: `http-${process.pid}`, epoch: 2 };
  const one = await post({ channel, data: 1, producer, producer_seq: 1 });
  assert.equal(one.body.seq, 1);
  const again = await post({ channel, data: 1, producer, producer_seq: 1 });
  assert.equal(again.status, 200);
  assert.equal(again.body.duplicate, true);
  assert.equal(again.body.seq, 1);
  const ahead = await post({ channel, data: 1, producer, producer_seq: 5 });
  assert.equal(ahead.status, 409);
  assert.equal(ahead.body.code, 'out_of_sequence');
  assert.equal(ahead.body.expected, 2);
  const fenced = await post({ channel, data: 1, producer: { ...producer, epoch: 1 },
    producer_seq: 1 });
  assert.equal(fenced.status, 403);
  assert.equal(fenced.body.code, 'producer_fenced');
  const unknown = await post({ channel, data: 1, producer: { id: 'other', epoch: 1 },
    producer_seq: 9 });
  assert.equal(unknown.status, 409);
  assert.equal(unknown.body.code, 'producer_unknown');
});

for (const [what, body] of [['not JSON', 'x'], ['an array', '[]'], ['nothing', '{}'],
  ['no data', '{"channel":"a"}'], ['no channel', '{"data":1}'],
  ['a number without a producer', '{"channel":"a","data":1,"producer_seq":1}'],
  ['a bad producer', '{"channel":"a","data":1,"producer":{"id":1}}'],
  ['a repeated member', '{"channel":"a","channel":"a","data":1}'],
  ['bad UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]]) {
  test(`a publish with ${what} is 400 with the error object`, async () => {
    const answer = await post('', { body });
    assert.equal(answer.status, 400);
    assert.equal(answer.body.code, 'bad_request');
    assert.ok(answer.body.message.length > 0);
    assert.equal(answer.body.type, undefined);
  });
}

test('a payload over the limit is 413', async () => {
  const { status, body } = await post({ channel: channelName(), data: 'x'.repeat(1_048_575) });
  assert.equal(status, 413);
  assert.equal(body.code, 'too_large');
});

test('a body over the limit is refused by its declared length', async () => {
  const head = `POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: ${2 ** 40}\r\n\r\n`;
  const answer = await exchange(server.port, head, { until: (b) => b.includes('\r\n\r\n') });
  assert.equal(parseResponse(answer.bytes).status, 413);
});

test('a chunked body works, cut anywhere', async () => {
  const channel = channelName();
  const body = JSON.stringify({ channel, data: 'chunks' });
  const pieces = ['POST /v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n',
    'Connection: close\r\n\r\n'];
  for (const ch of body) pieces.push(`1\r\n${ch}\r\n`);
  pieces.push('0\r\n\r\n');
  const answer = await exchange(server.port, pieces);
  const response = parseResponse(answer.bytes);
  assert.equal(response.status, 200);
  assert.equal((await messages(channel)).body.messages[0].data, 'chunks');
});

test('pipelined requests on one connection are answered in order', async () => {
  const channel = channelName();
  const request = (n, close) => {
    const body = JSON.stringify({ channel, data: n });
    return `POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n`
      + `${close ? 'Connection: close\r\n' : ''}\r\n${body}`;
  };
  const all = Array.from({ length: 20 }, (_, i) => request(i + 1, i === 19)).join('');
  const answer = await exchange(server.port, all);
  const found = [...answer.bytes.toString().matchAll(/"seq":(\d+)/g)].map((m) => Number(m[1]));
  assert.deepEqual(found, Array.from({ length: 20 }, (_, i) => i + 1));
});

test('messages are as history: from, limit, reverse, more', async () => {
  const channel = `${channelName()} /é?&`;
  for (let n = 1; n <= 25; n += 1) await post({ channel, data: n });
  const seqs = (r) => r.body.messages.map((m) => m.seq);
  const first = await messages(channel, '?from=1&limit=10');
  assert.equal(first.status, 200);
  assert.equal(first.body.channel, channel);
  assert.deepEqual(seqs(first), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.equal(first.body.more, true);
  assert.deepEqual([first.body.earliest, first.body.latest], [1, 25]);
  const last = await messages(channel, '?limit=3&reverse=true');
  assert.deepEqual(seqs(last), [25, 24, 23]);
  const middle = await messages(channel, '?from=10&limit=3&reverse=true');
  assert.deepEqual(seqs(middle), [10, 9, 8]);
  assert.deepEqual(seqs(await messages(channel, '?from=24')), [24, 25]);
  const none = await messages(channelName());
  assert.equal(none.status, 200);
  assert.equal(none.body.latest, 0);
});

for (const query of ['?from=x', '?from=-1', '?limit=0', '?limit=x', '?reverse=maybe']) {
  test(`messages${query} is 400`, async () => {
    const { status, body } = await messages('a', query);
    assert.equal(status, 400);
    assert.equal(body.code, 'bad_request');
  });
}

test('a channel name with a bad escape is 400', async () => {
  assert.equal((await get('/v1/channels/a%zz/messages')).status, 400);
  assert.equal((await get('/v1/channels/%ff/messages')).status, 400);
});

test('health and readiness', async () => {
  assert.equal((await get('/healthz')).status, 200);
  assert.equal((await get('/readyz')).status, 200);
});

test('an unknown path is 404, a wrong method 405', async () => {
  assert.equal((await get('/')).status, 404);
  assert.equal((await get('/v1/nothing')).status, 404);
  assert.equal((await get('/v1/publish')).status, 405);
  const answer = await fetch(`${server.http}/healthz`, { method: 'DELETE' });
  assert.equal(answer.status, 405);
});

for (const [what, head] of [
  ['both Content-Length and Transfer-Encoding',
    'POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n'
    + 'Transfer-Encoding: chunked\r\n\r\n'],
  ['two lengths',
    'POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'],
  ['no Host', 'GET /healthz HTTP/1.1\r\n\r\n'],
  ['two Hosts', 'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['a folded field', 'GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n'],
  ['a blank before the colon', 'GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n'],
  ['a NUL', 'GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n'],
  ['nonsense', 'nonsense\r\n\r\n'],
]) {
  test(`a request with ${what} is 400 and closes`, async () => {
    const answer = await exchange(server.port, head);
    assert.equal(parseResponse(answer.bytes).status, 400);
    assert.ok(answer.ended);
  });
}

test('a head over 16 KiB is 431', async () => {
  const head = `GET /healthz HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`;
  const answer = await exchange(server.port, head);
  assert.equal(parseResponse(answer.bytes).status, 431);
});

test('who asks before sending a body is told to go on, or at once what is wrong', async () => {
  const ask = async (first, fields) => {
    const head = `${first}\r\nHost: x\r\nContent-Length: 24\r\n${fields}\r\n\r\n`;
    return (await exchange(server.port, [head], { ms: 400 })).bytes.toString('latin1');
  };
  const post11 = 'POST /v1/publish HTTP/1.1';
  assert.equal(await ask(post11, 'Expect: 100-Continue'), 'HTTP/1.1 100 Continue\r\n\r\n');
  assert.equal(await ask(post11, 'Expect: something-el'), '');
  // RFC 9110 section 10.1.1: ignored in HTTP/1.0.
  assert.equal(await ask('POST /v1/publish HTTP/1.0', 'Expect: 100-continue'), '');
  assert.match(await ask('POST /nowhere HTTP/1.1', 'Expect: 100-continue'), /^HTTP\/1\.1 404 /);
  assert.match(await ask('GET /v1/publish HTTP/1.1', 'Expect: 100-continue'),
    /^HTTP\/1\.1 405 [^]*Connection: close/);
});

// ---- origins ------------------------------------------------------------------------------------

test('a page of another origin may not publish, and nothing is stored', async () => {
  const channel = channelName();
  const request = (origin, close = true) => {
    const body = JSON.stringify({ channel, data: 1 });
    return `POST /v1/publish HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n`
      + `Origin: ${origin}\r\nContent-Length: ${body.length}\r\n`
      + `${close ? 'Connection: close\r\n' : ''}\r\n${body}`;
  };
  const ask = async (origin) =>
    parseResponse((await exchange(server.port, request(origin))).bytes);
  for (const origin of ['https://evil.example', 'null', `http://127.0.0.1:${server.port}.evil`]) {
    const answer = await ask(origin);
    assert.equal(answer.status, 403, origin);
    assert.equal(JSON.parse(answer.rest).code, 'forbidden');
  }
  assert.equal((await messages(channel)).body.latest, 0);
  assert.equal((await ask(`http://127.0.0.1:${server.port}`)).status, 200, 'its own host');
  assert.equal((await ask('https://app.example')).status, 200, 'a listed one');
  assert.equal((await messages(channel)).body.latest, 2);
  // The connection goes on behind a refusal: the body of it has been read past.
  const both = await exchange(server.port,
    request('https://evil.example', false) + request('https://app.example'));
  assert.match(both.bytes.toString(), /^HTTP\/1\.1 403 [^]*HTTP\/1\.1 200 /);
});

test('reading needs no origin, and the first reason for a refusal stands', async () => {
  const ask = async (first) => parseResponse((await exchange(server.port,
    `${first} HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\nConnection: close\r\n\r\n`
  )).bytes);
  assert.equal((await ask('GET /healthz')).status, 200);
  assert.equal((await ask(`GET /v1/channels/${channelName()}/messages`)).status, 200);
  assert.equal((await ask('GET /v1/publish')).status, 405);
});

// ---- HEAD ---------------------------------------------------------------------------------------

test('HEAD is answered as GET is, without the body', async () => {
  const channel = channelName();
  await post({ channel, data: 1 });
  for (const path of ['/healthz', '/readyz', `/v1/channels/${channel}/messages`,
    `/v1/channels/${channel}/digest`, '/nowhere', '/v1/publish']) {
    const ask = async (method) => parseResponse((await exchange(server.port,
      `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)).bytes);
    const head = await ask('HEAD');
    const whole = await ask('GET');
    assert.equal(head.status, whole.status, path);
    assert.equal(head.fields['content-length'], String(whole.rest.length), path);
    assert.equal(head.fields['content-type'], whole.fields['content-type'], path);
    assert.equal(head.rest.length, 0, path);
    assert.ok(whole.rest.length > 0, path);
  }
});

test('HEAD where a WebSocket is opened is refused without a body', async () => {
  const ask = async (method) => parseResponse((await exchange(server.port,
    upgradeHead(server.port, { method }))).bytes);
  const head = await ask('HEAD');
  assert.deepEqual([head.status, head.fields.allow, head.rest.length], [405, 'GET', 0]);
  const other = await ask('POST');
  assert.equal(head.fields['content-length'], String(other.rest.length));
  assert.equal(JSON.parse(other.rest).code, 'bad_request');
});

// ---- keeping and giving up ----------------------------------------------------------------------

test('HTTP/1.0 keeps a connection only if asked to, and is told so', async () => {
  const ask = (fields) => `GET /healthz HTTP/1.0\r\n${fields}\r\n`;
  const kept = await exchange(server.port, ask('Connection: keep-alive\r\n') + ask(''));
  const both = kept.bytes.toString().match(/HTTP\/1\.1 200 OK|Connection: [a-z-]+/g);
  assert.deepEqual(both, ['HTTP/1.1 200 OK', 'Connection: keep-alive',
    'HTTP/1.1 200 OK', 'Connection: close']);
  assert.ok(kept.ended);
});

test('a request that takes too long is told so by an error object', async () => {
  const hasty = await Server.start({
    flags: ['--head-timeout', '200ms', '--message-timeout', '200ms'] });
  for (const begun of ['GET /hea',
    'POST /v1/publish HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{']) {
    const answer = await exchange(hasty.port, begun);
    const { status, fields, rest } = parseResponse(answer.bytes);
    assert.deepEqual([status, fields['content-type']], [408, 'application/json'], begun);
    assert.equal(JSON.parse(rest).code, 'bad_request');
    assert.ok(answer.ended);
  }
  await hasty.stop();
});

// ---- bodies -------------------------------------------------------------------------------------

test('a chunked body over the limit is refused as soon as it is', async () => {
  const channel = channelName();
  const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
  const head = 'POST /v1/publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
  const answer = await exchange(server.port, [head, ...Array.from({ length: 80 }, () => chunk)],
    { until: (b) => b.includes('too_large') });
  assert.equal(parseResponse(answer.bytes).status, 413);
  assert.equal((await messages(channel)).body.latest, 0);
});

test('the body of a request that needs none is read past', async () => {
  for (const [first, status] of [['GET /healthz', 200], ['POST /nowhere', 404],
    ['PUT /v1/publish', 405]]) {
    const answer = await exchange(server.port,
      `${first} HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\nGET / HTTP/1.1\r\n\r`
      + 'GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const found = [...answer.bytes.toString().matchAll(/HTTP\/1\.1 (\d+)/g)];
    assert.deepEqual(found.map((m) => Number(m[1])), [status, 200], first);
  }
});

// ---- queries ------------------------------------------------------------------------------------

test('a digest that is not there is 410 and says why', async () => {
  const channel = channelName();
  await post({ channel, data: 1 });
  const answer = await get(`/v1/channels/${channel}/digest?seq=5`);
  assert.equal(answer.status, 410);
  const body = JSON.parse(answer.text);
  assert.deepEqual([body.code, body.reason, body.earliest, body.latest], ['gap', 'ahead', 1, 1]);
  assert.equal((await get(`/v1/channels/${channel}/digest?seq=1`)).status, 200);
});

for (const [query, seqs] of [['?reverse=true', [2, 1]], ['?reverse=1', [2, 1]],
  ['?reverse', [2, 1]], ['?reverse=false', [1, 2]], ['?reverse=0', [1, 2]]]) {
  test(`messages${query} has a direction`, async () => {
    const channel = channelName();
    await post({ channel, batch: [{ data: 1 }, { data: 2 }] });
    assert.deepEqual((await messages(channel, query)).body.messages.map((m) => m.seq), seqs);
  });
}

for (const query of ['?from=%zz', '?limit=%', '?from=9007199254740992', '?from=12345678901234567',
  '?from=', '?reverse=%zz']) {
  test(`messages${query} is 400`, async () => {
    const { status, body } = await messages('a', query);
    assert.equal(status, 400);
    assert.equal(body.code, 'bad_request');
  });
}

test('a channel name of more than 255 bytes is too large in a path as well', async () => {
  for (const what of ['messages', 'digest']) {
    assert.equal((await get(`/v1/channels/${'%C3%A9'.repeat(127)}x/${what}`)).status, 200);
    const answer = await get(`/v1/channels/${'%C3%A9'.repeat(128)}/${what}`);
    assert.deepEqual([answer.status, JSON.parse(answer.text).code], [413, 'too_large']);
  }
});

test('paths that are almost ours are not ours', async () => {
  for (const path of ['/v', '/v1/channels/', '/v1/channels/messages', '/v1/channels//messages',
    '/v1/channels/a/b/messages', '/v1/channels/a/message', '/v1/channels/a/digests',
    '/v1/channelz/a/messages', '/healthz/', '/readyzz']) {
    assert.equal((await get(path)).status, 404, path);
  }
  assert.equal((await get('/v1/channels/a%2Fb/messages')).status, 200);
});
