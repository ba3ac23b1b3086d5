// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/agent/proctest"
)

func TestFindsAnEscape(t *testing.T) {
	t.Parallel()
	s, o := scanJSON(t, "--proc", escapedTree(t).Root)
	want(t, "exit code", o.code, 1)
	c := s.container(t, proctest.ID("1"))
	want(t, "levels", c.levels(), "Container Host Pod Pod Host Host Container Host")
	want(t, "findings", c.kinds(), "Escape mount, Escape network")
	f := c.Findings[1]
	want(t, "process", f.PID, 101)
	wantContains(t, "the message", f.Message, "process 101", "the node's network namespace", "started at network Pod")
	if f.Evidence == nil {
		t.Fatal("no evidence")
	}
	want(t, "inode", f.Evidence.Inode, proctest.Node[proctest.Net])
	want(t, "own inode", f.Evidence.OwnInode, proctest.Pod(100, 1)[proctest.Net])
	want(t, "owner", f.Evidence.Owner, "node")
	want(t, "processes", f.Evidence.Processes, 1)
	want(t, "findings of the other", s.container(t, proctest.ID("2")).kinds(), "")
}

func TestFindsANamespaceOfAnotherPod(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	intruder := alone(200, "0::/docker/"+proctest.ID("2"))
	intruder.NS[proctest.Net] = proctest.Pod(100, 1)[proctest.Net]
	tree.Add(alone(100, "0::/docker/"+proctest.ID("1")), intruder)
	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 1)
	want(t, "findings of the owner", s.container(t, proctest.ID("1")).kinds(), "")
	c := s.container(t, proctest.ID("2"))
	want(t, "findings of the intruder", c.kinds(), "Foreign network")
	want(t, "level", c.Axes["network"].Level, "Foreign")
	wantContains(t, "the owner", c.Findings[0].Evidence.Owner, proctest.ID("1"))
}

func TestWhatCannotBeReadIsUnknownAndSaid(t *testing.T) {
	t.Parallel()
	tree := proctest.New(t)
	dark := alone(100, "0::/docker/"+proctest.ID("1"))
	dark.NS[proctest.Net], dark.NS[proctest.Mnt] = 0, 0
	tree.Add(dark, alone(200, "0::/docker/"+proctest.ID("2")))
	s, o := scanJSON(t, "--proc", tree.Root)
	want(t, "exit code", o.code, 0)
	c := s.container(t, proctest.ID("1"))
	want(t, "levels", c.levels(), "Container Unknown Pod Pod Unknown Host Container Host")
	want(t, "findings", c.kinds(), "Unverified mount, Unverified network")
	wantContains(t, "the reason", c.Axes["network"].Reason, "100/ns/net")
	wantContains(t, "standard error", o.errOut, "2 axes of 1 container could not be read", "as root")
}

const required = `
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: tenants}
spec:
  match: {namespaceSelector: {matchLabels: {nobody: has-this}}}
  isolation: {network: Pod, user: Pod}
  admission: {action: Deny}
`

func TestHoldsAPolicyAgainstEveryContainer(t *testing.T) {
	t.Parallel()
	s, o := scanJSON(t, "--proc", escapedTree(t).Root, "--policy", file(t, required))
	want(t, "exit code", o.code, 1)
	wantContains(t, "standard error", o.errOut, "their match, exemptions and portals are left aside")
	c := s.container(t, proctest.ID("2"))
	want(t, "findings", c.kinds(), "Breach user")
	want(t, "policy", c.Findings[0].Policy, "tenants")
	wantContains(t, "the message", c.Findings[0].Message, "user was observed as Host, Pod is required")
	t.Run("and the table names the policy", func(t *testing.T) {
		o := run(t, "--proc", escapedTree(t).Root, "--policy", file(t, required))
		want(t, "exit code", o.code, 1)
		wantContains(t, "standard output", o.out, "FINDING  CONTAINER     ABOUT    POLICY   MESSAGE\n",
			"\nBreach   222222222222  user     tenants  user was observed as Host, Pod is required\n", "2 containers: 2 Escape, 2 Breach\n")
	})
	t.Run("and one cause is one finding", func(t *testing.T) {
		c := s.container(t, proctest.ID("1"))
		want(t, "findings", c.kinds(), "Escape mount, Escape network, Breach user")
		wantContains(t, "the message", c.Findings[1].Message, "policy tenants: network was observed as Host, Pod is required")
	})
}
