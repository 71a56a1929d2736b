// Option `resolve` of Vite: of onnxruntime-web's two builds, the one that loads its glue from a file. The other, the default, has a
// copy of the glue inside and names the 14 MB WebAssembly file so that Vite would put it into the code as base64.
import { defaultClientConditions } from 'vite'

export const ORT_RESOLVE = { conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions] }
