// seriatim.v1.binary as docs/PROTOCOL.md section 15 has it, and nothing else: commands from their
// JSON text, replies and pushes to their JSON text. So whoever speaks JSON can speak this.

import { EventEmitter } from 'node:events';
import { WebSocket } from 'ws';

import { rawElements, rawMember } from './json.mjs';

const REASONS = [undefined, 'trimmed', 'epoch', 'ahead', 'damaged', 'gap', 'unavailable',
  'slow', 'conflated'];
const COMMANDS = {
  connect: 1, publish: 2, subscribe: 3, ack: 4, unsubscribe: 5, history: 6, digest: 7, ping: 8,
};

// ---- kinds of fields, to bytes --------------------------------------------------------------

export function int(value) {
  const n = BigInt(value);
  const code = n < 1n << 6n ? 0 : n < 1n << 14n ? 1 : n < 1n << 30n ? 2 : 3;
  const all = Buffer.alloc(8);
  all.writeBigUInt64LE((n << 2n) | BigInt(code));
  return all.subarray(0, 1 << code);
}

export function u64(value) {
  const all = Buffer.alloc(8);
  all.writeBigUInt64LE(BigInt(value));
  return all;
}

export const byte = (value) => Buffer.from([value]);

export function text(value) {
  const bytes = Buffer.from(value);
  if (bytes.length > 255) throw new Error('a text of more than 255 bytes');
  return Buffer.concat([byte(bytes.length), bytes]);
}

export const bytes = (value) => Buffer.concat([int(value.length), value]);

/** A unit, from its content. */
export const unit = (...content) => {
  const all = Buffer.concat(content);
  return Buffer.concat([int(all.length), all]);
};

const DIGITS = '0123456789abcdefghijklmnopqrstuv';

/** The number that an epoch's JSON form stands for; 0, which none is, where it stands for none. */
export function epochNumber(epoch) {
  let n = 0n;
  for (const c of epoch) {
    const digit = DIGITS.indexOf(c);
    if (digit < 0) return 0n;
    n = n * 32n + BigInt(digit);
  }
  return n >> 64n === 0n ? n : 0n;
}

export const epochText = (n) => n.toString(32);

// ---- commands, from JSON --------------------------------------------------------------------

/** A message of a publish, from the raw text of an object with data or data_base64. */
function item(raw) {
  const key = rawMember(raw, 'key');
  const base64 = rawMember(raw, 'data_base64');
  const payload = base64 === undefined ? Buffer.from(rawMember(raw, 'data'))
    : Buffer.from(JSON.parse(base64), 'base64');
  return Buffer.concat([byte((key === undefined ? 0 : 1) | (base64 === undefined ? 0 : 2)),
    ...(key === undefined ? [] : [text(JSON.parse(key))]), bytes(payload)]);
}

function publish(command, raw) {
  const batch = rawMember(raw, 'batch');
  const items = batch === undefined ? [raw] : rawElements(batch);
  const numbered = command.producer_seq !== undefined;
  return [(numbered ? 1 : 0) | (batch === undefined ? 0 : 2) | (command.quiet ? 4 : 0),
    text(command.channel), ...(numbered ? [int(command.producer_seq)] : []),
    ...(batch === undefined ? [] : [int(items.length)]), ...items.map(item)];
}

function from(value = 'latest') {
  if (value === 'latest') return [byte(0)];
  if (value === 'earliest') return [byte(1)];
  if (value.time !== undefined) return [byte(4), int(value.time)];
  if (value.epoch === undefined) return [byte(2), int(value.seq)];
  return [byte(3), u64(epochNumber(value.epoch)), int(value.seq)];
}

const slow = (c) => ['catch_up', 'skip', 'conflate'].indexOf(c.when_slow ?? 'catch_up');

// Each gives flags and fields.
const ENCODERS = {
  connect: (c) => [(c.producer ? 1 : 0) | (c.token !== undefined ? 2 : 0) | (c.cumulative ? 4 : 0),
    ...(c.producer ? [text(c.producer.id), int(c.producer.epoch ?? 1)] : []),
    ...(c.token !== undefined ? [bytes(Buffer.from(c.token))] : [])],
  publish,
  subscribe: (c) => [(c.on_gap === 'reset' ? 1 : 0) | (c.window ? 2 : 0) | (slow(c) ? 4 : 0),
    text(c.channel), ...from(c.from), ...(c.window ? [int(c.window)] : []),
    ...(slow(c) ? [byte(slow(c))] : [])],
  ack: (c) => [0, text(c.channel), int(c.seq)],
  unsubscribe: (c) => [0, text(c.channel)],
  history: (c) => [(c.from !== undefined ? 1 : 0) | (c.limit !== undefined ? 2 : 0) |
    (c.reverse ? 4 : 0), text(c.channel), ...(c.from !== undefined ? [int(c.from)] : []),
    ...(c.limit !== undefined ? [int(c.limit)] : [])],
  digest: (c) => [c.seq !== undefined ? 1 : 0, text(c.channel),
    ...(c.seq !== undefined ? [int(c.seq)] : [])],
  ping: () => [0],
};

