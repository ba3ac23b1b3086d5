// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

var (
	openReports   = schema.GroupVersionKind{Group: "openreports.io", Version: "v1alpha1", Kind: "Report"}
	policyReports = schema.GroupVersionKind{Group: "wgpolicyk8s.io", Version: "v1alpha2", Kind: "PolicyReport"}
)

// often is how often the controllers look here which kinds of reports there are.
const often = 300 * time.Millisecond

// rested is when a namespace's reports may have been written again.
const rested = 10*time.Second + soon

// reported reads the reports of a namespace.
func reported(ctx context.Context, kind schema.GroupVersionKind, namespace string) func() ([]openreports.Report, error) {
	return func() ([]openreports.Report, error) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		err := cluster.List(ctx, list, client.InNamespace(namespace))
		out := []openreports.Report{}
		for i := range list.Items {
			var r openreports.Report
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &r); err != nil {
				return nil, err
			}
			out = append(out, r)
		}
		return out, err
	}
}

// install installs one of the kinds of reports.
func install(ctx context.Context, file string) {
	GinkgoHelper()
	manifest, err := os.ReadFile("crds/" + file)
	Expect(err).NotTo(HaveOccurred())
	Expect(server.Apply(ctx, manifest)).To(Succeed())
}

// uninstall takes a kind of reports away, with all of them.
func uninstall(ctx context.Context, name string) {
	GinkgoHelper()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	crd.SetName(name)
	Expect(client.IgnoreNotFound(cluster.Delete(ctx, crd))).To(Succeed())
	Eventually(func() error { return client.IgnoreNotFound(cluster.Get(ctx, client.ObjectKey{Name: name}, crd)) }).WithTimeout(soon).Should(Succeed())
}

// lines is a log to look into.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, prefix+" "+args)
	}, funcr.Options{})
}

// with counts the lines with a text.
func (l *lines) with(text string) func() int {
	return func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		n := 0
		for _, line := range l.all {
			if strings.Contains(line, text) {
				n++
			}
		}
		return n
	}
}

// summary matches the one report of a namespace by its summary.
func summary(s openreports.ReportSummary) gomegatypes.GomegaMatcher {
	return ConsistOf(HaveField("Summary", s))
}

