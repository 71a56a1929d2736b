/** Files of models for tests: the fixtures in the repository, and safetensors files built from scratch, broken ones included. */

import { readFileSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import type { ByteRange, Checkpoint, FetchOptions } from '../../src/loader/checkpoint.ts'
import { openModel } from '../../src/loader/source.ts'
import { type Answer, serve, type TestServer } from './httpServer.ts'

export const FAIRY_TALES = new URL('../../public/models/fairy-tales/', import.meta.url)
export const QWEN3_MTP = new URL('../../public/models/qwen3-mtp/', import.meta.url)
export const MIMO = new URL('../fixtures/mimo/', import.meta.url)

export const WEIGHTS = '/model/model.safetensors'
export const HTML = '<!doctype html><html><body>start page</body></html>'

export function readBytes(folder: URL, name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, folder)))
}

export function readJson(folder: URL, name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(new URL(name, folder), 'utf8'))
}

/** Answers for the given files of a folder, as paths under `/model/`. */
export function modelAnswers(folder: URL, names: readonly string[]): Record<string, Answer> {
  return Object.fromEntries(names.map((name) => [`/model/${name}`, { body: readBytes(folder, name) }]))
}

/** A server for the length of the test; `model` is the URL of its folder `/model`. */
export async function serveModel(answers: Readonly<Record<string, Answer>>): Promise<TestServer & { model: string }> {
  const server = await serve(answers)
  onTestFinished(server.close)
  return { ...server, model: `${server.url}/model` }
}

/** The error that opening a model so served ends with. */
export async function openError(
  answers: Readonly<Record<string, Answer>>,
): Promise<{ code: unknown; message: string; model: string }> {
  const { model } = await serveModel(answers)
  return { ...(await thrownBy(() => openModel(model))), model }
}

/** Every tensor of a checkpoint, whole, in file order. */
export function allRanges({ tensors }: Checkpoint): ByteRange[] {
  return [...tensors.values()].map(({ name, bytes }) => ({ tensor: name, begin: 0, end: bytes }))
}

/** The bytes of each range, copied as they come. */
export async function readRanges(
  checkpoint: Checkpoint,
  ranges: readonly ByteRange[],
  options?: FetchOptions,
): Promise<Uint8Array[]> {
  const parts = ranges.map((): Uint8Array[] => [])
  let last = 0
  const take = (index: number, chunk: Uint8Array): void => {
    if (index < last) throw new Error(`range ${index} after range ${last}`)
    last = index
    parts[index]?.push(chunk.slice())
  }
  await checkpoint.read(ranges, take, options)
  return parts.map((each) => new Uint8Array(Buffer.concat(each)))
}

export interface HeaderEntry {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data_offsets: readonly number[]
}

/** A safetensors file, read naively: the oracle of the loader's tests. */
export interface PlainSafetensors {
  readonly header: Readonly<Record<string, HeaderEntry>>
  readonly data: Uint8Array
}

export function readSafetensors(file: Uint8Array): PlainSafetensors {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)))
  delete header.__metadata__
  return { header, data: file.subarray(8 + length) }
}

/** A safetensors file of any header, true or not. */
export function writeSafetensors(header: unknown, data: Uint8Array, declaredLength?: bigint): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header))
  const file = new Uint8Array(8 + json.length + data.length)
  new DataView(file.buffer).setBigUint64(0, declaredLength ?? BigInt(json.length), true)
  file.set(json, 8)
  file.set(data, 8 + json.length)
  return file
}

/** A well-formed file of F32 tensors with recognisable bytes, in the given order. */
export function plainTensors(shapes: Readonly<Record<string, readonly number[]>>): Uint8Array {
  const header: Record<string, HeaderEntry> = {}
  let end = 0
  for (const [name, shape] of Object.entries(shapes)) {
    const begin = end
    end += 4 * shape.reduce((product, size) => product * size, 1)
    header[name] = { dtype: 'F32', shape, data_offsets: [begin, end] }
  }
  const data = new Uint8Array(end)
  for (let i = 0; i < end; i++) data[i] = i * 7
  return writeSafetensors({ __metadata__: { format: 'pt' }, ...header }, data)
}

/** What `WeirError` a promise or a call ends with; fails where it does not throw. */
export async function thrownBy(action: () => unknown): Promise<{ code: unknown; message: string }> {
  try {
    await action()
  } catch (thrown) {
    const error = thrown as { code?: unknown; message?: unknown }
    return { code: error.code, message: String(error.message) }
  }
  throw new Error('expected an error, nothing was thrown')
}
