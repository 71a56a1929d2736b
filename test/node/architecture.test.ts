/** The fences of the tree: who may import and name what, and what every shader keeps to. */

import { describe, expect, it } from 'vitest'
import { groupsOf, type Kernel } from '../../src/gpu/kernel.ts'
import { filesUnder, type ParsedFile, parse, stripComments } from '../helpers/sourceTree.ts'

/** Leaves: every room may import them. */
const LEAVES = ['protocol', 'util']

/** Which rooms a room may import beside the leaves and itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  index: ['api'],
  api: [],
  protocol: [],
  worker: [
    'engine',
    'core',
    'backend',
    'models',
    'weights',
    'runner',
    'ort',
    'kernels',
    'gpu',
    'tokenizer',
    'loader',
    'metrics',
  ],
  engine: ['core', 'metrics'],
  core: [],
  host: ['core'],
  weights: [],
  models: ['weights'],
  backend: ['core', 'models', 'weights'],
  runner: ['core', 'backend', 'models', 'weights', 'kernels', 'gpu'],
  ort: ['core', 'host', 'backend', 'models', 'weights', 'assembly'],
  kernels: ['weights', 'gpu', 'shaders'],
  gpu: [],
  tokenizer: [],
  loader: ['models', 'weights', 'backend'],
  metrics: ['core'],
  chart: [],
  util: [],
  demo: ['index', 'chart'],
}

/** `src/core/schedule/scheduler.ts` is in core, `src/index.ts` in index, `shaders/x.wgsl` in shaders. */
function roomOf(path: string): string {
  const [top = '', second = ''] = path.split('/')
  return top === 'src' ? second.replace(/\.ts$/, '') : top
}

const sources = filesUnder('src').filter(({ path }) => /\.(ts|tsx|mts)$/.test(path))
const parsed: readonly ParsedFile[] = sources.map(parse)
const shaders = filesUnder('shaders').filter(({ path }) => path.endsWith('.wgsl'))

/** `file: what` for each file outside `rooms` where `found` says something. */
function violations(rooms: readonly string[], found: (file: ParsedFile) => readonly string[]): string[] {
  return parsed
    .filter(({ path }) => !rooms.includes(roomOf(path)))
    .flatMap((file) => found(file).map((what) => `${file.path}: ${what}`))
}

function naming(pattern: RegExp): (file: ParsedFile) => string[] {
  return ({ identifiers }) => [...identifiers].filter((name) => pattern.test(name))
}

describe('imports', () => {
  it('finds the tree', () => {
    expect(parsed.length).toBeGreaterThan(40)
    expect(parsed.flatMap(({ imports }) => imports).length).toBeGreaterThan(100)
    expect(shaders.length).toBeGreaterThan(10)
  })

  it('stay within the table', () => {
    const wrong = parsed.flatMap(({ path, imports }) => {
      const room = roomOf(path)
      const allowed = MAY_IMPORT[room]
      if (!allowed) return [`${path}: no room of the table`]
      return imports
        .filter(({ target }) => /^(src|shaders|assembly)\//.test(target))
        .filter(({ target }) => ![room, ...LEAVES, ...allowed].includes(roomOf(target)))
        .map(({ target }) => `${path} imports ${target}`)
    })
    expect(wrong).toEqual([])
  })

  it('of leaves lead nowhere, and metrics takes only types of core', () => {
    const wrong = parsed.flatMap(({ path, imports }) =>
      imports
        .filter(({ target, typeOnly }) => {
          if (LEAVES.includes(roomOf(path))) return roomOf(target) !== roomOf(path)
          return roomOf(path) === 'metrics' && roomOf(target) === 'core' && !typeOnly
        })
        .map(({ target }) => `${path} imports ${target}`),
    )
    expect(wrong).toEqual([])
  })

  it('have no cycles, neither in the table nor among files', () => {
    expect(cycleOf(new Map(Object.entries(MAY_IMPORT)))).toBeUndefined()
    const files = new Map(parsed.map(({ path, imports }) => [path, imports.map(({ target }) => target)]))
    expect(cycleOf(files)).toBeUndefined()
    // The search itself finds one.
    expect(
      cycleOf(
        new Map([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['a']],
        ]),
      ),
    ).toEqual(['a', 'b', 'c', 'a'])
  })

  it('of comlink are in api and worker only', () => {
    const comlink = ({ imports }: ParsedFile) =>
      imports.filter(({ target }) => target === 'comlink').map(({ target }) => target)
    expect(violations(['api', 'worker'], comlink)).toEqual([])
  })
})

