/** Types of assemblyModule.mjs, for the configurations of Vite and Vitest. */

import type { Plugin } from 'vite'

export function assemblyModule(): Plugin
