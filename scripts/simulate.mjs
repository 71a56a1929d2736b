// Runs the scheduler simulator: the real scheduler in virtual time, no GPU. `--help` lists its arguments.
import { createServer } from 'vite'

const server = await createServer({
  server: { middlewareMode: true, ws: false },
  appType: 'custom',
  logLevel: 'warn',
})
const { run } = await server.ssrLoadModule('/test/bench/simulator/main.ts')
const status = await run(process.argv.slice(2))
await server.close()
process.exit(status)
