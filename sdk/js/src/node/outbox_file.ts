// An outbox in a file: what was appended is on disk before it is sent, so that neither a crash of
// the process nor a power failure loses or repeats a message.
//
// The file is a sequence of records, each
//
//   size   u32 LE   of what follows the checksum
//   crc    u32 LE   CRC-32 of what follows
//   type   u8       1 producer · 2 entry · 3 removed · 4 next
//   rest            JSON; of an entry: size of the JSON u32 LE, the JSON, the payload
//
// It only grows, until most of it is of no use any more; then what is left is written into a new
// file that takes its place. A record that is cut off at the end is what a crash leaves, and is cut
// away; a bad one with a good one behind it is damage, and the outbox is not opened.
//
// `NAME.lock` names the process that has it. Of a process that is no more it is taken over.

import fs from 'node:fs';
import { dirname } from 'node:path';

import { SeriatimError } from '../errors.js';
import { type Outbox, randomId } from '../outbox.js';
import type { OutboxState, StoredEntry } from '../publisher.js';

import { crc32 } from './crc32.js';
import { FileLock } from './lock.js';

const PRODUCER = 1;
const ENTRY = 2;
const REMOVED = 3;
const NEXT = 4;
const HEAD = 8;
const RECORD_MAX = 64 << 20;
const COMPACT_BYTES = 1 << 20;
const SEARCH_BYTES = 1 << 20;

export interface FileOutboxOptions {
  /** false: what is handed to the operating system counts as kept; a power failure can lose it. */
  fsync?: boolean;
  /** The id that a new outbox gets; a random one if it is left out. */
  producer?: string;
}

function record(type: number, json: unknown, payload?: Buffer): Buffer {
  const text = Buffer.from(JSON.stringify(json));
  const isEntry = payload !== undefined;
  const size = 1 + text.length + (isEntry ? 4 + payload.length : 0);
  const all = Buffer.allocUnsafe(HEAD + size);
  all.writeUInt32LE(size, 0);
  all[HEAD] = type;
  if (isEntry) {
    all.writeUInt32LE(text.length, HEAD + 1);
    text.copy(all, HEAD + 5);
    payload.copy(all, HEAD + 5 + text.length);
  } else {
    text.copy(all, HEAD + 1);
  }
  all.writeUInt32LE(crc32(all.subarray(HEAD)), 4);
  return all;
}

function entryRecord(e: StoredEntry): Buffer {
  const { ord, channel, number, key, payload } = e;
  const bytes = typeof payload !== 'string';
  return record(ENTRY, { ord, channel, number, key, bytes }, Buffer.from(payload as Uint8Array));
}

/** The body of the record that begins at `at`, where there is a good one. */
function bodyAt(all: Buffer, at: number): Buffer | undefined {
  if (at + HEAD > all.length) return undefined;
  const size = all.readUInt32LE(at);
  if (size === 0 || size > RECORD_MAX || at + HEAD + size > all.length) return undefined;
  const body = all.subarray(at + HEAD, at + HEAD + size);
  return crc32(body) === all.readUInt32LE(at + 4) ? body : undefined;
}

/** Whether something good stands behind a bad place: then it is no torn end. */
function isDamage(all: Buffer, at: number): boolean {
  const end = Math.min(all.length - HEAD, at + SEARCH_BYTES);
  for (let i = at + 1; i < end; i += 1) {
    const type = all[i + HEAD];
    if (type !== undefined && type >= PRODUCER && type <= NEXT && bodyAt(all, i) !== undefined) {
      return true;
    }
  }
  return false;
}

export class FileOutbox implements Outbox {
  private file: fs.promises.FileHandle | undefined;
  private lock: FileLock | undefined;
  private state: OutboxState = { producer: { id: '', epoch: 1 }, next: new Map(), entries: [] };
  private kept = new Map<number, StoredEntry>();
  private size = 0;
  private keptBytes = 0;

  constructor(private readonly path: string, private readonly options: FileOutboxOptions = {}) {}

  async open(): Promise<OutboxState> {
    fs.mkdirSync(dirname(this.path), { recursive: true });
    this.lock = FileLock.take(`${this.path}.lock`);
    try {
      this.read();
      await this.rewrite(this.snapshot());
    } catch (error) {
      await this.close();
      throw error;
    }
    return this.snapshot();
  }

