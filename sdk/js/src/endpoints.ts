// Which server to speak to. Several addresses lead to the same channels; one that fails three times
// in a row within 30 s is left out for 5 minutes, then 10, 20, up to an hour. Never all of them:
// the last one that is not left out stays.

const FAILURES = 3;
const WITHIN_MS = 30_000;
const OUT_MS = 5 * 60_000;
const OUT_CAP_MS = 60 * 60_000;

export class Endpoint {
  failures: number[] = [];
  /** Left out until then. */
  outUntil = 0;
  /** How often it has been left out since it last proved good. */
  ejections = 0;
  /** What the server itself has asked for. */
  notBefore = 0;

  constructor(readonly url: string) {}
}

export class Endpoints {
  readonly all: Endpoint[];
  #turn: number;

  constructor(urls: readonly string[], drawn: number) {
    this.all = urls.map((url) => new Endpoint(url));
    this.#turn = Math.floor(drawn * urls.length);
  }

  /** The one to try next, and from when on. `busy` are those that other connections use. */
  pick(now: number, busy: ReadonlySet<Endpoint>): { endpoint: Endpoint; at: number } {
    const free = this.all.filter((e) => !busy.has(e));
    const from = free.some((e) => e.outUntil <= now) || free.length === this.all.length
      ? free : this.all;
    let best: Endpoint | undefined;
    let at = Infinity;
    for (let i = 0; i < this.all.length; i += 1) {
      const e = this.all[(this.#turn + i) % this.all.length]!;
      const ready = Math.max(now, e.notBefore, e.outUntil);
      if (from.includes(e) && ready < at) {
        best = e;
        at = ready;
      }
    }
    return { endpoint: best!, at };
  }

  /** A connection could not be made, or broke. */
  failed(endpoint: Endpoint, now: number): void {
    endpoint.failures = endpoint.failures.filter((at) => now - at < WITHIN_MS);
    endpoint.failures.push(now);
    this.#turn = (this.all.indexOf(endpoint) + 1) % this.all.length;
    const others = this.all.some((e) => e !== endpoint && e.outUntil <= now);
    if (endpoint.failures.length >= FAILURES && others) {
      endpoint.failures = [];
      endpoint.outUntil = now + Math.min(OUT_CAP_MS, OUT_MS * 2 ** endpoint.ejections);
      endpoint.ejections += 1;
    }
  }

  /** The server has answered `connect`: what failed before was not in a row. */
  connected(endpoint: Endpoint): void {
    endpoint.failures = [];
    endpoint.outUntil = 0;
    endpoint.notBefore = 0;
  }

  /** A connection has held for so long: all is forgotten. */
  held(endpoint: Endpoint, ms: number): void {
    if (ms >= OUT_MS) endpoint.ejections = 0;
  }

  /** The server asks not to come back before. */
  holdOff(endpoint: Endpoint, until: number): void {
    endpoint.notBefore = Math.max(endpoint.notBefore, until);
    this.#turn = (this.all.indexOf(endpoint) + 1) % this.all.length;
  }
}
