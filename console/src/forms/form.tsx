/** A form from a list of fields: what it refuses, and the request that it will send, are functions of their values. */
import { useComputed, useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { Commands, type Said } from '../commands'
import { useAnswer } from '../collection'
import { ask } from '../http'
import { Dialog, Field, say, showDialog } from '../ui'

export interface FieldOf {
  name: string
  label: string
  value: string
  kind?: 'text' | 'number' | 'check' | 'lines'
  hint?: string
  /** Words to choose among, or a list of the API's: its rows by their ids, or by another key. */
  options?: readonly string[] | { path: string; key: string; by?: 'id' | 'name' }
}

type Values = Record<string, string>

export interface FormOf {
  title: string
  action: string
  /** Those of a pair stand side by side. */
  fields: readonly (FieldOf | readonly [FieldOf, FieldOf])[]
  said: (values: Values) => Said
  refuses?: (values: Values) => string | null
  done: string
  danger?: boolean
  after?: (answer: unknown) => void
}

export const whole = (text: string) => (/^[1-9]\d{0,8}$/.test(text.trim()) ? Number(text) : null)

export const name = (value: string): FieldOf => ({ name: 'name', label: 'Name', value })

export function form(of: FormOf) {
  showDialog(<Form of={of} />)
}

function Form({ of }: { of: FormOf }) {
  const values = useSignal<Values>(Object.fromEntries(of.fields.flat().map((field) => [field.name, field.value])))
  const said = useComputed(() => of.said(values.value))
  const refuses =
    (values.value.name?.length ?? 0) > 255 ? 'A name has at most 255 characters.' : (of.refuses?.(values.value) ?? null)
  const send = async () => {
    const { method = 'POST', path, body } = said.value
    const answer = await ask(path, { method, ...(body === undefined ? {} : { body }) })
    say(of.done)
    of.after?.(answer)
  }
  const set = (name: string) => (value: string) => (values.value = { ...values.value, [name]: value })
  const input = (field: FieldOf) => (
    <Input key={field.name} field={field} value={values.value[field.name]!} set={set(field.name)} />
  )
  return (
    <Dialog title={of.title} action={of.action} danger={of.danger ?? false} {...{ send, refuses }}>
      {of.fields.map((field) =>
        'name' in field ? (
          input(field)
        ) : (
          <div key={field[0].name} class="pair">
            {field.map(input)}
          </div>
        ),
      )}
      <Commands say={said.value} />
    </Dialog>
  )
}

function Input({ field, value, set }: { field: FieldOf; value: string; set: (value: string) => void }) {
  if (field.kind === 'check')
    return (
      <div class="field">
        <label class="check">
          <input type="checkbox" checked={Boolean(value)} onChange={(event) => set(event.currentTarget.checked ? 'yes' : '')} />
          {field.label}
        </label>
        {field.hint && <small>{field.hint}</small>}
      </div>
    )
  return (
    <Field label={field.label} {...(field.hint ? { hint: field.hint } : {})}>
      {field.options ? (
        <Choice {...{ value, set }} options={field.options} />
      ) : (
        <input
          value={value}
          {...(field.kind === 'number' ? { inputMode: 'numeric' as const } : {})}
          onInput={(event) => set(event.currentTarget.value)}
        />
      )}
    </Field>
  )
}

function Choice({ options, value, set }: { options: NonNullable<FieldOf['options']>; value: string; set: (value: string) => void }) {
  if ('path' in options) return <Listed {...{ options, value, set }} />
  return (
    <select value={value} onChange={(event) => set(event.currentTarget.value)}>
      {options.map((one) => (
        <option key={one}>{one}</option>
      ))}
    </select>
  )
}

function Listed({
  options,
  value,
  set,
}: {
  options: { path: string; key: string; by?: 'id' | 'name' }
  value: string
  set: (value: string) => void
}) {
  const { value: answer } = useAnswer<Record<string, { id: string; name: string }[]>>(options.path)
  return (
    <select value={value} onChange={(event) => set(event.currentTarget.value)}>
      <option value="">Choose…</option>
      {answer.value?.[options.key]?.map((one) => (
        <option key={one.id} value={one[options.by ?? 'id']}>
          {one.name || one.id}
        </option>
      ))}
    </select>
  )
}

/** A question before something is done that needs no form. */
export function confirm(
  title: string,
  action: string,
  said: Said,
  words: ComponentChildren,
  { danger = false, done, after }: { danger?: boolean; done: string; after?: (answer: unknown) => void },
) {
  const send = async () => {
    const answer = await ask(said.path, { method: said.method ?? 'POST', ...(said.body === undefined ? {} : { body: said.body }) })
    say(done)
    after?.(answer)
  }
  showDialog(
    <Dialog {...{ title, action, danger, send }}>
      <p>{words}</p>
      <Commands say={said} />
    </Dialog>,
  )
}
