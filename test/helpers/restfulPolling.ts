/**
 * Dawn in Node asks whether the device has finished in an immediate that schedules the next, thousands of times a step: it keeps
 * a core busy that a software adapter needs, and leaves garbage whose collection stops the process
 * (https://github.com/dawn-gpu/node-webgpu/issues/17). With a rest before every immediate it asks often enough all the same.
 */

/** Milliseconds. */
const REST = 0.1

/** Makes this process rest before every immediate. To be called before Dawn schedules one: it looks the function up each time. */
export function restBeforeImmediates(): void {
  const { setImmediate } = globalThis
  const nobody = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  const rested: (...parameters: Parameters<typeof setImmediate>) => NodeJS.Immediate = (callback, ...args) =>
    setImmediate(() => {
      Atomics.wait(nobody, 0, 0, REST)
      callback(...args)
    })
  globalThis.setImmediate = Object.assign(rested, { __promisify__: setImmediate.__promisify__ })
}
