// Writes digest.json: histories and their digests, computed by test/e2e/lib/digest.mjs.
//   node test/vectors/digest.mjs >test/vectors/digest.json
import { hex, roll, start } from '../e2e/lib/digest.mjs';

const T = 1780000000000;
const id = (n) => String(53000000000000000n + BigInt(n));

// `data_text` is the text of `data` byte for byte; a gap's digest is told by the server, since
// nobody has the messages in it.
const histories = [
  { about: 'a history of one small message', channel: 'a',
    entries: [{ seq: 1, message_id: '1', time: 1, data_text: 'null' }] },
  { about: 'the same message in another channel', channel: 'b',
    entries: [{ seq: 1, message_id: '1', time: 1, data_text: 'null' }] },
  { about: 'keys and producers, there and not there', channel: 'orders', entries: [
    { seq: 1, message_id: id(1), time: T, data_text: '{"n":1}' },
    { seq: 2, message_id: id(2), time: T, key: '', data_text: '{"n":1}' },
    { seq: 3, message_id: id(3), time: T, key: 'customer-9', data_text: '{"n":1}' },
    { seq: 4, message_id: id(4), time: T, producer: 'p-81f3', data_text: '{"n":1}' },
    { seq: 5, message_id: id(5), time: T + 1, producer: 'p-81f3', producer_seq: 41,
      data_text: '{"n":1}' },
    { seq: 6, message_id: id(6), time: T + 1, key: 'customer-9', producer: 'p-81f3',
      producer_seq: 42, data_text: '{"n":1}' },
  ] },
  { about: 'what one field gives to its neighbour', channel: 'fields', entries: [
    { seq: 1, message_id: id(1), time: T, key: 'bc', producer: 'a', data_text: '0' },
    { seq: 2, message_id: id(2), time: T, key: 'c', producer: 'ab', data_text: '0' },
    { seq: 3, message_id: id(3), time: T, producer: 'abc', data_text: '0' },
    { seq: 4, message_id: id(4), time: T, key: 'abc', data_text: '0' },
  ] },
  { about: 'payloads as they were written, and bytes', channel: 'payloads', entries: [
    { seq: 1, message_id: id(1), time: T, data_text: '{"a": 1,\t"a":1.0e0 }' },
    { seq: 2, message_id: id(2), time: T, data_text: '"\\ud800 \\u0061"' },
    { seq: 3, message_id: id(3), time: T, data_text: '"\u{1F600} grüße, 世界"' },
    { seq: 4, message_id: id(4), time: T, data_base64: '' },
    { seq: 5, message_id: id(5), time: T, data_base64: 'AP8QgA==' },
    { seq: 6, message_id: id(6), time: T, data_text: '"AP8QgA=="' },
    { seq: 7, message_id: id(7), time: T, data_base64: Buffer.from('null').toString('base64') },
    { seq: 8, message_id: id(8), time: T, data_text: 'null' },
    { seq: 9, message_id: id(9), time: T, data_text: `"${'x'.repeat(300)}"` },
    { seq: 10, message_id: id(10), time: T,
      data_base64: Buffer.from(Array.from({ length: 999 }, (_, i) => i % 251)).toString('base64') },
  ] },
  { about: 'names in UTF-8, and as long as can be', channel: 'Grüße/世界/\u{1F600}', entries: [
    { seq: 1, message_id: id(1), time: T, key: '\u{1F511} "quoted"\\', producer: 'größer',
      producer_seq: 1, data_text: '[]' },
    { seq: 2, message_id: id(2), time: T, key: 'k'.repeat(255), producer: 'p'.repeat(255),
      producer_seq: 2, data_text: '[]' },
    { seq: 3, message_id: '9223372036854775807', time: Number.MAX_SAFE_INTEGER, key: 'k',
      producer: 'größer', producer_seq: Number.MAX_SAFE_INTEGER, data_text: '[]' },
  ] },
  { about: 'who begins in the middle starts from the digest that the server tells',
    channel: 'middle', before: { seq: 41, digest: '0123456789abcdef' }, entries: [
      { seq: 42, message_id: id(42), time: T, data_text: '"forty-two"' },
      { seq: 43, message_id: id(43), time: T, data_text: '"forty-three"' },
    ] },
  { about: 'a hole: the digest of its last message is asked for', channel: 'holed', entries: [
    { seq: 1, message_id: id(1), time: T, data_text: '1' },
    { seq: 2, message_id: id(2), time: T, data_text: '2' },
    { gap: { from: 3, to: 5 }, digest: 'fedcba9876543210' },
    { seq: 6, message_id: id(6), time: T, data_text: '6' },
  ] },
];

for (const history of histories) {
  let digest = start(history.channel);
  history.start = hex(digest);
  if (history.before) digest = BigInt(`0x${history.before.digest}`);
  for (const entry of history.entries) {
    if (entry.gap) {
      digest = BigInt(`0x${entry.digest}`);
      continue;
    }
    const isBytes = entry.data_base64 !== undefined;
    const payload = isBytes ? Buffer.from(entry.data_base64, 'base64')
      : Buffer.from(entry.data_text, 'utf8');
    digest = roll(digest, entry, payload, isBytes);
    entry.digest = hex(digest);
  }
}
console.log(JSON.stringify({
  about: 'Digests of channels, docs/PROTOCOL.md section 8; written by digest.mjs beside this file',
  histories: histories.map(({ about, channel, start: first, before, entries }) =>
    ({ about, channel, start: first, before, entries })),
}, null, 1));
