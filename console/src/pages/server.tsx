/** One server: why it is as it is, its disks in their order, its serial console as it is written, its history. */
import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { Commands } from '../commands'
import { useAnswer } from '../collection'
import type { Happened } from '../events'
import { confirm } from '../forms/form'
import { attachTo, detach } from '../forms/volume'
import { ask, Refused } from '../http'
import { nameOf, type Server, SERVERS } from '../kinds'
import { mayAct } from '../session'
import { Empty, Link, Panel, Status, Time, Trouble } from '../ui'
import { removeServer } from './lists'
import { History, Why } from './volume'

const LINES = 300
const AGAIN_MS = 2500

interface Disk {
  volumeId: string
  device: string
  delete_on_termination: boolean
}

export function ServerPage({ id }: { id: string }) {
  const ours = (event: Happened) =>
    event.kind !== 'server.console' && (event.subject === id || /^(attachment|volume)\./.test(event.kind))
  const { value, error } = useAnswer<{ server: Server }>(SERVERS.one(id), ours)
  const server = value.value?.server
  const gone = error.value instanceof Refused && error.value.status === 404
  return (
    <>
      <div class="tools">
        <h1>{server ? nameOf(server) : 'Server'}</h1>
        {gone ? <Status of="deleted" /> : server && <Status of={server.status} />}
        {server?.['OS-EXT-STS:task_state'] && <Status of={server['OS-EXT-STS:task_state']} />}
        <span class="gap" />
        {server && !gone && mayAct.value && <Actions server={server} />}
      </div>
      {gone ? <Empty>There is no such server, or none any more. What is known of it is in its history.</Empty> : <Trouble error={error.value} />}
      {server?.fault && <Trouble error={server.fault.message} />}
      {!gone && <Why id={id} ours={ours} />}
      <div class="panels">
        {server && !gone && mayAct.value && <Log server={server} />}
        <History of={`subject=${id}`} touches={(event) => event.subject === id} except="server.console" />
        {server && !gone && (
          <>
            <Disks id={id} ours={ours} />
            <About server={server} />
          </>
        )}
        <Panel title="The same as a command">
          <Commands say={{ path: SERVERS.one(id), openstack: `openstack server show ${id}` }} />
        </Panel>
      </div>
    </>
  )
}

function Actions({ server }: { server: Server }) {
  const act = (title: string, body: Record<string, unknown>, openstack: string, refuses: string | null) => (
    <button
      type="button"
      class="small"
      disabled={Boolean(refuses)}
      title={refuses ?? ''}
      onClick={() =>
        confirm(
          `${title} ${nameOf(server)}?`,
          title,
          { method: 'POST', path: `${SERVERS.one(server.id)}/action`, body, openstack: `openstack server ${openstack} ${server.id}` },
          'Its disks stay as they are.',
          { done: 'It is being done.' },
        )
      }
    >
      {title}
    </button>
  )
  const unless = (status: string) => (server.status === status ? null : `It is ${server.status}.`)
  return (
    <>
      {act('Start', { 'os-start': null }, 'start', unless('SHUTOFF'))}
      {act('Stop', { 'os-stop': null }, 'stop', unless('ACTIVE'))}
      {act('Reboot', { reboot: { type: 'SOFT' } }, 'reboot', unless('ACTIVE'))}
      <button type="button" class="small" onClick={() => attachTo(server)}>
        Attach volume
      </button>
      <button type="button" class="small danger" onClick={() => removeServer(server)}>
        Delete
      </button>
    </>
  )
}

function Disks({ id, ours }: { id: string; ours: (event: Happened) => boolean }) {
  const { value } = useAnswer<{ volumeAttachments: Disk[] }>(`${SERVERS.one(id)}/os-volume_attachments`, ours)
  const disks = value.value?.volumeAttachments.toSorted((one, other) => (one.device ?? '').localeCompare(other.device ?? ''))
  return (
    <Panel title="Disks, in their order">
      <ol class="lines">
        {disks?.map((disk, index) => (
          <li key={disk.volumeId}>
            <b>{disk.device || 'no device yet'}</b> <Link to={`/volumes/${disk.volumeId}`}>volume {disk.volumeId.slice(0, 8)}</Link>{' '}
            <small>{disk.delete_on_termination ? 'goes with the server' : 'stays'}</small>{' '}
            {mayAct.value && index > 0 && (
              <button type="button" class="quiet small" aria-label={`Detach ${disk.device}`} onClick={() => detach({ id: disk.volumeId }, id)}>
                Detach
              </button>
            )}
          </li>
        ))}
      </ol>
      {disks && !disks.length && <Empty>It has no volumes.</Empty>}
    </Panel>
  )
}

/** The end of the serial console's log, read again while it is looked at. */
function Log({ server }: { server: Server }) {
  const text = useSignal('')
  const error = useSignal<unknown>(null)
  const open = useSignal(true)
  const box = useRef<HTMLPreElement>(null)
  useEffect(() => {
    if (!open.value || server.status === 'BUILD') return
    let gone = false
    let timer = 0
    const look = async () => {
      if (document.visibilityState === 'visible') {
        try {
          const body = { 'os-getConsoleOutput': { length: LINES } }
          const answer = await ask<{ output: string }>(`${SERVERS.one(server.id)}/action`, { method: 'POST', body })
          const atEnd = !box.current || box.current.scrollTop + box.current.clientHeight > box.current.scrollHeight - 30
          text.value = answer.output
          error.value = null
          if (atEnd) requestAnimationFrame(() => box.current?.scrollTo(0, box.current.scrollHeight))
        } catch (thrown) {
          error.value = thrown
        }
      }
      if (!gone && server.status === 'ACTIVE') timer = window.setTimeout(() => void look(), AGAIN_MS)
    }
    void look()
    return () => {
      gone = true
      clearTimeout(timer)
    }
  }, [open.value, server.status])
  return (
    <Panel
      title="Serial console"
      wide
      aside={
        <button type="button" class="quiet small" aria-pressed={open.value} onClick={() => (open.value = !open.value)}>
          {open.value ? 'Hold' : 'Follow'}
        </button>
      }
    >
      <Trouble error={error.value} />
      <pre class="console" ref={box} tabIndex={0} aria-label="Serial console">
        {text.value || 'Nothing was written yet.'}
      </pre>
    </Panel>
  )
}

function About({ server }: { server: Server }) {
  const { flavor } = server
  return (
    <Panel title="About">
      <dl>
        <dt>Id</dt>
        <dd>
          <code>{server.id}</code>
        </dd>
        <dt>Flavor</dt>
        <dd>
          {flavor.original_name}
          {flavor.vcpus && `: ${flavor.vcpus} CPU, ${flavor.ram} MiB`}
        </dd>
        {server['OS-EXT-SRV-ATTR:host'] && (
          <>
            <dt>Host</dt>
            <dd>{server['OS-EXT-SRV-ATTR:host']}</dd>
          </>
        )}
        <dt>Created</dt>
        <dd>
          <Time at={server.created} />
        </dd>
      </dl>
    </Panel>
  )
}
