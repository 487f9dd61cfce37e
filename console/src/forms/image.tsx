/** Upload an image: its record, then its bytes. */
import { useSignal } from '@preact/signals'
import { Commands, quoted } from '../commands'
import { ask, send } from '../http'
import { Dialog, Field, say, showDialog } from '../ui'

const IMAGES = '/image/v2/images'
const FORMATS = ['raw', 'qcow2', 'vmdk', 'vdi', 'vhd', 'iso']

export function uploadImage() {
  showDialog(<Upload />)
}

function Upload() {
  const name = useSignal('')
  const format = useSignal('raw')
  const file = useSignal<File | null>(null)
  const body = { name: name.value, disk_format: format.value, container_format: 'bare' }
  const refuses = !file.value ? 'Choose a file.' : !file.value.size ? 'The file is empty.' : !name.value ? 'An image has a name.' : null
  const upload = async () => {
    const image = await ask<{ id: string }>(IMAGES, { method: 'POST', body })
    try {
      await send(`${IMAGES}/${image.id}/file`, { method: 'PUT', body: file.value! })
    } catch (error) {
      await ask(`${IMAGES}/${image.id}`, { method: 'DELETE' }).catch(() => undefined) // nothing is in it
      throw error
    }
    say(`${name.value} was uploaded.`)
  }
  const chosen = (picked: File | null) => {
    file.value = picked
    if (!picked) return
    const ending = picked.name.split('.').at(-1)!.toLowerCase()
    if (FORMATS.includes(ending)) format.value = ending
    name.value ||= picked.name.replace(/\.[^.]+$/, '')
  }
  return (
    <Dialog title="Upload image" action="Upload" send={upload} refuses={refuses}>
      <Field label="File">
        <input type="file" onChange={(event) => chosen(event.currentTarget.files?.[0] ?? null)} />
      </Field>
      <div class="pair">
        <Field label="Name">
          <input value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
        </Field>
        <Field label="Format">
          <select value={format.value} onChange={(event) => (format.value = event.currentTarget.value)}>
            {FORMATS.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </Field>
      </div>
      <Commands
        say={{
          method: 'POST',
          path: IMAGES,
          body,
          openstack: `openstack image create --file ${quoted(file.value?.name ?? 'FILE')} --disk-format ${format.value} ${quoted(name.value || 'NAME')}`,
        }}
      />
    </Dialog>
  )
}
