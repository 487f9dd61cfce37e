/** One volume: what it is, why it is so, where it is and who uses it, where it came from, and its history. */
import { Fragment } from 'preact'
import type * as api from '../api'
import { Commands } from '../commands'
import { useAnswer } from '../collection'
import type { Happened } from '../events'
import { actionsOn } from '../forms/volume'
import { Refused } from '../http'
import { type Attachment, type Connector, isUnderWay, nameOf, type Operation, type Snapshot, VOLUMES, type Volume } from '../kinds'
import { isAdmin, mayAct } from '../session'
import { OperationTimeline } from '../timeline'
import { Empty, Link, Panel, Status, Time, Trouble } from '../ui'

export function VolumePage({ id }: { id: string }) {
  const ours = (event: Happened) => event.subject === id || /^(attachment|server|snapshot|backup)\./.test(event.kind)
  const { value, error } = useAnswer<{ volume: Volume }>(VOLUMES.one(id), ours)
  const volume = value.value?.volume
  const made = useAnswer<{ snapshots: Snapshot[] }>(`/volume/v3/snapshots/detail?volume_id=${id}`, ours)
  const snapshots = made.value.value?.snapshots ?? []
  const used = useAnswer<{ attachments: Attachment[] }>(
    `/volume/v3/attachments/detail?volume_id=${id}${isAdmin.value ? '&all_tenants=1' : ''}`,
    ours,
  )
  const attachments = used.value.value?.attachments ?? []
  const copies = useAnswer<api.Children>(
    `/pumice/v1/volumes/${id}/children`,
    (event) => ours(event) || event.kind === 'volume.create',
  )
  const hosts = useAnswer<{ connectors: Connector[] }>(isAdmin.value ? `/pumice/v1/volumes/${id}/connectors` : null, ours)
  const gone = error.value instanceof Refused && error.value.status === 404
  return (
    <>
      <div class="tools">
        <h1>{volume ? nameOf(volume) : 'Volume'}</h1>
        {gone ? <Status of="deleted" /> : volume && <Status of={volume.status} />}
        <span class="gap" />
        {volume && !gone && mayAct.value && <Actions volume={volume} snapshots={snapshots} />}
      </div>
      {gone ? <Empty>There is no such volume, or none any more. What is known of it is in its history.</Empty> : <Trouble error={error.value} />}
      {!gone && <Why id={id} ours={ours} />}
      <div class="panels">
        <History of={`volume_id=${id}`} touches={ours} {...(volume ? { gib: volume.size } : {})} />
        {volume && !gone && (
          <>
            <Where volume={volume} attachments={attachments} connectors={hosts.value.value?.connectors ?? []} />
            <Family volume={volume} snapshots={snapshots} copies={copies.value.value?.children ?? []} />
            <About volume={volume} />
          </>
        )}
        <Panel title="The same as a command">
          <Commands say={{ path: VOLUMES.one(id), openstack: `openstack volume show ${id}` }} />
        </Panel>
      </div>
    </>
  )
}

function Actions({ volume, snapshots }: { volume: Volume; snapshots: readonly Snapshot[] }) {
  return (
    <div class="actions" role="group" aria-label="What can be done with it">
      {actionsOn(volume, snapshots).map(({ title, refuses, open, danger }) => (
        <button key={title} type="button" class={`small${danger ? ' danger' : ''}`} disabled={Boolean(refuses)} title={refuses ?? ''} onClick={open}>
          {title}
        </button>
      ))}
    </div>
  )
}

export function Why({ id, ours }: { id: string; ours: (event: Happened) => boolean }) {
  const { value } = useAnswer<{ why: { text: string } }>(`/pumice/v1/why/${id}`, ours)
  return value.value ? (
    <p class="why" aria-label="Why">
      {value.value.why.text}
    </p>
  ) : null
}

/** What was done with a thing, as the log still tells, also when it is gone; `of` is the log's filter. */
export function History({ of, touches, except, gib }: { of: string; touches: (event: Happened) => boolean; except?: string; gib?: number }) {
  const path = `/pumice/v1/operations?${of}&limit=50${isAdmin.value ? '&all_projects=1' : ''}`
  const { value } = useAnswer<{ operations: Operation[] }>(path, (event) => touches(event) && event.kind !== except)
  const found = value.value?.operations.filter((operation) => operation.kind !== except)
  return (
    <Panel title="History" wide aside={<Link to={`/operations?${of}`}>All of it</Link>}>
      {found?.map((operation, index) => <OperationTimeline key={operation.id} operation={operation} folded={index > 0 && !isUnderWay(operation)} {...(gib ? { gib } : {})} />)}
      {found && !found.length && <Empty>What was done with it is no longer in the log.</Empty>}
    </Panel>
  )
}

