// seriatim.v1.binary (docs/PROTOCOL.md, section 15): units, many of which may stand in one frame.

import { Message } from './message.js';
import {
  type Codec, type Command, encoder, type From, type Payload, type Reply, type Sink,
} from './wire.js';

const REASONS = ['', 'trimmed', 'epoch', 'ahead', 'damaged', 'gap', 'unavailable', 'slow',
  'conflated'];
const SLOW = ['catch_up', 'skip', 'conflate'];
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const HIGH = 2 ** 30; // what the upper word of an int of 8 bytes counts

function broken(): never {
  throw new Error('a broken frame');
}

const LEAST = [0, 64, 16384, HIGH]; // in each form; below it is a shorter one

const intSize = (n: number) => (n < 64 ? 1 : n < 16384 ? 2 : n < HIGH ? 4 : 8);

function epochNumber(text: string): bigint {
  if (!/^[0-9a-v]{1,13}$/.test(text)) return 0n; // no epoch of the server's
  let n = 0n;
  for (const c of text) n = n * 32n + BigInt(parseInt(c, 32));
  return n >> 64n === 0n ? n : 0n;
}

/** Units, one behind the other. */
class Writer {
  bytes = new Uint8Array(4096);
  #view = new DataView(this.bytes.buffer);
  at = 0;

  room(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.at + size));
    grown.set(this.bytes.subarray(0, this.at));
    this.bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  byte(n: number): void {
    this.room(1);
    this.bytes[this.at++] = n;
  }

  int(n: number): void {
    this.room(8);
    if (n < 64) {
      this.bytes[this.at++] = n << 2;
    } else if (n < 16384) {
      this.bytes[this.at++] = ((n << 2) | 1) & 0xff;
      this.bytes[this.at++] = n >> 6;
    } else if (n < HIGH) {
      this.#view.setUint32(this.at, n * 4 + 2, true);
      this.at += 4;
    } else {
      const high = Math.floor(n / HIGH);
      this.#view.setUint32(this.at, (n - high * HIGH) * 4 + 3, true);
      this.#view.setUint32(this.at + 4, high, true);
      this.at += 8;
    }
  }

  u64(n: bigint): void {
    this.room(8);
    this.#view.setBigUint64(this.at, n, true);
    this.at += 8;
  }

  raw(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** A text of one byte's size. Names that are too long are refused before they come here. */
  text(value: string): void {
    const bytes = encoder.encode(value);
    this.byte(bytes.length);
    this.raw(bytes);
  }

  sized(bytes: Uint8Array): void {
    this.int(bytes.length);
    this.raw(bytes);
  }

  /** Writes a text `ahead` bytes behind the end, for move(): how long it is shows only then. */
  draft(text: string, ahead: number): number {
    this.room(ahead + text.length * 3);
    return encoder.encodeInto(text, this.bytes.subarray(this.at + ahead)).written;
  }

  /** Puts `size` bytes that begin at `from` at the end. */
  move(from: number, size: number): void {
    this.bytes.copyWithin(this.at, from, from + size);
    this.at += size;
  }
}

class Reader {
  at = 0;
  end = 0;
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(this.bytes.buffer);
  #names: { bytes: Uint8Array; text: string }[] = [];

  reset(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
    this.end = bytes.length;
  }

