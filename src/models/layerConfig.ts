/**
 * Reads from config.json which layers attend through a window and which rotate queries and keys. The two generations of config.json
 * say it by lists or by patterns; where both are there they must agree. It must never know how angles are computed (ropeConfig.ts).
 */

import { type ConfigFields, shown } from './configFields.ts'
import type { Family } from './families.ts'
import { REFUSED_LAYERS } from './unsupported.ts'

export type AttentionKind = 'full' | 'sliding'

/** As `layer_types` names them. */
const KINDS: Readonly<Record<string, AttentionKind>> = {
  full_attention: 'full',
  attention: 'full',
  sliding_attention: 'sliding',
}

/** [numLayers] @throws MODEL_FORMAT naming the field */
export function attentionKinds(fields: ConfigFields, rule: Family['window'], numLayers: number): AttentionKind[] {
  const listed = listedKinds(fields, numLayers)
  if (!hasWindow(fields, rule)) {
    if (listed?.includes('sliding')) fields.refuse('layer_types', 'no sliding_window is set')
    return new Array<AttentionKind>(numLayers).fill('full')
  }
  if (listed && rule !== 'pattern') return listed
  const first = rule === 'asked' ? fields.integer('max_window_layers', 0) : 0
  const pattern = rule === 'pattern' ? windowPattern(fields) : undefined
  const kinds = Array.from({ length: numLayers }, (_, layer): AttentionKind => {
    const sliding = pattern === undefined ? layer >= first : (layer + 1) % pattern.every !== 0
    return sliding ? 'sliding' : 'full'
  })
  if (listed && pattern?.stated && listed.join() !== kinds.join()) {
    fields.refuse('layer_types', `sliding_window_pattern is ${pattern.every}`)
  }
  return listed ?? kinds
}

/**
 * How many keys a sliding layer sees; undefined where no context is longer.
 * @throws MODEL_FORMAT naming the field
 */
export function windowSize(fields: ConfigFields, maxPositions: number): number | undefined {
  const size = fields.integer('sliding_window')
  return size < maxPositions ? size : undefined
}

/** Whether each layer rotates queries and keys, [numLayers]. @throws MODEL_FORMAT naming the field */
export function rotatedLayers(fields: ConfigFields, numLayers: number): boolean[] {
  const type = fields.has('position_embedding_type') ? fields.string('position_embedding_type') : 'rope'
  if (type !== 'rope' && type !== 'nope') fields.refuse('position_embedding_type', 'supported: "rope", "nope"')
  if (type === 'nope') return new Array<boolean>(numLayers).fill(false)

  const interval = fields.has('no_rope_layer_interval') ? fields.integer('no_rope_layer_interval') : undefined
  const byInterval = Array.from(
    { length: numLayers },
    (_, layer) => interval === undefined || (layer + 1) % interval !== 0,
  )
  if (!fields.has('no_rope_layers')) return byInterval
  const list = fields.raw('no_rope_layers')
  if (!Array.isArray(list) || list.length < numLayers || list.some((entry) => entry !== 0 && entry !== 1)) {
    fields.refuse('no_rope_layers', `must be a list of 1 (rotates) and 0 for each of the ${numLayers} layers`)
  }
  const rotated = list.slice(0, numLayers).map((entry) => entry === 1)
  if (fields.states('no_rope_layer_interval') && rotated.join() !== byInterval.join()) {
    fields.refuse('no_rope_layers', `no_rope_layer_interval is ${interval}`)
  }
  return rotated
}

function listedKinds(fields: ConfigFields, numLayers: number): AttentionKind[] | undefined {
  if (!fields.has('layer_types')) return undefined
  const types = fields.raw('layer_types')
  if (!Array.isArray(types) || types.length !== numLayers) {
    fields.refuse('layer_types', `must be a list with the kind of each of the ${numLayers} layers`)
  }
  return types.map((type) => {
    const kind = typeof type === 'string' && Object.hasOwn(KINDS, type) ? KINDS[type] : undefined
    if (kind) return kind
    const reason = typeof type === 'string' && Object.hasOwn(REFUSED_LAYERS, type) ? REFUSED_LAYERS[type] : undefined
    const supported = Object.keys(KINDS).map(shown).join(', ')
    return fields.refuse('layer_types', reason ?? `${shown(type)} is not supported; supported: ${supported}`)
  })
}

/** Whether `sliding_window` counts. */
function hasWindow(fields: ConfigFields, rule: Family['window']): boolean {
  const asked = fields.boolean('use_sliding_window', rule !== 'asked')
  const wanted = asked && (rule === 'pattern' || fields.states('use_sliding_window'))
  if (rule === 'none') {
    const field = fields.states('use_sliding_window') ? 'use_sliding_window' : 'sliding_window'
    if (asked && (wanted || fields.has('sliding_window'))) fields.refuse(field, 'models of this family have no windows')
    return false
  }
  if (wanted && !fields.has('sliding_window')) fields.refuse('sliding_window', 'the layers ask for its size')
  return asked && fields.has('sliding_window')
}

/** Every how manieth layer has no window, under either name. */
function windowPattern(fields: ConfigFields): { readonly every: number; readonly stated: boolean } {
  const [name, other] = ['sliding_window_pattern', '_sliding_window_pattern'] as const
  const stated = [name, other].filter((field) => fields.states(field)).map((field) => fields.integer(field))
  if (stated[1] !== undefined && stated[0] !== stated[1]) fields.refuse(name, `${other} is ${stated[1]}`)
  return { every: stated[0] ?? fields.integer(name), stated: stated.length > 0 }
}
