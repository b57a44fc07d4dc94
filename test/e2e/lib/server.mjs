// Starts, stops and kills the real server, on a free port of 127.0.0.1, with data of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
export const binary =
  process.env.E2E_BINARY ?? path.resolve(here, '..', '..', '..', 'build', 'seriatim');

/** Our environment without settings of a server: a developer's own must not leak in. With E2E_IO
 *  every server runs with that `--io`, where a test does not say otherwise. */
export const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('SERIATIM_')));
if (process.env.E2E_IO) environment.SERIATIM_IO = process.env.E2E_IO;

const START_MS = 20_000;
const STOP_MS = 20_000;

const temporary = [];
const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const dir of temporary) fs.rmSync(dir, { recursive: true, force: true });
});

export function temporaryDir(name = 'seriatim-') {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), name));
  temporary.push(dir);
  return dir;
}

// Ports that the kernel gives to nobody by itself, and fetch() refuses none of; another slice of
// them for each test file: between the look at one and the server's own listen no other server, nor
// a client, can take it.
const PORT_FIRST = 10_100;
const PORT_SLICES = 225;
const PORT_SLICE = 100;
let portsGiven = 0;

/** A port that nobody listens on. */
export async function freePort() {
  for (;;) {
    portsGiven += 1;
    const port = PORT_FIRST + (process.pid % PORT_SLICES) * PORT_SLICE + portsGiven % PORT_SLICE;
    const probe = net.createServer();
    const free = await new Promise((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** A program of ours that runs to its end: {code, signal, stdout, stderr}. */
export async function runCli(args, { input, env, timeoutMs = 60_000 } = {}) {
  const child = spawn(binary, args, { env: { ...environment, ...env } });
  running.add(child);
  const out = [];
  const err = [];
  child.stdout.on('data', (d) => out.push(d));
  child.stderr.on('data', (d) => err.push(d));
  child.stdin.on('error', () => {}); // it may end without reading all
  child.stdin.end(input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  running.delete(child);
  return { code, signal, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() };
}

export class Server {
  /** `flags` are added to the command line; `data` and `port` make a restart of an earlier one;
   *  `env` is added to the environment; `under` is a program, with arguments, that ends in ours;
   *  `host` is the address to listen on, where it is not this network's own. */
  static async start(options = {}) {
    const server = new Server();
    server.data = options.data ?? temporaryDir();
    server.host = options.host ?? '127.0.0.1';
    server.port = options.port ?? (await freePort());
    server.flags = options.flags ?? [];
    server.env = options.env ?? {};
    server.under = options.under ?? [];
    server.#spawn();
    await server.#ready();
    return server;
  }

  get http() {
    return `http://${this.host}:${this.port}`;
  }

  get ws() {
    return `ws://${this.host}:${this.port}/v1/ws`;
  }

  get pid() {
    return this.child.pid;
  }

  #spawn() {
    const args = ['serve', '--data', this.data, '--listen', `${this.host}:${this.port}`];
    this.stderr = '';
    this.stdout = '';
    const [program, ...all] = [...this.under, binary, ...args, ...this.flags];
    this.child = spawn(program, all, {
      stdio: ['ignore', 'pipe', 'pipe'], env: { ...environment, ...this.env } });
    const child = this.child;
    running.add(child);
    // A test that fails before it stops its server must not keep the whole run waiting.
    for (const handle of [child, child.stdout, child.stderr]) handle.unref();
    child.stderr.on('data', (d) => (this.stderr += d));
    child.stdout.on('data', (d) => (this.stdout += d));
    this.exited = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        running.delete(child);
        resolve({ code, signal });
      });
    });
  }

  /** From now on somebody waits for its end. */
  #await() {
    for (const handle of [this.child, this.child.stdout, this.child.stderr]) handle.ref();
  }

  async #ready() {
    const deadline = Date.now() + START_MS;
    let ended = null;
    this.exited.then((e) => (ended = e), (e) => (ended = e));
    while (Date.now() < deadline) {
      if (ended !== null) break;
      try {
        const answer = await fetch(`${this.http}/readyz`);
        await answer.text();
        if (answer.status === 200) return;
      } catch {
        // not listening yet
      }
      await sleep(15);
    }
    this.child.kill('SIGKILL');
    const how = ended ? `ended with ${JSON.stringify(ended)}` : 'was not ready in time';
    throw new Error(`the server ${how}\n${this.stdout}${this.stderr}`);
  }

  /** Asks it to end; resolves with {code, signal, ms}. */
  async stop(signal = 'SIGTERM') {
    const began = Date.now();
    this.#await();
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS);
    const result = await this.exited;
    clearTimeout(timer);
    return { ...result, ms: Date.now() - began };
  }

  /** kill -9: nothing in the server gets to run any more. */
  async kill() {
    this.#await();
    this.child.kill('SIGKILL');
    return this.exited;
  }

  /** Starts again on the same port and data. */
  async restart(flags = this.flags) {
    this.flags = flags;
    this.#spawn();
    await this.#ready();
  }

  /** Starts it and kills it after `ms`, wherever its start-up has got to. */
  async restartAndKill(ms) {
    this.#spawn();
    await sleep(ms);
    return this.kill();
  }

  rssBytes() {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
  }
}
