// The client in a real Chromium against the real server: pages that are reloaded, go offline, crash
// and stand beside one another. SDK_ROUNDS makes it longer (`make sdk-browser`).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Server } from '../../../test/e2e/lib/server.mjs';
import { Client } from '../dist/index.js';
import { until } from './lib/judge.mjs';
import { launch, missing as skip, servePage } from './lib/page.mjs';
import { Proxy } from './lib/proxy.mjs';

const ROUNDS = Number(process.env.SDK_ROUNDS ?? 3);
const skipLong = skip || (ROUNDS < 2 && 'only in make sdk-browser');

let server;
let proxy;
let pages;
let browser;
const errors = []; // that pages have told
before(async () => {
  if (skip) return;
  pages = await servePage();
  server = await Server.start({ flags: ['--allowed-origins', new URL(pages.url).origin] });
  proxy = await Proxy.start(server.port, { delay: 0.1, delayMs: 20 });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await proxy?.stop();
  await server?.kill();
  pages?.stop();
});

/** In the page: publishes {w, n} without an end, and says which are in the outbox. */
const publish = ({ url, channel, name, codec, pauseMs = 0 }) => {
  const { Client: PageClient, IndexedDbOutbox } = window.seriatim;
  const client = new PageClient(url, { codec, outbox: new IndexedDbOutbox(name),
    backoff: { baseMs: 20, capMs: 300 } });
  window.client = client;
  window.stop = false;
  const w = crypto.randomUUID();
  const run = async () => {
    for (let n = 1; !window.stop; n += 1) {
      client.publish(channel, { w, n }).catch((error) => window.tell('error', error.code));
      if (n % 5 === 0) {
        await client.allStored();
        if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
        window.tell('stored', w, n);
      }
    }
    await client.flush();
    window.tell('done', w);
  };
  run().catch((error) => window.tell('error', error.message));
  return w;
};

async function open(context, stored) {
  const page = await context.newPage();
  await page.exposeFunction('tell', (what, w, n) => {
    if (what === 'error' && w !== 'closed') errors.push(w);
    if (what === 'stored') stored.set(w, n);
    if (what === 'done') page.done = true;
  });
  await page.goto(pages.url);
  return page;
}

/** A page begins to publish, and has something in its outbox. */
async function begin(page, options, stored) {
  const w = await page.evaluate(publish, options);
  await until(() => stored.has(w), 'message in the outbox', 30_000);
  return w;
}

/** Stops a page when it has sent all that it had. */
async function finish(page) {
  await page.evaluate(() => (window.stop = true));
  await until(() => page.done, 'end of the page', 60_000);
}

/** Waits until everything has come that is in some page's outbox, and judges every message of every
 *  page load: each number once, in order. What a closed tab has left is sent by another. */
async function judge(channel, stored) {
  const client = new Client(server.ws, { codec: 'binary' });
  const places = new Map(); // w -> its first and last seq, and its last number
  const producers = new Set();
  let messages = 0;
  const subscription = client.subscribe(channel, { from: 'earliest' }, (m) => {
    const { w, n } = m.data;
    const place = places.get(w) ?? { first: m.seq, n: 0 };
    assert.equal(n, place.n + 1, `seq ${m.seq}`);
    places.set(w, { ...place, n, last: m.seq });
    producers.add(m.producer);
    messages = m.seq;
  });
  await until(() => subscription.state === 'failed' || (subscription.state === 'live' &&
    [...stored].every(([w, n]) => places.get(w)?.n >= n)), 'message of those stored', 60_000);
  assert.equal(subscription.error, undefined);
  await client.close();
  return { messages, runs: places.size, producers: producers.size, places };
}

