/**
 * Opens the WebGPU device with its adapter's own limits and the optional features it has, and watches for its loss. The
 * only file that calls `requestAdapter`. It must never know the model.
 */

import { WeirError } from '../protocol/errors.ts'
import type { AdapterInfo } from '../protocol/service.ts'
import { PipelineCache } from './kernel.ts'

export interface Gpu {
  readonly device: GPUDevice
  readonly adapter: AdapterInfo
  /** cache of the pipelines compiled on this device */
  readonly pipelines: PipelineCache
  /** Resolves to DEVICE_LOST when the device is lost other than by `dispose`. */
  readonly lost: Promise<WeirError>
}

/** An object with a `gpu`: the worker's `navigator`, or a test's stand-in. */
export interface GpuOwner {
  /** undefined without WebGPU; read as late as possible, because a browser's getter may throw */
  readonly gpu: GPU | undefined
}

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxUniformBufferBindingSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBuffersPerShaderStage',
] as const satisfies readonly (keyof GPUSupportedLimits)[]

/** Optional features, requested where the adapter has them. */
const FEATURES = ['timestamp-query'] as const satisfies readonly GPUFeatureName[]

/**
 * Opens a device with the adapter's own limits.
 * @throws BACKEND_UNAVAILABLE with the reason and advice, however the browser fails
 */
export async function openDevice(owner: GpuOwner): Promise<Gpu> {
  try {
    const { adapter, device } = await requestDevice(owner.gpu)
    checkLimits(device)
    return { device, adapter: summarise(adapter), pipelines: new PipelineCache(device), lost: watch(device) }
  } catch (thrown) {
    if (thrown instanceof WeirError) throw thrown
    throw unavailable(`WebGPU gave no device (${reasonOf(thrown)}): update the browser and the GPU driver`, thrown)
  }
}

interface AdapterAndDevice {
  readonly adapter: GPUAdapter
  readonly device: GPUDevice
}

/** Opens the device; retries without features if the adapter refuses one that it lists. */
async function requestDevice(gpu: GPU | undefined): Promise<AdapterAndDevice> {
  const adapter = await requestAdapter(gpu)
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]))
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name))
  const ask = (from: GPUAdapter, features: GPUFeatureName[]) =>
    from.requestDevice({ label: 'weir', requiredLimits, requiredFeatures: features })
  try {
    return { adapter, device: await ask(adapter, requiredFeatures) }
  } catch (refusal) {
    if (requiredFeatures.length === 0) throw refusal
    // A failed requestDevice may consume the adapter.
    const again = await requestAdapter(gpu)
    return { adapter: again, device: await ask(again, []) }
  }
}

async function requestAdapter(gpu: GPU | undefined): Promise<GPUAdapter> {
  if (!gpu) {
    throw unavailable(
      'WebGPU is not available here: use a recent Chrome, Edge, Safari or Firefox, on https or localhost',
    )
  }
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter) return adapter
  throw unavailable(
    'WebGPU found no adapter: turn on hardware acceleration, update the GPU driver, or in Chromium start with ' +
      '--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader for a software adapter',
  )
}

/** Every limit must be known, or buffers could not be checked against it. */
function checkLimits({ limits }: GPUDevice): void {
  const missing = LIMITS.filter((name) => typeof limits[name] !== 'number')
  if (missing.length > 0) {
    throw unavailable(`this browser's WebGPU does not tell ${missing.join(', ')}: update the browser`)
  }
}

function summarise(adapter: GPUAdapter): AdapterInfo {
  const { vendor = '', architecture = '', description = '', isFallbackAdapter = false } = infoOf(adapter)
  const software =
    isFallbackAdapter || /swiftshader|llvmpipe|software|basic render/i.test(`${architecture} ${description}`)
  return { vendor, architecture, description, software }
}

/** Older browsers have no `adapter.info`; the engine works without it. */
function infoOf(adapter: GPUAdapter): Partial<GPUAdapterInfo> {
  try {
    return adapter.info ?? {}
  } catch {
    return {}
  }
}

async function watch(device: GPUDevice): Promise<WeirError> {
  const info = await device.lost
  if (info.reason === 'destroyed') return new WeirError('DISPOSED', 'the device was destroyed')
  const advice = 'load the model again; if it happens again, lower maxNumBatchedTokens'
  return new WeirError('DEVICE_LOST', `the GPU device was lost (${info.message || info.reason}): ${advice}`)
}

function unavailable(message: string, cause?: unknown): WeirError {
  return new WeirError('BACKEND_UNAVAILABLE', message, {}, { cause })
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown)
}
