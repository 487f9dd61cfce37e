/** Times, sizes and statuses in words. */

export type Tone = 'good' | 'busy' | 'bad' | 'calm'

const BAD = /error|fail|down|killed|missing/i
const GOOD = /^(available|in-use|active|done|up|attached|enabled|ok)$/i
const BUSY = /ing$|degraded|^(queued|build|reboot|undoing|detached|retry)|hard_reboot/i

export function tone(status: string): Tone {
  if (BAD.test(status)) return 'bad'
  if (GOOD.test(status)) return 'good'
  return BUSY.test(status) ? 'busy' : 'calm'
}

export const isPassing = (status: string) => tone(status) === 'busy' && status !== 'detached'

/** Milliseconds; the APIs' times are UTC, and not all of them say so. */
export const moment = (at: string) => Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(at) ? at : `${at}Z`)

export function ago(at: string | null | undefined): string {
  if (!at) return ''
  const seconds = Math.max(0, (Date.now() - moment(at)) / 1000)
  return seconds < 5 ? 'just now' : `${seconds < 10 ? `${Math.round(seconds)} s` : span(seconds)} ago`
}

/** A span of seconds, in its one or two largest units. */
export function span(seconds: number): string {
  if (seconds < 0.1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

const inWords = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

export const clock = (at: string) => inWords.format(moment(at))

export function bytes(number: number | null | undefined): string {
  if (number == null) return ''
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = number
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

export const gib = (number: number) => bytes(number * 1024 ** 3)

export const many = (number: number, one: string, more: string) => `${number} ${number === 1 ? one : more}`

/** `claim_space` → `claim space`. */
export const plainly = (word: string) => word.replaceAll('_', ' ')

/** `volume.create` → `Create volume`. */
export function kindly(kind: string): string {
  const [noun = '', verb = ''] = kind.split('.')
  const words = `${plainly(verb)} ${verb.includes('volume') ? '' : plainly(noun)}`.trim()
  return words.charAt(0).toUpperCase() + words.slice(1)
}
