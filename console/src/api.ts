/** The shapes of /pumice/v1, out of its OpenAPI document. Written by: make types */

export type Outcome = 'start' | 'end' | 'error' | 'done' | 'retry' | 'failed' | 'waiting'
/**
 * The words in which it is told.
 */
export type Format = 'pumice' | 'cinder'
/**
 * What a schedule makes.
 */
export type Makes = 'snapshot' | 'backup'

export interface Everything {
  Audit?: Audit
  Begun?: Begun
  ChangeBody?: ChangeBody
  ChangedWebhook?: ChangedWebhook
  Child?: Child
  Children?: Children
  Choice?: Choice
  Connector?: Connector
  Connectors?: Connectors
  Doctor?: Doctor
  Event?: Event
  Examination?: Examination
  ExplainBody?: ExplainBody
  Explanation?: Explanation
  Finding?: Finding
  Format?: Format
  Hints?: Hints
  ImageBase?: ImageBase
  ImageBases?: ImageBases
  Item?: Item
  JsonValue?: JsonValue
  Keep?: Keep
  KeepBody?: KeepBody
  Left?: Left
  Line?: Line
  Link?: Link
  Look?: Look
  Makes?: Makes
  ManySchedules?: ManySchedules
  NewSchedule?: NewSchedule
  NewScheduleBody?: NewScheduleBody
  NewWebhook?: NewWebhook
  OneOperation?: OneOperation
  OneRecycled?: OneRecycled
  OneRun?: OneRun
  OneRunInFull?: OneRunInFull
  OneSchedule?: OneSchedule
  OneWebhook?: OneWebhook
  Operation?: Operation
  OperationInFull?: OperationInFull
  Operations?: Operations
  Outcome?: Outcome
  Pool?: Pool
  Purged?: Purged
  Reason?: Reason
  RecycleBin?: RecycleBin
  Recycled?: Recycled
  Repair?: Repair
  Repaired?: Repaired
  Retried?: Retried
  Run?: Run
  RunInFull?: RunInFull
  Runs?: Runs
  Schedule?: Schedule
  ScheduleChanges?: ScheduleChanges
  ScheduleChangesBody?: ScheduleChangesBody
  Setting?: Setting
  Settings?: Settings
  StrictNewVolume?: StrictNewVolume
  Usage?: Usage
  Used?: Used
  Verdict?: Verdict
  Webhook?: Webhook
  WebhookBody?: WebhookBody
  Webhooks?: Webhooks
  Why?: Why
  Wrong?: Wrong
}
/**
 * Whether all is as it should be, as far as rows can tell.
 */
export interface Audit {
  audit: Look
}
/**
 * What was found when all rows were looked at.
 */
export interface Look {
  /**
   * When. A look is kept for a minute.
   */
  at: string
  /**
   * Whether nothing is stuck, and nothing contradicts itself.
   */
  well: boolean
  violations: Wrong[]
}
/**
 * Something that is not as it should be.
 */
export interface Wrong {
  kind: string
  id: string
  text: string
}
/**
 * What was begun.
 */
export interface Begun {
  operation_id: string
}
/**
 * The body of an update.
 */
export interface ChangeBody {
  webhook: ChangedWebhook
}
/**
 * What is to be otherwise with a webhook.
 */
export interface ChangedWebhook {
  url?: string | null
  description?: string | null
  kinds?: string[] | null
  outcomes?: Outcome[] | null
  format?: Format | null
  enabled?: boolean | string | null
  secret?: string | null
  /**
   * Make another one, shown in this answer alone.
   */
  new_secret?: true | null
}
/**
 * A volume that was made of another.
 */
export interface Child {
  id: string
  name: string | null
  status: string
  /**
   * GiB.
   */
  size: number
  /**
   * The snapshot that it was made of; none for a clone.
   */
  snapshot_id: string | null
  created_at: string
}
/**
 * A volume's children that the caller sees, the oldest first; a thousand at most.
 */
export interface Children {
  children: Child[]
}
/**
 * What would become of a request for a volume.
 */
export interface Choice {
  fits: boolean
  /**
   * GiB.
   */
  size: number
  availability_zones: string[]
  /**
   * Where no pool fits: what to change so that one would.
   */
  advice: string[]
  /**
   * How many pools there are.
   */
  looked_at: number
  /**
   * How many of them each filter leaves, in the order in which they are asked.
   */
  left: Left[]
  /**
   * The pool; told, as are all pools, to who may know them.
   */
  winner: string | null
  /**
   * Whether the winner is drawn by chance, the likeliest being named.
   */
  drawn: boolean
  pools: Pool[]
}
/**
 * How many pools are left behind a filter.
 */
