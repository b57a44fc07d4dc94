// Writes binary.json: commands, replies and pushes of seriatim.v1.binary, and what is refused, made
// by test/e2e/lib/binary.mjs.
//   node test/vectors/binary.mjs >test/vectors/binary.json
import { byte, bytes, decode, encode, int, text, u64, unit } from '../e2e/lib/binary.mjs';

const MAX = Number.MAX_SAFE_INTEGER;
const T = 1780000000000;
const long = 'x'.repeat(255);

// ---- commands: their JSON text ---------------------------------------------------------------

const commands = [
  '{"type":"connect"}',
  '{"type":"connect","id":1,"producer":{"id":"p-81f3","epoch":2}}',
  `{"type":"connect","id":${MAX},"producer":{"id":"${long}","epoch":${MAX}},"token":"grüße"}`,
  '{"type":"connect","id":3,"token":""}',
  '{"type":"publish","id":7,"channel":"orders","data":{"n":1},"key":"customer-9",' +
    '"producer_seq":41}',
  '{"type":"publish","channel":"a","data":0}',
  '{"type":"publish","id":63,"channel":"a","data":null,"quiet":true}',
  '{"type":"publish","id":64,"channel":"a","data":{"a": 1,\t"a":1.0e0 , "\\u0061":"\\ud800"}}',
  '{"type":"publish","id":16383,"channel":"Grüße/世界/\u{1F600}","key":"","data":"größe"}',
  '{"type":"publish","id":16384,"channel":"a","data_base64":""}',
  '{"type":"publish","id":1073741823,"channel":"a","data_base64":"AP8QgA==","key":"k"}',
  `{"type":"publish","id":1073741824,"channel":"a","key":"${long}","data":["${'y'.repeat(300)}"]}`,
  '{"type":"publish","id":9,"channel":"a","batch":[{"data":1}]}',
  '{"type":"publish","id":10,"channel":"a","producer_seq":2,"quiet":true,"batch":[{"data":1},' +
    '{"data":null,"key":"k"},{"data_base64":"bnVsbA==","key":""},{"data":[]}]}',
  '{"type":"subscribe","id":2,"channel":"orders"}',
  '{"type":"subscribe","id":2,"channel":"orders","from":"earliest","on_gap":"reset"}',
  '{"type":"subscribe","channel":"orders","from":{"seq":1},"window":1}',
  '{"type":"subscribe","id":2,"channel":"orders","from":{"epoch":"k3v","seq":43},"window":256}',
  `{"type":"subscribe","id":2,"channel":"orders","from":{"epoch":"fvvvvvvvvvvvv","seq":${MAX}}}`,
  `{"type":"subscribe","id":2,"channel":"o","from":{"time":${T}},"on_gap":"reset",` +
    '"window":1000000}',
  '{"type":"subscribe","id":2,"channel":"orders","when_slow":"catch_up"}',
  '{"type":"subscribe","id":2,"channel":"orders","when_slow":"skip"}',
  '{"type":"subscribe","id":2,"channel":"orders","from":{"seq":5},"on_gap":"reset","window":64,' +
    '"when_slow":"conflate"}',
  '{"type":"ack","channel":"orders","seq":43}',
  `{"type":"ack","id":1,"channel":"orders","seq":${MAX}}`,
  '{"type":"unsubscribe","id":3,"channel":"orders"}',
  '{"type":"history","id":4,"channel":"orders"}',
  '{"type":"history","id":4,"channel":"orders","from":0,"limit":1000,"reverse":true}',
  '{"type":"history","id":4,"channel":"orders","from":1,"limit":5000}',
  '{"type":"digest","id":6,"channel":"orders"}',
  '{"type":"digest","id":6,"channel":"orders","seq":0}',
  '{"type":"digest","id":6,"channel":"orders","seq":1042}',
  '{"type":"ping"}',
  '{"type":"ping","id":5}',
];

// ---- replies and pushes: their bytes ---------------------------------------------------------

const head = (type, flags, id) => [byte(type), byte(flags), ...(id === null ? [] : [int(id)])];
const element = (flags, ...fields) => {
  const content = Buffer.concat([byte(flags), ...fields]);
  return Buffer.concat([int(content.length), content]);
};
const E = u64(20607); // "k3v" in base 32
const ID = u64(7218000000000000123n);
const ERROR = '{"type":"error","id":7,"code":"out_of_sequence",' +
  '"message":"expected producer_seq 41","expected":41}';
