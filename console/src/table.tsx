/** A table of any length: only the rows in sight are in the page. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useMemo, useRef } from 'preact/hooks'

export interface Column<T> {
  title: string
  cell: (row: T) => ComponentChildren
  /** A CSS grid track. */
  width?: string
  /** Left out where the page is narrow. */
  wide?: boolean
  number?: boolean
}

const ROW = 36
const BEYOND = 8

const kind = (column: { wide?: boolean; number?: boolean }) => `${column.wide ? 'wide ' : ''}${column.number ? 'number' : ''}`

/** One row. As long as it stays as it is, scrolling past it costs nothing. */
function Row<T>({ row, id, at, columns }: { row: T; id: string; at: number; columns: readonly Column<T>[] }) {
  return useMemo(
    () => (
      <div class="row" role="row" data-id={id} aria-rowindex={at + 2} style={{ transform: `translateY(${at * ROW}px)` }}>
        {columns.map((column) => (
          <span key={column.title} role="cell" class={kind(column)}>
            {column.cell(row)}
          </span>
        ))}
      </div>
    ),
    [row, id, at, columns],
  )
}

/**
 * A number for each row in sight, by which its elements are kept: to change those of a row that went out of sight is
 * cheaper than to make others. What has the focus goes with its row, so that a key pressed meanwhile means no other.
 */
function usePlaces(ids: readonly string[]): ReadonlyMap<string, number> {
  const before = useRef(new Map<string, number>())
  const next = useRef(0)
  const places = new Map<string, number>()
  for (const id of ids) {
    const place = before.current.get(id)
    if (place !== undefined) places.set(id, place)
  }
  const focused = document.activeElement?.closest<HTMLElement>('.row')?.dataset.id
  const free = [...before.current].filter(([id]) => !places.has(id) && id !== focused).map(([, place]) => place)
  for (const id of ids) if (!places.has(id)) places.set(id, free.pop() ?? next.current++)
  before.current = places
  return places
}

/** How wide a narrow table is at least, with its gaps: what is narrower scrolls sideways, and cuts no button off. */
const least = (columns: readonly { width?: string }[]) =>
  `calc(${columns.map(({ width = '6rem' }) => /[\d.]+rem/.exec(width)?.[0] ?? '4rem').join(' + ')} + ${columns.length} * 0.6rem + 0.6rem)`

export function Table<T>({
  label,
  rows,
  columns,
  id,
  empty,
}: {
  label: string
  rows: readonly T[]
  columns: readonly Column<T>[]
  id: (row: T) => string
  empty?: ComponentChildren
}) {
  const frame = useRef<HTMLDivElement>(null)
  const top = useSignal(0)
  const height = useSignal(600)
  useEffect(() => {
    const box = frame.current!
    const measure = new ResizeObserver(() => (height.value = box.clientHeight))
    measure.observe(box)
    let waiting = 0
    const scrolled = () => {
      waiting ||= requestAnimationFrame(() => {
        waiting = 0
        top.value = box.scrollTop
      })
    }
    box.addEventListener('scroll', scrolled, { passive: true })
    return () => {
      measure.disconnect()
      box.removeEventListener('scroll', scrolled)
      cancelAnimationFrame(waiting)
    }
  }, [])
  const first = Math.max(0, Math.floor(top.value / ROW) - BEYOND)
  const last = Math.min(rows.length, Math.ceil((top.value + height.value) / ROW) + BEYOND)
  const seen = rows.slice(first, last)
  const places = usePlaces(seen.map(id))
  const tracks = (some: readonly Column<T>[]) => some.map((column) => column.width ?? 'minmax(6rem, 1fr)').join(' ')
  const narrow = columns.filter((column) => !column.wide)
  const style = { '--tracks': tracks(columns), '--narrow': tracks(narrow), '--least': least(narrow) }
  return (
    <div class="table" role="table" aria-label={label} aria-rowcount={rows.length + 1} style={style}>
      <div class="head" role="row" aria-rowindex={1}>
        {columns.map((column) => (
          <span key={column.title} role="columnheader" class={kind(column)}>
            {column.title}
          </span>
        ))}
      </div>
      <div class="rows" role="rowgroup" ref={frame} tabIndex={0} aria-label={`${label}: rows`}>
        <div class="length" role="presentation" style={{ height: `${rows.length * ROW}px` }}>
          {seen.map((row, index) => (
            <Row key={places.get(id(row))!} row={row} id={id(row)} at={first + index} columns={columns} />
          ))}
        </div>
        {!rows.length && (
          <div class="none" role="row">
            <span role="cell">{empty ?? 'There are none.'}</span>
          </div>
        )}
      </div>
    </div>
  )
}
