import { useSignal } from '@preact/signals'
import { loggedOut } from '../http'
import { href } from '../router'
import { logIn } from '../session'
import { Field, Trouble } from '../ui'

export function LogIn({ error }: { error: unknown }) {
  const user = useSignal('')
  const password = useSignal('')
  const project = useSignal('')
  const domain = useSignal('Default')
  const refusal = useSignal<unknown>(null)
  const busy = useSignal(false)
  const submit = async (event: Event) => {
    event.preventDefault()
    busy.value = true
    refusal.value = null
    try {
      await logIn(user.value, password.value, domain.value, project.value)
    } catch (thrown) {
      refusal.value = thrown
    } finally {
      busy.value = false
    }
  }
  return (
    <main class="login">
      <form onSubmit={submit}>
        <h1>
          <img src={href('/favicon.svg')} alt="" width="28" height="28" /> Pumice
        </h1>
        <p>Block storage for virtual machines that never gets stuck.</p>
        {loggedOut.value && <p class="hint">Your session has ended: log in again.</p>}
        <Field label="User">
          <input
            autoComplete="username"
            autoFocus
            required
            value={user.value}
            onInput={(event) => (user.value = event.currentTarget.value)}
          />
        </Field>
        <Field label="Password">
          <input
            type="password"
            autoComplete="current-password"
            required
            value={password.value}
            onInput={(event) => (password.value = event.currentTarget.value)}
          />
        </Field>
        <div class="pair">
          <Field label="Project" hint="Empty: the one that you were in, or your first">
            <input value={project.value} onInput={(event) => (project.value = event.currentTarget.value)} />
          </Field>
          <Field label="Domain">
            <input value={domain.value} onInput={(event) => (domain.value = event.currentTarget.value)} />
          </Field>
        </div>
        <Trouble error={refusal.value ?? error} />
        <button type="submit" class="main" disabled={busy.value || !user.value || !password.value}>
          {busy.value ? 'Logging in…' : 'Log in'}
        </button>
      </form>
    </main>
  )
}
