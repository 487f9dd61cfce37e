/** All volumes of the project, live; for an administrator everybody's, if wished. */
import { useComputed, useSignal } from '@preact/signals'
import { useCollection } from '../collection'
import { createVolume, deleteVolume, keepsVolume } from '../forms/volume'
import { nameOf, VOLUMES, type Volume } from '../kinds'
import { isAdmin, mayAct } from '../session'
import { type Column, Table } from '../table'
import { Empty, Id, Link, Status, Time, Trouble } from '../ui'
import { ListTools } from './tools'

const STATUSES = ['available', 'in-use', 'creating', 'downloading', 'deleting', 'attaching', 'extending', 'error', 'error_deleting']

const COLUMNS: readonly Column<Volume>[] = [
  { title: 'Name', width: 'minmax(8rem, 2fr)', cell: (row) => <Link to={`/volumes/${row.id}`}>{nameOf(row)}</Link> },
  { title: 'Status', width: '7rem', cell: (row) => <Status of={row.status} /> },
  { title: 'GiB', width: '4rem', number: true, cell: (row) => row.size },
  { title: 'Type', width: 'minmax(5rem, 1fr)', wide: true, cell: (row) => row.volume_type },
  { title: 'Used by', width: 'minmax(6rem, 1fr)', wide: true, cell: (row) => <Users of={row} /> },
  { title: 'Id', width: '6rem', wide: true, cell: (row) => <Id id={row.id} /> },
  { title: 'Created', width: '6.5rem', wide: true, cell: (row) => <Time at={row.created_at} /> },
]

const ACTIONS: Column<Volume> = {
  title: 'Actions',
  width: '5rem',
  cell: (row) => (
    <button
      type="button"
      class="quiet small"
      disabled={Boolean(keepsVolume(row))}
      title={keepsVolume(row) ?? ''}
      aria-label={`Delete ${nameOf(row)}`}
      onClick={() => deleteVolume(row)}
    >
      Delete
    </button>
  ),
}

const WITH_ACTIONS = [...COLUMNS, ACTIONS]

function Users({ of }: { of: Volume }) {
  const [first] = of.attachments
  if (!first) return null
  return first.server_id ? (
    <Link to={`/servers/${first.server_id}`}>
      {first.device ?? 'server'} of {first.server_id.slice(0, 8)}
    </Link>
  ) : (
    <>{first.host_name ?? 'attached'}</>
  )
}

export function Volumes() {
  const text = useSignal('')
  const status = useSignal('')
  const everybody = useSignal(false)
  const query = useComputed(
    () =>
      (text.value ? `&name~=${encodeURIComponent(text.value)}` : '') +
      (status.value ? `&status=${status.value}` : '') +
      (everybody.value ? '&all_tenants=1' : ''),
  )
  const list = useCollection<Volume>(VOLUMES, query)
  return (
    <>
      <ListTools title="Volumes" list={list} {...{ text, status, statuses: STATUSES }} everybody={isAdmin.value ? everybody : null}>
        {mayAct.value && (
          <button type="button" class="main" onClick={() => createVolume()}>
            Create volume
          </button>
        )}
      </ListTools>
      <Trouble error={list.error.value} />
      <Table
        label="Volumes"
        rows={list.rows.value}
        columns={mayAct.value ? WITH_ACTIONS : COLUMNS}
        id={(row) => row.id}
        empty={list.loading.value ? 'Loading…' : <Empty>{query.value ? 'None is like that.' : 'There are no volumes yet.'}</Empty>}
      />
    </>
  )
}
