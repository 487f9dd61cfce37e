/** Where we are: the part of the address behind `/console`, as a signal. */
import { computed, signal } from '@preact/signals'

const BASE = '/console'
const here = () => location.pathname.slice(BASE.length) || '/'

export const path = signal(here())
export const query = signal(new URLSearchParams(location.search))
/** The words of the path: `['volumes', ID]`. */
export const words = computed(() => path.value.split('/').filter(Boolean))

export const href = (to: string) => BASE + to

function arrive() {
  path.value = here()
  query.value = new URLSearchParams(location.search)
}

export function go(to: string, replace = false) {
  history[replace ? 'replaceState' : 'pushState'](null, '', href(to))
  arrive()
  if (!replace) scrollTo(0, 0)
}

/** Follow links inside of the console without loading the page anew. */
export function followLinks() {
  addEventListener('popstate', arrive)
  addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return
    const link = (event.target as Element).closest?.('a')
    if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download')) return
    if (!link.pathname.startsWith(`${BASE}/`)) return
    event.preventDefault()
    go(link.pathname.slice(BASE.length) + link.search)
  })
}
