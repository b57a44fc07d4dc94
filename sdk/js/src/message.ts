// A message as the application gets it.

/** (epoch, seq): a place in a channel's history; as `from`, the first message wanted. */
export interface Position {
  epoch?: string;
  seq: number;
}

export class Message {
  /** The history that the number belongs to. */
  epoch = '';

  constructor(
    readonly channel: string,
    readonly seq: number,
    private readonly idText: string,
    private readonly idHigh: number,
    private readonly idLow: number,
    /** Milliseconds since 1970, by the server's clock. */
    readonly time: number,
    readonly key: string | undefined,
    readonly producer: string | undefined,
    readonly producerSeq: number | undefined,
    /** The JSON value, or bytes where bytes were published. */
    readonly data: any,
  ) {}

  /** The server's id of the message: to be compared, not looked into. */
  get id(): string {
    return this.idText || String((BigInt(this.idHigh) << 32n) | BigInt(this.idLow >>> 0));
  }

  /** Where to go on behind this message: what an application stores to resume. */
  get next(): Position {
    return { epoch: this.epoch, seq: this.seq + 1 };
  }
}

/** Messages that a subscription does not get, told in their place. */
export interface Gap {
  channel: string;
  /** trimmed, damaged, slow, conflated: the messages are not there or were not asked for;
   *  epoch, ahead: the history has changed, and numbers from `next` on are told anew. */
  reason: string;
  /** The first and the last number that is missing; from > to: none, the history has changed. */
  from: number;
  to: number;
  epoch: string;
  /** What the subscription goes on with. */
  next: number;
}
