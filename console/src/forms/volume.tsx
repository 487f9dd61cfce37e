/** What one can do with volumes, as forms: each refuses what the API would refuse, and shows what it will send. */
import { useComputed, useSignal } from '@preact/signals'
import { Commands, quoted } from '../commands'
import { useAnswer } from '../collection'
import { ask } from '../http'
import { nameOf, type Snapshot, type Volume } from '../kinds'
import { go } from '../router'
import { confirm, form, name as nameField, whole } from './form'
import { SizeAndType } from './size_and_type'
import { Dialog, Field, say, showDialog } from '../ui'

const VOLUMES = '/volume/v3/volumes'

interface Named {
  id: string
  name: string
}

interface Limits {
  limits: { absolute: Record<string, number> }
}

/** What GiB more would be too much for the project, in Cinder's own manner of counting; null if they fit. */
function overQuota(limits: Limits | null, gib: number, volumes: number): string | null {
  const most = limits?.limits.absolute
  if (!most) return null
  const left = (limit: string, used: string) => (most[limit]! < 0 ? Infinity : most[limit]! - most[used]!)
  const space = left('maxTotalVolumeGigabytes', 'totalGigabytesUsed')
  if (gib > space) return `The project's quota leaves ${space} GiB.`
  if (volumes > left('maxTotalVolumes', 'totalVolumesUsed')) return 'The project may have no more volumes.'
  return null
}

export function createVolume(from: { snapshot?: Named & { size: number }; volume?: Volume; image?: Named & { least: number } } = {}) {
  showDialog(<CreateVolume {...from} />)
}

function CreateVolume({ snapshot, volume, image }: Parameters<typeof createVolume>[0] & object) {
  const least = snapshot?.size ?? volume?.size ?? image?.least ?? 1
  const name = useSignal('')
  const size = useSignal(String(least))
  const type = useSignal('')
  const picked = useSignal(image?.id ?? '')
  const limits = useAnswer<Limits>('/volume/v3/limits')
  const images = useAnswer<{ images: (Named & { min_disk: number; virtual_size: number | null })[] }>(
    '/image/v2/images?status=active&limit=1000',
  )
  const copied = snapshot ?? volume
  const body = useComputed(() => ({
    volume: {
      size: whole(size.value) ?? 0,
      ...(name.value && { name: name.value }),
      ...(type.value && { volume_type: type.value }),
      ...(snapshot && { snapshot_id: snapshot.id }),
      ...(volume && { source_volid: volume.id }),
      ...(picked.value && { imageRef: picked.value }),
    },
  }))
  const chosen = images.value.value?.images.find((one) => one.id === picked.value)
  const needed = Math.max(least, chosen?.min_disk ?? 0, Math.ceil((chosen?.virtual_size ?? 0) / 1024 ** 3))
  const number = whole(size.value)
  const refuses =
    number === null
      ? 'The size is a whole number of GiB, at least 1.'
      : number < needed
        ? `It needs at least ${needed} GiB for what is copied into it.`
        : name.value.length > 255
          ? 'A name has at most 255 characters.'
          : overQuota(limits.value.value, number, 1)
  const send = async () => {
    const made = await ask<{ volume: Volume }>(VOLUMES, { method: 'POST', body: body.value })
    say('It is being made.')
    go(`/volumes/${made.volume.id}`)
  }
  const words = ['openstack volume create', `--size ${size.value}`]
  if (type.value) words.push(`--type ${quoted(type.value)}`)
  if (picked.value) words.push(`--image ${picked.value}`)
  if (snapshot) words.push(`--snapshot ${snapshot.id}`)
  if (volume) words.push(`--source ${volume.id}`)
  words.push(quoted(name.value || 'NAME'))
  return (
    <Dialog title={copied ? `Volume from ${copied.name || 'it'}` : 'Create volume'} action="Create" {...{ send, refuses }}>
      <Field label="Name">
        <input autoFocus maxLength={255} value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
      </Field>
      <div class="pair">
        <SizeAndType {...{ size, type }} />
      </div>
      {!copied && (
        <Field label="Image" hint="Its bytes are copied into the volume, which can be booted from then">
          <select value={picked.value} onChange={(event) => (picked.value = event.currentTarget.value)}>
            <option value="">None: an empty volume</option>
            {images.value.value?.images.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name || one.id}
              </option>
            ))}
          </select>
        </Field>
      )}
      <Commands say={{ method: 'POST', path: VOLUMES, body: body.value, openstack: words.join(' ') }} />
    </Dialog>
  )
}

/** Why a volume cannot be deleted as it is; null if it can. Cinder's rule, and what it says of snapshots itself. */
export function keepsVolume(volume: Volume): string | null {
  if (volume.attachments.length) return 'It is attached: detach it first.'
  if (!/^(available|error.*|reserved|maintenance)$/.test(volume.status)) return `It is ${volume.status}: that ends first.`
  return null
}

export function deleteVolume(volume: Volume) {
  confirm(
    `Delete ${nameOf(volume)}?`,
    'Delete',
    { method: 'DELETE', path: `${VOLUMES}/${volume.id}`, openstack: `openstack volume delete ${volume.id}` },
    `The volume of ${volume.size} GiB and all that is in it are gone then.`,
    { danger: true, done: `${nameOf(volume)} is being deleted.` },
  )
}

