/** MiMo-family models: what their config means, which tensors they have, and where their biases go on the GPU. */

import { describe, expect, it } from 'vitest'
import { bindTensors } from '../../src/models/bindTensors.ts'
import { parseModelSpec } from '../../src/models/readConfig.ts'
import { type TensorHeader, weightPlan } from '../../src/models/weightNames.ts'
import { WeightUploader } from '../../src/runner/loadWeights.ts'
import { weightBuffers, weightLayout } from '../../src/runner/weightLayout.ts'
import { type HeaderEntry, MIMO, readBytes, readJson, readSafetensors, thrownBy } from '../helpers/modelFiles.ts'
import { openTestModel } from '../helpers/openTestModel.ts'
import { UploadTarget } from '../helpers/uploadTarget.ts'

const CONFIG = readJson(MIMO, 'config.json')
const SPEC = parseModelSpec(CONFIG)
const FILE = readSafetensors(readBytes(MIMO, 'model.safetensors'))

describe('parseModelSpec', () => {
  it('reads biases, no norm of heads, and a drafter that takes the hidden state first', () => {
    const expected = {
      family: 'mimo',
      qkvBias: true,
      qkNorm: undefined,
      mtp: { blocks: 1, names: 'mimo', concatOrder: 'hidden-first', maskFirstEmbedding: true },
    }
    expect(SPEC).toMatchObject(expected)
    expect(parseModelSpec({ ...CONFIG, attention_bias: undefined })).toMatchObject(expected)
    expect(parseModelSpec({ ...CONFIG, num_nextn_predict_layers: 0 }).mtp).toBeUndefined()
  })

  it.each([
    ['attention_bias', false],
    ['architectures', ['Qwen3ForCausalLM']],
    ['use_mrope', true],
    ['num_nextn_predict_layers', 2],
  ])('refuses %s = %j', async (field, value) => {
    const { code, message } = await thrownBy(() => parseModelSpec({ ...CONFIG, [field]: value }))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`config.json: ${field} is ${JSON.stringify(value)}`)
  })
})

describe('bindTensors', () => {
  const change = (name: string, entry: TensorHeader | undefined): Map<string, TensorHeader> => {
    const header = new Map<string, TensorHeader>(Object.entries(FILE.header))
    if (entry) header.set(name, entry)
    else header.delete(name)
    return header
  }
  const plan = weightPlan(SPEC)

  it('plans every tensor of the fixture, each under a role that is its own within part and layer', () => {
    const checked = bindTensors(SPEC, { kind: 'none' }, new Map(Object.entries(FILE.header)))
    expect(new Set(checked.map(({ name }) => name))).toEqual(new Set(Object.keys(FILE.header)))
    expect(new Set(plan.map(({ part, layer, role }) => `${part} ${layer} ${role}`)).size).toBe(plan.length)
  })

  it.each(plan.map(({ name, shape }) => [name, shape] as const))(
    'misses %s, and sees another shape',
    async (name, shape) => {
      const missing = await thrownBy(() => bindTensors(SPEC, { kind: 'none' }, change(name, undefined)))
      expect(missing.code).toBe('MODEL_FORMAT')
      expect(missing.message).toContain(`tensor ${name} is missing`)
      const other = [...shape.slice(0, -1), (shape.at(-1) ?? 0) + 1]
      const misshapen = await thrownBy(() =>
        bindTensors(SPEC, { kind: 'none' }, change(name, { dtype: 'BF16', shape: other })),
      )
      expect(misshapen.code).toBe('MODEL_FORMAT')
      expect(misshapen.message).toContain(`tensor ${name} has shape [${other.join(', ')}]`)
    },
  )

  it.each([
    'model.layers.0.self_attn.q_norm.weight',
    'model.mtp_layers.0.self_attn.k_norm.weight',
    'model.layers.1.self_attn.o_proj.bias',
    'model.mtp_layers.0.input_proj.bias',
  ])('refuses %s, which it would leave out', async (name) => {
    const { code, message } = await thrownBy(() =>
      bindTensors(SPEC, { kind: 'none' }, change(name, { dtype: 'BF16', shape: [64] })),
    )
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`tensor ${name} is not part of a mimo model`)
  })

  it('lets a bias have an element type of its own', () => {
    const name = 'model.layers.0.self_attn.k_proj.bias'
    const checked = bindTensors(SPEC, { kind: 'none' }, change(name, { dtype: 'F32', shape: [128] }))
    expect(checked.find((tensor) => tensor.name === name)?.encoding).toEqual({ kind: 'plain', dtype: 'f32' })
  })
})

describe('biases on the GPU', () => {
  async function open() {
    const { spec, weights } = await openTestModel('mimo')
    const layout = weightLayout(spec, weights.tensors, { withDrafter: true })
    const named = (name: string) => weights.tensors.find((tensor) => tensor.name === name) ?? expect.fail(name)
    return { weights, layout, named }
  }

  it.each(['model.layers.0', 'model.layers.1', 'model.mtp_layers.0'])(
    'of %s stand where their columns do',
    async (prefix) => {
      const { layout, named } = await open()
      for (const head of ['q', 'k', 'v']) {
        const [matrix, bias] = [`${prefix}.self_attn.${head}_proj.weight`, `${prefix}.self_attn.${head}_proj.bias`]
        const place = layout.places.get(matrix)
        expect(layout.places.get(bias)).toEqual({ kind: 'vector', name: `${place?.name}Bias`, first: place?.first })
        expect(named(bias).shape[0]).toBe(named(matrix).shape[0])
      }
    },
  )

  it('take room for all three, and keep their places whatever order they come in', async () => {
    const { weights, layout, named } = await open()
    const plan = weightBuffers(layout).find(({ name }) => name === 'layer1.qkvBias')
    expect(plan?.bytes).toBe(512 * 4)
    const target = new UploadTarget(layout)
    const uploader = new WeightUploader(target.queue, target.arena, layout)
    const bias = (head: string) => `model.layers.1.self_attn.${head}_proj.bias`
    await weights.read(
      ['v', 'q', 'k'].map((head) => named(bias(head))),
      uploader.add.bind(uploader),
    )
    const expected = ['q', 'k', 'v'].flatMap((head) => bfloats(bytesOf(FILE.header[bias(head)])))
    expect([...new Float32Array(target.words('layer1.qkvBias').buffer)]).toEqual(expected)
  })
})

function bytesOf(entry: HeaderEntry | undefined): Uint8Array {
  const [begin, end] = entry?.data_offsets ?? []
  return FILE.data.subarray(begin, end)
}

function bfloats(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const word = new DataView(new ArrayBuffer(4))
  return Array.from({ length: bytes.byteLength / 2 }, (_, i) => {
    word.setUint16(0, view.getUint16(2 * i, true))
    return word.getFloat32(0)
  })
}
