// A server that says just what a test tells it to: real WebSocket, no log behind it.

import { once } from 'node:events';
import { WebSocketServer } from 'ws';

const CONNECTED = {
  type: 'connected', connection: '1', namespace: 'default', node: 1, server: 'seriatim/0.1.0',
  ping_ms: 25000, durability: 'fsync', features: ['batch', 'history', 'producer'],
  limits: { message_bytes: 1048576, frame_bytes: 4194304, batch_messages: 1000,
    subscriptions: 1000 }, time: 1780000000000,
};

/** One client's connection. */
class Peer {
  constructor(socket) {
    this.socket = socket;
  }

  /** An object, or a text as it is. */
  say(what) {
    this.socket.send(typeof what === 'string' ? what : JSON.stringify(what));
  }

  connected(id, more = {}) {
    this.say({ ...CONNECTED, id, ...more });
  }

  /** A Close frame. */
  close(code, reason) {
    this.socket.close(code, reason);
  }

  /** Without a word. */
  cut() {
    this.socket.terminate();
  }
}

/** `script(command, peer, state)` is called for each command; `state` is the connection's own, with
 *  `number`, from 1. `connect` is answered for it unless it returns true. The commands of all
 *  connections are in `heard`. */
export async function startScripted(script) {
  const server = new WebSocketServer({
    port: 0, host: '127.0.0.1', maxPayload: 64 * 1024 * 1024,
    handleProtocols: (offered) => (offered.has('seriatim.v1.json') ? 'seriatim.v1.json' : false),
  });
  await once(server, 'listening');
  const heard = [];
  let count = 0;
  server.on('connection', (socket) => {
    const peer = new Peer(socket);
    count += 1;
    const state = { number: count };
    socket.on('error', () => {});
    socket.on('message', (data) => {
      const command = JSON.parse(data.toString());
      heard.push(command);
      const done = script(command, peer, state);
      if (command.type === 'connect' && done !== true) peer.connected(command.id);
    });
  });
  return {
    heard,
    ws: `ws://127.0.0.1:${server.address().port}/v1/ws`,
    get connections() {
      return count;
    },
    async stop() {
      for (const socket of server.clients) socket.terminate();
      server.close();
      await once(server, 'close');
    },
  };
}

export const subscribed = (command, next, more = {}) => ({
  type: 'subscribed', id: command.id, channel: command.channel, epoch: 'e1', next, earliest: 1,
  latest: next - 1, ...more });

export const message = (channel, seq, data, more = {}) => ({
  type: 'message', channel, seq, message_id: `m${seq}`, time: 1780000000000 + seq, data, ...more });

export const refusal = (command, code, more = {}) => ({
  type: 'error', id: command.id, code, message: 'so it is', ...more });
