/** Who is logged in. The token is in a cookie that this page cannot read: `/console/session` is all it has. */
import { computed, signal } from '@preact/signals'
import { ask, loggedOut, Refused } from './http'

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

const SESSION = '/console/session'

/** `undefined` until it is known. */
export const token = signal<Token | null | undefined>(undefined)
export const projects = signal<Named[]>([])

const roles = computed(() => new Set((token.value?.roles ?? []).map((role) => role.name)))
export const isAdmin = computed(() => roles.value.has('admin'))
/** A reader looks; a member, manager or administrator acts. */
export const mayAct = computed(() => ['admin', 'manager', 'member'].some((role) => roles.value.has(role)))

async function open(body: unknown): Promise<Token> {
  return (await ask<{ token: Token }>(SESSION, { method: 'POST', body })).token
}

/** Who has a session already goes on with it. */
export async function resume() {
  const found = (await ask<{ token: Token | null }>(SESSION)).token
  if (found) await enter(found)
  else token.value = null
}

export async function logIn(user: string, password: string, domain: string, project: string) {
  const named = { name: user, domain: { name: domain }, password }
  const scope = project ? { scope: { project: { name: project, domain: { name: domain } } } } : {}
  await enter(await open({ auth: { identity: { methods: ['password'], password: { user: named } }, ...scope } }))
}

/** Go in by a one-time link, `#link=…`. */
export async function useLink(link: string) {
  await enter(await open({ link }))
}

export async function switchTo(project: string) {
  await enter(await open({ auth: { scope: { project: { id: project } } } }))
}

async function enter(found: Token) {
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
    await ask(SESSION, { method: 'DELETE' })
  } finally {
    token.value = null
  }
}
