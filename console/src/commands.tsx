/** A request as `curl`, and as the `openstack` command where there is one: so people learn the API from the page. */
import { useSignal } from '@preact/signals'
import { Copy } from './ui'

export interface Said {
  method?: string
  path: string
  body?: unknown
  openstack?: string
}

export const quoted = (word: string) => (/^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)

export function curl({ method = 'GET', path, body }: Said): string {
  const words = ['curl', '-H "X-Auth-Token: $T"']
  if (path.startsWith('/volume')) words.push('-H "OpenStack-API-Version: volume 3.71"')
  if (path.startsWith('/compute')) words.push('-H "OpenStack-API-Version: compute 2.89"')
  if (method !== 'GET' && !(method === 'POST' && body)) words.push(`-X ${method}`)
  words.push(quoted(location.origin + path))
  if (body !== undefined) words.push('-H "Content-Type: application/json"', `-d ${quoted(JSON.stringify(body))}`)
  return words.join(' ')
}

export function Commands({ say }: { say: Said }) {
  const way = useSignal<'openstack' | 'curl'>(say.openstack ? 'openstack' : 'curl')
  const text = way.value === 'openstack' && say.openstack ? say.openstack : curl(say)
  return (
    <div class="commands">
      <div class="tabs" role="group" aria-label="The same as a command">
        {(['openstack', 'curl'] as const).map((name) => (
          <button
            key={name}
            type="button"
            aria-pressed={way.value === name}
            disabled={name === 'openstack' && !say.openstack}
            onClick={() => (way.value = name)}
          >
            {name}
          </button>
        ))}
        <Copy text={text} label="Copy command" />
      </div>
      <pre tabIndex={0} aria-label="Command">
        {text}
      </pre>
    </div>
  )
}