var _ = Describe("Reports for viewers", Ordered, func() {
	var namespace string
	var policy *v1alpha1.IsolationPolicy
	var log *lines
	var node *agent
	BeforeAll(func(ctx context.Context) {
		log = &lines{}
		namespace = aNamespace(ctx)
		policy = aPolicy(ctx, namespace)
		node = anAgent(ctx)
		good, bad := running(ctx, namespace, "good", node.node, time.Hour), running(ctx, namespace, "bad", node.node, time.Hour, onHost)
		running(ctx, namespace, "unseen", "nowhere", time.Hour)
		node.report(ctx, func(s *v1alpha1.NodeIsolationReportStatus) {
			s.Groups = []v1alpha1.ObservedGroup{at(isolated, good), at(onHostPID(), bad)}
			s.Findings = []v1alpha1.NodeFinding{{
				Kind: v1alpha1.Escape, Pod: v1alpha1.ObservedPod{UID: bad.UID, Namespace: bad.Namespace, Name: bad.Name},
				Axis: "pid", Observed: v1alpha1.LevelHost, FirstSeen: metav1.Now(), Message: "a process called \x1b[2J\u202e\n",
			}}
		})
		Expect(server.Install(ctx, "rbac/manager")).To(Succeed())
		startAs(server.AsManager(), log.logger(), often)
		DeferCleanup(func(ctx context.Context) {
			uninstall(ctx, "reports.openreports.io")
			uninstall(ctx, "policyreports.wgpolicyk8s.io")
		})
	})
	all := openreports.ReportSummary{Pass: 1, Fail: 1, Error: 1}

	It("are not written where no kind of them is installed, and that is told once", func() {
		none := log.with("neither openreports.io nor wgpolicyk8s.io is installed")
		Eventually(none).WithTimeout(soon).Should(Equal(1))
		Consistently(none).WithTimeout(while).Should(Equal(1))
	})
	It("are not written without the permission, and that is told once", func(ctx context.Context) {
		install(ctx, "wgpolicyk8s.io_policyreports.yaml")
		refused := log.with("apply config/rbac/reports")
		Eventually(refused).WithTimeout(soon).Should(Equal(1))
		Consistently(refused).WithTimeout(while).Should(Equal(1))
		Expect(server.Install(ctx, "rbac/reports")).To(Succeed())
	})
	It("are PolicyReports where only those are installed", func(ctx context.Context) {
		Eventually(reported(ctx, policyReports, namespace)).WithTimeout(soon).Should(summary(all))
	})
	It("are OpenReports as soon as those are installed, and then nothing else", func(ctx context.Context) {
		install(ctx, "openreports.io_reports.yaml")
		Eventually(reported(ctx, openReports, namespace)).WithTimeout(soon).Should(summary(all))
		Eventually(reported(ctx, policyReports, namespace)).WithTimeout(soon).Should(BeEmpty())
		got, err := reported(ctx, openReports, namespace)()
		Expect(err).NotTo(HaveOccurred())
		Expect(got[0].Results).To(HaveExactElements(
			SatisfyAll(HaveField("Result", openreports.Result("fail")), HaveField("Policy", policy.Name), HaveField("Rule", "pid"), HaveField("Severity", openreports.ResultSeverity("critical")),
				HaveField("Description", MatchRegexp(`\Apid was observed as Host.* a process called [ -~]+\z`))),
			SatisfyAll(HaveField("Result", openreports.Result("error")), HaveField("Properties", HaveKeyWithValue("node", "nowhere"))),
			HaveField("Result", openreports.Result("pass")),
		))
		Expect(got[0].Results).To(HaveEach(SatisfyAll(
			HaveField("Subjects", ConsistOf(SatisfyAll(HaveField("Kind", "Pod"), HaveField("UID", Not(BeEmpty()))))),
			HaveField("Timestamp.Seconds", BeNumerically(">", 0)), HaveField("Source", "bulkhead"))))
	})
	It("are not written again while nothing changes", func(ctx context.Context) {
		node.renewed(ctx, 0)
		before, err := reported(ctx, openReports, namespace)()
		Expect(err).NotTo(HaveOccurred())
		Consistently(func() (string, error) {
			now, err := reported(ctx, openReports, namespace)()
			return now[0].ResourceVersion, err
		}).WithTimeout(10 * time.Second).Should(Equal(before[0].ResourceVersion))
	})
	It("are restored when somebody edits or deletes them, with the time at which each result was found", func(ctx context.Context) {
		before, err := reported(ctx, openReports, namespace)()
		Expect(err).NotTo(HaveOccurred())
		edited := &unstructured.Unstructured{}
		edited.SetGroupVersionKind(openReports)
		Expect(cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "bulkhead"}, edited)).To(Succeed())
		Expect(unstructured.SetNestedField(edited.Object, int64(0), "summary", "fail")).To(Succeed())
		Expect(cluster.Update(ctx, edited)).To(Succeed())
		Eventually(reported(ctx, openReports, namespace)).WithTimeout(rested).Should(ConsistOf(SatisfyAll(
			HaveField("Summary", all), HaveField("Results", Equal(before[0].Results)))))
		Expect(cluster.Delete(ctx, edited)).To(Succeed())
		Eventually(reported(ctx, openReports, namespace)).WithTimeout(rested).Should(summary(all))
	})
	It("leave those of other tools alone", func(ctx context.Context) {
		theirs := &unstructured.Unstructured{Object: map[string]any{"summary": map[string]any{"fail": int64(7)}}}
		theirs.SetGroupVersionKind(openReports)
		theirs.SetNamespace(namespace)
		theirs.SetName("theirs")
		create(ctx, theirs)
		Consistently(reported(ctx, openReports, namespace)).WithTimeout(while).Should(ContainElement(HaveField("Name", "theirs")))
		Expect(cluster.Delete(ctx, theirs)).To(Succeed())
	})
	It("are split at the size that one may have, and joined again", func(ctx context.Context) {
		crowd := aNamespace(ctx)
		aPolicy(ctx, crowd)
		for i := range 501 {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: crowd, Name: fmt.Sprintf("pod-%03d", i)},
				Spec:       corev1.PodSpec{NodeName: "nowhere", Containers: []corev1.Container{{Name: "app", Image: "app"}}},
			}
			create(ctx, pod)
		}
		in := func(name string, unverified int) gomegatypes.GomegaMatcher {
			return SatisfyAll(HaveField("Name", name), HaveField("Summary", openreports.ReportSummary{Error: unverified}), HaveField("Results", HaveLen(unverified)))
		}
		Eventually(reported(ctx, openReports, crowd)).WithTimeout(2 * rested).Should(ConsistOf(in("bulkhead", 500), in("bulkhead-2", 1)))
		Expect(cluster.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: crowd, Name: "pod-000"}}, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(reported(ctx, openReports, crowd)).WithTimeout(2 * rested).Should(ConsistOf(in("bulkhead", 500)))
	})
	It("go with the last result", func(ctx context.Context) {
		Expect(cluster.Delete(ctx, policy)).To(Succeed())
		Eventually(reported(ctx, openReports, namespace)).WithTimeout(rested).Should(BeEmpty())
	})
})
