// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestAPodIsReadyOnlyIfNothingIsInItsWayAndAllIsKnown(t *testing.T) {
	const app = "containers: [{name: app"
	node := &corev1.Node{}
	fromYAML(t, recent, &node.Status)
	facts := isolation.NodeFactsOf(node)
	for _, c := range []struct {
		name, spec string
		node       *isolation.NodeFacts
		want       isolation.UserNamespaceState
		obstacles  int
	}{
		{"nothing is in its way", app + "}]", facts, isolation.UserNamespaceReady, 0},
		{"it says that it wants the node's", "hostUsers: true\n" + app + "}]", facts, isolation.UserNamespaceReady, 0},
		{"it has one", "hostUsers: false\n" + app + "}]", facts, isolation.UserNamespaceOwn, 0},
		{"it has one, whatever is known of its node", "hostUsers: false\n" + app + "}]", nil, isolation.UserNamespaceOwn, 0},
		{"its node is not known", app + "}]", nil, isolation.UserNamespaceUnclear, 1},
		{"the API server refuses it, and its node is not known", "hostPID: true\n" + app + "}]", nil, isolation.UserNamespaceBlocked, 2},
		{"it would not start", "securityContext: {fsGroup: 65536}\n" + app + "}]", facts, isolation.UserNamespaceBlocked, 1},
		{"it would be weaker", app + ", securityContext: {privileged: true}}]", facts, isolation.UserNamespaceBlocked, 1},
		{"two obstacles of a sort are one", app + ", securityContext: {capabilities: {add: [SYS_ADMIN, SYS_TIME]}}}]", facts, isolation.UserNamespaceBlocked, 1},
		{"of one reason, one that is known and one that is not", app + ", volumeMounts: [{name: a}, {name: b}]}]\nvolumes: [{name: a, nfs: {server: s, path: /}}, {name: b, hostPath: {path: /}}]",
			facts, isolation.UserNamespaceBlocked, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := isolation.UserNamespaceReadiness(podSpec(t, c.spec), c.node, ptr.To(""))
			sorts := map[isolation.ObstacleSort]bool{}
			for sort := range r.Obstacles() {
				sorts[sort] = true
			}
			if r.State() != c.want || len(sorts) != c.obstacles {
				t.Errorf("got %s for %v, want %s for %d", r.State(), sorts, c.want, c.obstacles)
			}
		})
	}
}

func TestPodsAreCountedInOneStateAndTakenOffAgain(t *testing.T) {
	all := []isolation.UserNamespaceState{
		isolation.UserNamespaceOwn, isolation.UserNamespaceReady, isolation.UserNamespaceUnclear, isolation.UserNamespaceBlocked,
	}
	var c isolation.UserNamespaceCounts
	for i, s := range all {
		c.Add(s, []isolation.Level{isolation.Host, isolation.Unknown, isolation.Pod, isolation.Foreign}[i], 1)
	}
	if want := (isolation.UserNamespaceCounts{Pods: 4, Own: 1, Ready: 1, Unclear: 1, Blocked: 1, SeenAtHost: 1}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	c.Add(isolation.UserNamespaceOwn, isolation.Host, -1)
	if want := (isolation.UserNamespaceCounts{Pods: 3, Ready: 1, Unclear: 1, Blocked: 1}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}
