// A server whose disk fails at will (test/lib/fault_preload.c), and a look into its files.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { binary, Server, temporaryDir } from './server.mjs';

export const EIO = 5;
export const EMFILE = 24;
export const ENOSPC = 28;

/** Switches faults of one data directory on and off while its server runs. */
export class Faults {
  constructor(data) {
    this.control = path.join(temporaryDir('faults-'), 'control');
    this.off();
    const preload = path.join(path.dirname(path.resolve(binary)), 'test', 'fault_preload.so');
    this.env = {
      LD_PRELOAD: preload,
      FAULT_CONTROL: this.control,
      FAULT_DIR: fs.realpathSync(data),
      // A sanitizer's library wants to be the first; behind ours it works as well.
      ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`,
    };
  }

  /** Rules: {call, text, skip, times, error, delayMs}; what is left out is `*`, 0 or all. */
  set(...rules) {
    const lines = rules.map(({ call, text = '*', skip = 0, times = 0, error = 0, delayMs = 0 }) =>
      `${call} ${text} ${skip} ${times} ${error} ${delayMs}\n`);
    fs.rmSync(`${this.control}.hits`, { force: true });
    fs.writeFileSync(`${this.control}.new`, lines.join(''));
    fs.renameSync(`${this.control}.new`, this.control);
  }

  off() {
    this.set();
  }

  /** The calls that a rule has hit since set(): ["sync /…/p000/….seg", …]. */
  hits() {
    try {
      return fs.readFileSync(`${this.control}.hits`, 'utf8').split('\n').filter(Boolean);
    } catch {
      return [];
    }
  }

  async hit(text, ms = 10_000) {
    return until(() => this.hits().some((h) => h.includes(text)), `a hit of ${text}`, ms);
  }
}

/** A server over a disk with faults: [server, faults]. */
export async function faultyServer(options = {}) {
  const data = options.data ?? temporaryDir();
  const faults = new Faults(data);
  const server = await Server.start({ ...options, data, env: faults.env });
  return [server, faults];
}

/** Waits until `check` gives something true, and gives that. */
export async function until(check, what, ms = 15_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const got = await check();
    if (got) return got;
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms in vain for ${what}`);
    await sleep(20);
  }
}

export async function status(server, where) {
  const answer = await fetch(server.http + where);
  return { status: answer.status, body: await answer.text() };
}

export function isReady(server) {
  return status(server, '/readyz').then((a) => a.status === 200);
}

// ---- files ------------------------------------------------------------------------------------

/** The names in a partition's folder that end so, in order. */
export function files(data, suffix, partition = 'p000') {
  return fs.readdirSync(`${data}/${partition}`).filter((n) => n.endsWith(suffix)).sort()
    .map((n) => `${data}/${partition}/${n}`);
}

const SEGMENT_HEADER = 64;
const RECORD_HEADER = 40;

/** The records of a segment as docs/LOG.md has them: [{at, size}]; ends where the zeros begin. */
export function records(file) {
  const bytes = fs.readFileSync(file);
  const found = [];
  let at = SEGMENT_HEADER;
  while (at + RECORD_HEADER <= bytes.length && bytes.readUInt32LE(at + 4) !== 0) {
    const size = Math.ceil((RECORD_HEADER + bytes.readUInt32LE(at + 4)) / 8) * 8;
    found.push({ at, size });
    at += size;
  }
  return found;
}

/** Where a text stands on disk: {file, byte, at} with `at` its record's first byte. */
export function find(data, text, partition = 'p000') {
  for (const file of files(data, '.seg', partition)) {
    const byte = fs.readFileSync(file).indexOf(text);
    if (byte >= 0) {
      const { at, size } = records(file).findLast((r) => r.at <= byte);
      return { file, byte, at, size };
    }
  }
  throw new Error(`${text} is in no segment`);
}

export function overwrite(file, at, bytes) {
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, bytes, 0, bytes.length, at);
  fs.closeSync(fd);
}

export function flip(file, at) {
  const byte = fs.readFileSync(file)[at];
  overwrite(file, at, Buffer.from([byte ^ 0x10]));
}