  #take(size: number): number {
    const at = this.at;
    if (at + size > this.end) broken();
    this.at = at + size;
    return at;
  }

  byte(): number {
    return this.bytes[this.#take(1)]!;
  }

  int(): number {
    const first = this.bytes[this.#take(1)]!;
    const form = first & 3;
    if (form === 0) return first >> 2;
    let n = 0;
    if (form === 1) {
      n = (first >> 2) | (this.bytes[this.#take(1)]! << 6);
    } else if (form === 2) {
      n = this.view.getUint32(this.#take(3) - 1, true) >>> 2;
    } else {
      const at = this.#take(7) - 1;
      n = (this.view.getUint32(at, true) >>> 2) + this.view.getUint32(at + 4, true) * HIGH;
    }
    if (n < LEAST[form]! || n > Number.MAX_SAFE_INTEGER) broken();
    return n;
  }

  u32(): number {
    return this.view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.view.getBigUint64(this.#take(8), true);
  }

  epoch(): string {
    return this.u64().toString(32);
  }

  utf8(size: number): string {
    const at = this.#take(size);
    const slice = (this.bytes as { utf8Slice?(from: number, to: number): string });
    // A Buffer of Node's does it in half the time.
    return slice.utf8Slice !== undefined ? slice.utf8Slice(at, at + size)
      : decoder.decode(this.bytes.subarray(at, at + size));
  }

  /** Names come again and again: `slot` remembers the last one of its kind. */
  text(slot: number): string {
    const size = this.byte();
    const at = this.#take(size);
    const known = this.#names[slot];
    if (known !== undefined && known.bytes.length === size) {
      let i = 0;
      while (i < size && known.bytes[i] === this.bytes[at + i]) i += 1;
      if (i === size) return known.text;
    }
    const bytes = new Uint8Array(this.bytes.subarray(at, at + size));
    const text = decoder.decode(bytes);
    this.#names[slot] = { bytes, text };
    return text;
  }

  reason(): string {
    return REASONS[this.byte()] ?? 'unknown';
  }

  rest(): Uint8Array {
    // A copy: a Buffer's slice() would be a view that keeps the whole frame.
    return new Uint8Array(this.bytes.subarray(this.at, this.end));
  }

  json(): any {
    return JSON.parse(this.utf8(this.end - this.at));
  }
}

function writeFrom(w: Writer, from: From): void {
  if (from === 'latest' || from === 'earliest') {
    w.byte(from === 'latest' ? 0 : 1);
  } else if ('time' in from) {
    w.byte(4);
    w.int(from.time);
  } else if (from.epoch === undefined) {
    w.byte(2);
    w.int(from.seq);
  } else {
    w.byte(3);
    w.u64(epochNumber(from.epoch));
    w.int(from.seq);
  }
}

const TYPES = { connect: 1, subscribe: 3, ack: 4, unsubscribe: 5, history: 6, digest: 7, ping: 8 };

/** Gives the flags, which tell what is there. */
function writeFields(w: Writer, c: Command): number {
  let flags = 0;
  const int = (n: number | undefined, flag: number) => {
    if (n === undefined) return;
    w.int(n);
    flags |= flag;
  };
  if ('channel' in c) w.text(c.channel);
  if (c.type === 'connect') {
    flags = 4;
    if (c.producer) {
      w.text(c.producer.id);
      int(c.producer.epoch, 1);
    }
    if (c.token !== undefined) {
      flags |= 2;
      w.sized(encoder.encode(c.token));
    }
  } else if (c.type === 'subscribe') {
    flags = c.on_gap === 'reset' ? 1 : 0;
    writeFrom(w, c.from ?? 'latest');
    int(c.window, 2);
    const slow = SLOW.indexOf(c.when_slow ?? '');
    if (slow > 0) {
      flags |= 4;
      w.byte(slow);
    }
  } else if (c.type === 'history') {
    flags = c.reverse ? 4 : 0;
    int(c.from, 1);
    int(c.limit, 2);
  } else if ('seq' in c) {
    int(c.seq, c.type === 'digest' ? 1 : 0);
  }
  return flags;
}

export class BinaryCodec implements Codec {
  readonly subprotocol = 'seriatim.v1.binary';
  #w = new Writer();
  #r = new Reader();
  #channel = '';
  #channelBytes = new Uint8Array(0);

  get pending(): number {
    return this.#w.at;
  }

  take(): Uint8Array {
    const whole = this.#w.bytes.slice(0, this.#w.at);
    this.#w.at = 0;
    return whole;
  }

  command(command: Command, id: number): undefined {
    const w = this.#w;
    const begin = w.at;
    w.at += 8; // the size comes in front when it is known
    w.byte(TYPES[command.type]);
    const flagsAt = w.at;
    w.byte(0);
    w.int(id);
    const flags = writeFields(w, command); // may make `bytes` another
    w.bytes[flagsAt] = flags;
    const size = w.at - begin - 8;
    w.at = begin;
    w.int(size);
    w.move(begin + 8, size);
  }

  publish(id: number, channel: string, number: number, key: string | undefined,
    payload: Payload): undefined {
    if (channel !== this.#channel) {
      this.#channel = channel;
      this.#channelBytes = encoder.encode(channel);
    }
    const w = this.#w;
    const channelBytes = this.#channelBytes;
    const keyBytes = key === undefined ? undefined : encoder.encode(key);
    const ahead = 600; // more than everything before the payload
    const begin = w.at;
    const length = typeof payload === 'string' ? w.draft(payload, ahead) : payload.length;
    const size = 4 + intSize(id) + channelBytes.length + intSize(number) +
      (keyBytes === undefined ? 0 : 1 + keyBytes.length) + intSize(length) + length;
    w.int(size);
    w.byte(2);
    w.byte(1);
    w.int(id);
    w.byte(channelBytes.length);
    w.raw(channelBytes);
    w.int(number);
    w.byte((keyBytes === undefined ? 0 : 1) | (typeof payload === 'string' ? 0 : 2));
    if (keyBytes !== undefined) {
      w.byte(keyBytes.length);
      w.raw(keyBytes);
    }
    w.int(length);
    if (typeof payload === 'string') w.move(begin + ahead, length);
    else w.raw(payload);
  }

  decode(frame: string | ArrayBuffer | Uint8Array, sink: Sink): void {
    if (typeof frame === 'string') broken();
    const r = this.#r;
    r.reset(frame instanceof Uint8Array ? frame : new Uint8Array(frame));
    const end = r.end;
    if (end === 0) broken();
    while (r.at < end) {
      r.end = end;
      const size = r.int();
      if (size === 0 || r.at + size > end) broken();
      const next = r.at + size;
      r.end = next;
      this.#unit(r, sink);
      r.at = next;
    }
  }

  #unit(r: Reader, sink: Sink): void {
    const type = r.byte();
    const flags = r.byte();
    if (type === 0x90) {
      sink.message(this.#message(r, r.text(0), flags));
      return;
    }
    const id = type < 0x90 ? r.int() : 0;
    const reply = this.#fields(r, type, flags);
    if (reply === undefined) return; // [P 15] what we do not know is passed over
    if (id !== 0) reply.id = id;
    if (type === 0x82) {
      sink.published(reply);
    } else {
      sink.reply(reply);
    }
  }

  #message(r: Reader, channel: string, flags: number): Message {
    const seq = r.int();
    const low = r.u32();
    const high = r.u32();
    const time = r.int();
    const key = flags & 1 ? r.text(1) : undefined;
    const producer = flags & 4 ? r.text(2) : undefined;
    const number = flags & 8 ? r.int() : undefined;
    const data = flags & 2 ? r.rest() : r.json();
    return new Message(channel, seq, '', high, low, time, key, producer, number, data);
  }

  #fields(r: Reader, type: number, flags: number): Reply | undefined {
    switch (type) {
      case 0x80:
      case 0x81:
      case 0x93: return r.json() as Reply;
      case 0x82: return this.#publishedReply(r, flags);
      case 0x83: return { type: 'subscribed', channel: r.text(0), epoch: r.epoch(),
        next: r.int(), earliest: r.int(), latest: r.int(),
        ...(flags & 1 ? { reset: { reason: r.reason() } } : {}) };
      case 0x85: return { type: 'unsubscribed', channel: r.text(0),
        ...(flags & 1 ? { reason: r.reason() } : {}),
        ...(flags & 2 ? { from: r.int(), to: r.int(), epoch: r.epoch(), earliest: r.int(),
          latest: r.int() } : {}) };
      case 0x86: return this.#history(r, flags);
      case 0x87: return { type: 'digest', channel: r.text(0), epoch: r.epoch(), seq: r.int(),
        digest: r.u64().toString(16).padStart(16, '0') };
      case 0x88: return { type: 'pong' };
      case 0x91: return { type: 'gap', channel: r.text(0), from: r.int(), to: r.int(),
        reason: r.reason() };
      case 0x92: return { type: 'reset', channel: r.text(0), epoch: r.epoch(),
        reason: r.reason(), next: r.int() };
      default: return undefined;
    }
  }

  #publishedReply(r: Reader, flags: number): Reply {
    const reply: Reply = { type: 'published', channel: r.text(0), epoch: r.epoch() };
    if (flags & 1) reply.seq = r.int();
    if (flags & 2) reply.message_id = String(r.u64());
    if (flags & 4) reply.count = r.int();
    if (flags & 16) reply.publishes = r.int();
    if (flags & 8) reply.duplicate = true;
    return reply;
  }

  #history(r: Reader, flags: number): Reply {
    const end = r.end;
    const channel = r.text(0);
    const reply: Reply = { type: 'history', channel, epoch: r.epoch(), earliest: r.int(),
      latest: r.int() };
    if (flags & 2) {
      reply.damaged = [];
      for (let left = r.int(); left > 0; left -= 1) {
        reply.damaged.push({ from: r.int(), to: r.int() });
      }
    }
    reply.messages = [];
    while (r.at < end) {
      const size = r.int();
      if (r.at + size > end) broken();
      r.end = r.at + size;
      const message = this.#message(r, channel, r.byte());
      message.epoch = reply.epoch;
      reply.messages.push(message);
      r.at = r.end;
      r.end = end;
    }
    if (flags & 1) reply.more = true;
    return reply;
  }
}
