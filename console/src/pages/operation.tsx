/** One operation by itself. */
import { Commands } from '../commands'
import { useAnswer } from '../collection'
import type { Operation } from '../kinds'
import { OperationTimeline } from '../timeline'
import { Link, Panel, Trouble } from '../ui'
import { kindly } from '../words'

export function OperationPage({ id }: { id: string }) {
  const path = `/pumice/v1/operations/${id}`
  const { value, error } = useAnswer<{ operation: Operation }>(path, (event) => event.operation_id === id)
  const found = value.value?.operation
  return (
    <>
      <h1>{found ? kindly(found.kind) : 'Operation'}</h1>
      <Trouble error={error.value} />
      {found && (
        <div class="panels">
          <Panel title="Steps" wide>
            <OperationTimeline operation={found} />
          </Panel>
          <Panel title="About">
            <dl>
              <dt>Id</dt>
              <dd>
                <code>{found.id}</code>
              </dd>
              <dt>Subject</dt>
              <dd>
                <Link to={found.kind.startsWith('volume.') ? `/volumes/${found.subject}` : `/operations?subject=${found.subject}`}>
                  {found.subject}
                </Link>
              </dd>
              {found.parent_id && (
                <>
                  <dt>Part of</dt>
                  <dd>
                    <Link to={`/operations/${found.parent_id}`}>{found.parent_id}</Link>
                  </dd>
                </>
              )}
              {found.request_id && (
                <>
                  <dt>Request</dt>
                  <dd>
                    <code>{found.request_id}</code>
                  </dd>
                </>
              )}
            </dl>
          </Panel>
          <Panel title="The same as a command">
            <Commands say={{ path, openstack: `openstack operation show ${id}` }} />
          </Panel>
        </div>
      )}
    </>
  )
}
