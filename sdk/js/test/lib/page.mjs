// A page with the client in a real Chromium: served from this process, driven by playwright-core.

import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const PATHS = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome'];

const executable = PATHS.find((p) => p && fs.existsSync(p));

/** Why there is no browser to test with; false: there is one. */
export const missing = executable === undefined ? 'chromium is missing'
  : Number(process.versions.node.split('.')[0]) < 20 && 'its driver needs Node 20';

export async function launch() {
  const { chromium } = await import('playwright-core');
  return chromium.launch({ executablePath: executable, args: ['--no-sandbox', '--disable-gpu'] });
}

/** Serves an empty page that has the client as `window.seriatim`. */
export async function servePage() {
  const { outputFiles } = await build({ bundle: true, minify: true, format: 'iife', write: false,
    globalName: 'seriatim', platform: 'browser',
    entryPoints: [fileURLToPath(new URL('../../dist/index.js', import.meta.url))] });
  const script = outputFiles[0].text;
  const server = http.createServer((request, response) => {
    const isScript = request.url.endsWith('.js');
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script
      : '<!doctype html><title>seriatim</title><script src="/client.js"></script>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}/`, stop: () => server.close() };
}
