/** One value in localStorage, checked when read; storage that is full, forbidden or altered means the default. */
export interface Remembered<V> {
  get(): V;
  set(value: V): void;
}

export function remembered<V>(name: string, initial: V, valid: (v: unknown) => boolean): Remembered<V> {
  return {
    get() {
      try {
        const text = localStorage.getItem(name);
        const value: unknown = text === null ? undefined : JSON.parse(text);
        return valid(value) ? (value as V) : initial;
      } catch {
        return initial;
      }
    },
    set(value) {
      try {
        localStorage.setItem(name, JSON.stringify(value));
      } catch {
        // not remembered, nothing else
      }
    },
  };
}