/** The unit of a command, from its JSON text. */
export function encode(raw) {
  const command = JSON.parse(raw);
  if (ENCODERS[command.type] === undefined) throw new Error(`no such command: ${command.type}`);
  const [flags, ...fields] = ENCODERS[command.type](command, raw);
  return unit(byte(COMMANDS[command.type]), byte(flags), int(command.id ?? 0), ...fields);
}

// ---- kinds of fields, from bytes ------------------------------------------------------------

class Reader {
  constructor(buffer) {
    this.buffer = buffer;
    this.at = 0;
  }

  get left() {
    return this.buffer.length - this.at;
  }

  take(size) {
    if (size > this.left) throw new Error('a field goes beyond its unit');
    this.at += size;
    return this.buffer.subarray(this.at - size, this.at);
  }

  byte() {
    return this.take(1)[0];
  }

  int() {
    if (this.left === 0) throw new Error('an int is missing');
    const code = this.buffer[this.at] & 3;
    const all = Buffer.alloc(8);
    this.take(1 << code).copy(all);
    const value = Number(all.readBigUInt64LE() >> 2n);
    if (value < [0, 2 ** 6, 2 ** 14, 2 ** 30][code]) throw new Error('not the shortest form');
    if (!Number.isSafeInteger(value)) throw new Error('an int above 2^53-1');
    return value;
  }

  u64() {
    return this.take(8).readBigUInt64LE();
  }

  utf8(size) {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.take(size));
  }

  text() {
    return this.utf8(this.byte());
  }

  reason() {
    const reason = REASONS[this.byte()];
    if (reason === undefined) throw new Error('no such reason');
    return reason;
  }

  rest() {
    return this.take(this.left);
  }
}

// ---- replies and pushes, to JSON ------------------------------------------------------------

const quoted = JSON.stringify;

/** A message's members but for type and channel, as pairs of name and raw text. */
function message(r, flags) {
  const members = [['seq', r.int()], ['message_id', quoted(String(r.u64()))], ['time', r.int()]];
  if (flags & 1) members.push(['key', quoted(r.text())]);
  if (flags & 4) members.push(['producer', quoted(r.text())]);
  if (flags & 8) members.push(['producer_seq', r.int()]);
  if (flags & 2) members.push(['data_base64', quoted(r.rest().toString('base64'))]);
  else members.push(['data', r.utf8(r.left)]);
  return members;
}

const object = (members) => `{${members.map(([name, raw]) => `"${name}":${raw}`).join(',')}}`;
const epoch = (r) => ['epoch', quoted(epochText(r.u64()))];

function historyReply(r, flags) {
  const members = [['channel', quoted(r.text())], epoch(r), ['earliest', r.int()],
    ['latest', r.int()]];
  const damaged = [];
  for (let left = flags & 2 ? r.int() : 0; left > 0; left--) {
    damaged.push(object([['from', r.int()], ['to', r.int()]]));
  }
  const messages = [];
  while (r.left > 0) {
    const inner = new Reader(r.take(r.int()));
    messages.push(object(message(inner, flagsOf(inner.byte(), 15))));
  }
  members.push(['messages', `[${messages}]`]);
  if (flags & 2) members.push(['damaged', `[${damaged}]`]);
  if (flags & 1) members.push(['more', true]);
  return members;
}

function published(r, flags) {
  const members = [['channel', quoted(r.text())], epoch(r)];
  if (flags & 1) members.push(['seq', r.int()]);
  if (flags & 2) members.push(['message_id', quoted(String(r.u64()))]);
  if (flags & 4) members.push(['count', r.int()]);
  if (flags & 16) members.push(['publishes', r.int()]);
  if (flags & 8) members.push(['duplicate', true]);
  return members;
}

function unsubscribed(r, flags) {
  const members = [['channel', quoted(r.text())]];
  if (flags & 1) members.push(['reason', quoted(r.reason())]);
  if (flags & 2) {
    members.push(['from', r.int()], ['to', r.int()], epoch(r), ['earliest', r.int()],
      ['latest', r.int()]);
  }
  return members;
}

