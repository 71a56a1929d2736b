/** The set-ups that people use, as a table: what each installs, and how its page comes to be served. */

import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { serveFolder } from '../helpers/browser.ts'
import { build, PORT, type Site, serveBuilt, serveWith } from './sites.ts'
import { type AppSource, copyLibrary, write } from './workplace.ts'

export interface Setup extends AppSource {
  /** builds the app in the folder if need be, and serves its page */
  readonly open: (folder: string) => Promise<Site>
  /** whether the bundler leaves out what is loaded when it is asked for, so that the app serves the library's files itself */
  readonly assets?: boolean
  /** what its page is told; default: it generates what the model says */
  readonly refusal?: RegExp
}

/** Where apps serve the library's files, if they do. */
export const ASSETS = 'public/library'

/** What is told where there are no workers: the code, and where the engine can run. */
export const NO_WORKERS = /^BACKEND_UNAVAILABLE: .*(page|browser)/

/** Set-ups of the same app share its name, up to the first space, and what is installed. */
export const SETUPS: Readonly<Record<string, Setup>> = {
  ...vite('vite5', 'vite@5', { devLeavesOut: true }),
  ...vite('vite6', 'vite@6', { devLeavesOut: true }),
  ...vite('vite7', 'vite@7', { devLeavesOut: true }),
  ...vite('vite8', 'vite@8', { devLeavesOut: false }),
  'vite7 worker': viteInnerWorker('vite@7'),
  'vite8 worker': viteInnerWorker('vite@8'),
  'react StrictMode': {
    packages: ['vite@8', 'react@19', 'react-dom@19'],
    fixture: 'react',
    open: viteDev,
  },
  ...webpack(),
  ...next(),
  ...angular(),
  'esbuild esm': esbuild('esm'),
  'esbuild iife': esbuild('iife'),
  'plain page': plain((folder) => write(folder, 'public/index.html', html(module('/run.js')))),
  'plain base': plain((folder) => {
    const page = html('<base href="/">', module('run.js'))
    for (const place of ['', 'app/stories/5/']) write(folder, `public/${place}index.html`, page)
  }, 'app/stories/5/'),
  'plain worker': inner('worker'),
  'plain service-worker': { ...inner('service-worker'), refusal: NO_WORKERS },
  cdn: { packages: [], open: openFromCdn },
}

function vite(name: string, version: string, { devLeavesOut = false }): Record<string, Setup> {
  const app = { packages: [version], fixture: 'vite' }
  return {
    [`${name} dev`]: { ...app, assets: devLeavesOut, open: viteDev },
    [`${name} build`]: {
      ...app,
      open: async (folder) => {
        await build(folder, ['vite', 'build'])
        return serveBuilt(folder, 'dist')
      },
    },
  }
}

/** A bundled worker of the page's own, with the library in it. */
function viteInnerWorker(version: string): Setup {
  return {
    packages: [version],
    fixture: 'plain',
    open: async (folder) => {
      write(folder, 'index.html', html(module('/outer.js')))
      // Before version 8 workers are bundled as scripts, which cannot load anything later.
      write(folder, 'vite.config.js', "export default { worker: { format: 'es' } }")
      await build(folder, ['vite', 'build'])
      return serveBuilt(folder, 'dist', '?inner=worker')
    },
  }
}

function viteDev(folder: string): Promise<Site> {
  return serveWith(folder, ['vite', '--host', '127.0.0.1', '--port', PORT, '--strictPort'])
}

function webpack(): Record<string, Setup> {
  const app = { packages: ['webpack@5', 'webpack-cli@6', 'webpack-dev-server@5'], fixture: 'webpack' }
  const page = (folder: string) => write(folder, 'public/index.html', html(script('/app.js')))
  return {
    'webpack5 build': {
      ...app,
      open: async (folder) => {
        page(folder)
        await build(folder, ['webpack', '--mode', 'production'])
        return serveBuilt(folder, 'public')
      },
    },
    'webpack5 dev': {
      ...app,
      open: (folder) => {
        page(folder)
        return serveWith(folder, ['webpack', 'serve', '--mode', 'development', '--port', PORT])
      },
    },
  }
}

