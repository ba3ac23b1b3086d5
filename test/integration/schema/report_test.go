// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"context"
	"fmt"
	"math"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// levels are all that the core can observe, what nobody looked at included.
var levels = []isolation.Level{
	isolation.None, isolation.Unknown, isolation.NotApplicable,
	isolation.Host, isolation.Foreign, isolation.Pod, isolation.Container,
}

// kinds are all kinds of findings.
var kinds = []v1alpha1.FindingKind{
	v1alpha1.Violation, v1alpha1.Drift, v1alpha1.Escape, v1alpha1.Foreign, v1alpha1.Portal,
	v1alpha1.Leak, v1alpha1.Orphan, v1alpha1.Breach, v1alpha1.Unverified,
}

// nodeFinding is a finding in which everything is as long as it can be.
func nodeFinding(kind v1alpha1.FindingKind, axis isolation.Axis, level isolation.Level) v1alpha1.NodeFinding {
	return v1alpha1.NodeFinding{
		Kind:      kind,
		Pod:       v1alpha1.ObservedPod{UID: types.UID(long(36)), Namespace: long(63), Name: long(253)},
		Container: long(63), ContainerID: long(64),
		Axis: axis.API(), Claimed: level.API(), Observed: level.API(),
		Capabilities: []v1alpha1.Capability{"SYS_ADMIN", v1alpha1.Capability(strings.Repeat("X", 64))},
		Message:      long(1024), FirstSeen: metav1.Now(),
		Evidence: &v1alpha1.Evidence{
			PID: math.MaxInt64, TID: math.MaxInt64, StartTime: math.MaxInt64,
			Command: isolation.Sanitize(strings.Repeat("\x1b", 64), 64),
			Inode:   math.MaxInt64, OwnInode: math.MaxInt64, Processes: math.MaxInt32,
			Owner: isolation.PodRef{UID: "u", Namespace: long(63), Name: long(253)}.String(),
		},
	}
}

