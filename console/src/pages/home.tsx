/** How it is: pools filling, what is under way, what failed lately and why, who is up. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import type * as api from '../api'
import { useAnswer } from '../collection'
import { isUnderWay, type Operation } from '../kinds'
import { isAdmin } from '../session'
import { OperationTimeline } from '../timeline'
import { Bar, Empty, Link, Panel, Status, Time, Trouble } from '../ui'
import { gib, kindly, many } from '../words'

type Answer = Pick<ReturnType<typeof useAnswer<api.Audit>>, 'value' | 'error'>

/** The audit's verdict, when it last looked, and what it did not look at. */
export function Verdict({ value, error, most, children }: Answer & { most: number; children: ComponentChildren }) {
  const look = value.value?.audit
  if (!look) return error.value ? <p class="hint">{String(error.value)}</p> : null
  return (
    <div class={`verdict ${look.well ? 'good' : 'bad'}`} role="status">
      <p>
        <b>{look.well ? 'Nothing is stuck, and nothing contradicts itself.' : `${many(look.violations.length, 'thing is', 'things are')} not as ${look.violations.length === 1 ? 'it' : 'they'} should be.`}</b>{' '}
        <small>
          Looked at rows <Time at={look.at} />. {children}
        </small>
      </p>
      <ul>
        {look.violations.slice(0, most).map((one) => (
          <li key={one.id + one.kind}>{one.text}</li>
        ))}
      </ul>
    </div>
  )
}

function AuditsVerdict() {
  return (
    <Verdict {...useAnswer<api.Audit>('/pumice/v1/audit')} most={10}>
      All of it, and what repairs it: <Link to="/audit">audit</Link>.
    </Verdict>
  )
}

export function Home() {
  return (
    <>
      <h1>Home</h1>
      {isAdmin.value && <AuditsVerdict />}
      <div class="panels">
        <UnderWay />
        <Failed />
        {isAdmin.value && <Pools />}
        <Limits />
        {isAdmin.value && <Hosts />}
      </div>
    </>
  )
}

const scope = () => (isAdmin.value ? '&all_projects=1' : '')

function UnderWay() {
  const { value } = useAnswer<{ operations: Operation[] }>(`/pumice/v1/operations?limit=30${scope()}`, () => true)
  const found = value.value?.operations.filter(isUnderWay) ?? []
  return (
    <Panel title="Under way" wide aside={<Link to="/operations">All operations</Link>}>
      {found.map((one) => (
        <OperationTimeline key={one.id} operation={one} folded={found.length > 3} />
      ))}
      {value.value && !found.length && <Empty>Nothing is under way.</Empty>}
    </Panel>
  )
}

function Failed() {
  const path = `/pumice/v1/operations?state=failed&limit=8${scope()}`
  const { value } = useAnswer<{ operations: Operation[] }>(path, (event) => event.outcome !== 'done' || event.direction === 'undo')
  const found = value.value?.operations
  return (
    <Panel title="Failed lately, and why">
      {found && found.length > 0 && (
        <ul class="lines">
          {found.map((one) => (
            <li key={one.id}>
              <Link to={`/operations/${one.id}`}>{kindly(one.kind)}</Link> <Time at={one.finished_at ?? one.created_at} />
              <p>{one.error ?? 'It was cancelled.'}</p>
            </li>
          ))}
        </ul>
      )}
      {found && !found.length && <Empty>Nothing has failed.</Empty>}
    </Panel>
  )
}

interface Pool {
  name: string
  capabilities: {
    total_capacity_gb: number
    free_capacity_gb: number
    provisioned_capacity_gb: number
    allocated_capacity_gb: number
    max_over_subscription_ratio: string
    total_volumes: number
    backend_state: string
  }
}

