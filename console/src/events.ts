/** What operations do, as it happens: `GET /pumice/v1/events`, read as a stream because it needs headers. */
import { signal } from '@preact/signals'
import { Refused, send } from './http'

export interface Happened {
  kind: string
  project_id: string | null
  subject: string
  operation_id: string
  step: string
  direction: 'do' | 'undo'
  outcome: string
  at: string
}

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

/** Read the stream until `stop` is called; come back when it breaks, behind the last event that was heard. */
export function follow(allProjects: boolean): () => void {
  const ended = new AbortController()
  void run(allProjects, ended.signal)
  return () => ended.abort()
}

async function run(allProjects: boolean, signal: AbortSignal) {
  let last = ''
  let pause = 1000
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = last ? { 'Last-Event-ID': last } : {}
      const reply = await send(`/pumice/v1/events${allProjects ? '?all_projects=1' : ''}`, { signal, headers })
      live.value = true
      pause = 1000
      for await (const block of blocks(reply.body!)) {
        const event = parse(block)
        if (!event) continue
        last = event.id
        for (const listener of listeners) listener(event.data)
      }
    } catch (error) {
      if (signal.aborted || (error instanceof Refused && error.status === 401)) break
    }
    live.value = false
    await new Promise((done) => setTimeout(done, pause))
    pause = Math.min(pause * 2, 30_000)
  }
  live.value = false
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
