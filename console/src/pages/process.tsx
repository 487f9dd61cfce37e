/** What operators ask of the process that answers: whether all is as it should be, what its machine lacks, its settings. */
import { useComputed, useSignal } from '@preact/signals'
import type * as api from '../api'
import { useAnswer } from '../collection'
import { Commands } from '../commands'
import { confirm } from '../forms/form'
import { type Column, Table } from '../table'
import { Copy, Empty, Panel, Status, Time, Trouble } from '../ui'
import { Verdict } from './home'

const REPAIR = { method: 'POST', path: '/pumice/v1/audit/actions/repair' }

export function Audit() {
  const look = useAnswer<api.Audit>('/pumice/v1/audit')
  const done = useSignal<api.Repaired | null>(null)
  const repair = () =>
    confirm('Repair what can be repaired?', 'Repair', REPAIR, 'Rows, bytes, exports and machines are looked at, and what is not as it should be is put right. Bytes that nothing here knows stay.', {
      done: 'What could be repaired was.',
      after: (answer) => (done.value = (answer as api.Repair).repair),
    })
  return (
    <>
      <div class="tools">
        <h1>Audit</h1>
        <span class="gap" />
        <button type="button" class="main" onClick={repair}>
          Repair
        </button>
      </div>
      <Verdict {...look} most={1000}>A repair looks at bytes, exports and machines as well.</Verdict>
      <div class="panels">
        {done.value && <Done repair={done.value} />}
        <Panel title="The same as a command">
          <Commands say={REPAIR} />
        </Panel>
      </div>
    </>
  )
}

function Done({ repair }: api.Repair) {
  const nothing = !repair.repaired.length && !repair.left.length
  return (
    <Panel title={`Repair by ${repair.host}`} wide aside={<Time at={repair.at} />}>
      {nothing && <Empty>There was nothing to repair.</Empty>}
      <Lines title="Repaired" of={repair.repaired} />
      <Lines title="Left: only a person can repair it" of={repair.left} />
      <Lines title="Put aside" of={repair.put_aside} />
      <Lines title="Not looked at" of={repair.not_looked_at} />
    </Panel>
  )
}

function Lines({ title, of }: { title: string; of: readonly string[] }) {
  if (!of.length) return null
  return (
    <>
      <h3>{title}</h3>
      <ul class="lines">
        {of.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
    </>
  )
}

export function Doctor() {
  const { value, error } = useAnswer<api.Doctor>('/pumice/v1/doctor')
  const found = value.value?.doctor
  const lacking = found?.findings.filter((one) => one.verdict !== 'ok') ?? []
  return (
    <>
      <h1>Doctor</h1>
      <Trouble error={error.value} />
      {!found && !error.value && <Empty>It looks at the machine…</Empty>}
      {found && (
        <>
          <div class={`verdict ${found.serves ? 'good' : 'bad'}`} role="status">
            <p>
              <b>
                {!found.serves ? 'Volumes cannot be served.' : lacking.length ? 'Volumes can be served; not everything can be had.' : 'Everything that the settings ask for is here.'}
              </b>{' '}
              <small>
                Host {found.host} looked at itself <Time at={found.at} />. Other hosts: <code>pumice doctor</code> there.
              </small>
            </p>
          </div>
          <div class="panels">
            <Panel title="Parts" wide>
              <ul class="lines">
                {[...lacking, ...found.findings.filter((one) => one.verdict === 'ok')].map((one) => (
                  <li key={one.part}>
                    <b>{one.part}</b> <Status of={one.verdict} /> {one.found}
                    {one.without && <p>Works all the same: {one.without}</p>}
                    {one.cure && (
                      <p>
                        To do: <code>{one.cure}</code> <Copy text={one.cure} />
                      </p>
                    )}
                  </li>
                ))}
              </ul>
            </Panel>
          </div>
        </>
      )}
    </>
  )
}

const SETTINGS: readonly Column<api.Setting>[] = [
  { title: 'Name', width: 'minmax(10rem, 1fr)', cell: (row) => <code title={row.variable}>{row.name}</code> },
  { title: 'Value', width: 'minmax(6rem, 1fr)', cell: (row) => <span title={inWords(row.value)}>{inWords(row.value)}</span> },
  { title: 'From', width: 'minmax(6rem, 10rem)', wide: true, cell: (row) => <span title={row.source}>{row.source}</span> },
  { title: 'Changed by', width: '6rem', wide: true, cell: (row) => (row.live ? 'reload' : 'restart') },
  { title: 'Meaning', width: 'minmax(8rem, 2fr)', wide: true, cell: (row) => <span title={row.meaning}>{row.meaning}</span> },
]

const inWords = (value: unknown) => (value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value))

export function Settings() {
  const { value, error } = useAnswer<api.Settings>('/pumice/v1/settings')
  const text = useSignal('')
  const given = useSignal(false)
  const found = value.value
  const rows = useComputed(() => {
    const words = text.value.toLowerCase()
    return (value.value?.settings ?? []).filter(
      (one) => (!given.value || one.source !== 'default') && `${one.name} ${one.meaning}`.toLowerCase().includes(words),
    )
  })
  return (
    <>
      <div class="tools">
        <h1>Settings</h1>
        <span class="count">{rows.value.length}</span>
        <input type="search" placeholder="Search" aria-label="Search settings" value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
        <label class="check">
          <input type="checkbox" checked={given.value} onChange={(event) => (given.value = event.currentTarget.checked)} />
          Only what was set
        </label>
      </div>
      <Trouble error={error.value} />
      {found && (
        <p class="hint">
          Of the process on {found.host} that answered: other processes read settings of their own. A reload is SIGHUP. Secrets are not shown.
        </p>
      )}
      <Table label="Settings" rows={rows.value} columns={SETTINGS} id={(row) => row.name} empty={found ? 'None is like that.' : 'Loading…'} />
    </>
  )
}