describe('names', () => {
  it('of WebGPU are in gpu, kernels, runner and worker only', () => {
    expect(violations(['gpu', 'kernels', 'runner', 'worker'], naming(/^GPU[A-Z]/))).toEqual([])
  })

  it('of the page are in demo and chart only; in api one file asks for its base', () => {
    expect(violations(['demo', 'chart', 'api'], naming(/^document$/))).toEqual([])
    const inApi = parsed.filter(({ path, identifiers }) => roomOf(path) === 'api' && identifiers.has('document'))
    expect(inApi.map(({ path }) => path)).toEqual(['src/api/baseUrl.ts'])
  })

  it('of clocks, timers and randomness are nowhere in core, host, weights, engine and metrics', () => {
    const impure =
      /^(Date|performance|setTimeout|setInterval|setImmediate|queueMicrotask|crypto|Temporal|console|globalThis)$/
    const pure = ['core', 'host', 'weights', 'engine', 'metrics']
    const others = Object.keys(MAY_IMPORT).filter((room) => !pure.includes(room))
    expect(violations(others, naming(impure))).toEqual([])
    expect(violations(others, ({ members }) => [...members].filter((name) => name === 'Math.random'))).toEqual([])
  })

  it('are found where they are used', () => {
    const text = 'const now = performance.now() + Math.random() // setTimeout\nconst s = "document"'
    const file = parse({ path: 'src/core/x.ts', text })
    expect([...file.identifiers].sort()).toEqual(['Math', 'now', 'performance', 'random', 's'])
    expect(file.members.has('Math.random')).toBe(true)
  })
})

describe('kernels', () => {
  const modules = import.meta.glob<Record<string, unknown>>('../../src/kernels/*.ts', { eager: true })
  const kernels = new Map<string, { readonly kernel: Kernel; readonly file: string }>()
  for (const [file, exports] of Object.entries(modules)) {
    for (const value of Object.values(exports)) {
      const kernel = kernelOf(value)
      if (kernel) kernels.set(kernel.name, { kernel, file: file.replace('../../', '') })
    }
  }
  const bodies = shaders.filter(({ path }) => !path.startsWith('shaders/lib/'))

  it('are one shader and one host half of the same stem', () => {
    const stems = bodies.map(({ path }) => path.replace(/^shaders\/(.*)\.wgsl$/, '$1'))
    expect([...kernels.keys()].sort()).toEqual(stems.sort())
    for (const [name, { kernel, file }] of kernels) {
      expect(file).toBe(`src/kernels/${name}.ts`)
      expect(kernel.source).toBe(bodies.find(({ path }) => path === `shaders/${name}.wgsl`)?.text)
    }
  })

  it('declare on the host the bindings of the shader: same group, index, name and access', () => {
    expect(kernels.size).toBeGreaterThan(10)
    for (const { kernel } of kernels.values()) {
      const host = groupsOf(kernel).flatMap((bindings, group) =>
        Object.entries(bindings).map(([name, access], binding) => ({ group, binding, name, access })),
      )
      expect(bindingsOf(kernel.source), kernel.name).toEqual(host)
      expect(stripComments(kernel.source).match(/@binding/g), kernel.name).toHaveLength(host.length)
    }
  })

  it('bind at most 8 storage buffers', () => {
    for (const { kernel } of kernels.values()) {
      const storage = bindingsOf(kernel.source).filter(({ access }) => access !== 'uniform')
      expect(storage.length, kernel.name).toBeLessThanOrEqual(8)
    }
  })

  it('leave bindings and entry points out of the libs', () => {
    for (const { path, text } of shaders) {
      if (path.startsWith('shaders/lib/')) expect(stripComments(text), path).not.toMatch(/@(group|binding|compute)\b/)
      else expect(stripComments(text).match(/@compute/g), path).toHaveLength(1)
    }
  })
})