  private snapshot(): OutboxState {
    return { producer: this.state.producer, next: new Map(this.state.next),
      entries: [...this.kept.values()] };
  }

  // ---- reading ------------------------------------------------------------------------------

  private read(): void {
    this.state = { producer: { id: this.options.producer ?? randomId(), epoch: 1 },
      next: new Map(), entries: [] };
    if (!fs.existsSync(this.path)) return;
    const all = fs.readFileSync(this.path);
    let at = 0;
    for (let body = bodyAt(all, at); body !== undefined; body = bodyAt(all, at)) {
      this.replay(body);
      at += HEAD + body.length;
    }
    if (at === 0 && all.length >= 4 && all.readUInt32LE(0) > RECORD_MAX) {
      throw new SeriatimError('storage', `${this.path}: no outbox`); // it would be overwritten
    }
    if (at < all.length && isDamage(all, at)) {
      throw new SeriatimError('storage', `${this.path}: damaged at byte ${at}`);
    }
  }

  private replay(body: Buffer): void {
    const type = body[0];
    const size = type === ENTRY ? body.readUInt32LE(1) : 0;
    const json = JSON.parse((type === ENTRY ? body.subarray(5, 5 + size) : body.subarray(1))
      .toString());
    if (type === PRODUCER) {
      this.state.producer = json;
    } else if (type === ENTRY) {
      const payload = body.subarray(5 + size);
      const { ord, channel, number, key, bytes } = json;
      this.keep({ ord, channel, number, key,
        payload: bytes ? new Uint8Array(payload) : payload.toString() });
    } else if (type === REMOVED) {
      for (const ord of json as number[]) this.kept.delete(ord);
    } else if (type === NEXT) {
      this.state.next.set(json.channel, json.number);
    }
  }

  private keep(e: StoredEntry): void {
    this.kept.set(e.ord, e);
    this.state.next.set(e.channel, e.number + 1);
  }

  // ---- writing ------------------------------------------------------------------------------

  private async write(records: Buffer, sync: boolean): Promise<void> {
    let at = 0;
    while (at < records.length) {
      const { bytesWritten } = await this.file!.write(records, at, records.length - at);
      at += bytesWritten;
    }
    this.size += records.length;
    if (sync && this.options.fsync !== false) await this.file!.datasync();
  }

  async append(entries: readonly StoredEntry[]): Promise<void> {
    // Numbers as they are now: the publisher may move them while this waits.
    const records = Buffer.concat(entries.map(entryRecord));
    for (const { ord, channel, number, key, payload } of entries) {
      this.keep({ ord, channel, number, key, payload });
    }
    await this.write(records, true);
    this.keptBytes += records.length;
  }

  async remove(entries: readonly StoredEntry[]): Promise<void> {
    for (const e of entries) this.kept.delete(e.ord);
    await this.write(record(REMOVED, entries.map((e) => e.ord)), false);
    if (this.kept.size === 0) this.keptBytes = 0;
    if (this.size > COMPACT_BYTES && this.size > 4 * this.keptBytes) {
      await this.rewrite(this.snapshot());
    }
  }

  async rewrite(state: OutboxState): Promise<void> {
    const entries = state.entries.map(({ ord, channel, number, key, payload }) =>
      ({ ord, channel, number, key, payload }));
    const records = Buffer.concat([record(PRODUCER, state.producer),
      ...entries.map(entryRecord),
      ...[...state.next].map(([channel, number]) => record(NEXT, { channel, number }))]);
    this.state = { producer: state.producer, next: new Map(state.next), entries: [] };
    this.kept = new Map(entries.map((e) => [e.ord, e]));
    const fresh = await fs.promises.open(`${this.path}.new`, 'w');
    const old = this.file;
    this.file = fresh;
    await this.write(records, true);
    await fs.promises.rename(`${this.path}.new`, this.path);
    if (this.options.fsync !== false) await this.syncFolder();
    await old?.close();
    this.size = this.keptBytes = records.length;
  }

  private async syncFolder(): Promise<void> {
    const folder = await fs.promises.open(dirname(this.path), 'r').catch(() => undefined);
    await folder?.sync().catch(() => {}); // some systems have no such thing
    await folder?.close();
  }

  async close(): Promise<void> {
    await this.file?.close();
    this.file = undefined;
    this.lock?.give();
    this.lock = undefined;
  }
}