// --- what is done with one volume; each says why not, if not ------------------------------------------

const acts = (volume: Volume, body: unknown, openstack: string) => ({
  method: 'POST',
  path: `${VOLUMES}/${volume.id}/action`,
  body,
  openstack,
})

const unless = (volume: Volume, ...statuses: string[]) =>
  statuses.includes(volume.status) ? null : `It is ${volume.status}; that takes a volume that is ${statuses.join(' or ')}.`

export interface Action {
  title: string
  /** Why it cannot be done now; null if it can. */
  refuses: string | null
  open: () => void
  danger?: boolean
}

export function actionsOn(volume: Volume, snapshots: readonly Snapshot[]): Action[] {
  const [attachment] = volume.attachments
  const latest = [...snapshots].sort((one, other) => other.created_at.localeCompare(one.created_at))[0]
  return [
    { title: 'Extend', refuses: unless(volume, 'available', 'in-use'), open: () => extend(volume) },
    { title: 'Snapshot', refuses: unless(volume, 'available', 'in-use'), open: () => snapshot(volume) },
    { title: 'Back up', refuses: unless(volume, 'available', 'in-use'), open: () => backUp(volume) },
    attachment?.server_id
      ? { title: 'Detach', refuses: unless(volume, 'in-use'), open: () => detach(volume, attachment.server_id) }
      : { title: 'Attach', refuses: unless(volume, 'available'), open: () => attach(volume) },
    {
      title: 'Revert',
      refuses: latest ? unless(volume, 'available') : 'It has no snapshot to revert to.',
      open: () => latest && revert(volume, latest),
    },
    { title: 'Clone', refuses: unless(volume, 'available', 'in-use'), open: () => createVolume({ volume }) },
    { title: 'Upload as image', refuses: unless(volume, 'available', 'in-use'), open: () => upload(volume) },
    { title: 'Retype', refuses: unless(volume, 'available', 'in-use'), open: () => retype(volume) },
    {
      title: 'Boot a server',
      refuses: volume.bootable === 'true' ? unless(volume, 'available') : 'Nothing in it can be booted: make it from an image.',
      open: () => boot(volume),
    },
    { title: 'Delete', refuses: keepsVolume(volume), open: () => deleteVolume(volume), danger: true },
  ]
}

function extend(volume: Volume) {
  form({
    title: `Extend ${nameOf(volume)}`,
    action: 'Extend',
    fields: [{ name: 'size', label: 'New size (GiB)', value: String(volume.size + 1), kind: 'number', hint: `It has ${volume.size} GiB now` }],
    refuses: ({ size }) => ((whole(size!) ?? 0) > volume.size ? null : `The new size is a whole number of GiB, more than ${volume.size}.`),
    said: ({ size }) =>
      acts(volume, { 'os-extend': { new_size: whole(size!) ?? 0 } }, `openstack volume set --size ${size} ${volume.id}`),
    done: 'It is being extended.',
  })
}

function snapshot(volume: Volume) {
  form({
    title: `Snapshot of ${nameOf(volume)}`,
    action: 'Create snapshot',
    fields: [nameField(`${nameOf(volume)}-snapshot`)],
    said: ({ name }) => ({
      method: 'POST',
      path: '/volume/v3/snapshots',
      body: { snapshot: { volume_id: volume.id, name } },
      openstack: `openstack volume snapshot create --volume ${volume.id} ${quoted(name!)}`,
    }),
    done: 'The snapshot is being made.',
  })
}

function backUp(volume: Volume) {
  form({
    title: `Back up ${nameOf(volume)}`,
    action: 'Create backup',
    fields: [
      nameField(`${nameOf(volume)}-backup`),
      { name: 'incremental', label: 'Only what has changed since the last backup', kind: 'check', value: '' },
    ],
    said: ({ name, incremental }) => ({
      method: 'POST',
      path: '/volume/v3/backups',
      body: {
        backup: { volume_id: volume.id, name, incremental: Boolean(incremental), force: volume.status === 'in-use' },
      },
      openstack: `openstack volume backup create ${incremental ? '--incremental ' : ''}${volume.status === 'in-use' ? '--force ' : ''}--name ${quoted(name!)} ${volume.id}`,
    }),
    done: 'The backup is being made.',
  })
}

function attach(volume: Volume) {
  form({
    title: `Attach ${nameOf(volume)}`,
    action: 'Attach',
    fields: [
      {
        name: 'server',
        label: 'Server',
        value: '',
        options: {
          path: '/compute/v2.1/servers?limit=1000',
          key: 'servers',
        },
      },
    ],
    refuses: ({ server }) => (server ? null : 'Choose a server.'),
    said: ({ server }) => ({
      method: 'POST',
      path: `/compute/v2.1/servers/${server}/os-volume_attachments`,
      body: { volumeAttachment: { volumeId: volume.id } },
      openstack: `openstack server add volume ${server || 'SERVER'} ${volume.id}`,
    }),
    done: 'It is being attached.',
  })
}