const GAP = '{"type":"error","code":"gap","message":"no","epoch":"k3v","earliest":81,' +
  '"latest":1042,"reason":"trimmed"}';
const GOAWAY = '{"type":"goaway","reason":"draining","reconnect_after_ms":3120}';

const replies = [
  [...head(0x80, 0, 7), Buffer.from(ERROR)],
  [...head(0x80, 0, 0), Buffer.from(GAP)],
  [...head(0x82, 3, 7), text('orders'), E, int(1042), ID],
  [...head(0x82, 1, 0), text('a'), u64(18446744073709551615n), int(MAX)],
  [...head(0x82, 7, 8), text('orders'), E, int(1043), ID, int(1000)],
  [...head(0x82, 9, 9), text('orders'), E, int(64)],
  [...head(0x82, 8, 9), text('orders'), E],
  [...head(0x82, 23, 100), text('orders'), E, int(2000), ID, int(16), int(16)],
  [...head(0x82, 23, 100), text('orders'), E, int(2000), ID, int(5000), int(64)],
  [...head(0x83, 0, 2), text('orders'), E, int(43), int(1), int(1042)],
  [...head(0x83, 1, 2), text(long), E, int(81), int(81), int(1042), byte(1)],
  [...head(0x83, 1, 2), text('o'), E, int(1), int(1), int(0), byte(2)],
  [...head(0x83, 1, 2), text('o'), E, int(6), int(1), int(5), byte(3)],
  [...head(0x85, 0, 3), text('orders')],
  [...head(0x85, 1, 0), text('orders'), byte(6)],
  [...head(0x85, 3, 0), text('orders'), byte(5), int(50), int(80), E, int(81), int(1042)],
  [...head(0x86, 0, 4), text('orders'), E, int(1), int(0)],
  [...head(0x86, 1, 4), text('orders'), E, int(1), int(1042),
    element(0, int(1), ID, int(T), Buffer.from('{"n":1}')),
    element(15, int(2), ID, int(T), text('k'), text('p'), int(7), Buffer.from([0, 255]))],
  [...head(0x86, 2, 4), text('orders'), E, int(1), int(20000), int(2), int(7), int(9), int(64),
    int(16384), element(1, int(10), ID, int(T), text(''), Buffer.from('null'))],
  [...head(0x87, 0, 6), text('orders'), E, int(1042), u64(0x5046b0860827e0aan)],
  [...head(0x88, 0, 5)],
  [...head(0x88, 0, 0)],
  [...head(0x90, 13, null), text('orders'), int(43), ID, int(T), text('customer-9'),
    text('p-81f3'), int(41), Buffer.from('{"n":1}')],
  [...head(0x90, 0, null), text('a'), int(1), u64(1), int(1), Buffer.from('{"a": 1,\t"a":1.0e0 }')],
  [...head(0x90, 2, null), text('a'), int(64), u64(9223372036854775807n), int(MAX)],
  [...head(0x90, 3, null), text('a'), int(16384), ID, int(T), text(''), Buffer.from([0, 1, 255])],
  [...head(0x90, 4, null), text(long), int(1073741824), ID, int(T), text('größer'),
    Buffer.from(`"${'z'.repeat(20000)}"`)],
  [...head(0x91, 0, null), text('orders'), int(50), int(80), byte(1)],
  [...head(0x91, 0, null), text('orders'), int(50), int(50), byte(4)],
  [...head(0x91, 0, null), text('orders'), int(50), int(90), byte(7)],
  [...head(0x91, 0, null), text('orders'), int(50), int(50), byte(8)],
  [...head(0x92, 0, null), text('orders'), E, byte(2), int(41)],
  [...head(0x93, 0, null), Buffer.from(GOAWAY)],
].map((content) => unit(...content));

// ---- what is refused -------------------------------------------------------------------------

const pub = (flags, ...fields) => unit(byte(2), byte(flags), int(9), ...fields);
const item = (flags, ...fields) => Buffer.concat([byte(flags), ...fields]);
const json = (value) => bytes(Buffer.from(value));
const a = text('a');
const ping = unit(byte(8), byte(0), int(5));

