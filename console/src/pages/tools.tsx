/** What stands above every list: how many there are, search and filters that are the API's own, what can be made. */
import { type Signal, useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Collection, Thing } from '../collection'

const TYPING_MS = 180

export function ListTools<T extends Thing>({
  title,
  list,
  text,
  status,
  statuses = [],
  everybody,
  children,
}: {
  title: string
  list: Collection<T>
  text?: Signal<string>
  status?: Signal<string>
  statuses?: readonly string[]
  everybody?: Signal<boolean> | null
  children?: ComponentChildren
}) {
  return (
    <div class="tools">
      <h1>{title}</h1>
      <span class="count" aria-live="polite" aria-label={`${list.rows.value.length} ${title.toLowerCase()}`}>
        {list.rows.value.length.toLocaleString()}
        {list.loading.value && '…'}
      </span>
      {text && <Search title={title} text={text} />}
      {status && statuses.length > 0 && (
        <label>
          <span class="hidden">Status</span>
          <select value={status.value} onChange={(event) => (status.value = event.currentTarget.value)}>
            <option value="">Any status</option>
            {statuses.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      )}
      {everybody && (
        <label class="check">
          <input type="checkbox" checked={everybody.value} onChange={(event) => (everybody.value = event.currentTarget.checked)} />
          All projects
        </label>
      )}
      <span class="gap" />
      {children}
    </div>
  )
}

function Search({ title, text }: { title: string; text: Signal<string> }) {
  const typed = useSignal(text.value)
  useEffect(() => {
    const timer = setTimeout(() => (text.value = typed.value.trim()), TYPING_MS)
    return () => clearTimeout(timer)
  }, [typed.value])
  return (
    <input
      type="search"
      aria-label={`Search ${title.toLowerCase()}`}
      placeholder="Search by name"
      value={typed.value}
      onInput={(event) => (typed.value = event.currentTarget.value)}
    />
  )
}