var _ = Describe("a node's report", func() {
	var report *v1alpha1.NodeIsolationReport

	BeforeEach(func(ctx context.Context) {
		report = &v1alpha1.NodeIsolationReport{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}}
		Expect(cluster.Create(ctx, report)).To(Succeed())
		DeferCleanup(func(ctx context.Context) {
			Expect(client.IgnoreNotFound(cluster.Delete(ctx, report))).To(Succeed())
		})
	})

	It("may be empty", func(ctx context.Context) {
		Expect(cluster.Status().Update(ctx, report)).To(Succeed())
	})

	It("comes back as it was written", func(ctx context.Context) {
		now := metav1.Now().Rfc3339Copy()
		report.Status = v1alpha1.NodeIsolationReportStatus{
			ChangedAt: &now,
			Node:      v1alpha1.NodeFacts{BootID: long(64), KernelVersion: long(128), ContainerRuntime: long(256)},
			Nested:    true, PodsTotal: 2, FindingsTotal: 3, Truncated: true,
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLooking, LastTransitionTime: now},
				{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonEstablished, LastTransitionTime: now},
			},
		}
		for _, a := range isolation.Axes {
			report.Status.Namespaces = append(report.Status.Namespaces, v1alpha1.NodeNamespace{
				Axis: a.API(), Inodes: []int64{math.MaxUint32}, EstablishedBy: long(63), Reason: long(1024),
			})
			f := nodeFinding(v1alpha1.Escape, a, isolation.Host)
			f.FirstSeen = now
			report.Status.Findings = append(report.Status.Findings, f)
		}
		want := report.Status.DeepCopy()
		Expect(cluster.Status().Update(ctx, report)).To(Succeed())
		got := &v1alpha1.NodeIsolationReport{}
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(report), got)).To(Succeed())
		Expect(got.Status).To(BeComparableTo(*want))
	})

	It("takes every level that the core can observe", func(ctx context.Context) {
		for _, level := range levels {
			v := isolation.Fill(level)
			report.Status.Groups = append(report.Status.Groups, v1alpha1.ObservedGroup{
				Levels: v.API(), Pods: []v1alpha1.ObservedPod{{UID: "1"}},
			})
		}
		Expect(cluster.Status().Update(ctx, report)).To(Succeed())
		for i, level := range levels {
			if level == isolation.None {
				level = isolation.Unknown
			}
			Expect(isolation.VectorOf(report.Status.Groups[i].Levels)).To(Equal(isolation.Fill(level)))
		}
	})

	It("takes every finding that the core can make", func(ctx context.Context) {
		for _, kind := range kinds {
			for _, a := range isolation.Axes {
				report.Status.Findings = append(report.Status.Findings, nodeFinding(kind, a, isolation.Container))
			}
		}
		for _, level := range levels {
			report.Status.Findings = append(report.Status.Findings, nodeFinding(v1alpha1.Unverified, isolation.Time, level))
		}
		Expect(len(report.Status.Findings)).To(BeNumerically("<=", v1alpha1.MaxReportFindings))
		Expect(cluster.Status().Update(ctx, report)).To(Succeed())
	})

	It("takes an orphan, of which the API knows nothing", func(ctx context.Context) {
		report.Status.Findings = []v1alpha1.NodeFinding{{
			Kind: v1alpha1.Orphan, Pod: v1alpha1.ObservedPod{UID: "0123456789abcdef0123456789abcdef"},
			ContainerID: long(64), Message: "the API server knows no such pod", FirstSeen: metav1.Now(),
		}}
		Expect(cluster.Status().Update(ctx, report)).To(Succeed())
	})

	DescribeTable("has bounds",
		func(ctx context.Context, limit int, fill func(s *v1alpha1.NodeIsolationReportStatus, n int), message string) {
			fill(&report.Status, limit)
			Expect(cluster.Status().Update(ctx, report)).To(Succeed())
			fill(&report.Status, limit+1)
			Expect(cluster.Status().Update(ctx, report)).To(MatchError(ContainSubstring(message)))
		},
		Entry("of its findings", v1alpha1.MaxReportFindings, func(s *v1alpha1.NodeIsolationReportStatus, n int) {
			s.Findings = make([]v1alpha1.NodeFinding, n)
			for i := range s.Findings {
				s.Findings[i] = nodeFinding(v1alpha1.Escape, isolation.PID, isolation.Host)
			}
		}, "must have at most 100 items"),
		Entry("of its groups", v1alpha1.MaxReportGroups, func(s *v1alpha1.NodeIsolationReportStatus, n int) {
			v := isolation.Fill(isolation.Pod)
			s.Groups = make([]v1alpha1.ObservedGroup, n)
			for i := range s.Groups {
				s.Groups[i] = v1alpha1.ObservedGroup{Levels: v.API(), Pods: []v1alpha1.ObservedPod{}}
			}
		}, "must have at most 512 items"),
		Entry("of its pods", v1alpha1.MaxReportPods, func(s *v1alpha1.NodeIsolationReportStatus, n int) {
			v := isolation.Fill(isolation.Pod)
			pods := make([]v1alpha1.ObservedPod, n)
			for i := range pods {
				pods[i] = v1alpha1.ObservedPod{UID: types.UID(fmt.Sprintf("%036d", i)), Namespace: long(63), Name: long(253)}
			}
			s.Groups = []v1alpha1.ObservedGroup{{Levels: v.API(), Pods: pods}}
		}, "must have at most 1024 items"),
		Entry("of a message", 1024, func(s *v1alpha1.NodeIsolationReportStatus, n int) {
			f := nodeFinding(v1alpha1.Escape, isolation.PID, isolation.Host)
			f.Message = long(n)
			s.Findings = []v1alpha1.NodeFinding{f}
		}, "may not be more than 1024"),
	)

	DescribeTable("is refused",
		func(ctx context.Context, fields, message string) {
			o := &unstructured.Unstructured{Object: map[string]any{"status": policy("p", fields).Object["spec"]}}
			o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeIsolationReport"))
			o.SetName(report.Name)
			o.SetResourceVersion(report.ResourceVersion)
			Expect(cluster.Status().Update(ctx, o)).To(MatchError(ContainSubstring(message)))
		},
		Entry("with a level that is none", `groups: [{pods: [], levels: `+levelsBut("pid: Isolated")+`}]`,
			`supported values: "Host", "Foreign", "Pod", "Container", "Unknown", "NotApplicable"`),
		Entry("with an empty level", `groups: [{pods: [], levels: `+levelsBut(`pid: ""`)+`}]`, "levels.pid: Unsupported value"),
		Entry("without a level", `groups: [{pods: [], levels: {pid: Pod}}]`, "levels.network: Required value"),
		Entry("with an unknown kind of finding", `findings: [{kind: Rumour, pod: {uid: u}, message: m, firstSeen: "2026-01-01T00:00:00Z"}]`, "findings[0].kind: Unsupported value"),
		Entry("with an unknown axis", `findings: [{kind: Drift, axis: net, pod: {uid: u}, message: m, firstSeen: "2026-01-01T00:00:00Z"}]`, "findings[0].axis: Unsupported value"),
		Entry("that names an axis twice", `namespaces: [{axis: pid}, {axis: pid}]`, "Duplicate value"),
	)
})

