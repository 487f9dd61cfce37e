/** Webhooks: where the project is told what happens. A secret is shown once, where it was made. */
import type * as api from '../api'
import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { quoted } from '../commands'
import { confirm, form } from '../forms/form'
import { type Webhook, WEBHOOKS } from '../kinds'
import { go } from '../router'
import { Copy, Status, Time } from '../ui'
import { Act, List } from './lists'

type Told = Pick<Webhook, 'url'> & { secret: string }

const told = signal<Told | null>(null)
const tell = (answer: unknown) => (told.value = (answer as { webhook: Told }).webhook)

export function Webhooks() {
  useEffect(() => () => void (told.value = null), [])
  return (
    <>
      {told.value && <Secret of={told.value} />}
      <List<Webhook>
        title="Webhooks"
        kind={WEBHOOKS}
        columns={[
          { title: 'Posts to', width: 'minmax(4rem, 2fr)', cell: (row) => <span title={row.id}>{row.url}</span> },
          { title: 'State', width: '6rem', wide: true, cell: (row) => <Status of={row.status} /> },
          { title: 'Of kinds', width: 'minmax(6rem, 1fr)', wide: true, cell: (row) => row.kinds.join(', ') },
          { title: 'When they', width: 'minmax(7rem, 1fr)', wide: true, cell: (row) => row.outcomes.join(', ') },
          { title: 'Why', width: 'minmax(6rem, 1fr)', wide: true, cell: (row) => <Trouble of={row} /> },
        ]}
        statuses={[]}
        every="all_projects=1"
        actionsWidth="17rem"
        actions={(row) => actionsOn(row).map((one) => <Act key={one.title} {...one} of={row} />)}
      >
        <button type="button" class="main" onClick={createWebhook}>
          Create webhook
        </button>
      </List>
    </>
  )
}

function Trouble({ of }: { of: Webhook }) {
  if (of.disabled_reason) return <span title={of.disabled_reason}>{of.disabled_reason}</span>
  return of.failing_since ? (
    <>
      fails since <Time at={of.failing_since} />
    </>
  ) : null
}

function Secret({ of }: { of: Told }) {
  return (
    <div class="verdict" role="status">
      <p>
        The secret by which messages to {of.url} are verified. It is shown this once: keep it now.
      </p>
      <p>
        <code>{of.secret}</code> <Copy text={of.secret} label="Copy secret" />
        <button type="button" class="quiet small" onClick={() => (told.value = null)}>
          It is kept
        </button>
      </p>
    </div>
  )
}

const words = (text: string) => text.split(/[\s,]+/).filter(Boolean)

const OUTCOMES: readonly string[] = ['start', 'end', 'error', 'done', 'retry', 'failed', 'waiting'] satisfies api.Outcome[]

function createWebhook() {
  form({
    title: 'Create webhook',
    action: 'Create',
    fields: [
      { name: 'url', label: 'Address', value: '', hint: 'https://… where a POST is answered with 2xx' },
      { name: 'kinds', label: 'Kinds of operations', value: '*', hint: 'As in volume.*, snapshot.create' },
      { name: 'outcomes', label: 'When they', value: 'start, end, error', hint: 'Of their steps also: done, retry, failed, waiting' },
      { name: 'format', label: 'Format', value: 'pumice', options: ['pumice', 'cinder'] },
    ],
    refuses: ({ url, kinds, outcomes }) =>
      !/^https?:\/\/[^/\s]/.test(url!)
        ? 'It is an address with http:// or https:// before a host.'
        : !words(kinds!).length || !words(outcomes!).length
          ? 'Name kinds and outcomes; * is every kind.'
          : words(outcomes!).some((word) => !OUTCOMES.includes(word))
            ? `They ${OUTCOMES.join(', ')}.`
            : null,
    said: ({ url, kinds, outcomes, format }) => ({
      method: 'POST',
      path: WEBHOOKS.list,
      body: { webhook: { url, kinds: words(kinds!), outcomes: words(outcomes!), format } },
      openstack: [
        `openstack webhook create ${quoted(url || 'URL')} --message-format ${format}`,
        ...words(kinds!).map((kind) => `--kind ${quoted(kind)}`),
        ...words(outcomes!).map((outcome) => `--outcome ${outcome}`),
      ].join(' '),
    }),
    done: 'It was made.',
    after: tell,
  })
}

function actionsOn({ id, url, enabled }: Webhook) {
  const path = WEBHOOKS.one(id)
  const turn = enabled ? 'Disable' : 'Enable'
  const change = { method: 'PUT', path }
  return [
    {
      title: 'Test',
      open: () =>
        form({
          title: `Send a message to ${url}?`,
          action: 'Send',
          fields: [],
          said: () => ({ method: 'POST', path: `${path}/actions/test`, openstack: `openstack webhook test ${id}` }),
          done: 'It is sent, once.',
          after: (answer) => go(`/operations/${(answer as { operation_id: string }).operation_id}`),
        }),
    },
    {
      title: turn,
      open: () =>
        confirm(
          `${turn} ${url}?`,
          turn,
          { ...change, body: { webhook: { enabled: !enabled } }, openstack: `openstack webhook set ${id} --${turn.toLowerCase()}` },
          enabled ? 'It is told nothing until it is enabled.' : 'It is told what happens from now on.',
          { done: `It is ${enabled ? 'disabled' : 'enabled'}.` },
        ),
    },
    {
      title: 'New secret',
      open: () =>
        form({
          title: `Another secret for ${url}?`,
          action: 'Make it',
          fields: [],
          said: () => ({ ...change, body: { webhook: { new_secret: true } }, openstack: `openstack webhook set ${id} --new-secret` }),
          done: 'From now on messages are signed by it.',
          after: tell,
        }),
    },
    {
      title: 'Delete',
      open: () =>
        confirm(
          `Delete ${url}?`,
          'Delete',
          { method: 'DELETE', path, openstack: `openstack webhook delete ${id}` },
          'It is told nothing any more, also of what has happened already.',
          { danger: true, done: 'It was deleted.' },
        ),
    },
  ]
}
