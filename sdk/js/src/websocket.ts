// The WebSocket that this environment has.

import { SeriatimError } from './errors.js';

/** As much of the WebSocket API as is needed. */
export interface Socket {
  binaryType: string;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: any): void;
  close(code?: number, reason?: string): void;
  /** Of the package ws only: they save it an object for each message, and a write. */
  on?(name: 'message', listener: (data: Uint8Array, isBinary: boolean) => void): void;
  _socket?: { cork?(): void; uncork?(): void };
}

export type SocketConstructor = new (url: string, protocol: string, options: object) => Socket;

/** The one that was given, the environment's, or that of the package `ws`. */
export async function findWebSocket(given: unknown): Promise<SocketConstructor> {
  const own = given ?? (globalThis as { WebSocket?: unknown }).WebSocket;
  if (own !== undefined) return own as SocketConstructor;
  try {
    const name = ['w', 's'].join(''); // a bundler for browsers shall not look for it
    const module = await import(/* webpackIgnore: true */ /* @vite-ignore */ name);
    return module.WebSocket ?? module.default;
  } catch {
    throw new SeriatimError('protocol',
      'no WebSocket: use Node 22, install the package ws, or give the option WebSocket');
  }
}