export function attachTo(server: { id: string; name: string | null }) {
  form({
    title: `Attach a volume to ${server.name}`,
    action: 'Attach',
    fields: [
      {
        name: 'volume',
        label: 'Volume',
        value: '',
        options: { path: '/volume/v3/volumes?status=available&limit=1000', key: 'volumes' },
      },
    ],
    refuses: ({ volume }) => (volume ? null : 'Choose a volume.'),
    said: ({ volume }) => ({
      method: 'POST',
      path: `/compute/v2.1/servers/${server.id}/os-volume_attachments`,
      body: { volumeAttachment: { volumeId: volume } },
      openstack: `openstack server add volume ${server.id} ${volume || 'VOLUME'}`,
    }),
    done: 'It is being attached.',
  })
}

export function detach(volume: { id: string; name?: string | null }, server: string) {
  confirm(
    `Detach ${volume.name || volume.id.slice(0, 8)}?`,
    'Detach',
    {
      method: 'DELETE',
      path: `/compute/v2.1/servers/${server}/os-volume_attachments/${volume.id}`,
      openstack: `openstack server remove volume ${server} ${volume.id}`,
    },
    'The server is asked to let go of it: unmount it there first.',
    { done: 'It is being detached.' },
  )
}

export function revert(volume: Volume, to: Snapshot) {
  confirm(
    `Revert ${nameOf(volume)} to ${nameOf(to)}?`,
    'Revert',
    acts(volume, { revert: { snapshot_id: to.id } }, `openstack volume revert ${to.id}`),
    'What was written since that snapshot, the latest, is gone then.',
    { danger: true, done: 'It is being reverted.' },
  )
}

function upload(volume: Volume) {
  form({
    title: `Upload ${nameOf(volume)} as an image`,
    action: 'Upload',
    fields: [
      nameField(nameOf(volume)),
      { name: 'format', label: 'Format', value: 'raw', options: ['raw', 'qcow2'] },
    ],
    refuses: ({ name }) => (name ? null : 'An image has a name.'),
    said: ({ name, format }) =>
      acts(
        volume,
        {
          'os-volume_upload_image': {
            image_name: name,
            disk_format: format,
            container_format: 'bare',
            force: volume.status === 'in-use',
          },
        },
        `openstack image create --volume ${volume.id} --disk-format ${format} ${quoted(name || 'NAME')}`,
      ),
    done: 'The image is being written.',
  })
}

function retype(volume: Volume) {
  form({
    title: `Retype ${nameOf(volume)}`,
    action: 'Retype',
    fields: [
      { name: 'type', label: 'New type', value: '', options: { path: '/volume/v3/types', key: 'volume_types', by: 'name' } },
      { name: 'move', label: 'Move it to another pool if the type needs that', kind: 'check', value: '' },
    ],
    refuses: ({ type }) =>
      !type ? 'Choose a type.' : type === volume.volume_type ? 'It is of that type already.' : null,
    said: ({ type, move }) =>
      acts(
        volume,
        { 'os-retype': { new_type: type, migration_policy: move ? 'on-demand' : 'never' } },
        `openstack volume set --type ${quoted(type || 'TYPE')} --migration-policy ${move ? 'on-demand' : 'never'} ${volume.id}`,
      ),
    done: 'Its type is being changed.',
  })
}

export function boot(volume?: Volume) {
  form({
    title: volume ? `Boot a server from ${nameOf(volume)}` : 'Create server',
    action: 'Create',
    fields: [
      nameField(''),
      { name: 'flavor', label: 'Flavor', value: '', options: { path: '/compute/v2.1/flavors', key: 'flavors' } },
      ...(volume
        ? []
        : [
            {
              name: 'volume',
              label: 'Boot volume',
              value: '',
              options: { path: '/volume/v3/volumes?bootable=true&status=available&limit=1000', key: 'volumes' },
              hint: 'A volume that was made from an image, and that nobody uses',
            },
          ]),
      { name: 'goes', label: 'Delete the volume with the server', kind: 'check' as const, value: '' },
    ],
    refuses: ({ name, flavor, volume: picked }) =>
      !name ? 'A server has a name.' : !flavor ? 'Choose a flavor.' : !volume && !picked ? 'Choose a volume.' : null,
    said: ({ name, flavor, volume: picked, goes }) => ({
      method: 'POST',
      path: '/compute/v2.1/servers',
      body: {
        server: {
          name,
          flavorRef: flavor,
          networks: 'none',
          block_device_mapping_v2: [
            {
              boot_index: 0,
              uuid: volume?.id ?? picked,
              source_type: 'volume',
              destination_type: 'volume',
              delete_on_termination: Boolean(goes),
            },
          ],
        },
      },
      openstack: `openstack server create --volume ${volume?.id ?? (picked || 'VOLUME')} --flavor ${flavor || 'FLAVOR'} --no-network ${quoted(name || 'NAME')}`,
    }),
    done: 'The server is being made.',
    after: (answer) => go(`/servers/${(answer as { server: { id: string } }).server.id}`),
  })
}
