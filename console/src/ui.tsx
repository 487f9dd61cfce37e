/** The small parts that pages are made of. */
import { signal, useSignal } from '@preact/signals'
import { type ComponentChildren, Fragment } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'
import { acted } from './events'
import { Refused } from './http'
import { href, path } from './router'
import { ago, clock, plainly, tone } from './words'

type Children = { children?: ComponentChildren }

export function Status({ of }: { of: string }) {
  return <span class={`status ${tone(of)}`}>{plainly(of.toLowerCase())}</span>
}

export function Time({ at }: { at: string | null | undefined }) {
  return at ? (
    <time dateTime={at} title={clock(at)}>
      {ago(at)}
    </time>
  ) : null
}

export function Id({ id }: { id: string }) {
  return (
    <code class="id" title={id}>
      {id.slice(0, 8)}
    </code>
  )
}

export function Copy({ text, label = 'Copy' }: { text: string; label?: string }) {
  const done = useSignal(false)
  const copy = async () => {
    await navigator.clipboard?.writeText(text)
    done.value = true
    setTimeout(() => (done.value = false), 1500)
  }
  return (
    <button type="button" class="quiet small" onClick={copy} title={label}>
      {done.value ? 'Copied' : label}
    </button>
  )
}

export function Link({ to, children, ...rest }: Children & { to: string; class?: string; 'aria-label'?: string }) {
  return (
    <a href={href(to)} {...rest}>
      {children}
    </a>
  )
}

/** A part of a page, under a heading. */
export function Panel({ title, children, aside, wide }: Children & { title: string; aside?: ComponentChildren; wide?: boolean }) {
  const id = useId()
  return (
    <section class={`panel${wide ? ' wide' : ''}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  )
}

export function Empty({ children }: Children) {
  return <p class="empty">{children}</p>
}

export function Trouble({ error }: { error: unknown }) {
  if (!error) return null
  return (
    <p class="trouble" role="alert">
      {error instanceof Error ? error.message : String(error)}
    </p>
  )
}

/** Of a whole in parts: used, then what is claimed beyond it. Widths are shares of `whole`. */
export function Bar({ label, used, claimed = 0, whole }: { label: string; used: number; claimed?: number; whole: number }) {
  const share = (part: number) => `${Math.min(100, whole > 0 ? (100 * part) / whole : 0)}%`
  return (
    <div class={`bar${Math.max(used, claimed) > whole ? ' over' : ''}`} role="img" aria-label={label}>
      <i class="claimed" style={{ width: share(claimed) }} />
      <i class="used" style={{ width: share(used) }} />
    </div>
  )
}

// --- what was said last, for a moment, also to who does not look ---------------------------------

const said = signal<{ text: string; bad: boolean } | null>(null)
let silence = 0

export function say(text: string, bad = false) {
  said.value = { text, bad }
  clearTimeout(silence)
  silence = window.setTimeout(() => (said.value = null), bad ? 12_000 : 4000)
}

/** Do something for a click; what was refused is said in the API's words. */
export async function attempt(work: () => Promise<unknown>, done?: string) {
  try {
    await work()
    acted.value++
    if (done) say(done)
  } catch (error) {
    say(error instanceof Refused ? error.message : String(error), true)
  }
}

export function Said() {
  return (
    <div class="said" role="status" aria-live="polite">
      {said.value && (
        <p class={said.value.bad ? 'bad' : ''}>
          {said.value.text}
          <button type="button" class="quiet small" onClick={() => (said.value = null)}>
            Close
          </button>
        </p>
      )}
    </div>
  )
}

// --- dialogs -------------------------------------------------------------------------------------

/** A form in a dialog. `send` does it; what it throws stays in the dialog, in the API's own words. */
export function Dialog({
  title,
  action,
  danger,
  send,
  refuses,
  children,
}: Children & {
  title: string
  action: string
  danger?: boolean
  send: () => Promise<unknown>
  refuses?: string | null
}) {
  const dialog = useRef<HTMLDialogElement>(null)
  const error = useSignal<unknown>(null)
  const busy = useSignal(false)
  const id = useId()
  const mine = useRef(shown.peek()).current
  useEffect(() => dialog.current?.showModal(), [])
  /** It tells a moment after it has closed: another may be shown by then. */
  const closed = () => {
    if (shown.value === mine) shown.value = null
  }
  const submit = async (event: Event) => {
    event.preventDefault()
    if (refuses || busy.value) return
    busy.value = true
    error.value = null
    try {
      await send()
      dialog.current?.close()
      acted.value++
    } catch (thrown) {
      error.value = thrown
    } finally {
      busy.value = false
    }
  }
  return (
    <dialog ref={dialog} onClose={closed} aria-labelledby={id}>
      <form onSubmit={submit} noValidate>
        <h2 id={id}>{title}</h2>
        {children}
        <Trouble error={error.value} />
        <footer>
          {refuses && <p class="hint">{refuses}</p>}
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" class={danger ? 'danger' : 'main'} disabled={Boolean(refuses) || busy.value}>
            {busy.value ? 'Sending…' : action}
          </button>
        </footer>
      </form>
    </dialog>
  )
}

export function Field({ label, hint, children }: Children & { label: string; hint?: string }) {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
      {hint && <small>{hint}</small>}
    </label>
  )
}

/** A dialog that is shown, whoever asked for it. */
const shown = signal<ComponentChildren>(null)

/** It belongs to the page and the session in which it was asked for: who goes elsewhere leaves it behind. */
export function Shown() {
  useEffect(() => () => void (shown.value = null), [path.value])
  return <>{shown.value}</>
}

let openings = 0

/** Show a dialog: each opening is one of its own, also of what was shown just before. */
export function showDialog(dialog: ComponentChildren) {
  shown.value = <Fragment key={++openings}>{dialog}</Fragment>
}
