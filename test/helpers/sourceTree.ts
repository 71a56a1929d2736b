/** The repository as text, and TypeScript files as lists of imports and identifiers. For tests of the tree itself. */

import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const SKIPPED = new Set(['node_modules', '.git', 'dist', 'site', 'out'])
const BINARY = /\.(safetensors|gguf|png|jpg|ico|woff2|wasm|tsbuildinfo)$/

export interface SourceFile {
  /** from the repository's root, with slashes */
  readonly path: string
  readonly text: string
}

/** The text files of a folder of the repository, sorted by path. */
export function filesUnder(folder: string): SourceFile[] {
  const files: SourceFile[] = []
  for (const entry of readdirSync(posix.join(ROOT, folder), { withFileTypes: true })) {
    const path = posix.join(folder, entry.name)
    if (SKIPPED.has(entry.name)) continue
    if (entry.isDirectory()) files.push(...filesUnder(path))
    else if (!BINARY.test(path)) files.push({ path, text: readFileSync(posix.join(ROOT, path), 'utf8') })
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

export interface ParsedFile {
  readonly path: string
  /** paths from the root of relative imports; the names of packages as they are */
  readonly imports: readonly { readonly target: string; readonly typeOnly: boolean }[]
  /** every identifier outside comments and strings */
  readonly identifiers: ReadonlySet<string>
  /** every `object.name` of two identifiers */
  readonly members: ReadonlySet<string>
}

export function parse({ path, text }: SourceFile): ParsedFile {
  const imports: { target: string; typeOnly: boolean }[] = []
  const identifiers = new Set<string>()
  const members = new Set<string>()
  const add = (specifier: ts.Node | undefined, typeOnly: boolean): void => {
    if (!specifier || !ts.isStringLiteralLike(specifier)) return
    const [name] = specifier.text.split('?')
    const target = specifier.text.startsWith('.') ? posix.join(posix.dirname(path), name ?? '') : specifier.text
    imports.push({ target, typeOnly })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) identifiers.add(node.text)
    if (ts.isImportDeclaration(node))
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword)
    if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true)
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0], false)
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
      members.add(`${node.expression.text}.${node.name.text}`)
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true))
  return { path, imports, identifiers, members }
}

/** WGSL without its comments. */
export function stripComments(wgsl: string): string {
  return wgsl.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '')
}
