/** Who is logged in. The token is in a cookie that this page cannot read: `/console/session` is all it has. */
import { computed, effect, signal } from '@preact/signals'
import { ask, askSession, endSession, loggedOut, Refused, show } from './http'

interface Named {
  id: string
  name: string
}

interface Token {
  user: Named & { domain: Named }
  project?: Named
  roles?: Named[]
  expires_at: string
}

/** A token, and what its session is called. */
type Session = Token & { session: string }

/** A browser's tabs have one session: they are told that it is another. */
const tabs = new BroadcastChannel('pumice-session')

/** `undefined` until it is known. */
export const token = signal<Session | null | undefined>(undefined)
export const projects = signal<Named[]>([])

const roles = computed(() => new Set((token.value?.roles ?? []).map((role) => role.name)))
export const isAdmin = computed(() => roles.value.has('admin'))
/** A reader looks; a member, manager or administrator acts. */
export const mayAct = computed(() => ['admin', 'manager', 'member'].some((role) => roles.value.has(role)))

async function open(body: unknown): Promise<Session> {
  const { token: found, session } = await askSession<{ token: Token }>({ method: 'POST', body })
  show(session)
  return { ...found, session }
}

/** Who has a session already goes on with it. */
export async function resume() {
  const { token: found, session } = await askSession<{ token: Token | null }>()
  if (!found) token.value = null
  else if (session !== token.value?.session || loggedOut.value) {
    show(session)
    await enter({ ...found, session })
  }
}

/** What was begun, gone to or ended in another tab is shown here too; whoever was not told learns it by a 401. */
export function followTabs() {
  const look = () => void resume().catch(() => undefined)
  tabs.onmessage = look
  effect(() => {
    if (loggedOut.value) look()
  })
}

async function begin(found: Session) {
  await enter(found)
  tabs.postMessage(null)
}

export async function logIn(user: string, password: string, domain: string, project: string) {
  const named = { name: user, domain: { name: domain }, password }
  const scope = project ? { scope: { project: { name: project, domain: { name: domain } } } } : {}
  await begin(await open({ auth: { identity: { methods: ['password'], password: { user: named } }, ...scope } }))
}

/** Go in by a one-time link, `#link=…`. */
export async function useLink(link: string) {
  await begin(await open({ link }))
}

export async function switchTo(project: string) {
  await begin(await open({ auth: { scope: { project: { id: project } } } }))
}

async function enter(found: Session) {
  projects.value = (await ask<{ projects: Named[] }>('/identity/v3/auth/projects')).projects
  const [first] = projects.value
  if (!found.project) {
    if (!first) throw new Refused(403, 'You have no role in any project: ask an administrator for one.')
    found = await open({ auth: { scope: { project: { id: first.id } } } })
  }
  loggedOut.value = false
  token.value = found
}

export async function logOut() {
  try {
    await endSession()
  } finally {
    token.value = null
    tabs.postMessage(null)
  }
}
