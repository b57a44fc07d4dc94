// seriatim-client: docs/CLIENTS.md has the rules it keeps, README.md how it is used.

export { Client } from './client.js';
export type {
  ClientEvents, ClientOptions, ClientState, Digest, History, HistoryOptions, Pending, TokenSource,
} from './client.js';
export { SeriatimError } from './errors.js';
export type { ErrorCode } from './errors.js';
export { Message } from './message.js';
export type { Gap, Position } from './message.js';
export { MemoryOutbox } from './outbox.js';
export type { Outbox } from './outbox.js';
export { IndexedDbOutbox } from './outbox_idb.js';
export type { IndexedDbOptions } from './outbox_idb.js';
export { StoragePositions } from './position.js';
export type { PositionStore } from './position.js';
export type { OutboxState, Producer, Published, StoredEntry } from './publisher.js';
export { Subscription } from './subscription.js';
export type {
  Handler, SubscribeOptions, SubscriptionEvents, SubscriptionState,
} from './subscription.js';
export type { From, WhenSlow } from './wire.js';