// [about, bytes]; the message closes with 4400
const broken = [
  ['an empty message', Buffer.alloc(0)],
  ['a unit of no size', byte(0)],
  ['a size beyond the message', Buffer.concat([int(4), Buffer.from([8, 0, 20])])],
  ['a size of two bytes, cut off', Buffer.from([0x01])],
  ['a size of eight bytes, cut off', Buffer.from([0x03, 0, 0, 0, 0, 0, 0])],
  ['a size that is not in its shortest form', Buffer.from([0x0d, 0x00, 8, 0, 20])],
  ['a size above 2^53-1', Buffer.from([255, 255, 255, 255, 255, 255, 255, 255, 8])],
  ['text', Buffer.from('{"type":"ping"}')],
];

// [about, code, id or null, bytes]
const refused = [
  ['only a type', 'bad_request', null, unit(byte(8))],
  ['no id', 'bad_request', null, unit(byte(8), byte(0))],
  ['an id that is cut off', 'bad_request', null, unit(byte(8), byte(0), byte(1))],
  ['an id that is not in its shortest form', 'bad_request', null,
    unit(byte(8), byte(0), Buffer.from([0x15, 0x00]))],
  ['an id above 2^53-1', 'bad_request', null,
    unit(byte(8), byte(0), u64((2n ** 53n << 2n) | 3n))],
  ['type 0', 'bad_request', 9, unit(byte(0), byte(0), int(9))],
  ['type 9', 'bad_request', 9, unit(byte(9), byte(0), int(9))],
  ['a type of the server\'s', 'bad_request', 9, unit(byte(0x88), byte(0), int(9))],
  ['a flag that ping has not', 'bad_request', 9, unit(byte(8), byte(1), int(9))],
  ['a flag that connect has not', 'bad_request', 9, unit(byte(1), byte(8), int(9))],
  ['a flag that publish has not', 'bad_request', 9, pub(8, a, item(0, json('1')))],
  ['a flag that subscribe has not', 'bad_request', 9,
    unit(byte(3), byte(8), int(9), a, byte(0))],
  ['a when_slow of 0', 'bad_request', 9, unit(byte(3), byte(4), int(9), a, byte(0), byte(0))],
  ['a when_slow that is none', 'bad_request', 9,
    unit(byte(3), byte(4), int(9), a, byte(0), byte(3))],
  ['a when_slow that is not there', 'bad_request', 9, unit(byte(3), byte(4), int(9), a, byte(0))],
  ['a flag that history has not', 'bad_request', 9, unit(byte(6), byte(8), int(9), a)],
  ['a flag that digest has not', 'bad_request', 9, unit(byte(7), byte(2), int(9), a)],
  ['a flag that ack has not', 'bad_request', 9, unit(byte(4), byte(1), int(9), a, int(1))],
  ['a flag that unsubscribe has not', 'bad_request', 9, unit(byte(5), byte(1), int(9), a)],
  ['a flag that a message has not', 'bad_request', 9, pub(0, a, item(4, json('1')))],
  ['bytes behind a ping', 'bad_request', 9, unit(byte(8), byte(0), int(9), byte(0))],
  ['bytes behind a publish', 'bad_request', 9, pub(0, a, item(0, json('1')), byte(0))],
  ['no channel', 'bad_request', 9, pub(0)],
  ['an empty channel', 'bad_request', 9, pub(0, text(''), item(0, json('1')))],
  ['a channel beyond the unit', 'bad_request', 9,
    unit(byte(5), byte(0), int(9), byte(2), byte(97))],
  ['a channel that is not UTF-8', 'bad_request', 9,
    unit(byte(5), byte(0), int(9), byte(1), byte(255))],
  ['a channel with a control character', 'bad_request', 9,
    unit(byte(5), byte(0), int(9), text('a\u0085'))],
  ['a message without a payload', 'bad_request', 9, pub(0, a, byte(0))],
  ['no message', 'bad_request', 9, pub(0, a)],
  ['a payload beyond the unit', 'bad_request', 9, pub(0, a, byte(2), int(5), Buffer.from('1234'))],
  ['a payload of 2^53-1 bytes', 'bad_request', 9, pub(0, a, byte(2), int(MAX), byte(0))],
  ['an empty JSON payload', 'bad_request', 9, pub(0, a, item(0, json('')))],
  ['a JSON payload of white space', 'bad_request', 9, pub(0, a, item(0, json(' ')))],
  ['a JSON payload that is none', 'bad_request', 9, pub(0, a, item(0, json('{"a":}')))],
  ['a JSON payload of two values', 'bad_request', 9, pub(0, a, item(0, json('1 2')))],
  ['a JSON payload that is not UTF-8', 'bad_request', 9,
    pub(0, a, item(0, bytes(Buffer.from([0x22, 0xff, 0x22]))))],
  ['a JSON payload nested too deep', 'bad_request', 9,
    pub(0, a, item(0, json(`${'['.repeat(513)}${']'.repeat(513)}`)))],
  ['a payload that is too large', 'too_large', 9, pub(0, a, item(2, bytes(Buffer.alloc(1025))))],
  ['a JSON payload that is too large', 'too_large', 9,
    pub(0, a, item(0, json(`"${'x'.repeat(1023)}"`)))],
  ['a key beyond the unit', 'bad_request', 9, pub(0, a, byte(1), byte(200), byte(97))],
  ['a key that is not UTF-8', 'bad_request', 9, pub(0, a, byte(1), byte(1), byte(128), json('1'))],
  ['producer_seq 0', 'bad_request', 9, pub(1, a, int(0), item(0, json('1')))],
  ['a batch of none', 'bad_request', 9, pub(2, a, int(0))],
  ['a batch of 1001', 'too_large', 9,
    pub(2, a, int(1001), ...Array.from({ length: 1001 }, () => item(2, int(0))))],
  ['a batch of more than there are', 'bad_request', 9, pub(2, a, int(2), item(0, json('1')))],
  ['a batch of fewer than there are', 'bad_request', 9,
    pub(2, a, int(1), item(0, json('1')), item(0, json('1')))],
  ['a batch of a thousand in two bytes', 'bad_request', 9, pub(2, a, int(1000), byte(2), byte(0))],
  ['from 5', 'bad_request', 9, unit(byte(3), byte(0), int(9), a, byte(5))],
  ['no from', 'bad_request', 9, unit(byte(3), byte(0), int(9), a)],
  ['from seq 0', 'bad_request', 9, unit(byte(3), byte(0), int(9), a, byte(2), int(0))],
  ['half an epoch', 'bad_request', 9, unit(byte(3), byte(0), int(9), a, byte(3), Buffer.alloc(7))],
  ['from seq 0 of an epoch', 'bad_request', 9,
    unit(byte(3), byte(0), int(9), a, byte(3), E, int(0))],
  ['a window of 0', 'bad_request', 9, unit(byte(3), byte(2), int(9), a, byte(0), int(0))],
  ['a window of 1000001', 'bad_request', 9,
    unit(byte(3), byte(2), int(9), a, byte(0), int(1000001))],
  ['ack 0', 'bad_request', 9, unit(byte(4), byte(0), int(9), a, int(0))],
  ['a limit of 0', 'bad_request', 9, unit(byte(6), byte(2), int(9), a, int(0))],
  ['an empty producer', 'bad_request', 9, unit(byte(1), byte(1), int(9), text(''), int(1))],
  ['a producer\'s epoch 0', 'bad_request', 9, unit(byte(1), byte(1), int(9), text('p'), int(0))],
  ['a token beyond the unit', 'bad_request', 9, unit(byte(1), byte(2), int(9), int(5), byte(97))],
  ['a token that is not UTF-8', 'bad_request', 9,
    unit(byte(1), byte(2), int(9), int(1), byte(255))],
];

const vectors = {
  about: 'seriatim.v1.binary, docs/PROTOCOL.md section 15; written by binary.mjs beside this file',
  message_bytes: 1024,
  commands: commands.map((raw) => ({ json: raw, hex: encode(raw).toString('hex') })),
  replies: replies.map((all) => ({ json: decode(all)[0], hex: all.toString('hex') })),
  broken: broken.map(([about, all]) => ({ about, hex: all.toString('hex') })),
  // A ping with the id 5 stands behind each, and is answered.
  refused: refused.map(([about, code, id, all]) => ({
    about, code, ...(id === null ? {} : { id }), hex: Buffer.concat([all, ping]).toString('hex'),
  })),
};
process.stdout.write(`${JSON.stringify(vectors, null, 1)}\n`);
