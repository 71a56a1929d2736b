/**
 * The WebGPU device: found, asked for its adapter's own limits and the features of use, and watched for loss.
 * The only place that calls `requestAdapter`. It must never know the model.
 */

import { WeirError } from '../protocol/errors.ts'
import type { AdapterInfo } from '../protocol/service.ts'
import { PipelineCache } from './kernel.ts'

export interface Gpu {
  readonly device: GPUDevice
  readonly adapter: AdapterInfo
  /** what was compiled on this device, each once */
  readonly pipelines: PipelineCache
  /** Settles with DEVICE_LOST when the device goes away other than by `dispose`. */
  readonly lost: Promise<WeirError>
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

/** Asked for where the adapter has them; everything works without. */
const FEATURES = ['timestamp-query'] as const satisfies readonly GPUFeatureName[]

/**
 * Opens a device with the adapter's own limits.
 * @param gpu `navigator.gpu`, or Dawn's in Node; undefined where there is none
 * @throws BACKEND_UNAVAILABLE saying why and what to do
 */
export async function openDevice(gpu: GPU | undefined): Promise<Gpu> {
  if (!gpu) {
    throw new WeirError(
      'BACKEND_UNAVAILABLE',
      'WebGPU is not available here: use a recent Chrome, Edge, Safari or Firefox, on https or localhost',
    )
  }
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter) {
    throw new WeirError(
      'BACKEND_UNAVAILABLE',
      'WebGPU found no adapter: turn on hardware acceleration, update the GPU driver, or in Chromium start with ' +
        '--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader for a software adapter',
    )
  }
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]))
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name))
  const device = await adapter.requestDevice({ label: 'weir', requiredLimits, requiredFeatures }).catch((cause) => {
    throw new WeirError('BACKEND_UNAVAILABLE', `the adapter gave no device: ${cause}`, {}, { cause })
  })
  return { device, adapter: summarise(adapter), pipelines: new PipelineCache(device), lost: watch(device) }
}

function summarise(adapter: GPUAdapter): AdapterInfo {
  const { vendor, architecture, description } = adapter.info
  const software =
    adapter.info.isFallbackAdapter ||
    /swiftshader|llvmpipe|software|basic render/i.test(`${architecture} ${description}`)
  return { vendor, architecture, description, software }
}

async function watch(device: GPUDevice): Promise<WeirError> {
  const info = await device.lost
  if (info.reason === 'destroyed') return new WeirError('DISPOSED', 'the device was destroyed')
  const advice = 'load the model again; if it happens again, lower maxNumBatchedTokens'
  return new WeirError('DEVICE_LOST', `the GPU device was lost (${info.message || info.reason}): ${advice}`)
}
