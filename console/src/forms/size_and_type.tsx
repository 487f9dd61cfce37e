/** The two fields that say what volume is meant, where one is made and where one asks for its place. */
import type { Signal } from '@preact/signals'
import { useAnswer } from '../collection'
import { Field } from '../ui'

export function SizeAndType({ size, type }: { size: Signal<string>; type: Signal<string> }) {
  const types = useAnswer<{ volume_types: { id: string; name: string }[] }>('/volume/v3/types')
  return (
    <>
      <Field label="Size (GiB)">
        <input inputMode="numeric" value={size.value} onInput={(event) => (size.value = event.currentTarget.value)} />
      </Field>
      <Field label="Type">
        <select value={type.value} onChange={(event) => (type.value = event.currentTarget.value)}>
          <option value="">The default</option>
          {types.value.value?.volume_types.map((one) => (
            <option key={one.id}>{one.name}</option>
          ))}
        </select>
      </Field>
    </>
  )
}
