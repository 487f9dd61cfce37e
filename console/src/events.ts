/** What operations do, as it happens: `GET /pumice/v1/events`, read as a stream because it needs headers. */
import { signal } from '@preact/signals'
import type { Event } from './api'
import { Refused, send } from './http'

export type Happened = Event

type Listener = (event: Happened) => void

/** Counts what was done here: what is shown may be otherwise, before any event tells of it. */
export const acted = signal(0)

const listeners = new Set<Listener>()
/** Whether the page is told of what happens; if not, what is shown may be older. */
export const live = signal(false)

export function listen(listener: Listener): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** What the tab that reads the stream tells the others; a new one asks whether there is such a tab. */
type Word = { id: string; data: Happened } | { live: boolean } | 'asks'

/** Where the stream goes on. */
let last = ''
/** Whether the page was told of what happens before: what it was not told of since is read again. */
let wasLive = false

/**
 * Be told of what happens until `stop` is called. Of a browser's tabs one reads the stream and tells the others, as
 * a browser gives a host six connections. The tab is the one that holds a lock; when it closes, the next one goes on
 * behind the last event. Where a browser has no locks (plain HTTP from elsewhere), each tab reads for itself.
 */
export function follow(who: string, allProjects: boolean): () => void {
  const ended = new AbortController()
  const { signal } = ended
  last = ''
  wasLive = false
  const name = `pumice-events ${who} ${allProjects}`
  const others = new BroadcastChannel(name)
  let reads = false
  const read = async () => {
    reads = true
    await run(allProjects, signal, (word) => {
      hear(word)
      if (!signal.aborted) others.postMessage(word)
    })
  }
  others.onmessage = ({ data }: MessageEvent<Word>) => {
    if (!reads && data !== 'asks') hear(data)
    else if (reads && data === 'asks') others.postMessage({ live: live.value })
  }
  if (!('locks' in navigator)) void run(allProjects, signal, hear)
  else {
    others.postMessage('asks' satisfies Word)
    navigator.locks.request(name, { signal }, read).catch(() => undefined) // stopped while it waited
  }
  return () => {
    ended.abort()
    others.close()
    live.value = false
  }
}

function hear(word: Exclude<Word, 'asks'>) {
  if ('live' in word) {
    if (word.live && !live.value && wasLive) acted.value++
    live.value = word.live
    wasLive ||= word.live
  } else {
    last = word.id
    for (const listener of listeners) listener(word.data)
  }
}

/** Read the stream; come back when it breaks. */
async function run(allProjects: boolean, signal: AbortSignal, tell: (word: Exclude<Word, 'asks'>) => void) {
  let pause = 1000
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = last ? { 'Last-Event-ID': last } : {}
      const reply = await send(`/pumice/v1/events${allProjects ? '?all_projects=1' : ''}`, { signal, headers })
      tell({ live: true })
      pause = 1000
      for await (const block of blocks(reply.body!)) {
        const event = parse(block)
        if (event) tell(event)
      }
    } catch (error) {
      if (signal.aborted || (error instanceof Refused && error.status === 401)) break
    }
    tell({ live: false })
    await new Promise((done) => {
      setTimeout(done, pause)
      signal.addEventListener('abort', done)
    })
    pause = Math.min(pause * 2, 30_000)
  }
}

async function* blocks(body: ReadableStream<Uint8Array<ArrayBuffer>>) {
  let left = ''
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const parts = (left + value).split('\n\n')
    left = parts.pop()!
    yield* parts
  }
}

function parse(block: string): { id: string; data: Happened } | null {
  const fields = new Map(block.split('\n').map((line) => [line.split(': ', 1)[0]!, line.slice(line.indexOf(': ') + 2)]))
  const data = fields.get('data')
  return data ? { id: fields.get('id') ?? '', data: JSON.parse(data) as Happened } : null
}
