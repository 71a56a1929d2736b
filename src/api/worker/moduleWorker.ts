/** A module worker by URL, on pages with Trusted Types too. */

interface ScriptUrlPolicy {
  createScriptURL(url: string): string
}

interface TrustedTypes {
  createPolicy(name: string, rules: ScriptUrlPolicy): ScriptUrlPolicy
}

/** Made once: a second policy of the same name is refused. Undefined: not tried yet. */
let policy: ScriptUrlPolicy | 'none' | undefined

/** @throws what the browser throws: a URL of another origin, a policy that forbids it */
export function moduleWorker(url: string): Worker {
  try {
    return new Worker(url, { type: 'module', name: 'weir' })
  } catch (refused) {
    policy ??= scriptUrlPolicy()
    if (policy === 'none') throw refused
    return new Worker(policy.createScriptURL(url), { type: 'module', name: 'weir' })
  }
}

function scriptUrlPolicy(): ScriptUrlPolicy | 'none' {
  const { trustedTypes } = globalThis as { readonly trustedTypes?: TrustedTypes }
  try {
    return trustedTypes?.createPolicy('weir', { createScriptURL: (url) => url }) ?? 'none'
  } catch {
    return 'none'
  }
}
