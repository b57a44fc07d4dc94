// The digest of a channel, from docs/PROTOCOL.md section 8 alone: not our code, not our XXH3.
import { createXXHash3 } from 'hash-wasm';

import { rawMember } from './json.mjs';

const hasher = await createXXHash3(0, 0);

/** XXH3-64 with seed 0. */
export function xxh3(bytes) {
  hasher.init();
  hasher.update(bytes);
  return BigInt(`0x${hasher.digest('hex')}`);
}

export const hex = (digest) => digest.toString(16).padStart(16, '0');

/** digest(0) */
export const start = (channel) => xxh3(Buffer.from(channel, 'utf8'));

/** digest(n) from digest(n-1) and message n; `payload` are the bytes of its payload. */
export function roll(before, { seq, time, message_id, key, producer, producer_seq }, payload,
  isBytes) {
  const id = Buffer.from(message_id, 'utf8');
  const who = Buffer.from(producer ?? '', 'utf8');
  const name = Buffer.from(key ?? '', 'utf8');
  const head = Buffer.alloc(53);
  head.writeBigUInt64LE(before, 0);
  head.writeBigUInt64LE(BigInt(seq), 8);
  head.writeBigUInt64LE(BigInt(time), 16);
  head.writeBigUInt64LE(BigInt(producer_seq ?? 0), 24);
  head.writeBigUInt64LE(BigInt(payload.length), 32);
  head.writeBigUInt64LE(xxh3(payload), 40);
  head[48] = isBytes ? 2 : 1;
  head[49] = id.length;
  head[50] = who.length;
  head[51] = key === undefined ? 0 : 1;
  head[52] = name.length;
  return xxh3(Buffer.concat([head, id, who, name]));
}

/** As roll(), with a message as it came: parsed, and the text it was parsed from. */
export function rollText(before, message, text) {
  const isBytes = message.data_base64 !== undefined;
  const payload = isBytes ? Buffer.from(message.data_base64, 'base64')
    : Buffer.from(rawMember(text, 'data'), 'utf8');
  return roll(before, message, payload, isBytes);
}
