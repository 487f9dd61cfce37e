/** Requests to Pumice's public APIs, with the session's cookie; each refusal is the API's own sentence. */
import { signal } from '@preact/signals'

export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

/** Becomes true when a request was answered 401: whoever was logged in is not any more. */
export const loggedOut = signal(false)

const SESSIONS = '/console/session'
const MARK = 'X-Pumice-Console'
/** The session that this page shows. The browser's other tabs may begin another: in that no request of ours counts. */
let shown = '1'
export const show = (session: string) => (shown = session)

const OURS = {
  'OpenStack-API-Version': 'volume 3.71, compute 2.89',
}

export interface Asked {
  method?: string
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
}

export async function send(path: string, { method = 'GET', body, headers, signal }: Asked = {}): Promise<Response> {
  const isFile = body instanceof Blob
  const kind = isFile ? 'application/octet-stream' : 'application/json'
  let reply: Response
  try {
    reply = await fetch(path, {
      method,
      credentials: 'same-origin',
      headers: { ...OURS, [MARK]: path === SESSIONS ? '1' : shown, ...(body === undefined ? {} : { 'Content-Type': kind }), ...headers },
      ...(body === undefined ? {} : { body: isFile ? body : JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    })
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error
    throw new Refused(0, 'Pumice does not answer. It may be restarting: what was accepted goes on when it is back.')
  }
  if (reply.status === 401 && path !== SESSIONS) loggedOut.value = true
  if (!reply.ok && reply.status !== 304) throw new Refused(reply.status, await sentence(reply))
  return reply
}

/** Ask about the session that there is, or begin one: what is told of it, and what it is called. */
export async function askSession<T>(asked?: Asked): Promise<T & { session: string }> {
  const reply = await send(SESSIONS, asked)
  return { ...((await reply.json()) as T), session: reply.headers.get(MARK) ?? '' }
}

export const endSession = () => send(SESSIONS, { method: 'DELETE' })

export async function ask<T>(path: string, asked?: Asked): Promise<T> {
  const reply = await send(path, asked)
  const text = await reply.text()
  return (text ? JSON.parse(text) : undefined) as T
}

/** What a fault says: every service wraps its sentence in an object of one key. Image says it in HTML. */
async function sentence(reply: Response): Promise<string> {
  const text = await reply.text()
  try {
    const [fault] = Object.values(JSON.parse(text) as Record<string, { message?: string }>)
    if (fault?.message) return fault.message
  } catch {
    const page = new DOMParser().parseFromString(text, 'text/html').body.textContent?.trim()
    if (page) return page.replace(/^\d+ [A-Z][\w ]*\s+/, '').replace(/\s+/g, ' ')
  }
  return `It was answered ${reply.status} ${reply.statusText}.`
}
