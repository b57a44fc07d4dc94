// What Node has beside: an outbox and positions in files.

export { FileOutbox } from './outbox_file.js';
export type { FileOutboxOptions } from './outbox_file.js';
export { FilePositions } from './position_file.js';
