/** What one can do with volumes, as forms: each refuses what the API would refuse, and shows what it will send. */
import { useComputed, useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { Commands, quoted, type Said } from '../commands'
import { useAnswer } from '../collection'
import { ask } from '../http'
import { nameOf, type Volume } from '../kinds'
import { go } from '../router'
import { closeDialog, Dialog, Field, say, shown } from '../ui'

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

const whole = (text: string) => (/^[1-9]\d{0,8}$/.test(text.trim()) ? Number(text) : null)

export function createVolume(from: { snapshot?: Named & { size: number }; volume?: Volume; image?: Named & { least: number } } = {}) {
  shown.value = <CreateVolume {...from} />
}

function CreateVolume({ snapshot, volume, image }: Parameters<typeof createVolume>[0] & object) {
  const least = snapshot?.size ?? volume?.size ?? image?.least ?? 1
  const name = useSignal('')
  const size = useSignal(String(least))
  const type = useSignal('')
  const picked = useSignal(image?.id ?? '')
  const limits = useAnswer<Limits>('/volume/v3/limits')
  const types = useAnswer<{ volume_types: Named[] }>('/volume/v3/types')
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
    <Dialog title={copied ? `Volume from ${copied.name || 'it'}` : 'Create volume'} action="Create" {...{ send, refuses, close: closeDialog }}>
      <Field label="Name">
        <input autoFocus maxLength={255} value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
      </Field>
      <div class="pair">
        <Field label="Size (GiB)">
          <input inputMode="numeric" value={size.value} onInput={(event) => (size.value = event.currentTarget.value)} />
        </Field>
        <Field label="Type">
          <select value={type.value} onChange={(event) => (type.value = event.currentTarget.value)}>
            <option value="">The default</option>
            {types.value.value?.volume_types.map((one) => (
              <option key={one.id}>{one.name}</option>
            ))}
          </select>
        </Field>
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

/** A question before something is done that has no form. */
export function confirm(
  title: string,
  action: string,
  said: Said,
  words: ComponentChildren,
  { danger = false, done = '' }: { danger?: boolean; done?: string } = {},
) {
  const send = async () => {
    await ask(said.path, { method: said.method ?? 'POST', ...(said.body === undefined ? {} : { body: said.body }) })
    say(done)
  }
  shown.value = (
    <Dialog key={title} {...{ title, action, danger, send, close: closeDialog }}>
      <p>{words}</p>
      <Commands say={said} />
    </Dialog>
  )
}

export const DELETABLE = /^(available|error|error_\w+|in-use)$/

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
