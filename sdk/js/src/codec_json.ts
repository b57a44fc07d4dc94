// seriatim.v1.json: one JSON object in each text frame.

import { Message } from './message.js';
import type { Codec, Command, Payload, Reply, Sink } from './wire.js';

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 8192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function messageOf(channel: string, m: Reply): Message {
  const data = m.data_base64 === undefined ? m.data : fromBase64(m.data_base64);
  return new Message(channel, m.seq, m.message_id, 0, 0, m.time, m.key, m.producer,
    m.producer_seq, data);
}

const decoder = new TextDecoder();

export class JsonCodec implements Codec {
  readonly subprotocol = 'seriatim.v1.json';
  readonly pending = 0;
  /** The start of a publish to the channel published to last. */
  #head = '';
  #headChannel: string | undefined;

  command(command: Command, id: number): string {
    return JSON.stringify(id === 0 ? command : { ...command, id });
  }

  publish(id: number, channel: string, number: number, key: string | undefined,
    payload: Payload): string {
    if (channel !== this.#headChannel) {
      this.#head = `{"type":"publish","channel":${JSON.stringify(channel)},"id":`;
      this.#headChannel = channel;
    }
    const keyed = key === undefined ? '' : `,"key":${JSON.stringify(key)}`;
    const data = typeof payload === 'string' ? `"data":${payload}`
      : `"data_base64":"${toBase64(payload)}"`;
    return `${this.#head}${id},"producer_seq":${number}${keyed},${data}}`;
  }

  take(): Uint8Array {
    return new Uint8Array(0); // units are text frames here
  }

  decode(frame: string | ArrayBuffer | Uint8Array, sink: Sink): void {
    const reply = JSON.parse(typeof frame === 'string' ? frame : decoder.decode(frame)) as Reply;
    if (reply.type === 'message') {
      sink.message(messageOf(reply.channel!, reply));
    } else if (reply.type === 'published') {
      sink.published(reply);
    } else {
      if (reply.type === 'history') {
        reply.messages = reply.messages.map((m: Reply) => {
          const message = messageOf(reply.channel!, m);
          message.epoch = reply.epoch;
          return message;
        });
      }
      sink.reply(reply);
    }
  }
}
