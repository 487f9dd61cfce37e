/** Schedules: when they are due, how they ended last; and of one, each run. */
import { useEffect } from 'preact/hooks'
import { LOOK_MS, useAnswer } from '../collection'
import { Commands } from '../commands'
import { actionsOn, createSchedule } from '../forms/schedule'
import { Refused } from '../http'
import { nameOf, type Run, type Schedule, SCHEDULES } from '../kinds'
import { mayAct } from '../session'
import { Empty, Link, Panel, Status, Time, Trouble } from '../ui'
import { clock } from '../words'
import { Act, List } from './lists'

export function Schedules() {
  return (
    <List<Schedule>
      title="Schedules"
      kind={SCHEDULES}
      columns={[
        { title: 'Name', width: 'minmax(5rem, 1fr)', cell: (row) => <Link to={`/schedules/${row.id}`}>{nameOf(row)}</Link> },
        { title: 'State', width: '6rem', wide: true, cell: (row) => <Status of={row.status} /> },
        { title: 'Makes', width: 'minmax(9rem, 1fr)', wide: true, cell: (row) => <Of schedule={row} /> },
        { title: 'When', width: 'minmax(9rem, 1fr)', wide: true, cell: (row) => `${row.cron} ${row.timezone}` },
        { title: 'Next', width: '12rem', wide: true, cell: (row) => row.next_run_at && clock(row.next_run_at) },
        { title: 'Last run', width: 'minmax(5rem, 1fr)', cell: (row) => row.last_run && <Outcome run={row.last_run} /> },
      ]}
      statuses={[]}
      every="all_projects=1"
      actionsWidth="13rem"
      actions={(row) => actionsOn(row).map((one) => <Act key={one.title} {...one} of={row} />)}
    >
      <button type="button" class="main" onClick={createSchedule}>
        Create schedule
      </button>
    </List>
  )
}

function Of({ schedule: { kind, volume_id, group_id, metadata } }: { schedule: Schedule }) {
  return (
    <>
      {kind} of{' '}
      {volume_id ? <Link to={`/volumes/${volume_id}`}>{volume_id.slice(0, 8)}</Link> : group_id ? `group ${group_id.slice(0, 8)}` : pairs(metadata)}
    </>
  )
}

const pairs = (metadata: Record<string, string> | null) =>
  Object.entries(metadata ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(', ')

function Outcome({ run }: { run: Run }) {
  return (
    <span title={run.error ?? ''}>
      <Status of={run.state} /> <Time at={run.started_at} />
    </span>
  )
}

export function SchedulePage({ id }: { id: string }) {
  const path = SCHEDULES.one(id)
  const one = useAnswer<{ schedule: Schedule }>(path, () => true)
  const many = useAnswer<{ runs: Run[] }>(`${path}/runs?limit=50`, () => true)
  const gone = one.error.value instanceof Refused && one.error.value.status === 404
  const schedule = gone ? undefined : one.value.value?.schedule
  const runs = many.value.value?.runs
  const runsNow = runs?.some((run) => run.state === 'running') || schedule?.last_run?.state === 'running' || schedule?.deleting
  useEffect(() => {
    if (!runsNow) return
    const looking = setInterval(() => void Promise.all([one.again(), many.again()]), LOOK_MS) // how a run ends is no event
    return () => clearInterval(looking)
  }, [runsNow])
  return (
    <>
      <div class="tools">
        <h1>{schedule ? nameOf(schedule) : 'Schedule'}</h1>
        {schedule && <Status of={schedule.deleting ? 'deleting' : schedule.enabled ? 'enabled' : 'disabled'} />}
        <span class="gap" />
        {schedule && mayAct.value && (
          <div class="actions" role="group" aria-label="What can be done with it">
            {actionsOn(schedule).map(({ title, refuses, open, danger }) => (
              <button key={title} type="button" class={`small${danger ? ' danger' : ''}`} disabled={Boolean(refuses)} title={refuses ?? ''} onClick={open}>
                {title}
              </button>
            ))}
          </div>
        )}
      </div>
      <Trouble error={one.error.value} />
      {schedule && (
        <div class="panels">
          <About schedule={schedule} />
          <Panel title="Runs">
            <ul class="lines">
              {runs?.map((run) => (
                <li key={run.id}>
                  <Status of={run.state} /> <Time at={run.started_at} />, {run.made} of {run.volumes} made
                  {run.manual && ', asked for'}
                  {run.error && <p>{run.error}</p>}
                </li>
              ))}
            </ul>
            {runs && !runs.length && <Empty>It has not run yet.</Empty>}
          </Panel>
          <Panel title="The same as a command">
            <Commands say={{ path, openstack: `openstack schedule show ${id}` }} />
          </Panel>
        </div>
      )}
    </>
  )
}

function About({ schedule }: { schedule: Schedule }) {
  const kept = Object.entries(schedule.keep).filter(([, many]) => many)
  return (
    <Panel title="About">
      <dl>
        <dt>Makes</dt>
        <dd>
          <Of schedule={schedule} />
        </dd>
        <dt>When</dt>
        <dd>
          <code>{schedule.cron}</code> {schedule.timezone}
        </dd>
        <dt>Next</dt>
        <dd>{schedule.next_run_at ? clock(schedule.next_run_at) : 'when it is enabled'}</dd>
        <dt>Keeps</dt>
        <dd>{kept.map(([rule, many]) => `${many} ${rule}`).join(', ') || 'everything'}</dd>
        {schedule.full_every && (
          <>
            <dt>Whole</dt>
            <dd>each {schedule.full_every}th backup</dd>
          </>
        )}
      </dl>
    </Panel>
  )
}