export interface Left {
  filter: string
  pools: number
}
/**
 * A pool as the scheduler looks at it.
 */
export interface Pool {
  name: string
  fits: boolean
  verdicts: Verdict[]
  weight: number | null
  /**
   * What each weigher gives it.
   */
  shares: {
    [k: string]: number
  }
}
/**
 * What a filter says of a pool.
 */
export interface Verdict {
  filter: string
  passes: boolean
  /**
   * What the pool has of what is asked for.
   */
  figures: string | null
}
/**
 * A host, as it connects to a volume; a name that it does not have is empty.
 */
export interface Connector {
  attachment_id: string
  host: string
  ip: string
  /**
   * Its name for iSCSI.
   */
  initiator: string
  /**
   * Its name for NVMe over fabrics.
   */
  nqn: string
  /**
   * Whether it makes one disk of several paths.
   */
  multipath: boolean
}
/**
 * The connectors of a volume's attachments, the oldest first.
 */
export interface Connectors {
  connectors: Connector[]
}
/**
 * What is missing, what works without it, and what installs it.
 */
export interface Doctor {
  doctor: Examination
}
/**
 * What the doctor found on the machine of the process that answers, for the roles of that process.
 */
export interface Examination {
  host: string
  /**
   * When. It is kept for a minute.
   */
  at: string
  /**
   * Whether nothing keeps volumes from being served.
   */
  serves: boolean
  findings: Finding[]
}
/**
 * What was found of one part of the machine.
 */
export interface Finding {
  part: string
  verdict: 'ok' | 'degraded' | 'missing'
  found: string
  /**
   * What works all the same.
   */
  without: string
  /**
   * The command that installs it, or what else to do.
   */
  cure: string
  /**
   * Whether volumes cannot be served without it.
   */
  needed: boolean
}
/**
 * An operation has begun or ended, or one of its steps has. The event's id is its place in the log.
 */
export interface Event {
  kind: string
  project_id: string | null
  subject: string
  operation_id: string
  /**
   * Empty where it is the operation that has begun or ended.
   */
  step: string
  direction: 'do' | 'undo'
  /**
   * start, end or error of an operation; done, retry, failed or waiting of a step.
   */
  outcome: string
  at: string
}
/**
 * The body of a volume create, as Block Storage takes it since 3.53.
 */
export interface ExplainBody {
  volume: StrictNewVolume
  'OS-SCH-HNT:scheduler_hints'?: Hints | null
  /**
   * A volume: what is left open is as that one has it.
   */
  like?: string | null
}
/**
 * A new volume from 3.53, where unknown keys are refused.
 */
export interface StrictNewVolume {
  size?: number | string | null
  name?: string | null
  description?: string | null
  display_name?: string | null
  display_description?: string | null
  volume_type?: string | null
  metadata?: {
    /**
     * This interface was referenced by `undefined`'s JSON-Schema definition
     * via the `patternProperty` "^[a-zA-Z0-9_:. /-]{1,255}$".
     */
    [k: string]: string
  } | null
  availability_zone?: string | null
  snapshot_id?: string | null
  source_volid?: string | null
  image_id?: string | null
  imageRef?: string | null
  consistencygroup_id?: string | null
  group_id?: string | null
  backup_id?: string | null
  multiattach?: boolean | string | null
}
/**
 * Which volumes' backends a new volume shall share or avoid. Other hints are passed over, as by Cinder.
 */
export interface Hints {
  same_host?: string | string[]
  different_host?: string | string[]
  local_to_instance?: string | null
  query?:
    | string
    | {
        [k: string]: unknown
      }
    | null
}
/**
 * Where a volume would be made, and why.
 */
export interface Explanation {
  explanation: Choice
}
/**
 * The bytes of an image in a pool, of which volumes are cloned.
 */
export interface ImageBase {
  id: string
  pool: string
  image_id: string
  /**
   * GiB: so much is claimed for it in its pool.
   */
  size: number
  status: 'creating' | 'available' | 'deleting' | 'error' | 'error_deleting'
  /**
   * How many volumes began with it.
   */
  uses: number
  /**
   * When the last one did.
   */
  used_at: string
  created_at: string
  /**
   * The operation that makes it, or lets it go.
   */
  operation_id: string | null
}
/**
 * What the image cache keeps.
 */
export interface ImageBases {
  image_bases: ImageBase[]
}
/**
 * What a run made of one volume or group.
 */
