#!/usr/bin/env node
// Serves the examples and the client, and starts a server for them if none is told.
//
//   node examples/serve.mjs [--port 8480] [--server ws://127.0.0.1:8470]

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { port: { type: 'string', default: '8480' },
  server: { type: 'string' }, data: { type: 'string', default: 'data/examples' } } });
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const FOLDERS = { '/client/': path.join(root, 'sdk/js/dist'), '/': path.join(root, 'examples') };
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript',
  '.css': 'text/css' };

/** The file that a path stands for; undefined where there is none, or none of ours. */
function fileOf(url) {
  const { pathname } = new URL(url, 'http://x');
  const prefix = pathname.startsWith('/client/') ? '/client/' : '/';
  const folder = FOLDERS[prefix];
  let file = path.join(folder, decodeURIComponent(pathname.slice(prefix.length)));
  if (file !== folder && !file.startsWith(folder + path.sep)) return undefined;
  if (fs.statSync(file, { throwIfNoEntry: false })?.isDirectory()) {
    file = path.join(file, 'index.html');
  }
  return fs.existsSync(file) && TYPES[path.extname(file)] ? file : undefined;
}

let target = values.server;
const pages = http.createServer((request, response) => {
  if (request.url === '/server') {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ url: target }));
    return;
  }
  let file;
  try {
    file = fileOf(request.url);
  } catch {
    file = undefined; // a path that is none
  }
  if (file === undefined) {
    response.writeHead(404).end('not found\n');
  } else {
    response.setHeader('content-type', TYPES[path.extname(file)]);
    fs.createReadStream(file).pipe(response);
  }
});
pages.listen(Number(values.port), '127.0.0.1');
await once(pages, 'listening');
const origin = `http://127.0.0.1:${pages.address().port}`;

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

if (target === undefined) {
  const port = await freePort();
  target = `ws://127.0.0.1:${port}`;
  let stopping = false;
  const start = () => {
    const server = spawn(path.join(root, 'build/seriatim'), ['serve', '--data', values.data,
      '--listen', `127.0.0.1:${port}`, '--allowed-origins', origin], { stdio: 'inherit' });
    console.log(`server ${server.pid}: kill -9 it, and see what the pages do`);
    for (const name of ['SIGINT', 'SIGTERM']) {
      process.once(name, () => {
        stopping = true;
        server.kill();
      });
    }
    server.once('exit', () => (stopping ? process.exit(0) : setTimeout(start, 500)));
  };
  fs.mkdirSync(path.dirname(values.data), { recursive: true });
  start();
}
console.log(`${origin}/chat/ and ${origin}/board/, with ${target}`);
