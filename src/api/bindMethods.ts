/** Objects that frameworks may wrap in a proxy (Vue's `reactive`, say): there `this` is the proxy, which has no private fields. */

/** Binds the methods of `object` to it, so that they work through a proxy and as plain functions. */
export function bindMethods(object: object): void {
  const prototype: object = Object.getPrototypeOf(object)
  for (const key of Reflect.ownKeys(prototype)) {
    const { value } = Object.getOwnPropertyDescriptor(prototype, key) ?? {}
    if (key === 'constructor' || typeof value !== 'function') continue
    Object.defineProperty(object, key, { value: value.bind(object), writable: true, configurable: true })
  }
}
