/** What is under way, and what was: with what each waits for, and why it failed. */
import { useComputed, useSignal } from '@preact/signals'
import { useCollection, type Thing } from '../collection'
import { isUnderWay, type Operation } from '../kinds'
import { query } from '../router'
import { isAdmin } from '../session'
import { type Column, Table } from '../table'
import { Link, Status, Time, Trouble } from '../ui'
import { kindly, moment, plainly, span } from '../words'

type Row = Operation & Thing

const KIND = {
  noun: 'operation',
  list: '/pumice/v1/operations',
  one: (id: string) => `/pumice/v1/operations/${id}`,
  listKey: 'operations',
  oneKey: 'operation',
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'Operation', width: 'minmax(9rem, 1fr)', cell: (row) => <Link to={`/operations/${row.id}`}>{kindly(row.kind)}</Link> },
  { title: 'State', width: '6.5rem', cell: (row) => <Status of={row.state} /> },
  {
    title: 'Step',
    width: 'minmax(7rem, 1fr)',
    wide: true,
    cell: (row) => (isUnderWay(row) && row.step ? `${plainly(row.step)}${row.progress != null ? `, ${Math.round(row.progress * 100)} %` : ''}` : ''),
  },
  { title: 'Subject', width: '7rem', wide: true, cell: (row) => <code class="id">{row.subject.slice(0, 8)}</code> },
  { title: 'Why', width: 'minmax(6rem, 2fr)', wide: true, cell: (row) => <span title={row.error ?? ''}>{row.error}</span> },
  {
    title: 'Took',
    width: '4.5rem',
    number: true,
    cell: (row) => (row.finished_at ? span((moment(row.finished_at) - moment(row.created_at)) / 1000) : ''),
  },
  { title: 'Begun', width: '7rem', cell: (row) => <Time at={row.created_at} /> },
]

export function Operations() {
  const state = useSignal('')
  const asked = useComputed(() => {
    const about = ['subject', 'volume_id'].map((name) => [name, query.value.get(name)] as const)
    return (
      (state.value ? `&state=${state.value}` : '') +
      about.map(([name, id]) => (id ? `&${name}=${encodeURIComponent(id)}` : '')).join('') +
      (isAdmin.value ? '&all_projects=1' : '')
    )
  })
  const list = useCollection<Row>(KIND, asked)
  return (
    <>
      <div class="tools">
        <h1>Operations</h1>
        <label>
          <span class="hidden">State</span>
          <select value={state.value} onChange={(event) => (state.value = event.currentTarget.value)}>
            <option value="">Any state</option>
            {['running', 'waiting', 'undoing', 'cleaning', 'failed', 'done'].map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        <span class="count">{list.rows.value.length}</span>
      </div>
      <Trouble error={list.error.value} />
      <Table label="Operations" rows={list.rows.value} columns={COLUMNS} id={(row) => row.id} />
    </>
  )
}
