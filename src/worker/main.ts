/** The worker as a file: what is seldom needed lies beside it, in files that it loads when asked. */

import { listen } from './connect.ts'
import { loadReplay } from './lazyReplay.ts'

listen(({ replay }) => loadReplay(replay))
