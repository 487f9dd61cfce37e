/** A list of the API's that stays as it is there: read in pages, then kept up to date by what happens. */
import { effect, signal, type Signal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import { acted, type Happened, listen } from './events'
import { ask, Refused } from './http'
import { isPassing } from './words'

export interface Thing {
  id: string
  name: string | null
  status: string
  created_at: string
  [other: string]: unknown
}

export interface Kind {
  /** `volume`, as in the kinds of operations. */
  noun: string
  list: string
  one: (id: string) => string
  listKey: string
  /** The key that wraps one; Image has none. */
  oneKey?: string
  /** Says by which query a name is searched. */
  search?: string
  read?: (raw: Record<string, unknown>) => Thing
  /** What passes ends without an operation of its own: it is looked at again until then. */
  endsQuietly?: true
}

const PAGE = 1000
const MOST_ALONE = 6
const SETTLE_MS = 250
export const LOOK_MS = 3000

export const read = <T extends Thing>(kind: Kind, raw: unknown) =>
  (kind.read ? kind.read(raw as Record<string, unknown>) : raw) as T

export class Collection<T extends Thing> {
  readonly rows = signal<readonly T[]>([])
  readonly loading = signal(true)
  readonly error = signal<unknown>(null)
  private query = ''
  private turn = 0
  private dirty = new Set<string>()
  private timer = 0

  constructor(readonly kind: Kind) {}

  /** Read the list anew; rows are shown page by page. */
  async load(query: string) {
    this.query = query
    const turn = ++this.turn
    this.loading.value = true
    let found: T[] = []
    let next: string | null = `${this.kind.list}?limit=${PAGE}${query}`
    try {
      while (next && turn === this.turn) {
        const page: Record<string, unknown> = await ask(next)
        if (turn !== this.turn) return
        const rows = (page[this.kind.listKey] as unknown[]).map((raw) => read<T>(this.kind, raw))
        found = found.concat(rows)
        if (found.length > this.rows.value.length || !rowsLeft(page, this.kind)) this.rows.value = found
        next = rowsLeft(page, this.kind)
      }
      this.error.value = null
    } catch (error) {
      this.error.value = error
    } finally {
      if (turn === this.turn) this.loading.value = false
    }
  }

  reload = () => this.load(this.query)

  /** Something happened: what it touches is read again, once it has settled a moment. */
  hear = (event: Happened) => {
    if (this.kind.noun === 'operation') this.dirty.add(event.operation_id)
    else if (event.kind.startsWith(`${this.kind.noun}.`)) this.dirty.add(event.subject)
    else this.touchPassing()
    this.soon()
  }

  touchPassing = () => this.rows.value.filter((row) => isPassing(row.status)).forEach((row) => this.touch(row.id))

  touch(id: string) {
    this.dirty.add(id)
    this.soon()
  }

  private soon() {
    if (this.dirty.size && !this.timer) this.timer = window.setTimeout(() => void this.refresh(), SETTLE_MS)
  }

  private async refresh() {
    this.timer = 0
    const ids = [...this.dirty]
    this.dirty.clear()
    if (ids.length > MOST_ALONE) return this.reload()
    await Promise.all(ids.map((id) => this.refreshOne(id)))
  }

  private async refreshOne(id: string) {
    const known = this.rows.value.some((row) => row.id === id)
    try {
      const answer = await ask<Record<string, unknown>>(this.kind.one(id))
      const row = read<T>(this.kind, this.kind.oneKey ? answer[this.kind.oneKey] : answer)
      if (known) this.rows.value = this.rows.value.map((old) => (old.id === id ? row : old))
      else if (!this.query) this.rows.value = [row, ...this.rows.value]
      else await this.reload()
    } catch (error) {
      if (known && error instanceof Refused && error.status === 404)
        this.rows.value = this.rows.value.filter((row) => row.id !== id)
    }
  }
}

function rowsLeft(page: Record<string, unknown>, kind: Kind): string | null {
  const links = page[`${kind.listKey}_links`] as { rel: string; href: string }[] | undefined
  const next = links?.find((link) => link.rel === 'next')?.href ?? (page.next as string | undefined)
  if (!next) return null
  const url = new URL(next, location.origin)
  const path = url.pathname.startsWith('/v2/') ? `/image${url.pathname}` : url.pathname
  return path + url.search
}

/** The list of a kind, live for as long as a page shows it. */
export function useCollection<T extends Thing>(kind: Kind, query: Signal<string>): Collection<T> {
  const collection = useMemo(() => new Collection<T>(kind), [kind])
  useEffect(() => {
    const stopLoading = effect(() => void collection.load(query.value))
    const stopHearing = listen(collection.hear)
    const stopActing = acted.subscribe(skipFirst(collection.reload))
    const seen = () => document.visibilityState === 'visible' && void collection.reload()
    document.addEventListener('visibilitychange', seen)
    const looking = kind.endsQuietly && setInterval(collection.touchPassing, LOOK_MS)
    return () => {
      clearInterval(looking)
      stopLoading()
      stopHearing()
      stopActing()
      document.removeEventListener('visibilitychange', seen)
    }
  }, [collection])
  return collection
}

/** A signal tells its value at once; what is of interest comes after it. */
function skipFirst(work: () => Promise<void>) {
  let first = true
  return () => {
    if (!first) void work()
    first = false
  }
}

/** Something that is read once, and again whenever `touches` says that what happened may matter; null is not asked. */
export function useAnswer<T>(path: string | null, touches: (event: Happened) => boolean = () => false) {
  const state = useMemo(
    () => ({ value: signal<T | null>(null), error: signal<unknown>(null), again: () => Promise.resolve() }),
    [path],
  )
  useEffect(() => {
    if (path === null) return
    let timer = 0
    let gone = false
    let running = false
    state.again = async () => {
      timer = 0
      running = true
      try {
        const found = await ask<T>(path)
        if (!gone) {
          state.value.value = found
          state.error.value = null
        }
      } catch (error) {
        if (!gone) state.error.value = error
      }
      running = false
    }
    void state.again()
    const soon = (event: Happened) => {
      if (!timer && touches(event)) timer = window.setTimeout(() => void state.again(), running ? 400 : 120)
    }
    const stop = listen(soon)
    const stopActing = acted.subscribe(skipFirst(() => state.again()))
    return () => {
      gone = true
      clearTimeout(timer)
      stop()
      stopActing()
    }
  }, [path])
  return state
}
