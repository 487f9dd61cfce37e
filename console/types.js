// Writes the shapes of Pumice's own API as TypeScript, out of its OpenAPI document on standard input: make types
import { readFileSync } from 'node:fs'
import { compile } from 'json-schema-to-typescript'

const { components } = JSON.parse(readFileSync(0, 'utf8'))

/** Pydantic names each property after itself, and each name would become a type. */
function withoutTitles(schema) {
  if (Array.isArray(schema)) return schema.map(withoutTitles)
  if (schema === null || typeof schema !== 'object') return schema
  const kept = Object.entries(schema).filter(([key, value]) => key !== 'title' || typeof value !== 'string')
  return Object.fromEntries(kept.map(([key, value]) => [key, withoutTitles(value)]))
}

const schemas = Object.fromEntries(
  Object.entries(components.schemas).map(([name, schema]) => [name, { ...withoutTitles(schema), title: name }]),
)
const everything = {
  type: 'object',
  properties: Object.fromEntries(Object.keys(schemas).map((name) => [name, { $ref: `#/components/schemas/${name}` }])),
  components: { schemas },
}
const written = await compile(everything, 'Everything', {
  additionalProperties: false,
  bannerComment: '/** The shapes of /pumice/v1, out of its OpenAPI document. Written by: make types */',
  style: { semi: false, singleQuote: true, printWidth: 120 },
})
process.stdout.write(written)
