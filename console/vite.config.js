// Builds the console into the package, src/pumice/console: files named after their content, each also compressed.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { defineConfig } from 'vite'

const OUT = '../src/pumice/console'

/** Beside each file what the server sends to whom can read it: `.br` and `.gz`. */
const compressed = {
  name: 'compressed',
  apply: 'build',
  closeBundle() {
    for (const entry of readdirSync(OUT, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = join(entry.parentPath, entry.name)
      const plain = readFileSync(path)
      writeFileSync(`${path}.gz`, gzipSync(plain, { level: 9 }))
      writeFileSync(`${path}.br`, brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }))
    }
  },
}

export default defineConfig({
  base: '/console/',
  plugins: [compressed],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: 'es2023',
    assetsInlineLimit: 0, // the page's policy allows no data: addresses
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    // `npm run dev` beside a Pumice: its APIs, and the session, under the same address as the page
    proxy: Object.fromEntries(
      ['/console/session', '/volume', '/compute', '/image', '/identity', '/pumice'].map((path) => [
        path,
        { target: process.env.PUMICE_URL ?? 'http://127.0.0.1:8776', changeOrigin: false },
      ]),
    ),
  },
})
