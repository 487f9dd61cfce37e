/** Where a volume would be made, and why: what each filter says of each pool, and what to ask for instead. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { Choice, Explanation } from '../api'
import { Commands } from '../commands'
import { whole } from '../forms/form'
import { SizeAndType } from '../forms/size_and_type'
import { ask } from '../http'
import { Empty, Panel, Trouble } from '../ui'
import { plainly } from '../words'

const PATH = '/pumice/v1/explain'

export function Explain() {
  const size = useSignal('10')
  const type = useSignal('')
  const answer = useSignal<Choice | null>(null)
  const error = useSignal<unknown>(null)
  const gib = whole(size.value)
  const body = { volume: { size: gib ?? 0, ...(type.value && { volume_type: type.value }) } }
  useEffect(() => {
    if (gib === null) return
    const timer = setTimeout(async () => {
      try {
        answer.value = (await ask<Explanation>(PATH, { method: 'POST', body })).explanation
        error.value = null
      } catch (thrown) {
        error.value = thrown
      }
    }, 200)
    return () => clearTimeout(timer)
  }, [gib, type.value])
  return (
    <>
      <h1>Explain</h1>
      <p class="why">Where a volume would be made at this moment, and why. Nothing is made by asking.</p>
      <div class="tools">
        <SizeAndType {...{ size, type }} />
      </div>
      {gib === null && <p class="hint">The size is a whole number of GiB, at least 1.</p>}
      <Trouble error={error.value} />
      <div class="panels">
        {answer.value && <Answer of={answer.value} />}
        <Panel title="The same as a command">
          <Commands
            say={{
              method: 'POST',
              path: PATH,
              body,
              openstack: `openstack volume explain --size ${size.value}${type.value ? ` --type ${type.value}` : ''}`,
            }}
          />
        </Panel>
      </div>
    </>
  )
}

function Answer({ of }: { of: Choice }) {
  return (
    <>
      <Panel title={of.fits ? 'It fits' : 'It fits nowhere'}>
        {of.winner && (
          <p>
            It would be made in <b>{of.winner}</b>
            {of.drawn && ', the likeliest: it is drawn by chance'}.
          </p>
        )}
        {of.advice.map((sentence) => (
          <p key={sentence}>{sentence}</p>
        ))}
        <ol class="lines">
          <li>
            {of.looked_at} {of.looked_at === 1 ? 'pool' : 'pools'}
          </li>
          {of.left.map((one) => (
            <li key={one.filter}>
              {one.pools} left behind <b>{plainly(one.filter)}</b>
            </li>
          ))}
        </ol>
      </Panel>
      {of.pools.map((pool) => (
        <Panel key={pool.name} title={`${pool.name}: ${pool.fits ? `weight ${(pool.weight ?? 0).toFixed(3)}` : 'does not fit'}`}>
          <ul class="lines">
            {pool.verdicts.map((one) => (
              <li key={one.filter} class={one.passes ? 'passes' : 'refuses'}>
                <b>{plainly(one.filter)}</b> <small>{one.figures}</small>
              </li>
            ))}
            {Object.entries(pool.shares).map(([weigher, share]) => (
              <li key={weigher}>
                {plainly(weigher)} <small>gives {share.toFixed(3)}</small>
              </li>
            ))}
          </ul>
        </Panel>
      ))}
      {!of.pools.length && !of.fits && !of.advice.length && <Empty>There is no advice.</Empty>}
    </>
  )
}
