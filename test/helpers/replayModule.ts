/** The module of `LLM.replay`, from source. */
export const replayModule = () => import('../../src/worker/replay.ts')
