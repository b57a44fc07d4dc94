// A server that lies: a proxy before the real one which changes what it says, frame by frame. What
// clients say passes as it is. In binary it is unit by unit.
//
// It knows just enough of WebSocket: a server's frames are not masked, and ours are not fragmented.

import { once } from 'node:events';
import net from 'node:net';

import { units } from './binary.mjs';

const HEAD_END = Buffer.from('\r\n\r\n');

/** The frame at `at` of `bytes`: {opcode, payload, next}, or null if it is not all there. */
function frameAt(bytes, at) {
  if (bytes.length < at + 2) return null;
  const opcode = bytes[at] & 0x0f;
  let size = bytes[at + 1] & 0x7f;
  let start = at + 2;
  if (size === 126) {
    if (bytes.length < at + 4) return null;
    size = bytes.readUInt16BE(at + 2);
    start = at + 4;
  } else if (size === 127) {
    if (bytes.length < at + 10) return null;
    size = Number(bytes.readBigUInt64BE(at + 2));
    start = at + 10;
  }
  if (bytes.length < start + size) return null;
  return { opcode, payload: bytes.subarray(start, start + size), next: start + size };
}

function frameOf(opcode, said) {
  const payload = Buffer.from(said);
  const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (payload.length < 126) {
    head[1] = payload.length;
  } else if (payload.length < 65536) {
    head[1] = 126;
    head.writeUInt16BE(payload.length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, payload]);
}

class Speech {
  #rest = Buffer.alloc(0);
  #greeted = false;

  constructor(lie, write) {
    this.lie = lie;
    this.write = write;
  }

  push(data) {
    let bytes = Buffer.concat([this.#rest, data]);
    if (!this.#greeted) {
      const end = bytes.indexOf(HEAD_END);
      if (end < 0) {
        this.#rest = bytes;
        return;
      }
      this.write(bytes.subarray(0, end + 4));
      bytes = bytes.subarray(end + 4);
      this.#greeted = true;
    }
    let at = 0;
    for (let frame = frameAt(bytes, at); frame !== null; frame = frameAt(bytes, at)) {
      this.#say(frame, bytes.subarray(at, frame.next));
      at = frame.next;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
  }

  #say(frame, raw) {
    if (frame.opcode === 2) {
      const said = units(frame.payload).flatMap((u) => this.lie(u.bytes, JSON.parse(u.text)));
      if (said.length > 0) this.write(frameOf(2, Buffer.concat(said)));
      return;
    }
    if (frame.opcode !== 1) {
      this.write(raw);
      return;
    }
    const text = frame.payload.toString();
    for (const said of this.lie(text, JSON.parse(text))) {
      this.write(said === text ? raw : frameOf(1, said));
    }
  }
}

/** `makeLie()` is called for each connection and gives a function of (text, object) to a list of
 *  texts that are said in its place; in binary, of (unit, object) to a list of units. */
export async function startLiar(server, makeLie) {
  const sockets = new Set();
  const proxy = net.createServer((client) => {
    const real = net.connect(server.port, '127.0.0.1');
    const speech = new Speech(makeLie(), (bytes) => client.write(bytes));
    sockets.add(client).add(real);
    const end = () => {
      client.destroy();
      real.destroy();
      sockets.delete(client);
      sockets.delete(real);
    };
    client.on('data', (d) => real.write(d));
    real.on('data', (d) => speech.push(d));
    for (const socket of [client, real]) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', end);
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return {
    ws: `ws://127.0.0.1:${proxy.address().port}/v1/ws`,
    async stop() {
      for (const socket of sockets) socket.destroy();
      proxy.close();
      await once(proxy, 'close');
    },
  };
}