/** Every pool, or those that volumes of one type may be in. */
export function Pools({ wide }: { wide?: boolean }) {
  const type = useSignal('')
  const of = type.value && `&volume_type=${encodeURIComponent(type.value)}`
  const { value, error } = useAnswer<{ pools: Pool[] }>(`/volume/v3/scheduler-stats/get_pools?detail=true${of}`, (event) =>
    /^(volume|snapshot)\./.test(event.kind),
  )
  const types = useAnswer<{ volume_types: { id: string; name: string }[] }>('/volume/v3/types?is_public=None')
  const choice = (
    <select aria-label="Of type" value={type.value} onChange={(event) => (type.value = event.currentTarget.value)}>
      <option value="">Any type</option>
      {types.value.value?.volume_types.map((one) => <option key={one.id}>{one.name}</option>)}
    </select>
  )
  return (
    <Panel title="Pools" wide={wide ?? false} aside={choice}>
      <Trouble error={error.value} />
      {value.value && !value.value.pools.length && <Empty>There is no pool for it.</Empty>}
      <ul class="lines">
        {value.value?.pools.map(({ name, capabilities: pool }) => {
          const used = pool.total_capacity_gb - pool.free_capacity_gb
          const over = pool.provisioned_capacity_gb / (pool.total_capacity_gb || 1)
          return (
            <li key={name}>
              <b>{name}</b> <Status of={pool.backend_state} />
              <Bar
                label={`${name}: ${gib(used)} used and ${gib(pool.provisioned_capacity_gb)} claimed of ${gib(pool.total_capacity_gb)}`}
                used={used}
                claimed={pool.provisioned_capacity_gb}
                whole={pool.total_capacity_gb}
              />
              <small>
                {gib(used)} used, {gib(pool.provisioned_capacity_gb)} claimed by {many(pool.total_volumes, 'volume', 'volumes')} ({over.toFixed(2)} of{' '}
                {Number(pool.max_over_subscription_ratio)} times), {gib(pool.free_capacity_gb)} free of {gib(pool.total_capacity_gb)}
              </small>
            </li>
          )
        })}
      </ul>
    </Panel>
  )
}

const LIMITS: readonly [string, string, string, string][] = [
  ['Volumes', 'totalVolumesUsed', 'maxTotalVolumes', ''],
  ['Space', 'totalGigabytesUsed', 'maxTotalVolumeGigabytes', ' GiB'],
  ['Snapshots', 'totalSnapshotsUsed', 'maxTotalSnapshots', ''],
  ['Backups', 'totalBackupsUsed', 'maxTotalBackups', ''],
  ['Space of backups', 'totalBackupGigabytesUsed', 'maxTotalBackupGigabytes', ' GiB'],
]

export function Limits() {
  const { value } = useAnswer<{ limits: { absolute: Record<string, number> } }>('/volume/v3/limits', () => true)
  const most = value.value?.limits.absolute
  return (
    <Panel title="This project's quota">
      <ul class="lines">
        {most &&
          LIMITS.map(([title, used, limit, unit]) => (
            <li key={title}>
              <b>{title}</b>{' '}
              <small>
                {most[used]}
                {unit} of {most[limit]! < 0 ? 'any number' : `${most[limit]}${unit}`}
              </small>
              {most[limit]! >= 0 && <Bar label={`${title}: ${most[used]} of ${most[limit]}`} used={most[used]!} whole={most[limit]!} />}
            </li>
          ))}
      </ul>
    </Panel>
  )
}

interface Service {
  binary: string
  host: string
  state: string
  status: string
  updated_at: string
}

export function Hosts() {
  const volume = useAnswer<{ services: Service[] }>('/volume/v3/os-services')
  const compute = useAnswer<{ services: Service[] }>('/compute/v2.1/os-services')
  const all = [...(volume.value.value?.services ?? []), ...(compute.value.value?.services ?? [])]
  return (
    <Panel title="Hosts">
      <ul class="lines">
        {all.map((one) => (
          <li key={`${one.binary} ${one.host}`}>
            <b>{one.host}</b> <small>{one.binary.replace(/^(cinder|nova)-/, '')}</small> <Status of={one.state} />{' '}
            {one.status === 'disabled' && <Status of="disabled" />}
          </li>
        ))}
      </ul>
    </Panel>
  )
}
