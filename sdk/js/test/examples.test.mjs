// The examples in a real Chromium, with `kill -9` of their server and reloads of their pages.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { temporaryDir } from '../../../test/e2e/lib/server.mjs';
import { until } from './lib/judge.mjs';
import { launch, missing } from './lib/page.mjs';

const skip = missing || (process.env.SDK_ROUNDS === '1' && 'only in make sdk-browser');
const root = fileURLToPath(new URL('../../../', import.meta.url));

let serve;
let origin;
let browser;
let output = '';
/** The server that runs now: the examples start another one when it is killed. */
const serverPid = () => Number([...output.matchAll(/^server (\d+)/gm)].at(-1)?.[1]);

before(async () => {
  if (skip) return;
  serve = spawn(process.execPath, [path.join(root, 'examples/serve.mjs'), '--port', '0', '--data',
    temporaryDir()], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
  serve.stdout.on('data', (d) => (output += d));
  await until(() => /^http\S+\/chat\//m.test(output), 'address of the examples');
  [, origin] = /^(http:\S+)\/chat\//m.exec(output);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  serve?.kill('SIGTERM');
});

async function open(where) {
  const page = await (await browser.newContext()).newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('dialog', (dialog) => {
    errors.push(dialog.message());
    return dialog.dismiss();
  });
  page.errors = errors;
  await page.goto(origin + where);
  await page.waitForFunction(() => document.getElementById('state').textContent === 'open');
  return page;
}

async function killServer() {
  const pid = serverPid();
  process.kill(pid, 'SIGKILL');
  await until(() => serverPid() !== pid, 'another server');
}

test('chat: what is written while the server is dead arrives everywhere, once, in order', { skip },
  async () => {
    const [one, two] = [await open('/chat/'), await open('/chat/')];
    const texts = (page) => page.$$eval('#messages li',
      (all) => all.map((li) => li.lastChild.textContent));
    const say = async (page, name, text) => {
      await page.fill('#name', name);
      await page.fill('#text', text);
      await page.press('#text', 'Enter');
    };
    await say(one, 'Ada', 'first');
    await two.waitForFunction(() => document.querySelectorAll('#messages li').length === 1);
    process.kill(serverPid(), 'SIGKILL');
    for (const text of ['second', 'third']) await say(one, 'Ada', text);
    await one.reload();
    await say(one, 'Ada', '<b>fourth</b>');
    for (const page of [one, two]) {
      await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 4);
      assert.deepEqual(await texts(page), ['first', 'second', 'third', '<b>fourth</b>']);
      assert.deepEqual(page.errors, []);
      await page.context().close();
    }
  });

test('board: all pages show the same, through a killed server and reloads', { skip }, async () => {
  const pages = [await open('/board/'), await open('/board/')];
  const counts = (page) => page.$$eval('section h2 span', (all) => all.map((s) => +s.textContent));
  const becomes = (page, wanted) => page.waitForFunction((w) => JSON.stringify(
    [...document.querySelectorAll('section h2 span')].map((s) => +s.textContent)) === w,
  JSON.stringify(wanted));
  for (let n = 0; n < 3; n += 1) await pages[0].click('#new');
  for (const page of pages) await becomes(page, [3, 0, 0, 0]);
  await pages[1].click('#ordered button');
  for (const page of pages) await becomes(page, [2, 1, 0, 0]);
  await killServer();
  await pages[0].click('#new');
  await pages[0].click('#paid button');
  await pages[0].reload();
  for (const page of pages) await becomes(page, [3, 0, 1, 0]);
  assert.deepEqual(await counts(await open('/board/')), await counts(pages[0]));
  for (const page of pages) assert.deepEqual(page.errors, []);
});