export interface Item {
  /**
   * The volume, or the group.
   */
  target_id: string
  /**
   * waiting: it is busy, and tried again. dropped: no rule keeps it any more.
   */
  state: 'waiting' | 'begun' | 'done' | 'dropped' | 'failed'
  /**
   * The snapshot, group snapshot or backup, while it is there.
   */
  made_id: string | null
  operation_id: string | null
  error: string | null
}
export interface JsonValue {
  [k: string]: unknown
}
/**
 * How many are kept of what a schedule makes of one volume: whatever one of the rules keeps.
 */
export interface Keep {
  /**
   * The last so many.
   */
  last?: number
  /**
   * The last of each of so many days on which there was one.
   */
  daily?: number
  /**
   * The same by weeks, from Monday.
   */
  weekly?: number
  /**
   * The same by months.
   */
  monthly?: number
}
/**
 * How many to keep.
 */
export interface KeepBody {
  last?: number
  daily?: number
  weekly?: number
  monthly?: number
}
/**
 * A step that was done, undone or tried.
 */
export interface Line {
  step: string
  direction: 'do' | 'undo'
  /**
   * done, retry, failed or waiting.
   */
  outcome: string
  started_at: string
  seconds: number
  /**
   * How many tries in a row this line stands for.
   */
  times: number
  /**
   * Told to who may know hosts, as is the place.
   */
  error: string | null
  place: string | null
}
/**
 * Where a list goes on.
 */
export interface Link {
  rel: 'next'
  href: string
}
/**
 * A page of schedules.
 */
export interface ManySchedules {
  schedules: Schedule[]
  schedules_links?: Link[]
}
/**
 * When a snapshot or backup is made of what, and how many are kept.
 */
export interface Schedule {
  id: string
  project_id: string
  name: string
  kind: 'snapshot' | 'backup'
  /**
   * Minute, hour, day of the month, month, day of the week: 0 3 * * *
   */
  cron: string
  /**
   * Whose clocks these are, by its name in the IANA database.
   */
  timezone: string
  keep: Keep1
  volume_id: string | null
  group_id: string | null
  /**
   * Every volume of the project with all of these.
   */
  metadata: {
    [k: string]: string
  } | null
  /**
   * Each so many backups is a whole one, the others incremental.
   */
  full_every: number | null
  container: string | null
  enabled: boolean
  /**
   * Whether it is being deleted together with what it made.
   */
  deleting: boolean
  next_run_at: string | null
  last_run: Run | null
  created_at: string
  updated_at: string | null
}
/**
 * How many are kept of what a schedule makes of one volume: whatever one of the rules keeps.
 */
export interface Keep1 {
  /**
   * The last so many.
   */
  last?: number
  /**
   * The last of each of so many days on which there was one.
   */
  daily?: number
  /**
   * The same by weeks, from Monday.
   */
  weekly?: number
  /**
   * The same by months.
   */
  monthly?: number
}
/**
 * One time that a schedule was due.
 */
export interface Run {
  id: string
  schedule_id: string
  due_at: string
  /**
   * Whether somebody said: now.
   */
  manual: boolean
  /**
   * failed: of at least one volume nothing was made.
   */
  state: 'running' | 'done' | 'failed'
  started_at: string
  finished_at: string | null
  /**
   * How many volumes were found, or groups.
   */
  volumes: number
  /**
   * Of how many a snapshot or backup was made.
   */
  made: number
  failed: number
  /**
   * Why the first of them failed, or all.
   */
  error: string | null
}
/**
 * What may be asked of a new schedule.
 */
export interface NewSchedule {
  name: string
  kind: Makes
  cron: string
  timezone?: string
  keep?: KeepBody
  volume_id?: string | null
  group_id?: string | null
  metadata?: {
    /**
     * This interface was referenced by `undefined`'s JSON-Schema definition
     * via the `patternProperty` "^[a-zA-Z0-9_:. /-]{1,255}$".
     */
    [k: string]: string
  } | null
  full_every?: number | string | null
  container?: string | null
  enabled?: boolean | string
}
/**
 * The body of a create.
 */
export interface NewScheduleBody {
  schedule: NewSchedule
}
/**
 * A webhook to be made.
 */
export interface NewWebhook {
  /**
   * http:// or https://, where a POST is answered with 2xx.
   */
  url: string
  description?: string | null
  /**
   * Kinds of operations, in which * stands for any characters.
   *
   * @minItems 1
   * @maxItems 20
   */
  kinds?: string[]
  /**
   * start, end and error of operations; done, retry, failed and waiting of their steps.
   *
   * @minItems 1
   * @maxItems 20
   */
  outcomes?: Outcome[]
  format?: Format
  enabled?: boolean | string
  /**
   * Made, and shown in this answer alone, where none is given.
   */
  secret?: string | null
}
/**
 * An operation.
 */
