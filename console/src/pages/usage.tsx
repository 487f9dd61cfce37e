/** Usage: the project's GiB-hours by type and day. */
import { useSignal } from '@preact/signals'
import type * as api from '../api'
import { useAnswer } from '../collection'
import { Commands } from '../commands'
import { send } from '../http'
import { attempt, Bar, Empty, Panel, Trouble } from '../ui'

export function Usage() {
  const from = useSignal('')
  const to = useSignal('')
  const days = [from.value && `from=${from.value}`, to.value && `to=${to.value}`].filter(Boolean).join('&')
  const path = `/pumice/v1/usage${days && `?${days}`}`
  const csv = `/pumice/v1/usage?format=csv${days && `&${days}`}`
  const { value, error } = useAnswer<api.Usage>(path)
  const used = value.value?.usage
  const titles = new Set(used?.map(titled))
  return (
    <>
      <div class="tools">
        <h1>Usage</h1>
        <Day label="From" day={from} />
        <Day label="To" day={to} />
        <span class="hint">Days are those of UTC{days ? '.' : ': the last 30.'}</span>
        <span class="gap" />
        <button type="button" onClick={() => void attempt(() => download(csv))}>
          Download CSV
        </button>
      </div>
      <Trouble error={error.value} />
      {used && !used.length && <Empty>Nothing was used on these days.</Empty>}
      <div class="panels">
        {[...titles].map((title) => (
          <OfType key={title} title={title} used={used!.filter((one) => titled(one) === title)} />
        ))}
        <Panel title="The same as a command">
          <Commands key={csv} say={{ path: csv }} />
        </Panel>
      </div>
    </>
  )
}

const titled = ({ kind, volume_type }: api.Used) =>
  kind === 'backup' ? 'Backups' : volume_type ? `Volumes and snapshots of type ${volume_type}` : 'Volumes and snapshots of no type'

function Day({ label, day }: { label: string; day: { value: string } }) {
  return (
    <label class="check">
      {label}
      <input type="date" value={day.value} onChange={(event) => (day.value = event.currentTarget.value)} />
    </label>
  )
}

const rounded = (number: number) => number.toLocaleString(undefined, { maximumFractionDigits: number < 10 ? 2 : 0 })
const hours = (number: number) => `${number < 0.01 ? 'under 0.01' : rounded(number)}\u00a0GiB\u00a0h`

function OfType({ title, used }: { title: string; used: readonly api.Used[] }) {
  const most = Math.max(...used.map((one) => one.gib_hours))
  const sum = used.reduce((all, one) => all + one.gib_hours, 0)
  return (
    <Panel title={title} aside={hours(sum)}>
      <ul class="days">
        {used.map(({ day, gib_hours }) => (
          <li key={day}>
            <time dateTime={day}>{day}</time>
            <Bar label={`${day}: ${hours(gib_hours)}`} used={gib_hours} whole={most} />
            <span>{hours(gib_hours)}</span>
          </li>
        ))}
      </ul>
    </Panel>
  )
}

/** A file of what an address answers, under the name that it says. */
async function download(path: string) {
  const reply = await send(path)
  const named = /filename="(.+)"/.exec(reply.headers.get('Content-Disposition') ?? '')?.[1]
  const link = document.createElement('a')
  link.href = URL.createObjectURL(await reply.blob())
  link.download = named ?? 'usage.csv'
  link.click()
  URL.revokeObjectURL(link.href)
}
