/**
 * Refuses tensors of a checkpoint that the forward pass would silently leave out although they stand where it reads: another tensor of
 * a module it reads (a bias, a scale), another module of a block (an expert, a norm), a layer past the last. It must never know
 * encodings.
 */

import { type CheckpointTensors, refuseTensor } from './checkpointTensors.ts'
import type { ModelSpec } from './modelSpec.ts'
import { blockPrefix, weightPlan } from './weightNames.ts'

/**
 * @param read names of the files' tensors that are read
 * @param gptq GPTQ's own companions stand beside its matrices
 * @throws MODEL_FORMAT naming a tensor
 */
export function checkStrayTensors(
  spec: ModelSpec,
  tensors: CheckpointTensors,
  read: ReadonlySet<string>,
  gptq: boolean,
): void {
  const places = readPlaces(spec)
  for (const [name, { fileName }] of tensors.entries()) {
    if (read.has(fileName)) continue
    const layer = Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? -1)
    if (layer >= spec.numLayers) {
      const said = `config.json says num_hidden_layers is ${spec.numLayers}`
      refuseTensor(fileName, `is past the last layer; ${said}`, { layers: spec.numLayers })
    }
    // Old checkpoints keep the frequencies of rotary embedding, which config.json gives.
    if (name.includes('.rotary_emb.') || (gptq && isGptqCompanion(name, tensors))) continue
    if (layer >= 0 || places.some((place) => name.startsWith(place))) {
      refuseTensor(fileName, `is not part of a ${spec.family} model`)
    }
  }
}

/** Prefixes of names outside the layers under which every tensor is read. */
function readPlaces(spec: ModelSpec): string[] {
  const modules = weightPlan(spec)
    .filter(({ layer }) => layer === undefined)
    .map(({ name }) => name.slice(0, name.lastIndexOf('.') + 1))
  return spec.mtp ? [...modules, blockPrefix(spec, 'mtp', 0)] : modules
}

/**
 * `g_idx` says which group an input is in: input / group, since `desc_act` is refused. And some packers give every module a bias, which is
 * zero where the family has none; vLLM leaves it out, too.
 */
function isGptqCompanion(name: string, tensors: CheckpointTensors): boolean {
  const module = /^(.*)\.(?:g_idx|bias)$/.exec(name)?.[1]
  return module !== undefined && tensors.has(`${module}.qweight`)
}
