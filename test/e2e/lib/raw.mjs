// A bare socket: for bytes that no well-behaved client would send.

import crypto from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

/** Sends `bytes` and reads until the peer closes or `ms` have passed. A piece of them may be a
 *  promise: it is sent when it is there. */
export async function exchange(port, bytes, { ms = 5000, until } = {}) {
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const chunks = [];
  let ended = false;
  const closed = new Promise((resolve) => {
    socket.on('data', (d) => {
      chunks.push(d);
      if (until && until(Buffer.concat(chunks))) resolve();
    });
    socket.on('end', () => {
      ended = true;
      resolve();
    });
    socket.on('error', resolve);
    socket.on('close', resolve);
    setTimeout(resolve, ms).unref();
  });
  for (const piece of [bytes].flat()) socket.write(await piece);
  await closed;
  socket.destroy();
  return { bytes: Buffer.concat(chunks), ended };
}

export function upgradeHead(port, { path = '/v1/ws', method = 'GET', version = 'HTTP/1.1',
  fields = {} } = {}) {
  const all = {
    Host: `127.0.0.1:${port}`,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': crypto.randomBytes(16).toString('base64'),
    ...fields,
  };
  const lines = Object.entries(all).filter(([, v]) => v !== null).map(([k, v]) => `${k}: ${v}`);
  return `${method} ${path} ${version}\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** The status, fields and rest of a response. */
export function parseResponse(bytes) {
  const text = bytes.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return { status: 0, fields: {}, rest: bytes };
  const [first, ...lines] = text.slice(0, end).split('\r\n');
  const fields = Object.fromEntries(lines.map((l) => {
    const at = l.indexOf(':');
    return [l.slice(0, at).toLowerCase(), l.slice(at + 1).trim()];
  }));
  return { status: Number(first.split(' ')[1]), fields, rest: bytes.subarray(end + 4) };
}

export function acceptOf(key) {
  const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  return crypto.createHash('sha1').update(key + magic).digest('base64');
}

/** A client's frame; every part of it can be bent. */
export function frame(opcode, payload = Buffer.alloc(0), { fin = true, mask = true, rsv = 0,
  declared, lengthBytes } = {}) {
  const body = Buffer.from(payload);
  const size = declared ?? body.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const bits = mask ? 0x80 : 0;
  const width = lengthBytes ?? (size < 126 ? 1 : size < 65536 ? 2 : 8);
  if (width === 1) head.push(bits | size);
  else if (width === 2) head.push(bits | 126, size >> 8, size & 255);
  else {
    const long = Buffer.alloc(8);
    long.writeBigUInt64BE(BigInt(size));
    head.push(bits | 127, ...long);
  }
  if (!mask) return Buffer.concat([Buffer.from(head), body]);
  const key = crypto.randomBytes(4);
  const masked = Buffer.from(body.map((b, i) => b ^ key[i % 4]));
  return Buffer.concat([Buffer.from(head), key, masked]);
}

/** The frames of a server in `bytes`: [{opcode, fin, masked, payload}]. */
export function parseFrames(bytes) {
  const frames = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    const opcode = bytes[at] & 15;
    const fin = (bytes[at] & 0x80) !== 0;
    const masked = (bytes[at + 1] & 0x80) !== 0;
    let size = bytes[at + 1] & 127;
    at += 2;
    if (size === 126) {
      size = bytes.readUInt16BE(at);
      at += 2;
    } else if (size === 127) {
      size = Number(bytes.readBigUInt64BE(at));
      at += 8;
    }
    if (at + size > bytes.length) break;
    frames.push({ opcode, fin, masked, payload: bytes.subarray(at, at + size) });
    at += size;
  }
  return frames;
}

/** Upgrades, sends `pieces`, and gives the frames that came back until the server closed. */
export async function wsExchange(port, pieces, options = {}) {
  const { bytes, ended } = await exchange(port, [upgradeHead(port), ...pieces], options);
  const response = parseResponse(bytes);
  const frames = parseFrames(response.rest);
  const close = frames.find((f) => f.opcode === 8);
  const code = close && close.payload.length >= 2 ? close.payload.readUInt16BE(0) : undefined;
  return { status: response.status, frames, code, ended };
}