// levelsBut is a full set of levels in YAML with one in place of its own.
func levelsBut(own string) string {
	name, _, _ := strings.Cut(own, ":")
	all := []string{own}
	for _, a := range isolation.Axes {
		if a.String() != name {
			all = append(all, a.String()+": Pod")
		}
	}
	return "{" + strings.Join(all, ", ") + "}"
}

var _ = Describe("a policy's status", func() {
	var stored *v1alpha1.IsolationPolicy

	BeforeEach(func(ctx context.Context) {
		stored = &v1alpha1.IsolationPolicy{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "p-"},
			Spec: v1alpha1.IsolationPolicySpec{
				Isolation: &v1alpha1.Isolation{PID: "Pod"},
				Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Deny},
			},
		}
		Expect(cluster.Create(ctx, stored)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(cluster.Delete(ctx, stored)).To(Succeed()) })
	})

	It("takes 50 findings of any kind, and no more", func(ctx context.Context) {
		finding := v1alpha1.PolicyFinding{
			Namespace: long(63), Pod: long(253), UID: types.UID(long(36)), Node: long(253), Message: long(1024),
		}
		for i := range v1alpha1.MaxPolicyFindings {
			f := finding
			f.Kind = kinds[i%len(kinds)]
			if i%2 == 0 {
				f.Axis = isolation.Axes[i%isolation.NumAxes].API()
			} else {
				f.Portal = "hostPaths"
			}
			stored.Status.Findings = append(stored.Status.Findings, f)
		}
		Expect(cluster.Status().Update(ctx, stored)).To(Succeed())
		stored.Status.Findings = append(stored.Status.Findings, stored.Status.Findings[0])
		Expect(cluster.Status().Update(ctx, stored)).To(MatchError(ContainSubstring("must have at most 50 items")))
	})

	It("comes back as it was written", func(ctx context.Context) {
		stored.Status = v1alpha1.IsolationPolicyStatus{
			ObservedGeneration: 7, FindingsTotal: 9,
			Pods:  v1alpha1.PodCounts{Matched: 15, Exempt: 1, Breached: 2, Violating: 3, Unverified: 4, Compliant: 5},
			Nodes: v1alpha1.NodeCounts{Reporting: 2, Stale: 1},
			Conditions: []metav1.Condition{{
				Type: v1alpha1.ConditionVerified, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonBreached,
				Message: "2 pods", LastTransitionTime: metav1.Now().Rfc3339Copy(), ObservedGeneration: 7,
			}},
		}
		want := stored.Status.DeepCopy()
		Expect(cluster.Status().Update(ctx, stored)).To(Succeed())
		got := &v1alpha1.IsolationPolicy{}
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(stored), got)).To(Succeed())
		Expect(got.Status).To(BeComparableTo(*want))
	})

	It("counts no pods as well as some", func(ctx context.Context) {
		stored.Status.ObservedGeneration = 1
		Expect(cluster.Status().Update(ctx, stored)).To(Succeed())
	})
})