for (const codec of ['json', 'binary']) {
  test(`${codec}: a page reloaded and killed in mid-publish loses and repeats nothing`,
    { skip: codec === 'json' ? skipLong : skip },
    async (t) => {
      const channel = `reload-${codec}`;
      const context = await browser.newContext();
      const stored = new Map();
      const options = { url: proxy.url, channel, name: channel, codec, pauseMs: 1 };
      let page = await open(context, stored);
      const reloads = []; // [w before, w after] of one tab
      let before;
      for (let round = 0; round < ROUNDS; round += 1) {
        const w = await begin(page, options, stored);
        if (before !== undefined) reloads.push([before, w]);
        before = round % 2 === 0 ? w : undefined;
        await sleep(Math.random() * 300);
        if (round % 3 === 1) proxy.cut();
        if (round % 3 === 2) {
          await server.kill();
          await server.restart();
        }
        if (round % 2 === 0) {
          await page.reload();
        } else {
          const crashed = page;
          page = await open(context, stored);
          await crashed.close();
        }
      }
      const last = await begin(page, options, stored);
      if (before !== undefined) reloads.push([before, last]);
      await finish(page);
      assert.equal(errors.length, 0, errors[0]);
      const { messages, runs, places } = await judge(channel, stored);
      await context.close();
      assert.equal(runs, ROUNDS + 1);
      for (const [w, next] of reloads) {
        assert.ok(places.get(w).last < places.get(next).first, 'a reloaded page goes on');
      }
      t.diagnostic(`${messages} messages of ${runs} page loads`);
    });
}

test('offline and online again, with messages published meanwhile', { skip }, async (t) => {
  const context = await browser.newContext();
  const stored = new Map();
  const page = await open(context, stored);
  await page.evaluate(publish, { url: proxy.url, channel: 'offline', name: 'offline',
    pauseMs: 5 });
  await page.waitForFunction(() => window.client?.state === 'open');
  let longest = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    await sleep(150);
    await context.setOffline(true);
    await page.waitForFunction(() => !navigator.onLine);
    // Chromium, when it plays offline, tells of no end of a WebSocket: it takes the ping to notice.
    proxy.cut();
    await page.waitForFunction(() => window.client.state === 'waiting');
    await sleep(300);
    assert.equal(await page.evaluate(() => window.client.state), 'waiting', 'it waits');
    await context.setOffline(false);
    const began = Date.now();
    await page.waitForFunction(() => window.client.state === 'open');
    longest = Math.max(longest, Date.now() - began);
  }
  await finish(page);
  await context.close();
  const { messages } = await judge('offline', stored);
  assert.ok(longest < 10_000, `${longest} ms until it was back`);
  t.diagnostic(`${messages} messages; at most ${longest} ms to come back`);
});

test('two tabs, one of them closed in mid-publish: the other sends what it has left', { skip },
  async (t) => {
    const context = await browser.newContext();
    const stored = new Map();
    const options = { url: proxy.url, channel: 'tabs', name: 'tabs', pauseMs: 5 };
    const tabs = [await open(context, stored), await open(context, stored)];
    for (const tab of tabs) await begin(tab, options, stored);
    // Nothing can be sent any more, so what it leaves is in its outbox only.
    proxy.refusing = true;
    proxy.cut();
    await tabs[1].waitForFunction(() => window.client.pending().length > 20);
    const left = await tabs[1].evaluate(() => window.client.pending().length);
    await tabs[1].close();
    proxy.refusing = false;
    await tabs[0].reload();
    await begin(tabs[0], options, stored);
    const result = await judge('tabs', stored);
    await finish(tabs[0]);
    await context.close();
    assert.deepEqual([result.runs, result.producers], [3, 2], 'each tab is a producer of its own');
    t.diagnostic(`${result.messages} messages, ${left} of them left behind`);
  });

test('a handler in a page that is reloaded goes on where it was', { skip: skipLong }, async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const got = [];
  await page.exposeFunction('tell', (seq, n) => got.push([seq, n]));
  await page.goto(pages.url);
  const writer = new Client(server.ws);
  const subscribe = ({ url }) => {
    const { Client: PageClient, StoragePositions } = window.seriatim;
    window.client = new PageClient(url, { codec: 'binary', redundancy: 2,
      backoff: { baseMs: 20, capMs: 300 } });
    window.client.subscribe('positions', { from: 'earliest',
      position: new StoragePositions('position:') }, (m) => void window.tell(m.seq, m.data));
  };
  await writer.publish('positions', 1);
  for (let round = 0; round < ROUNDS; round += 1) {
    await page.evaluate(subscribe, { url: proxy.url });
    for (let n = 0; n < 20; n += 1) {
      await writer.publish('positions', n);
      if (n === 10) proxy.cut();
    }
    const count = 1 + 20 * (round + 1);
    await until(() => got.length >= count, `${count} messages`);
    await page.reload();
  }
  assert.deepEqual(got.map(([seq]) => seq), got.map((_, i) => i + 1));
  await writer.close();
  await context.close();
});
