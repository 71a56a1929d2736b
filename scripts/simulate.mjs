// Runs the scheduler simulator: the real engine and scheduler in virtual time, without a GPU. `--help` lists its arguments.
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
