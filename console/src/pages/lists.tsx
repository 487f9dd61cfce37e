/** Snapshots, backups, images and servers: lists as that of volumes. */
import { useComputed, useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import { type Kind, type Thing, useCollection } from '../collection'
import { confirm, form } from '../forms/form'
import { boot, createVolume } from '../forms/volume'
import { uploadImage } from '../forms/image'
import { type Backup, BACKUPS, type Image, IMAGES, nameOf, type Recycled, RECYCLED, type Server, SERVERS, type Snapshot, SNAPSHOTS } from '../kinds'
import { isAdmin, mayAct } from '../session'
import { type Column, Table } from '../table'
import { Empty, Id, Link, Status, Time, Trouble } from '../ui'
import { bytes, clock } from '../words'
import { ListTools } from './tools'
import type { ComponentChildren } from 'preact'

export function List<T extends Thing>(of: {
  title: string
  kind: Kind
  columns: readonly Column<T>[]
  actions?: (row: T) => ComponentChildren
  actionsWidth?: string
  statuses: readonly string[]
  every?: string
  children?: ComponentChildren
}) {
  const text = useSignal('')
  const status = useSignal('')
  const everybody = useSignal(false)
  const { search } = of.kind
  const query = useComputed(
    () =>
      (text.value && search ? `&${search}=${encodeURIComponent(text.value)}` : '') +
      (status.value ? `&status=${status.value}` : '') +
      (everybody.value && of.every ? `&${of.every}` : ''),
  )
  const list = useCollection<T>(of.kind, query)
  const { columns: plain, actions, actionsWidth: width = '5rem' } = of
  const columns = useMemo(
    () => (mayAct.value && actions ? [...plain, { title: 'Actions', width, cell: actions }] : plain),
    [plain, actions, mayAct.value],
  )
  return (
    <>
      <ListTools
        title={of.title}
        list={list}
        {...(search ? { text } : {})}
        {...{ status, statuses: of.statuses }}
        everybody={isAdmin.value && of.every ? everybody : null}
      >
        {mayAct.value && of.children}
      </ListTools>
      <Trouble error={list.error.value} />
      <Table
        label={of.title}
        rows={list.rows.value}
        columns={columns}
        id={(row) => row.id}
        empty={list.loading.value ? 'Loading…' : <Empty>{query.value ? 'None is like that.' : `There are no ${of.title.toLowerCase()} yet.`}</Empty>}
      />
    </>
  )
}

export function Act({ title, of, open, refuses }: { title: string; of: Thing; open: () => void; refuses?: string | null }) {
  return (
    <button type="button" class="quiet small" aria-label={`${title} ${nameOf(of)}`} disabled={Boolean(refuses)} title={refuses ?? ''} onClick={open}>
      {title}
    </button>
  )
}

function remove(noun: string, path: string, openstack: string, one: Thing) {
  confirm(
    `Delete ${nameOf(one)}?`,
    'Delete',
    { method: 'DELETE', path, openstack: `openstack ${openstack} ${one.id}` },
    `The ${noun} and all that is in it are gone then.`,
    { danger: true, done: `${nameOf(one)} is being deleted.` },
  )
}

const id = { title: 'Id', width: '6rem', wide: true, cell: (row: Thing) => <Id id={row.id} /> }
const status = { title: 'Status', width: '7rem', cell: (row: Thing) => <Status of={row.status} /> }
const created = { title: 'Created', width: '6.5rem', wide: true, cell: (row: Thing) => <Time at={row.created_at} /> }
const size = { title: 'GiB', width: '4rem', number: true, cell: (row: { size: number }) => row.size }
const named = { title: 'Name', width: 'minmax(8rem, 2fr)', cell: (row: Thing) => <span title={row.id}>{nameOf(row)}</span> }
const ofVolume = {
  title: 'Volume',
  width: 'minmax(6rem, 1fr)',
  wide: true,
  cell: (row: { volume_id: string }) => <Link to={`/volumes/${row.volume_id}`}>{row.volume_id.slice(0, 8)}</Link>,
}

export function Snapshots() {
  return (
    <List<Snapshot>
      title="Snapshots"
      kind={SNAPSHOTS}
      columns={[named, status, size, ofVolume, id, created]}
      statuses={['available', 'creating', 'deleting', 'error', 'error_deleting']}
      every="all_tenants=1"
      actionsWidth="12rem"
      actions={(row) => (
        <>
          <Act
            title="Volume from it"
            of={row}
            refuses={row.status === 'available' ? null : `It is ${row.status}.`}
            open={() => createVolume({ snapshot: { id: row.id, name: nameOf(row), size: row.size } })}
          />
          <Act title="Delete" of={row} open={() => remove('snapshot', SNAPSHOTS.one(row.id), 'volume snapshot delete', row)} />
        </>
      )}
    />
  )
}

export function Backups() {
  return (
    <List<Backup>
      title="Backups"
      kind={BACKUPS}
      columns={[
        named,
        status,
        size,
        { title: 'Holds', width: '7rem', wide: true, cell: (row) => (row.is_incremental ? 'what changed' : 'everything') },
        ofVolume,
        { title: 'Why', width: 'minmax(4rem, 1fr)', wide: true, cell: (row) => <span title={row.fail_reason ?? ''}>{row.fail_reason}</span> },
        created,
      ]}
      statuses={['available', 'creating', 'restoring', 'deleting', 'error']}
      every="all_tenants=1"
      actionsWidth="9rem"
      actions={(row) => (
        <>
          <Act title="Restore" of={row} refuses={row.status === 'available' ? null : `It is ${row.status}.`} open={() => restore(row)} />
          <Act title="Delete" of={row} open={() => remove('backup', BACKUPS.one(row.id), 'volume backup delete', row)} />
        </>
      )}
    />
  )
}

function restore(backup: Backup) {
  form({
    title: `Restore ${nameOf(backup)}`,
    action: 'Restore',
    fields: [
      { name: 'name', label: 'Name of the new volume', value: `${nameOf(backup)}-restored` },
      {
        name: 'volume',
        label: 'Or over this volume',
        value: '',
        options: { path: '/volume/v3/volumes?status=available&limit=1000', key: 'volumes' },
        hint: 'What is in it is gone then. If none is chosen, a volume is made',
      },
    ],
    said: ({ name, volume }) => ({
      method: 'POST',
      path: `${BACKUPS.one(backup.id)}/restore`,
      body: { restore: volume ? { volume_id: volume } : { name } },
      openstack: `openstack volume backup restore ${backup.id}${volume ? ` ${volume} --force` : ` ${name}`}`,
    }),
    done: 'It is being restored.',
  })
}

export function RecycleBin() {
  return (
    <List<Recycled>
      title="Recycle bin"
      kind={RECYCLED}
      columns={[
        named,
        { title: 'Was', width: '6rem', cell: (row) => row.kind },
        { ...status, title: 'State' },
        { ...size, wide: true },
        { title: 'Kept until', width: 'minmax(8rem, 1fr)', wide: true, cell: (row) => clock(row.kept_until) },
        { ...created, title: 'Deleted' },
      ]}
      statuses={[]}
      actionsWidth="12rem"
      actions={(row) => (
        <>
          <Act
            title="Restore"
            of={row}
            refuses={row.status === 'kept' ? null : 'It is being deleted for good.'}
            open={() =>
              confirm(
                `Restore ${nameOf(row)}?`,
                'Restore',
                { method: 'POST', path: `${RECYCLED.one(row.id)}/actions/restore`, openstack: `openstack recycle bin restore ${row.id}` },
                'It is there again with its id, its name and all that is in it.',
                { done: `${nameOf(row)} is there again.` },
              )
            }
          />
          <Act title="Delete for good" of={row} open={() => remove(row.kind, RECYCLED.one(row.id), 'recycle bin purge', row)} />
        </>
      )}
    />
  )
}

export function Images() {
  return (
    <List<Image>
      title="Images"
      kind={IMAGES}
      columns={[
        named,
        status,
        { title: 'Format', width: '5rem', wide: true, cell: (row) => row.disk_format },
        { title: 'Size', width: '6rem', number: true, cell: (row) => bytes(row.size) },
        { title: 'Disk', width: '6rem', number: true, wide: true, cell: (row) => bytes(row.virtual_size) },
        { title: 'Seen by', width: '6rem', wide: true, cell: (row) => row.visibility },
        id,
        created,
      ]}
      statuses={['active', 'queued', 'saving', 'deactivated']}
      actionsWidth="12rem"
      actions={(row) => (
        <>
          <Act
            title="Volume from it"
            of={row}
            refuses={row.status === 'active' ? null : `It is ${row.status}.`}
            open={() =>
              createVolume({
                image: { id: row.id, name: nameOf(row), least: Math.max(1, row.min_disk, Math.ceil((row.virtual_size ?? 0) / 1024 ** 3)) },
              })
            }
          />
          <Act title="Delete" of={row} open={() => remove('image', IMAGES.one(row.id), 'image delete', row)} />
        </>
      )}
    >
      <button type="button" class="main" onClick={uploadImage}>
        Upload image
      </button>
    </List>
  )
}

export function Servers() {
  return (
    <List<Server>
      title="Servers"
      kind={SERVERS}
      columns={[
        { title: 'Name', width: 'minmax(8rem, 2fr)', cell: (row) => <Link to={`/servers/${row.id}`}>{nameOf(row)}</Link> },
        status,
        { title: 'Flavor', width: 'minmax(5rem, 1fr)', wide: true, cell: (row) => row.flavor.original_name },
        { title: 'Disks', width: '4rem', number: true, cell: (row) => row['os-extended-volumes:volumes_attached'].length },
        { title: 'Host', width: 'minmax(4rem, 1fr)', wide: true, cell: (row) => row['OS-EXT-SRV-ATTR:host'] },
        id,
        created,
      ]}
      statuses={['ACTIVE', 'BUILD', 'SHUTOFF', 'REBOOT', 'ERROR']}
      every="all_tenants=1"
      actions={(row) => <Act title="Delete" of={row} open={() => remove('server', SERVERS.one(row.id), 'server delete', row)} />}
    >
      <button type="button" class="main" onClick={() => boot()}>
        Create server
      </button>
    </List>
  )
}

export const removeServer = (one: Thing) => remove('server', SERVERS.one(one.id), 'server delete', one)
