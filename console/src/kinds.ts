/** The things there are: where each is in the public APIs, and what of it is shown. */
import type * as api from './api'
import type { Kind, Thing } from './collection'

export type { Connector, Line, Operation, OperationInFull, Run } from './api'

export interface Volume extends Thing {
  size: number
  volume_type: string
  bootable: string
  encrypted: boolean
  multiattach: boolean
  availability_zone: string
  snapshot_id: string | null
  source_volid: string | null
  metadata: Record<string, string>
  volume_image_metadata?: Record<string, string>
  attachments: { server_id: string; attachment_id: string; device: string | null; host_name: string | null }[]
  'os-vol-host-attr:host'?: string | null
  'os-vol-tenant-attr:tenant_id'?: string
  [other: string]: unknown
}

export interface Attachment {
  id: string
  instance: string | null
  status: string
  /** Cinder's connection properties, of one of several drivers; empty until it is connected. */
  connection_info: {
    driver_volume_type?: string
    target_portal?: string
    target_portals?: string[]
    portals?: [string, number, string][]
    [other: string]: unknown
  }
}

export interface Snapshot extends Thing {
  volume_id: string
  size: number
}

export interface Backup extends Thing {
  volume_id: string
  size: number
  is_incremental: boolean
  fail_reason: string | null
}

export interface Image extends Thing {
  size: number | null
  virtual_size: number | null
  disk_format: string
  min_disk: number
  visibility: string
}

export interface Server extends Thing {
  flavor: { original_name?: string; vcpus?: number; ram?: number }
  'OS-EXT-STS:power_state': number
  'OS-EXT-STS:task_state': string | null
  'OS-EXT-SRV-ATTR:host'?: string | null
  'os-extended-volumes:volumes_attached': { id: string; delete_on_termination?: boolean }[]
  fault?: { message: string }
  created: string
}

export const VOLUMES: Kind = {
  noun: 'volume',
  list: '/volume/v3/volumes/detail',
  one: (id) => `/volume/v3/volumes/${id}`,
  listKey: 'volumes',
  oneKey: 'volume',
  search: 'name~',
}

export const SNAPSHOTS: Kind = {
  noun: 'snapshot',
  list: '/volume/v3/snapshots/detail',
  one: (id) => `/volume/v3/snapshots/${id}`,
  listKey: 'snapshots',
  oneKey: 'snapshot',
  search: 'name~',
}

export const BACKUPS: Kind = {
  noun: 'backup',
  list: '/volume/v3/backups/detail',
  one: (id) => `/volume/v3/backups/${id}`,
  listKey: 'backups',
  oneKey: 'backup',
  search: 'name~',
}

export const IMAGES: Kind = {
  noun: 'image',
  list: '/image/v2/images',
  one: (id) => `/image/v2/images/${id}`,
  listKey: 'images',
}

export const SERVERS: Kind = {
  noun: 'server',
  list: '/compute/v2.1/servers/detail',
  one: (id) => `/compute/v2.1/servers/${id}`,
  listKey: 'servers',
  oneKey: 'server',
  search: 'name',
  read: (raw) => ({ ...raw, created_at: raw.created }) as unknown as Thing,
}

export type Recycled = Thing & api.Recycled

export const RECYCLED: Kind = {
  noun: 'recycled',
  list: '/pumice/v1/recycle-bin',
  one: (id) => `/pumice/v1/recycle-bin/${id}`,
  listKey: 'recycle_bin',
  oneKey: 'recycled',
  read: (raw) => ({ ...raw, status: raw.state, created_at: raw.recycled_at }) as unknown as Thing,
}

export type Schedule = Thing & api.Schedule

const onOrOff = (raw: Record<string, unknown>) => (raw.enabled ? 'enabled' : 'disabled')

export const SCHEDULES: Kind = {
  noun: 'schedule',
  list: '/pumice/v1/schedules',
  one: (id) => `/pumice/v1/schedules/${id}`,
  listKey: 'schedules',
  endsQuietly: true,
  oneKey: 'schedule',
  read: (raw) => {
    const last = raw.last_run as api.Run | null
    return { ...raw, status: raw.deleting ? 'deleting' : last?.state === 'running' ? 'running' : onOrOff(raw) } as unknown as Thing
  },
}

export type Webhook = Thing & api.Webhook

export const WEBHOOKS: Kind = {
  noun: 'webhook',
  list: '/pumice/v1/webhooks',
  one: (id) => `/pumice/v1/webhooks/${id}`,
  listKey: 'webhooks',
  oneKey: 'webhook',
  read: (raw) => ({ ...raw, name: raw.url, status: raw.enabled && raw.failing_since ? 'failing' : onOrOff(raw) }) as unknown as Thing,
}

export const isUnderWay = (operation: api.Operation) => operation.state !== 'done' && operation.state !== 'failed'
export const nameOf = (thing: Thing) => thing.name || thing.id.slice(0, 8)
