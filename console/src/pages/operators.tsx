/** What only operators see: hosts and services, pools, types, quotas of every project. */
import { useAnswer } from '../collection'
import { form } from '../forms/form'
import { type Column, Table } from '../table'
import { Bar, Empty, Panel, Status, Time, Trouble } from '../ui'
import { Pools } from './home'

interface Service {
  binary: string
  host: string
  zone: string
  state: string
  status: string
  updated_at: string
  disabled_reason: string | null
}

const SERVICES: readonly Column<Service>[] = [
  { title: 'Host', width: 'minmax(8rem, 2fr)', cell: (row) => row.host },
  { title: 'Service', width: '9rem', cell: (row) => row.binary },
  { title: 'State', width: '5rem', cell: (row) => <Status of={row.state} /> },
  { title: 'Given new work', width: 'minmax(7rem, 1fr)', wide: true, cell: (row) => (row.status === 'enabled' ? 'yes' : (row.disabled_reason ?? 'no')) },
  { title: 'Zone', width: '5rem', wide: true, cell: (row) => row.zone },
  { title: 'Heard of', width: '7rem', wide: true, cell: (row) => <Time at={row.updated_at} /> },
]

export function Hosts() {
  const volume = useAnswer<{ services: Service[] }>('/volume/v3/os-services', () => true)
  const compute = useAnswer<{ services: Service[] }>('/compute/v2.1/os-services', () => true)
  const rows = [...(volume.value.value?.services ?? []), ...(compute.value.value?.services ?? [])]
  return (
    <>
      <div class="tools">
        <h1>Hosts</h1>
        <span class="count">{rows.filter((row) => row.state === 'up').length} up</span>
      </div>
      <Trouble error={volume.error.value ?? compute.error.value} />
      <Table label="Hosts" rows={rows} columns={SERVICES} id={(row) => `${row.binary} ${row.host}`} />
    </>
  )
}

export function PoolsPage() {
  return (
    <>
      <h1>Pools</h1>
      <div class="panels">
        <Pools wide />
      </div>
    </>
  )
}

interface VolumeType {
  id: string
  name: string
  description: string | null
  is_public: boolean
  extra_specs: Record<string, string>
}

const TYPES: readonly Column<VolumeType>[] = [
  { title: 'Name', width: 'minmax(8rem, 1fr)', cell: (row) => row.name },
  { title: 'For', width: '6rem', cell: (row) => (row.is_public ? 'everybody' : 'some') },
  {
    title: 'Asks for',
    width: 'minmax(8rem, 2fr)',
    wide: true,
    cell: (row) =>
      Object.entries(row.extra_specs)
        .map(([key, value]) => `${key}=${value}`)
        .join(', '),
  },
  { title: 'Description', width: 'minmax(8rem, 2fr)', wide: true, cell: (row) => row.description },
]

export function Types() {
  const { value, error, again } = useAnswer<{ volume_types: VolumeType[] }>('/volume/v3/types?is_public=None')
  return (
    <>
      <div class="tools">
        <h1>Types</h1>
        <span class="gap" />
        <button
          type="button"
          class="main"
          onClick={() =>
            form({
              title: 'Create type',
              action: 'Create',
              fields: [
                { name: 'name', label: 'Name', value: '' },
                { name: 'backend', label: 'Backend', value: '', hint: 'volume_backend_name of the pools that it is for; empty: any' },
              ],
              refuses: ({ name }) => (name ? null : 'A type has a name.'),
              said: ({ name, backend }) => ({
                path: '/volume/v3/types',
                body: { volume_type: { name, extra_specs: backend ? { volume_backend_name: backend } : {} } },
                openstack: `openstack volume type create ${name || 'NAME'}${backend ? ` --property volume_backend_name=${backend}` : ''}`,
              }),
              done: 'The type was made.',
              after: () => void again(),
            })
          }
        >
          Create type
        </button>
      </div>
      <Trouble error={error.value} />
      <Table label="Types" rows={value.value?.volume_types ?? []} columns={TYPES} id={(row) => row.id} />
    </>
  )
}

interface Quota {
  limit: number
  in_use: number
}

const MOST = 200
const QUOTAS: readonly [string, string, string][] = [
  ['volumes', 'Volumes', ''],
  ['gigabytes', 'Space', ' GiB'],
  ['snapshots', 'Snapshots', ''],
  ['backups', 'Backups', ''],
  ['backup_gigabytes', 'Space of backups', ' GiB'],
]

export function Quotas() {
  const { value, error } = useAnswer<{ projects: { id: string; name: string }[] }>('/identity/v3/projects')
  const projects = value.value?.projects ?? []
  return (
    <>
      <h1>Quotas</h1>
      <Trouble error={error.value} />
      {projects.length > MOST && <Empty>The first {MOST} projects of {projects.length}.</Empty>}
      <div class="panels">
        {projects.slice(0, MOST).map((one) => (
          <QuotaOf key={one.id} project={one} />
        ))}
      </div>
    </>
  )
}

function QuotaOf({ project }: { project: { id: string; name: string } }) {
  const path = `/volume/v3/os-quota-sets/${project.id}`
  const { value, again } = useAnswer<{ quota_set: Record<string, Quota> }>(`${path}?usage=true`, (event) => event.project_id === project.id)
  const set = value.value?.quota_set
  const change = () =>
    form({
      title: `Quota of ${project.name}`,
      action: 'Change',
      fields: QUOTAS.map(([key, title]) => ({ name: key, label: title, value: String(set?.[key]?.limit ?? -1), hint: '-1: as much as wished' })),
      refuses: (values) =>
        QUOTAS.every(([key]) => /^(-1|\d{1,9})$/.test(values[key]!)) ? null : 'Each is a whole number, or -1.',
      said: (values) => ({
        method: 'PUT',
        path,
        body: { quota_set: Object.fromEntries(QUOTAS.map(([key]) => [key, Number(values[key])])) },
        openstack: `openstack quota set --volumes ${values.volumes} --gigabytes ${values.gigabytes} --snapshots ${values.snapshots} --backups ${values.backups} --backup-gigabytes ${values.backup_gigabytes} ${project.id}`,
      }),
      done: 'The quota was changed.',
      after: () => void again(),
    })
  return (
    <Panel
      title={project.name}
      aside={
        <button type="button" class="quiet small" aria-label={`Change quota of ${project.name}`} onClick={change}>
          Change
        </button>
      }
    >
      <ul class="lines">
        {set &&
          QUOTAS.map(([key, title, unit]) => {
            const { in_use: used, limit } = set[key] ?? { in_use: 0, limit: -1 }
            return (
              <li key={key}>
                <b>{title}</b>{' '}
                <small>
                  {used}
                  {unit} of {limit < 0 ? 'any' : `${limit}${unit}`}
                </small>
                {limit >= 0 && <Bar label={`${title}: ${used} of ${limit}`} used={used} whole={limit} />}
              </li>
            )
          })}
      </ul>
    </Panel>
  )
}
