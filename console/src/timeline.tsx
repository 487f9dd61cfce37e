/** An operation as a timeline: each step with its time, its tries, what was undone, and what it waits for. */
import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { useAnswer } from './collection'
import { send } from './http'
import { isUnderWay, type Line, type Operation, type OperationInFull } from './kinds'
import { mayAct } from './session'
import { attempt, Link, Status, Time } from './ui'
import { bytes, clock, kindly, moment, plainly, span } from './words'

/** The present, for what counts as it passes; it ticks while something under way is shown. */
const now = signal(Date.now())

export function OperationTimeline({ operation, folded, gib }: { operation: Operation; folded?: boolean; gib?: number }) {
  const { value, error, again } = useAnswer<{ operation: OperationInFull }>(
    `/pumice/v1/operations/${operation.id}`,
    (event) => event.operation_id === operation.id,
  )
  const found = value.value?.operation
  const underWay = isUnderWay(found ?? operation)
  useEffect(() => {
    if (!underWay) return
    const ticking = setInterval(() => (now.value = Date.now()), 250)
    const looking = setInterval(() => void again(), 1500) // progress is no event
    return () => {
      clearInterval(ticking)
      clearInterval(looking)
      void again()
    }
  }, [underWay])
  return (
    <details class={`operation ${(found ?? operation).state}`} open={!folded}>
      <summary>
        <b>{kindly(operation.kind)}</b> <Status of={(found ?? operation).state} />
        <span class="gap" />
        <Time at={operation.created_at} />
        <span class="took">{took(found ?? operation)}</span>
      </summary>
      {error.value ? <p class="trouble">{String(error.value)}</p> : found && <Steps operation={found} {...(gib ? { gib } : {})} />}
    </details>
  )
}

function took(operation: Operation): string {
  const end = operation.finished_at ? moment(operation.finished_at) : now.value
  return span(Math.max(0, (end - moment(operation.created_at)) / 1000))
}

export function Steps({ operation, gib }: { operation: OperationInFull; gib?: number }) {
  const start = moment(operation.created_at)
  const done = operation.lines.map((line) => moment(line.started_at) + line.seconds * 1000)
  const underWay = isUnderWay(operation)
  const end = Math.max(start + 1, ...done, operation.finished_at ? moment(operation.finished_at) : underWay ? now.value : 0)
  const place = (from: number, seconds: number) => ({
    left: `${(100 * (from - start)) / (end - start)}%`,
    width: `max(3px, ${(100 * seconds * 1000) / (end - start)}%)`,
  })
  /** Seconds; what waited did so until the next line. */
  const lasted = (index: number) => {
    const line = operation.lines[index]!
    const next = operation.lines[index + 1]
    return line.outcome === 'waiting' && next ? (moment(next.started_at) - moment(line.started_at)) / 1000 : line.seconds
  }
  const inHand = underWay ? operation.step : null
  const reached = new Set(operation.lines.map((line) => line.step))
  const left = underWay && operation.state !== 'undoing' && operation.state !== 'cleaning'
    ? operation.steps.filter((step) => !reached.has(step) && step !== inHand)
    : []
  return (
    <>
      <ol class="steps">
        {operation.lines.map((line, index) => (
          <li key={index} class={`${line.direction} ${line.outcome}`}>
            <span class="name">
              {line.direction === 'undo' && 'undo '}
              {plainly(line.step)}
              {line.times > 1 && <em> ×{line.times}</em>}
            </span>
            <span class="track" title={`${clock(line.started_at)}${line.place ? `, at ${line.place}` : ''}`}>
              <i style={place(moment(line.started_at), lasted(index))} />
            </span>
            <span class="took">{span(lasted(index))}</span>
            <span class="outcome">
              {line.outcome === 'done' ? '' : line.outcome}
              <Words line={line} />
            </span>
          </li>
        ))}
        {inHand && (
          <li class="now" aria-current="step">
            <span class="name">{plainly(inHand)}</span>
            <span class="track">
              <i style={place(done.at(-1) ?? start, (end - (done.at(-1) ?? start)) / 1000)} />
            </span>
            <span class="took">{span((end - (done.at(-1) ?? start)) / 1000)}</span>
            <span class="outcome">{operation.state === 'running' ? 'under way' : operation.state}</span>
          </li>
        )}
        {left.map((step) => (
          <li key={step} class="ahead">
            <span class="name">{plainly(step)}</span>
            <span class="track" />
            <span class="took" />
            <span class="outcome" />
          </li>
        ))}
      </ol>
      {operation.progress != null && <Progress operation={operation} since={done.at(-1) ?? start} {...(gib ? { gib } : {})} />}
      {operation.error && <p class="trouble">{operation.error}</p>}
      <Next operation={operation} />
    </>
  )
}

function Words({ line }: { line: Line }) {
  return line.error ? <small title={line.error}> {line.error}</small> : null
}

/** How far a long step is; its rate and the time left by how far it came in the time it had. */
function Progress({ operation, since, gib }: { operation: OperationInFull; since: number; gib?: number }) {
  const part = operation.progress!
  const seconds = (now.value - since) / 1000
  const left = part > 0.01 ? (seconds * (1 - part)) / part : null
  const percent = Math.round(part * 100)
  const aSecond = part / Math.max(seconds, 0.1)
  const rate = gib ? bytes(aSecond * gib * 1024 ** 3) : `${(aSecond * 100).toFixed(1)} %`
  return (
    <p class="progress">
      <progress value={part} max={1} aria-label={`${plainly(operation.step ?? '')}: ${percent} %`} />
      <span>
        {percent} %{part > 0 && `, ${rate} a second`}
        {left !== null && part < 1 && `, about ${span(left)} left`}
      </span>
    </p>
  )
}

/** What happens next, when at the latest, and what one can do about it. */
function Next({ operation }: { operation: OperationInFull }) {
  const act = (action: string, done: string) => () =>
    attempt(() => send(`/pumice/v1/operations/${operation.id}/actions/${action}`, { method: 'POST' }), done)
  const underWay = isUnderWay(operation)
  return (
    <p class="next">
      {operation.waits_for.length > 0 && (
        <span>
          Waits for{' '}
          {operation.waits_for.map((id) => (
            <Link key={id} to={`/operations/${id}`}>
              {id.slice(0, 8)}
            </Link>
          ))}
          .
        </span>
      )}
      {operation.next_try_at && (
        <span>
          Tried {operation.tries} times; next at {clock(operation.next_try_at)}.
        </span>
      )}
      {operation.ends_by && underWay && <span>Ends by {clock(operation.ends_by)}, one way or the other.</span>}
      {operation.cancelled && underWay && <span>It was asked to turn back.</span>}
      <Link to={`/operations/${operation.id}`}>Operation {operation.id.slice(0, 8)}</Link>
      {mayAct.value && underWay && !operation.cancelled && (
        <button type="button" class="small" onClick={act('cancel', 'It turns back after the step in hand.')}>
          Cancel operation
        </button>
      )}
      {mayAct.value && !operation.retry_refused && (operation.state === 'failed' || operation.next_try_at) && (
        <button type="button" class="small" onClick={act('retry', 'It is tried again.')}>
          Retry
        </button>
      )}
    </p>
  )
}