/** Where its bytes are, and each who uses them. */
function Where({ volume, attachments, connectors }: { volume: Volume; attachments: readonly Attachment[]; connectors: readonly Connector[] }) {
  const at = volume['os-vol-host-attr:host']
  const [, host, backend, pool] = /^(.*?)@(.*?)#(.*)$/.exec(at ?? '') ?? []
  return (
    <Panel title="Where it is, and who uses it">
      <div class="chain">
        {host && (
          <div class="link">
            <b>{pool}</b>
            <small>
              pool of {backend} on {host}
            </small>
          </div>
        )}
        <div class="link self">
          <b>{nameOf(volume)}</b>
          <small>
            {volume.size} GiB, {volume.volume_type}
            {volume.encrypted && ', encrypted'}
          </small>
        </div>
        {attachments.map((one) => (
          <User key={one.id} attachment={one} of={volume} by={connectors.find((host) => host.attachment_id === one.id)} />
        ))}
        {!attachments.length && <small class="empty">Nobody uses it.</small>}
      </div>
    </Panel>
  )
}

function User({ attachment: { id, instance, status, connection_info }, of, by }: { attachment: Attachment; of: Volume; by: Connector | undefined }) {
  const there = of.attachments.find((one) => one.attachment_id === id)
  return (
    <div class="link">
      <b>{instance ? <Link to={`/servers/${instance}`}>server {instance.slice(0, 8)}</Link> : (there?.host_name ?? 'somebody')}</b>
      <small>
        {there?.device ?? 'no device yet'}
        {(there?.host_name || by?.host) && `, on ${there?.host_name || by?.host}`}
        {status !== 'attached' && `, ${status}`}
      </small>
      {connection_info.driver_volume_type && <Way how={connection_info} />}
      {(by?.initiator || by?.nqn) && (
        <small>
          from <code>{by.initiator || by.nqn}</code>
          {by.ip && ` at ${by.ip}`}
          {by.multipath && ', by several paths'}
        </small>
      )}
    </div>
  )
}

/** How a host reaches the bytes: what is on the other end, and behind which portals. */
function Way({ how }: { how: Attachment['connection_info'] }) {
  const target = how.target_iqn ?? how.target_nqn ?? how.export ?? how.device_path ?? how.name
  const portals = how.target_portals ?? how.portals?.map(([address, port]) => `${address}:${port}`) ?? [how.target_portal]
  const at = portals.filter(Boolean).join(', ')
  return (
    <small>
      by {how.driver_volume_type}: <code>{String(target)}</code>
      {at && ` at ${at}`}
      {how.target_lun !== undefined && `, LUN ${how.target_lun}`}
    </small>
  )
}

/** Volumes that were made of one thing. */
function Copies({ of }: { of: readonly api.Child[] }) {
  return (
    <ul>
      {of.map((one) => (
        <li key={one.id}>
          volume <Link to={`/volumes/${one.id}`}>{one.name || one.id.slice(0, 8)}</Link> <Status of={one.status} />
        </li>
      ))}
    </ul>
  )
}

/** What it was made from, and what was made from it. */
function Family({ volume, snapshots, copies }: { volume: Volume; snapshots: readonly Snapshot[]; copies: readonly api.Child[] }) {
  const image = volume.volume_image_metadata
  const parents = volume.snapshot_id || volume.source_volid || image
  return (
    <Panel title="Family">
      <ul class="tree">
        {volume.snapshot_id && <li>from snapshot {volume.snapshot_id.slice(0, 8)}</li>}
        {volume.source_volid && (
          <li>
            from volume <Link to={`/volumes/${volume.source_volid}`}>{volume.source_volid.slice(0, 8)}</Link>
          </li>
        )}
        {image && <li>from image {image.image_name || image.image_id?.slice(0, 8)}</li>}
        <li class={parents ? 'child' : ''}>
          <b>{nameOf(volume)}</b>
          {snapshots.length > 0 && (
            <ul>
              {snapshots.map((one) => (
                <li key={one.id}>
                  snapshot {nameOf(one)} <Status of={one.status} />
                  <Copies of={copies.filter((copy) => copy.snapshot_id === one.id)} />
                </li>
              ))}
            </ul>
          )}
          <Copies of={copies.filter((copy) => !copy.snapshot_id)} />
        </li>
      </ul>
    </Panel>
  )
}

function About({ volume }: { volume: Volume }) {
  const metadata = Object.entries(volume.metadata)
  return (
    <Panel title="About">
      <dl>
        <dt>Id</dt>
        <dd>
          <code>{volume.id}</code>
        </dd>
        <dt>Size</dt>
        <dd>{volume.size} GiB</dd>
        <dt>Type</dt>
        <dd>{volume.volume_type}</dd>
        <dt>Zone</dt>
        <dd>{volume.availability_zone}</dd>
        <dt>Bootable</dt>
        <dd>{volume.bootable === 'true' ? 'yes' : 'no'}</dd>
        <dt>Created</dt>
        <dd>
          <Time at={volume.created_at} />
        </dd>
        {metadata.map(([key, said]) => (
          <Fragment key={key}>
            <dt>{key}</dt>
            <dd>{said}</dd>
          </Fragment>
        ))}
      </dl>
    </Panel>
  )
}
