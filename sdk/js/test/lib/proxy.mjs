// A wire between client and server that delays, and cuts at will. What passes is not changed: TCP
// keeps the order, so a delay holds up all that comes behind it.

import { once } from 'node:events';
import net from 'node:net';

export class Proxy {
  /** `delay`: the share of chunks that wait for up to `delayMs`. */
  static async start(port, { delay = 0, delayMs = 0, random = Math.random } = {}) {
    const proxy = new Proxy();
    Object.assign(proxy, { port, delay, delayMs, random, pairs: new Set(), refusing: false });
    proxy.server = net.createServer((client) => proxy.#pair(client));
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get url() {
    return `ws://127.0.0.1:${this.server.address().port}/v1/ws`;
  }

  #pair(client) {
    if (this.refusing) {
      client.destroy();
      return;
    }
    const server = net.connect(this.port, '127.0.0.1');
    const pair = [client, server];
    this.pairs.add(pair);
    const end = () => {
      this.pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    this.#pump(client, server, end);
    this.#pump(server, client, end);
  }

  #pump(from, to, end) {
    let last = Promise.resolve();
    from.on('data', (chunk) => {
      const wait = this.random() < this.delay ? this.random() * this.delayMs : 0;
      last = last.then(() => (wait > 0 ? new Promise((r) => setTimeout(r, wait)) : undefined))
        .then(() => void (to.writable && to.write(chunk)));
    });
    from.on('close', end);
    from.on('error', end);
  }

  /** Cuts all connections, in the middle of whatever they do. */
  cut() {
    for (const [client, server] of this.pairs) {
      client.destroy();
      server.destroy();
    }
    this.pairs.clear();
  }

  async stop() {
    this.refusing = true;
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }
}
