/** What one can do with schedules. */
import { quoted } from '../commands'
import { nameOf, type Schedule, SCHEDULES } from '../kinds'
import { confirm, form, name, whole } from './form'

const RULES = ['last', 'daily', 'weekly', 'monthly'] as const
const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'

/** `tier=gold, site=b` as pairs; null where it is not like that. */
function pairsOf(text: string): Record<string, string> | null {
  const pairs = text.split(',').map((pair) => pair.trim().split(/=(.*)/s, 2))
  return pairs.every(([key, value]) => key && value !== undefined) ? Object.fromEntries(pairs) : null
}

export function createSchedule() {
  const number = (rule: string, label: string, value = '') => ({ name: rule, label, value, kind: 'number' as const })
  form({
    title: 'Create schedule',
    action: 'Create',
    fields: [
      [name(''), { name: 'kind', label: 'Makes a', value: 'snapshot', options: ['snapshot', 'backup'] }],
      [
        { name: 'volume', label: 'Of the volume', value: '', options: { path: '/volume/v3/volumes?limit=1000', key: 'volumes' } },
        { name: 'group', label: 'Or of the group', value: '', options: { path: '/volume/v3/groups?limit=1000', key: 'groups' } },
      ],
      { name: 'metadata', label: 'Or of every volume with the metadata', value: '', hint: 'As in tier=gold, site=b' },
      [
        { name: 'cron', label: 'When', value: '0 3 * * *', hint: 'Minute, hour, day, month, day of the week' },
        { name: 'timezone', label: 'By the clocks of', value: HERE, hint: 'As in Europe/Berlin' },
      ],
      [number('last', 'Keep the last'), number('daily', 'Keep daily', '7')],
      [number('weekly', 'Keep weekly'), number('monthly', 'Keep monthly')],
      { ...number('full', 'Backups: each so many a whole one'), hint: 'Those between hold what has changed' },
    ],
    refuses: ({ name, volume, group, metadata, cron, full, kind, ...keep }) =>
      !name!.trim()
        ? 'A schedule has a name.'
        : [volume, group, metadata!.trim()].filter(Boolean).length !== 1
          ? 'Name one: a volume, a group or metadata.'
          : metadata!.trim() && !pairsOf(metadata!)
            ? 'Metadata is pairs, as in tier=gold, site=b.'
            : cron!.trim().split(/\s+/).length !== 5
              ? 'A time is five fields of cron, as in 0 3 * * *.'
              : RULES.some((rule) => keep[rule] && !/^\d{1,4}$/.test(keep[rule]))
                ? 'How many to keep is a whole number, or nothing.'
                : full && (kind !== 'backup' || !whole(full))
                  ? 'Each so many is a whole number, and of backups alone.'
                  : null,
    said: ({ name, kind, volume, group, metadata, cron, timezone, full, ...kept }) => {
      const keep = Object.fromEntries(RULES.filter((rule) => Number(kept[rule])).map((rule) => [rule, Number(kept[rule])]))
      const tags = metadata ? pairsOf(metadata) : null
      const words = [`openstack schedule create ${quoted(name || 'NAME')} --kind ${kind} --cron ${quoted(cron!)} --timezone ${quoted(timezone!)}`]
      if (volume || !(group || tags)) words.push(`--volume ${volume || 'VOLUME'}`)
      if (group) words.push(`--group ${group}`)
      for (const [key, value] of Object.entries(tags ?? {})) words.push(`--tagged ${quoted(`${key}=${value}`)}`)
      for (const [rule, many] of Object.entries(keep)) words.push(`--keep-${rule} ${many}`)
      if (full) words.push(`--full-every ${full}`)
      return {
        path: SCHEDULES.list,
        body: {
          schedule: {
            ...{ name, kind, cron, timezone, keep },
            ...(volume && { volume_id: volume }),
            ...(group && { group_id: group }),
            ...(tags && { metadata: tags }),
            ...(full && { full_every: Number(full) }),
          },
        },
        method: 'POST',
        openstack: words.join(' '),
      }
    },
    done: 'It was made.',
  })
}

export interface Action {
  title: string
  danger?: boolean
  refuses?: string | null
  open: () => void
}

export function actionsOn(schedule: Schedule): readonly Action[] {
  const { id, enabled, deleting } = schedule
  const path = SCHEDULES.one(id)
  const called = nameOf(schedule)
  const turn = enabled ? 'Disable' : 'Enable'
  const goes = deleting ? 'It is being deleted.' : null
  return [
    {
      title: 'Run now',
      refuses: goes ?? (schedule.last_run?.state === 'running' ? 'It is running.' : null),
      open: () =>
        confirm(
          `Run ${called} now?`,
          'Run',
          { method: 'POST', path: `${path}/actions/run`, openstack: `openstack schedule run ${id}` },
          `A ${schedule.kind} is made now, and what no rule keeps is deleted. When it is due next stays as it is.`,
          { done: `${called} runs.` },
        ),
    },
    {
      title: turn,
      refuses: goes,
      open: () =>
        confirm(
          `${turn} ${called}?`,
          turn,
          {
            method: 'PUT',
            path,
            body: { schedule: { enabled: !enabled } },
            openstack: `openstack schedule set --${turn.toLowerCase()} ${id}`,
          },
          enabled ? 'It is due no more until it is enabled. A run that is under way goes on.' : 'It is due again, at its next time.',
          { done: `${called} is ${enabled ? 'disabled' : 'enabled'}.` },
        ),
    },
    {
      title: 'Delete',
      danger: true,
      open: () =>
        form({
          title: `Delete ${called}?`,
          action: 'Delete',
          danger: true,
          fields: [
            {
              name: 'made',
              label: `Also the ${schedule.kind}s that it made`,
              value: '',
              kind: 'check',
              hint: 'For good, and not those that somebody has renamed, described or tagged. Otherwise all of them stay, as if you had made them yourself.',
            },
          ],
          said: ({ made }) =>
            made
              ? { path: `${path}/actions/delete_with_made`, openstack: `openstack schedule delete --with-made ${id}` }
              : { method: 'DELETE', path, openstack: `openstack schedule delete ${id}` },
          done: `${called} is deleted.`,
        }),
    },
  ]
}