describe('shaders', () => {
  it.each(shaders)('$path initialises every function-scope variable and never calls dot()', ({ text }) => {
    expect(uninitialised(text)).toEqual([])
    expect(stripComments(text)).not.toMatch(/\bdot\s*\(/)
  })

  it('would be caught', () => {
    expect(uninitialised('fn f() { var a: u32; var b = 1u; var<function> c: vec2f; }')).toEqual([
      'var a: u32',
      'var<function> c: vec2f',
    ])
    expect(uninitialised('var<workgroup> a: array<u32, 4>; @group(0) @binding(0) var<storage, read> x: u32;')).toEqual(
      [],
    )
  })
})

describe('the repository', () => {
  it('names no path of a machine and nothing outside itself', () => {
    // Put together here, so that this file does not name one.
    const paths = ['/ho|me/\\w', '/Us|ers/\\w', '/ro|ot/', '(?<![\\w.])/wo|rk/', '\\.\\./sha|red\\b', 'C:\\\\Us|ers']
    const machine = new RegExp(paths.map((path) => path.replace('|', '')).join('|'))
    for (const prefix of ['/ho', '/Us', 'see ../sha'])
      expect(`${prefix}me/x ${prefix}ers/x ${prefix}red`).toMatch(machine)
    const wrong = filesUnder('.').flatMap(({ path, text }) =>
      text.split('\n').flatMap((line, index) => (machine.test(line) ? [`${path}:${index + 1}`] : [])),
    )
    expect(wrong).toEqual([])
  })

  it('leaves the registry to the user: no host in the lock file or in .npmrc', () => {
    const lock = filesUnder('.').find(({ path }) => path === 'package-lock.json')?.text ?? ''
    expect(lock.length).toBeGreaterThan(1000)
    expect(lock).not.toContain('"resolved"')
    const npmrc = filesUnder('.').find(({ path }) => path === '.npmrc')?.text ?? ''
    expect(npmrc).not.toMatch(/registry\s*=|\/\//)
  })
})

/** A cycle of the graph as a list of nodes, or undefined. */
function cycleOf(edges: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>()
  const path: string[] = []
  const visit = (node: string): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node]
    if (done.has(node)) return undefined
    path.push(node)
    for (const next of edges.get(node) ?? []) {
      const cycle = visit(next)
      if (cycle) return cycle
    }
    path.pop()
    done.add(node)
    return undefined
  }
  for (const node of edges.keys()) {
    const cycle = visit(node)
    if (cycle) return cycle
  }
  return undefined
}

/** A Kernel, or the one inside a KernelVariant. */
function kernelOf(value: unknown): Kernel | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if ('groups' in value && 'source' in value) return value as Kernel
  return 'kernel' in value && 'specialise' in value ? (value.kernel as Kernel) : undefined
}

/** The bindings a shader declares, by group and index. The host's `pass` is the one of type Pass: WGSL reserves the word. */
function bindingsOf(wgsl: string) {
  const declaration = /@group\((\d+)\)\s*@binding\((\d+)\)\s*var<(\w+)(?:,\s*(\w+))?>\s*(\w+)\s*:\s*(\w+)/g
  const access = (space: string, mode: string | undefined): string => {
    if (space === 'uniform') return 'uniform'
    return mode === 'read_write' ? 'write' : 'read'
  }
  return [...stripComments(wgsl).matchAll(declaration)]
    .map(([, group, binding, space = '', mode, name, type]) => ({
      group: Number(group),
      binding: Number(binding),
      name: type === 'Pass' ? 'pass' : name,
      access: access(space, mode),
    }))
    .sort((a, b) => a.group - b.group || a.binding - b.binding)
}

/** Function-scope variables without an initialiser: in a loop they keep the value of the turn before. */
function uninitialised(wgsl: string): string[] {
  const declarations = stripComments(wgsl).match(/\bvar(?:\s*<\s*function\s*>)?\s+\w+[^;]*;/g) ?? []
  return declarations.map((text) => text.slice(0, -1).trim()).filter((text) => !/[^=!<>]=[^=]/.test(text))
}
