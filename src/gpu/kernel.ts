/**
 * A kernel: one WGSL file with entry point `main`, its bindings as named records with explicit access, and its pipeline
 * compiled for one set of constants. The order of a record is the order of the binding indices.
 *
 * Group 0 holds what changes every step, group 1 a layer's weights and cache, group 2 activations. Numbers and booleans are
 * `override`s; `enable`, `alias` and `const` lines are the only text prepended; a different algorithm is a different file.
 * It must never know what a kernel computes.
 */

import { WeirError } from '../protocol/errors.ts'

export type Access = 'uniform' | 'read' | 'write'
export type Bindings = Readonly<Record<string, Access>>

export interface Kernel {
  readonly name: string
  /** the WGSL of `shaders/<name>.wgsl` */
  readonly source: string
  readonly groups: { readonly step: Bindings; readonly layer: Bindings; readonly activations: Bindings }
}

/** The parameters of a pipeline: override values, type aliases, and the lib files prepended to the kernel. */
export interface Specialisation {
  readonly constants: Readonly<Record<string, number | boolean>>
  readonly enable?: readonly string[]
  readonly alias?: Readonly<Record<string, string>>
  readonly consts?: Readonly<Record<string, number>>
  /** WGSL texts of `shaders/lib/`, functions and types without bindings */
  readonly libs?: readonly string[]
}

export interface CompiledKernel {
  readonly kernel: Kernel
  readonly pipeline: GPUComputePipeline
  /** one per group: step, layer, activations */
  readonly layouts: readonly GPUBindGroupLayout[]
}

export type BufferSlice = GPUBuffer | { readonly buffer: GPUBuffer; readonly offset: number; readonly size: number }
export type Resources = Readonly<Record<string, BufferSlice>>

const BUFFER_TYPES: Readonly<Record<Access, GPUBufferBindingType>> = {
  uniform: 'uniform',
  read: 'read-only-storage',
  write: 'storage',
}

/** The complete WGSL: prelude, libs, kernel. */
function shaderText(kernel: Kernel, spec: Specialisation): string {
  const prelude = [
    ...(spec.enable ?? []).map((name) => `enable ${name};`),
    ...Object.entries(spec.alias ?? {}).map(([name, type]) => `alias ${name} = ${type};`),
    ...Object.entries(spec.consts ?? {}).map(([name, value]) => `const ${name}: u32 = ${value}u;`),
  ]
  return [...prelude, ...(spec.libs ?? []), kernel.source].join('\n')
}

/** Compiles kernels on one device, each specialisation once. */
export class PipelineCache {
  readonly #device: GPUDevice
  readonly #layouts = new Map<string, GPUBindGroupLayout>()
  readonly #compiled = new Map<string, Promise<CompiledKernel>>()

  constructor(device: GPUDevice) {
    this.#device = device
  }

  /** The number of pipelines requested so far. */
  get size(): number {
    return this.#compiled.size
  }

  compile(kernel: Kernel, spec: Specialisation): Promise<CompiledKernel> {
    const key = `${kernel.name} ${JSON.stringify(spec)}`
    let compiled = this.#compiled.get(key)
    if (!compiled) {
      compiled = this.#compile(kernel, spec)
      this.#compiled.set(key, compiled)
    }
    return compiled
  }

  async #compile(kernel: Kernel, spec: Specialisation): Promise<CompiledKernel> {
    const layouts = groupsOf(kernel).map((bindings) => this.#layout(bindings))
    const code = shaderText(kernel, spec)
    const constants = Object.fromEntries(Object.entries(spec.constants).map(([name, value]) => [name, Number(value)]))
    this.#device.pushErrorScope('validation')
    const module = this.#device.createShaderModule({ label: kernel.name, code })
    try {
      const pipeline = await this.#device.createComputePipelineAsync({
        label: kernel.name,
        layout: this.#device.createPipelineLayout({ label: kernel.name, bindGroupLayouts: layouts }),
        compute: { module, entryPoint: 'main', constants },
      })
      await this.#device.popErrorScope()
      return { kernel, pipeline, layouts }
    } catch (cause) {
      await this.#device.popErrorScope().catch(() => null)
      if (isDriversFault(cause)) {
        throw new WeirError(
          'BACKEND_UNAVAILABLE',
          `the GPU's driver could not compile kernel ${kernel.name} (${cause}): update the driver and the browser`,
          {},
          { cause },
        )
      }
      const info = await module.getCompilationInfo().catch(() => null)
      const lines = code.split('\n')
      const report = (info?.messages ?? [])
        .map((m) => `${kernel.name}.wgsl ${m.lineNum}:${m.linePos} ${m.message}\n    ${lines[m.lineNum - 1] ?? ''}`)
        .join('\n')
      throw new WeirError('INTERNAL', `kernel ${kernel.name} does not compile: ${cause}\n${report}`, {}, { cause })
    }
  }

  #layout(bindings: Bindings): GPUBindGroupLayout {
    const key = Object.values(bindings).join()
    let layout = this.#layouts.get(key)
    if (!layout) {
      layout = this.#device.createBindGroupLayout({
        entries: Object.values(bindings).map((access, binding) => ({
          binding,
          visibility: 4, // GPUShaderStage.COMPUTE
          buffer: { type: BUFFER_TYPES[access] },
        })),
      })
      this.#layouts.set(key, layout)
    }
    return layout
  }
}

/** Whether a valid pipeline failed to compile (GPUPipelineError.reason is 'internal'). */
function isDriversFault(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && 'reason' in thrown && thrown.reason === 'internal'
}

/** The three bind groups of a compiled kernel. @throws INTERNAL when `resources` lacks a binding */
export function bindGroups(device: GPUDevice, compiled: CompiledKernel, resources: Resources): GPUBindGroup[] {
  return groupsOf(compiled.kernel).map((bindings, group) =>
    device.createBindGroup({
      label: `${compiled.kernel.name}.${group}`,
      layout: compiled.layouts[group] as GPUBindGroupLayout,
      entries: Object.keys(bindings).map((name, binding) => {
        const slice = resources[name]
        if (!slice) throw new WeirError('INTERNAL', `kernel ${compiled.kernel.name}: no buffer for binding "${name}"`)
        return { binding, resource: 'buffer' in slice ? slice : { buffer: slice } }
      }),
    }),
  )
}

/** The binding records of a kernel in group order. */
export function groupsOf(kernel: Kernel): readonly [Bindings, Bindings, Bindings] {
  return [kernel.groups.step, kernel.groups.layer, kernel.groups.activations]
}
