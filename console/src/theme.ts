/** Dark or light: as the system says, until somebody says otherwise. */
import { effect, signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'
const KEY = 'pumice-theme'

export const theme = signal<Theme>((localStorage.getItem(KEY) as Theme | null) ?? 'system')

effect(() => {
  document.documentElement.dataset.theme = theme.value
  localStorage.setItem(KEY, theme.value)
})