// By type: name, the flags it has, its members.
const DECODERS = new Map([
  [0x82, ['published', 31, published]],
  [0x83, ['subscribed', 1, (r, flags) => [['channel', quoted(r.text())], epoch(r),
    ['next', r.int()], ['earliest', r.int()], ['latest', r.int()],
    ...(flags & 1 ? [['reset', object([['reason', quoted(r.reason())]])]] : [])]]],
  [0x85, ['unsubscribed', 3, unsubscribed]],
  [0x86, ['history', 3, historyReply]],
  [0x87, ['digest', 0, (r) => [['channel', quoted(r.text())], epoch(r), ['seq', r.int()],
    ['digest', quoted(r.u64().toString(16).padStart(16, '0'))]]]],
  [0x88, ['pong', 0, () => []]],
  [0x90, ['message', 15, (r, flags) => [['channel', quoted(r.text())], ...message(r, flags)]]],
  [0x91, ['gap', 0, (r) => [['channel', quoted(r.text())], ['from', r.int()], ['to', r.int()],
    ['reason', quoted(r.reason())]]]],
  [0x92, ['reset', 0, (r) => [['channel', quoted(r.text())], epoch(r),
    ['reason', quoted(r.reason())], ['next', r.int()]]]],
]);
const OBJECTS = new Map([[0x80, 'error'], [0x81, 'connected'], [0x93, 'goaway']]);

function flagsOf(flags, known) {
  if (flags & ~known) throw new Error(`flags ${flags}, known are ${known}`);
  return flags;
}

function decodeUnit(content) {
  const r = new Reader(content);
  const type = r.byte();
  const flags = r.byte();
  const id = type >= 0x90 ? 0 : r.int();
  if (OBJECTS.has(type)) {
    flagsOf(flags, 0);
    const raw = r.utf8(r.left);
    const told = JSON.parse(raw);
    if (told.type !== OBJECTS.get(type) || (told.id ?? 0) !== id) {
      throw new Error(`another object in the unit: ${raw}`);
    }
    return raw;
  }
  const [name, known, members] = DECODERS.get(type) ?? [];
  if (name === undefined) throw new Error(`no such type: ${type}`);
  const raw = object([['type', quoted(name)], ...(id ? [['id', id]] : []),
    ...members(r, flagsOf(flags, known))]);
  if (r.left > 0) throw new Error('bytes behind the last field');
  return raw;
}

/** The units of a WebSocket message: {bytes, text}, as they came and as JSON. */
export function units(buffer) {
  const r = new Reader(buffer);
  const all = [];
  if (r.left === 0) throw new Error('an empty message');
  while (r.left > 0) {
    const start = r.at;
    const size = r.int();
    if (size === 0) throw new Error('a unit of no size');
    const raw = decodeUnit(r.take(size));
    all.push({ bytes: buffer.subarray(start, r.at), text: raw });
  }
  return all;
}

/** The JSON texts of the units of a WebSocket message. */
export const decode = (buffer) => units(buffer).map((u) => u.text);

// ---- a socket -------------------------------------------------------------------------------

/** A WebSocket of package ws to its user: JSON texts in and out, and binary on the wire. */
export class BinarySocket extends EventEmitter {
  constructor(url, options) {
    super();
    this.ws = new WebSocket(url, ['seriatim.v1.binary'], options);
    this.counts = new Map(); // id of a publish without an answer -> how many messages it has
    this.runs = 0; // how many publishes were answered in runs
    this.ws.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    for (const event of ['open', 'close', 'error', 'ping', 'pong']) {
      this.ws.on(event, (...args) => this.emit(event, ...args));
    }
  }

  get readyState() {
    return this.ws.readyState;
  }

  get protocol() {
    return this.ws.protocol;
  }

  /** Texts that are given together go out in one message. */
  send(...texts) {
    const units = texts.map((raw) => {
      const command = JSON.parse(raw);
      if (command.type === 'publish' && command.id) {
        this.counts.set(command.id, command.batch?.length ?? 1);
      }
      return encode(raw);
    });
    this.ws.send(Buffer.concat(units));
  }

  #onMessage(data, isBinary) {
    try {
      if (!isBinary) throw new Error('a text frame on a binary connection');
      for (const raw of decode(data)) this.#onObject(raw);
    } catch (error) {
      this.emit('message', Buffer.from(`${error}`), false); // no JSON: its user complains
    }
  }

  #onObject(raw) {
    const told = JSON.parse(raw);
    if (told.publishes === undefined) {
      this.emit('message', Buffer.from(raw), false);
      return;
    }
    // One `published` for each of the run.
    let { seq } = told;
    for (let i = 0; i < told.publishes; i++) {
      const count = this.counts.get(told.id + i);
      if (count === undefined) throw new Error(`a run has id ${told.id + i}, which is not open`);
      const one = { ...told, id: told.id + i, seq, count };
      delete one.publishes;
      if (i > 0) delete one.message_id;
      if (count === 1) delete one.count;
      this.emit('message', Buffer.from(JSON.stringify(one)), false);
      this.counts.delete(told.id + i);
      seq += count;
    }
    if (seq !== told.seq + told.count) throw new Error('the run has another count');
    this.runs += told.publishes;
  }

  close(...args) {
    this.ws.close(...args);
  }

  terminate() {
    this.ws.terminate();
  }
}

