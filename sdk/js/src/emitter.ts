// Events: `on` gives back the function that ends it.

export class Emitter<Events extends { [name: string]: unknown }> {
  #listeners = new Map<keyof Events, Set<(event: any) => void>>();

  on<N extends keyof Events>(name: N, listener: (event: Events[N]) => void): () => void {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(listener));
    return () => void all.delete(listener);
  }

  protected listens(name: keyof Events): boolean {
    return Boolean(this.#listeners.get(name)?.size);
  }

  protected emit<N extends keyof Events>(name: N, event: Events[N]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(event);
      } catch (error) {
        // Its own fault, and not that of what has happened here.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