export interface OneOperation {
  operation: OperationInFull
}
/**
 * One operation with its history.
 */
export interface OperationInFull {
  id: string
  /**
   * What it does: volume.create.
   */
  kind: string
  /**
   * The id of what it is about.
   */
  subject: string
  project_id: string | null
  /**
   * The request that began it (X-Openstack-Request-Id).
   */
  request_id: string | null
  /**
   * The operation that it is a part of, or that waits for it.
   */
  parent_id: string | null
  /**
   * waiting: for others. undoing: it turns back. cleaning: how it ended was told, and what it made is still being removed.
   */
  state: 'running' | 'waiting' | 'undoing' | 'cleaning' | 'done' | 'failed'
  /**
   * The step in hand.
   */
  step: string | null
  /**
   * All steps, in their order.
   */
  steps: string[]
  /**
   * How far a long step is, from 0 to 1.
   */
  progress: number | null
  /**
   * Whether it was asked to turn back.
   */
  cancelled: boolean
  /**
   * Why it failed.
   */
  error: string | null
  created_at: string
  finished_at: string | null
  /**
   * When it has ended at the latest, one way or the other.
   */
  ends_by: string | null
  /**
   * Where the step in hand runs; told to who may know hosts.
   */
  place: string | null
  lines: Line[]
  /**
   * The operations for which it waits.
   */
  waits_for: string[]
  /**
   * How often the step in hand was tried in vain.
   */
  tries: number
  /**
   * When it is tried again, after trouble.
   */
  next_try_at: string | null
  /**
   * Why a retry is refused, and what to do instead; null where it may be tried again.
   */
  retry_refused: string | null
}
/**
 * One thing in the recycle bin.
 */
export interface OneRecycled {
  recycled: Recycled
}
/**
 * A volume or a snapshot that was deleted and is kept for a while.
 */
export interface Recycled {
  id: string
  kind: 'volume' | 'snapshot'
  /**
   * kept: it can be restored. going: it is being deleted for good. stuck: its bytes may be gone in part, and it can only be deleted.
   */
  state: 'kept' | 'going' | 'stuck'
  name: string | null
  description: string | null
  project_id: string
  user_id: string
  /**
   * A snapshot's volume; a volume's own id.
   */
  volume_id: string
  /**
   * GiB.
   */
  size: number
  metadata: {
    [k: string]: string
  }
  counts_for_quota: boolean
  recycled_at: string
  /**
   * Not before then is it deleted for good, if space does not run short.
   */
  kept_until: string
  /**
   * When its project was told that space is short, and that it may go.
   */
  told_at: string | null
}
/**
 * A run that was begun.
 */
export interface OneRun {
  run: Run
}
/**
 * A run.
 */
export interface OneRunInFull {
  run: RunInFull
}
/**
 * A run with what it made.
 */
export interface RunInFull {
  id: string
  schedule_id: string
  due_at: string
  /**
   * Whether somebody said: now.
   */
  manual: boolean
  /**
   * failed: of at least one volume nothing was made.
   */
  state: 'running' | 'done' | 'failed'
  started_at: string
  finished_at: string | null
  /**
   * How many volumes were found, or groups.
   */
  volumes: number
  /**
   * Of how many a snapshot or backup was made.
   */
  made: number
  failed: number
  /**
   * Why the first of them failed, or all.
   */
  error: string | null
  /**
   * Of a thousand volumes at most; what failed comes first.
   */
  items: Item[]
}
/**
 * A schedule.
 */
export interface OneSchedule {
  schedule: Schedule
}
/**
 * A webhook.
 */
export interface OneWebhook {
  webhook: Webhook
}
/**
 * Where a project is told what its operations do.
 */
export interface Webhook {
  id: string
  project_id: string
  url: string
  description: string | null
  kinds: string[]
  outcomes: string[]
  /**
   * pumice: the event as the stream has it; cinder: a notification as Cinder's.
   */
  format: string
  enabled: boolean
  /**
   * Why Pumice has disabled it.
   */
  disabled_reason: string | null
  /**
   * Since when every try has failed.
   */
  failing_since: string | null
  created_at: string
  updated_at: string | null
  /**
   * By it signatures are verified. Told where it was made or changed, and never again.
   */
  secret?: string
}
/**
 * One run of something that was asked for.
 */
