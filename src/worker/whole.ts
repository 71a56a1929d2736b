/** The worker as text (`api/worker/workerText.ts`). Where its file is missing the others are too, so it has everything in it. */

import { listen } from './connect.ts'
import * as replay from './replay.ts'

listen(async () => replay)
