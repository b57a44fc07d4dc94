// What passes between the state machines and the codecs: commands as the protocol names them,
// replies with the protocol's members, messages ready for the application.

import type { Message } from './message.js';

/** A payload as it goes out: the text of a JSON value, or bytes. */
export type Payload = string | Uint8Array;

export const encoder = new TextEncoder();

/** The size of a text as UTF-8. */
export const sizeOf = (text: string) => encoder.encode(text).length;

export type From = 'latest' | 'earliest' | { epoch?: string; seq: number } | { time: number };

export type WhenSlow = 'catch_up' | 'skip' | 'conflate';

export interface ConnectCommand {
  type: 'connect';
  producer?: { id: string; epoch: number };
  token?: string;
}
export interface SubscribeCommand {
  type: 'subscribe';
  channel: string;
  from?: From;
  window?: number;
  when_slow?: WhenSlow;
  on_gap?: 'error' | 'reset';
}
export interface HistoryCommand {
  type: 'history';
  channel: string;
  from?: number;
  limit?: number;
  reverse?: boolean;
}
export type Command =
  | ConnectCommand | SubscribeCommand | HistoryCommand
  | { type: 'ack'; channel: string; seq: number }
  | { type: 'unsubscribe'; channel: string }
  | { type: 'digest'; channel: string; seq?: number }
  | { type: 'ping' };

/** A reply or push other than `message`, with the members of its JSON form. */
export interface Reply {
  type: string;
  id?: number;
  channel?: string;
  [member: string]: any;
}

/** Takes what a codec has decoded. */
export interface Sink {
  message(message: Message): void;
  /** `published`, which may stand for `publishes` commands from `id` on. */
  published(reply: Reply): void;
  reply(reply: Reply): void;
}

export interface Codec {
  readonly subprotocol: string;
  /** A command as a text frame; undefined: it stands among what take() gives. `id` 0: none. */
  command(command: Command, id: number): string | undefined;
  publish(id: number, channel: string, number: number, key: string | undefined,
    payload: Payload): string | undefined;
  /** Bytes that wait for take(). */
  readonly pending: number;
  /** One binary frame of all units since the last call. */
  take(): Uint8Array;
  /** Throws where the frame is none of the protocol's. */
  decode(frame: string | ArrayBuffer | Uint8Array, sink: Sink): void;
}