export interface Operation {
  id: string
  /**
   * What it does: volume.create.
   */
  kind: string
  /**
   * The id of what it is about.
   */
  subject: string
  project_id: string | null
  /**
   * The request that began it (X-Openstack-Request-Id).
   */
  request_id: string | null
  /**
   * The operation that it is a part of, or that waits for it.
   */
  parent_id: string | null
  /**
   * waiting: for others. undoing: it turns back. cleaning: how it ended was told, and what it made is still being removed.
   */
  state: 'running' | 'waiting' | 'undoing' | 'cleaning' | 'done' | 'failed'
  /**
   * The step in hand.
   */
  step: string | null
  /**
   * All steps, in their order.
   */
  steps: string[]
  /**
   * How far a long step is, from 0 to 1.
   */
  progress: number | null
  /**
   * Whether it was asked to turn back.
   */
  cancelled: boolean
  /**
   * Why it failed.
   */
  error: string | null
  created_at: string
  finished_at: string | null
  /**
   * When it has ended at the latest, one way or the other.
   */
  ends_by: string | null
  /**
   * Where the step in hand runs; told to who may know hosts.
   */
  place: string | null
}
/**
 * A page of operations.
 */
export interface Operations {
  operations: Operation[]
  operations_links?: Link[]
}
/**
 * The operation that deletes it for good.
 */
export interface Purged {
  operation_id: string | null
}
/**
 * Why a thing is in its state.
 */
export interface Reason {
  id: string
  kind: string
  status: string
  since: string | null
  /**
   * The operation that holds it.
   */
  operation_id: string | null
  /**
   * A paragraph: what state, since when, why, what happens next and until when.
   */
  text: string
}
/**
 * A page of what is in the recycle bin.
 */
export interface RecycleBin {
  recycle_bin: Recycled[]
  recycle_bin_links?: Link[]
}
/**
 * A repair that has ended.
 */
export interface Repair {
  repair: Repaired
}
/**
 * What was not as it should be, each in a sentence.
 */
export interface Repaired {
  host: string
  /**
   * When all that could be repaired was.
   */
  at: string
  /**
   * And what was done about it.
   */
  repaired: string[]
  /**
   * What only a person can put right.
   */
  left: string[]
  /**
   * Bytes that nothing here knows, kept for a person to look at.
   */
  put_aside: string[]
  /**
   * Places that other hosts serve, or whose daemon does not run.
   */
  not_looked_at: string[]
}
/**
 * What a retry came to.
 */
export interface Retried {
  /**
   * What now goes on; null where nothing was left to do.
   */
  operation_id: string | null
  /**
   * Whether that is another operation than was asked about.
   */
  anew: boolean
}
/**
 * A page of runs, the newest first.
 */
export interface Runs {
  runs: Run[]
  runs_links?: Link[]
}
/**
 * What may be changed of a schedule; what it is about stays.
 */
export interface ScheduleChanges {
  name?: string
  cron?: string
  timezone?: string
  keep?: KeepBody
  full_every?: number | string | null
  enabled?: boolean | string
}
/**
 * The body of a change.
 */
export interface ScheduleChangesBody {
  schedule: ScheduleChanges
}
/**
 * A setting.
 */
export interface Setting {
  /**
   * Dotted, as in api.port.
   */
  name: string
  /**
   * The environment variable that sets it.
   */
  variable: string
  value: JsonValue1
  /**
   * flag, environment, the path of a settings file, or default.
   */
  source: string
  meaning: string
  /**
   * Whether SIGHUP changes it; else it needs a restart.
   */
  live: boolean
}
/**
 * A secret is (not shown).
 */
export interface JsonValue1 {
  [k: string]: unknown
}
/**
 * Every setting in force in the process that answers.
 */
export interface Settings {
  host: string
  settings: Setting[]
}
/**
 * What was used, by day, project, kind and type. The present day is told as far as it has come.
 */
export interface Usage {
  usage: Used[]
}
/**
 * What a project used on one day.
 */
export interface Used {
  project_id: string
  /**
   * In UTC: 2026-11-27.
   */
  day: string
  /**
   * volume: volumes and their snapshots.
   */
  kind: 'volume' | 'backup'
  /**
   * The name of the type, on that day; null of backups.
   */
  volume_type: string | null
  gib_hours: number
}
/**
 * The body of a create.
 */
export interface WebhookBody {
  webhook: NewWebhook
}
/**
 * A page of webhooks.
 */
export interface Webhooks {
  webhooks: Webhook[]
  webhooks_links?: Link[]
}
/**
 * The reason for a state.
 */
export interface Why {
  why: Reason
}