function next(): Record<string, Setup> {
  const app = { packages: ['next@16', 'react@19', 'react-dom@19'], fixture: 'next' }
  const serve = (folder: string, command: string) =>
    serveWith(folder, ['next', command, '--hostname', '127.0.0.1', '--port', PORT])
  return {
    'next16 dev': { ...app, open: (folder) => serve(folder, 'dev') },
    'next16 build': {
      ...app,
      open: async (folder) => {
        await build(folder, ['next', 'build'])
        return serve(folder, 'start')
      },
    },
  }
}

function angular(): Record<string, Setup> {
  const own = ['core', 'common', 'compiler', 'platform-browser', 'build', 'cli', 'compiler-cli']
  const app = {
    packages: [...own.map((name) => `@angular/${name}@21`), 'typescript@5.9', 'rxjs@7', 'tslib@2'],
    fixture: 'angular',
    assets: true,
  }
  return {
    'angular21 serve': {
      ...app,
      open: (folder) => serveWith(folder, ['ng', 'serve', '--host', '127.0.0.1', '--port', PORT]),
    },
    'angular21 build': {
      ...app,
      open: async (folder) => {
        await build(folder, ['ng', 'build'])
        return serveBuilt(folder, 'dist/browser')
      },
    },
  }
}

function esbuild(format: 'esm' | 'iife'): Setup {
  return {
    packages: ['esbuild'],
    assets: true,
    open: async (folder) => {
      write(folder, 'public/index.html', html(format === 'esm' ? module('/app.js') : script('/app.js')))
      await build(folder, ['esbuild', 'run.js', '--bundle', `--format=${format}`, '--outfile=public/app.js'])
      return serveBuilt(folder, 'public')
    },
  }
}

/** No bundler: the library's files on the page's own server. */
function plain(prepare: (folder: string) => void, page?: string): Setup {
  return {
    packages: [],
    fixture: 'plain',
    open: (folder) => {
      copyLibrary(folder, ASSETS)
      // Workers have no import map.
      const run = readFileSync(join(folder, 'run.js'), 'utf8').replace("'weir-llm'", "'/library/index.js'")
      write(folder, 'public/run.js', run)
      prepare(folder)
      return serveBuilt(folder, 'public', page)
    },
  }
}

/** The library in a worker of the page's own. */
function inner(kind: string): Setup {
  const prepare = (folder: string) => {
    for (const file of ['inner.js', 'outer.js']) cpSync(join(folder, file), join(folder, 'public', file))
    write(folder, 'public/index.html', html(module('/outer.js')))
  }
  return plain(prepare, `?inner=${kind}`)
}

/** The library on another origin than the page. */
async function openFromCdn(folder: string): Promise<Site> {
  copyLibrary(folder, 'cdn')
  write(folder, 'cdn/index.html', '')
  const cdn = await serveFolder(join(folder, 'cdn'), { 'access-control-allow-origin': '*' })
  const map = JSON.stringify({ imports: { 'weir-llm': `${cdn.url}index.js` } })
  cpSync(join(folder, 'run.js'), join(folder, 'public/run.js'))
  write(folder, 'public/index.html', html(`<script type="importmap">${map}</script>`, module('/run.js')))
  const site = await serveBuilt(folder, 'public')
  return {
    url: site.url,
    close: async () => {
      await site.close()
      await cdn.close()
    },
  }
}

function html(...head: string[]): string {
  return `<!doctype html>\n<title>app</title>\n${head.join('\n')}\n`
}

function module(src: string): string {
  return `<script type="module" src="${src}"></script>`
}

function script(src: string): string {
  return `<script src="${src}"></script>`
}
