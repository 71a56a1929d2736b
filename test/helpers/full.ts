/** Whether the long matrices run, of which `npm test` takes a part: `npm run test:full`. */
export const FULL = process.env.WEIR_TESTS === 'full'
