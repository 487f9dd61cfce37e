/** The frame around all pages: who is logged in, where one can go, and what was said last. */
import { effect, useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import { follow, live } from './events'
import { loggedOut } from './http'
import { Explain } from './pages/explain'
import { Home } from './pages/home'
import { Backups, Images, RecycleBin, Servers, Snapshots } from './pages/lists'
import { LogIn } from './pages/login'
import { OperationPage } from './pages/operation'
import { Operations } from './pages/operations'
import { Hosts, PoolsPage, Quotas, Types } from './pages/operators'
import { Audit, Doctor, Settings } from './pages/process'
import { Schedules, SchedulePage } from './pages/schedules'
import { ServerPage } from './pages/server'
import { Usage } from './pages/usage'
import { VolumePage } from './pages/volume'
import { Volumes } from './pages/volumes'
import { Webhooks } from './pages/webhooks'
import { go, href, path, words } from './router'
import { followTabs, isAdmin, logOut, projects, resume, switchTo, token, useLink } from './session'
import { type Theme, theme } from './theme'
import { attempt, Said, Shown, Trouble } from './ui'

interface Place {
  word: string
  title: string
  page: () => ComponentChildren
  one?: (id: string) => ComponentChildren
  operators?: boolean
}

const PLACES: readonly Place[] = [
  { word: '', title: 'Home', page: () => <Home /> },
  { word: 'volumes', title: 'Volumes', page: () => <Volumes />, one: (id) => <VolumePage key={id} id={id} /> },
  { word: 'snapshots', title: 'Snapshots', page: () => <Snapshots /> },
  { word: 'backups', title: 'Backups', page: () => <Backups /> },
  { word: 'schedules', title: 'Schedules', page: () => <Schedules />, one: (id) => <SchedulePage key={id} id={id} /> },
  { word: 'recycle-bin', title: 'Recycle bin', page: () => <RecycleBin /> },
  { word: 'images', title: 'Images', page: () => <Images /> },
  { word: 'servers', title: 'Servers', page: () => <Servers />, one: (id) => <ServerPage key={id} id={id} /> },
  { word: 'operations', title: 'Operations', page: () => <Operations />, one: (id) => <OperationPage key={id} id={id} /> },
  { word: 'webhooks', title: 'Webhooks', page: () => <Webhooks /> },
  { word: 'usage', title: 'Usage', page: () => <Usage /> },
  { word: 'explain', title: 'Explain', page: () => <Explain /> },
  { word: 'hosts', title: 'Hosts', page: () => <Hosts />, operators: true },
  { word: 'pools', title: 'Pools', page: () => <PoolsPage />, operators: true },
  { word: 'types', title: 'Types', page: () => <Types />, operators: true },
  { word: 'quotas', title: 'Quotas', page: () => <Quotas />, operators: true },
  { word: 'audit', title: 'Audit', page: () => <Audit />, operators: true },
  { word: 'doctor', title: 'Doctor', page: () => <Doctor />, operators: true },
  { word: 'settings', title: 'Settings', page: () => <Settings />, operators: true },
]

/** What an address may say: it comes into the paths of requests. */
const ID = /^[\w-]+$/

export function App() {
  const error = useSignal<unknown>(null)
  useEffect(() => {
    followTabs()
    void enter().catch((thrown: unknown) => (error.value = thrown))
  }, [])
  if (token.value === undefined) return <Trouble error={error.value} />
  if (token.value === null || loggedOut.value) return <LogIn error={error.value} />
  return <Frame key={token.value.session} />
}

/** By the link that brought us here, or by the session that there is. The link's secret leaves the address at once. */
async function enter() {
  const link = /^#link=([\w-]+)$/.exec(location.hash)?.[1]
  if (!link) return resume()
  go(path.value, true)
  try {
    await useLink(link)
  } catch (thrown) {
    token.value = null
    throw thrown
  }
}

function Frame() {
  useEffect(() => follow(`${token.value!.user.id} ${token.value!.project!.id}`, isAdmin.value), [])
  const [word = '', id] = words.value
  const place = PLACES.find((one) => one.word === word && (!one.operators || isAdmin.value))
  useEffect(() => effect(() => void (document.title = `${title(words.value[0] ?? '')} · Pumice`)), [])
  return (
    <>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <Top />
      <nav class="side" aria-label="Pages">
        {PLACES.filter((one) => !one.operators).map((one) => (
          <Item key={one.word} place={one} here={word} />
        ))}
        {isAdmin.value && PLACES.some((one) => one.operators) && <h2>Operators</h2>}
        {isAdmin.value && PLACES.filter((one) => one.operators).map((one) => <Item key={one.word} place={one} here={word} />)}
      </nav>
      <main id="main" tabIndex={-1}>
        {place && !id ? place.page() : place?.one && ID.test(id!) ? place.one(id!) : <Nowhere />}
      </main>
      <Shown />
      <Said />
    </>
  )
}

const title = (word: string) => PLACES.find((one) => one.word === word)?.title ?? 'Nothing here'

function Item({ place, here }: { place: Place; here: string }) {
  return (
    <a href={href(`/${place.word}`)} aria-current={here === place.word ? 'page' : undefined}>
      {place.title}
    </a>
  )
}

function Top() {
  const { user, project } = token.value!
  return (
    <header class="top">
      <a class="brand" href={href('/')}>
        <img src={href('/favicon.svg')} alt="" width="20" height="20" />
        Pumice
      </a>
      <span class={`live ${live.value ? 'on' : ''}`} title={live.value ? 'What happens is shown as it happens' : 'Connecting…'}>
        {live.value ? 'live' : 'not live'}
      </span>
      <span class="gap" />
      <label>
        <span class="hidden">Project</span>
        <select value={project?.id} onChange={(event) => void attempt(() => switchTo(event.currentTarget.value))}>
          {projects.value.map((one) => (
            <option key={one.id} value={one.id}>
              {one.name}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="hidden">Colours</span>
        <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
          <option value="system">System colours</option>
          <option value="light">Light</option>
          <option value="dark">Dark</option>
        </select>
      </label>
      <span class="who">{user.name}</span>
      <button type="button" class="quiet" onClick={() => void attempt(logOut)}>
        Log out
      </button>
    </header>
  )
}

function Nowhere() {
  return (
    <>
      <h1>Nothing here</h1>
      <p class="empty">There is no such page, or it is not for your roles.</p>
    </>
  )
}
