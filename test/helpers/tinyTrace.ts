/** The trace of a few steps, for those who need any. */

import { connect, WAYS } from './connect.ts'
import { endless, MockLoader } from './scriptedModel.ts'

export async function tinyTrace(): Promise<string> {
  const [[, open]] = WAYS as [(typeof WAYS)[number]]
  const llm = await connect(open(new MockLoader(endless)), { debug: { trace: true } })
  try {
    await llm.generate('A', { max_tokens: 4 }).result()
    return await llm.trace()
  } finally {
    await llm.dispose()
  }
}
