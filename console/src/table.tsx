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
function Row<T>({ row, at, columns }: { row: T; at: number; columns: readonly Column<T>[] }) {
  return useMemo(
    () => (
      <div class="row" role="row" aria-rowindex={at + 2} style={{ transform: `translateY(${at * ROW}px)` }}>
        {columns.map((column) => (
          <span key={column.title} role="cell" class={kind(column)}>
            {column.cell(row)}
          </span>
        ))}
      </div>
    ),
    [row, at, columns],
  )
}

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
  const tracks = (some: readonly Column<T>[]) => some.map((column) => column.width ?? 'minmax(6rem, 1fr)').join(' ')
  const style = { '--tracks': tracks(columns), '--narrow': tracks(columns.filter((column) => !column.wide)) }
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
          {rows.slice(first, last).map((row, index) => (
            <Row key={id(row)} row={row} at={first + index} columns={columns} />
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
