// Writes the shapes of Pumice's own API as TypeScript, out of its OpenAPI document on standard input: make types
import { text } from 'node:stream/consumers'
import { compile } from 'json-schema-to-typescript'

const { components } = JSON.parse(await text(process.stdin))

/** Pydantic names each property after itself, and each name would become a type; so would a reference with a default. */
function plain(schema) {
  if (Array.isArray(schema)) return schema.map(plain)
  if (schema === null || typeof schema !== 'object') return schema
  const kept = Object.entries(schema).filter(
    ([key, value]) => !(key === 'title' && typeof value === 'string') && !(key === 'default' && '$ref' in schema),
  )
  return Object.fromEntries(kept.map(([key, value]) => [key, plain(value)]))
}

const schemas = Object.fromEntries(
  Object.entries(components.schemas).map(([name, schema]) => [name, { ...plain(schema), title: name }]),
)
const everything = {
  type: 'object',
  properties: Object.fromEntries(Object.keys(schemas).map((name) => [name, { $ref: `#/components/schemas/${name}` }])),
  components: { schemas },
}
const written = await compile(everything, 'Everything', {
  additionalProperties: false,
  ignoreMinAndMaxItems: true, // else a list of at most twenty is twenty tuples
  bannerComment: '/** The shapes of /pumice/v1, out of its OpenAPI document. Written by: make types */',
  style: { semi: false, singleQuote: true, printWidth: 120 },
})
process.stdout.write(written)
