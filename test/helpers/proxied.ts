/** Objects wrapped as frameworks wrap them (Vue's `reactive`): proxies all the way down, that no structured clone takes. */

/** @param onRead told each string key whose value is read */
export function proxied<T extends object>(target: T, onRead: (key: string) => void = () => {}): T {
  return new Proxy(target, {
    get: (object, key, receiver) => {
      if (typeof key === 'string') onRead(key)
      const value: unknown = Reflect.get(object, key, receiver)
      return wrappable(value) ? proxied(value, onRead) : value
    },
  })
}

/** What Vue wraps: plain objects, instances of classes, arrays; nothing of the platform's own. */
function wrappable(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  return ['Object', 'Array'].includes(Object.prototype.toString.call(value).slice(8, -1))
}
