/** What relative URLs of the page count from. The only place of `api` that asks the document. */

/** The document's base; in a worker of the page's own the place of its script; in Node undefined. */
export function baseUrl(): string | undefined {
  return globalThis.document?.baseURI ?? globalThis.location?.href
}
