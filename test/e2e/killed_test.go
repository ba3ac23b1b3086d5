// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// kills is how often the agent is killed, and anyMoment bounds how long after it started: before it
// has looked, before it has written, and while it does either.
const (
	kills     = 6
	anyMoment = 15 * time.Second
)

var _ = Describe("An agent that is killed again and again", Label("escapes", "node"), Ordered, func() {
	It("never takes back what was found, nor lets pass what it did not see", func() {
		l := newLab(k)
		node := l.nodes()[0]
		loose := l.runningOn(node, "loose", l.insider("loose"))
		drifted := l.runningOn(node, "drifted", l.deceived("drifted", "pid", "", ""))
		opened := l.runningOn(node, "opened", l.deceived("opened", "hostPath", "", ""))
		host := l.runningOn(node, "host", pod(l.ns, "host", ""))
		l.ctr(host, "..", strings.Repeat("5eed", 16))
		later := l.runningOn(node, "later", l.insider("later"))
		Eventually(l.levels(later)).WithTimeout(soon).ShouldNot(BeNil())
		time.Sleep(15 * time.Second) // where a container started is known once it has been seen twice
		start := time.Now()
		l.inside(loose, "enter", "1", "net")
		cases := []escape{
			{name: "an escape", find: []string{"Escape network"}, within: byALook},
			{name: "a drift", find: []string{"Drift pid"}, within: byALook},
			{name: "a portal", find: []string{"Portal hostPaths"}, within: byACloseLook},
			{name: "an orphan", find: []string{"Orphan"}, within: byAStray},
		}
		pods := []corev1.Pod{loose, drifted, opened, host}
		for _, r := range l.search(cases, pods, []time.Time{start, start, start, start}) {
			Expect(r.ok).To(BeTrue(), "%s: expected %s, found %q", r.name, r.expected, r.found)
		}
		first, err := l.report(node)
		Expect(err).NotTo(HaveOccurred())

		lost, passed := make([][]string, len(pods)), []string(nil)
		stop := l.watch(node, func(report *v1alpha1.NodeIsolationReport) {
			for i := range pods {
				lost[i] = append(lost[i], missing(first, report, pods[i])...)
			}
			passed = append(passed, tooGood(report, loose, drifted)...)
		})
		chance := rand.New(rand.NewSource(GinkgoRandomSeed()))
		for range kills {
			time.Sleep(time.Duration(chance.Int63n(int64(anyMoment))))
			l.killAgent(node)
		}
		killed := time.Now()
		Eventually(l.renewed(node)).WithTimeout(90*time.Second).Should(BeTemporally(">", killed), "the agent is back")
		time.Sleep(70 * time.Second) // what is found by close looks must have been found again
		stop()
		var rows []row
		for i := range cases {
			rows = append(rows, row{name: fmt.Sprintf("%s, while the agent is killed %d times", cases[i].name, kills), expected: "always there, unchanged",
				found: orElse(lost[i], "always there, unchanged"), ok: len(lost[i]) == 0})
		}
		rows = append(rows, row{name: "levels, while the agent is killed", expected: "never too good", found: orElse(passed, "never too good"), ok: len(passed) == 0})

		By("escaping after the last kill, and ending what there was")
		since := time.Now()
		l.inside(later, "enter", "1", "net")
		l.mustKubectl("-n", l.ns, "delete", "pod", "loose", "--now")
		rows = append(rows, l.search([]escape{{name: "an escape after the last kill", find: []string{"Escape network"}, within: byALook}},
			[]corev1.Pod{later}, []time.Time{since})...)
		tellAndExpect("KILLED AGENT", rows)
		Eventually(func() ([]string, error) {
			report, err := l.report(node)
			return aboutPod(report, loose), err
		}).WithTimeout(byALook).Should(BeEmpty())
	})
})

// missing are the findings of a pod that a later report does not have as the first one has.
func missing(first, later *v1alpha1.NodeIsolationReport, p corev1.Pod) []string {
	var out []string
	for _, f := range first.Status.Findings {
		if f.Pod.UID == p.UID && !slices.ContainsFunc(later.Status.Findings, func(g v1alpha1.NodeFinding) bool {
			return g.Pod == f.Pod && about(&g) == about(&f) && g.Message == f.Message && g.FirstSeen.Equal(&f.FirstSeen)
		}) {
			out = append(out, fmt.Sprintf("%s missing at %s", about(&f), later.Status.ChangedAt.Format(time.TimeOnly)))
		}
	}
	return out
}

// tooGood tells where a report lets pass what is not: the network of loose, the processes of drifted.
func tooGood(report *v1alpha1.NodeIsolationReport, loose, drifted corev1.Pod) []string {
	var out []string
	for _, g := range report.Status.Groups {
		for _, p := range g.Pods {
			if p.UID == loose.UID && g.Levels.Network != v1alpha1.LevelHost {
				out = append(out, "the network of "+p.Name+" is "+string(g.Levels.Network))
			}
			if p.UID == drifted.UID && g.Levels.PID != v1alpha1.LevelHost {
				out = append(out, "the processes of "+p.Name+" are "+string(g.Levels.PID))
			}
		}
	}
	return out
}

func orElse(texts []string, none string) string {
	if len(texts) == 0 {
		return none
	}
	return strings.Join(slices.Compact(texts), ", ")
}

// killAgent ends the agent on a node as a crash would, without a word, and waits until another one runs. Its
// pod goes, too: the kubelet would start the same one again later every time.
func (l *lab) killAgent(node string) {
	GinkgoHelper()
	var agent, next *corev1.Pod
	Eventually(func() (err error) { agent, err = l.runningAgent(node); return err }).WithTimeout(time.Minute).Should(Succeed())
	l.onNode(node, "", "kill", "-KILL", l.pid(*agent))
	l.mustKubectl("-n", agent.Namespace, "delete", "pod", agent.Name, "--force", "--grace-period=0")
	Eventually(func() (types.UID, error) {
		var err error
		if next, err = l.runningAgent(node); err != nil {
			return agent.UID, err
		}
		return next.UID, nil
	}).WithTimeout(time.Minute).ShouldNot(Equal(agent.UID))
}

// runningAgent is the agent's pod on a node, of which a container runs; it need not be ready.
func (c *cluster) runningAgent(node string) (*corev1.Pod, error) {
	var pods corev1.PodList
	if err := c.get(&pods, "pods", "-n", "bulkhead-system", "-l", "app.kubernetes.io/component=agent", "--field-selector", "spec.nodeName="+node); err != nil {
		return nil, err
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.DeletionTimestamp == nil && len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Running != nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no agent runs on %s", node)
}

// renewed is when the agent of a node last renewed its lease.
func (l *lab) renewed(node string) func() (time.Time, error) {
	return func() (time.Time, error) {
		var lease coordinationv1.Lease
		if err := l.get(&lease, "lease", node, "-n", "bulkhead-system"); err != nil || lease.Spec.RenewTime == nil {
			return time.Time{}, err
		}
		return lease.Spec.RenewTime.Time, nil
	}
}
