// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/report"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// reported calls the command as the program does.
func reported(args ...string) (out string, code int, err error) {
	var stdout bytes.Buffer
	c := report.Command()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	c.SetOut(&stdout)
	err = c.Execute()
	var exited *exit.Error
	if errors.As(err, &exited) {
		code, err = exited.Code, exited.Err
	}
	return stdout.String(), code, err
}

// create makes an object that is gone again after the spec.
func create(ctx context.Context, o client.Object) {
	GinkgoHelper()
	Expect(cluster.Create(ctx, o)).To(Succeed())
	DeferCleanup(func(ctx context.Context) {
		Expect(client.IgnoreNotFound(cluster.Delete(ctx, o, client.GracePeriodSeconds(0)))).To(Succeed())
	})
}

var _ = Describe("bulkhead report", func() {
	It("reads a whole cluster, more pods than a page has", func(ctx context.Context) {
		file := kubeconfig(config)
		create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "crowd", Labels: map[string]string{"tenancy": "crowded"}}})
		create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "r1"}})
		const pods = 510
		var first *corev1.Pod
		for i := range pods {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%03d", i), Namespace: "crowd"}, Spec: corev1.PodSpec{
				NodeName: "r1", HostPID: i == 0, Containers: []corev1.Container{{Name: "app", Image: "app"}},
			}}
			create(ctx, pod)
			if i == 0 {
				first = pod
			}
		}
		create(ctx, &v1alpha1.IsolationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "crowd"}, Spec: v1alpha1.IsolationPolicySpec{
			Match:     &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "crowded"}}},
			Isolation: &v1alpha1.Isolation{PID: "Container"}, Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Audit},
		}})
		Expect(client.IgnoreAlreadyExists(cluster.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.InstallNamespace}}))).To(Succeed())
		witness := &v1alpha1.NodeIsolationReport{ObjectMeta: metav1.ObjectMeta{Name: "r1"}}
		create(ctx, witness)
		now := metav1.Now()
		witness.Status = v1alpha1.NodeIsolationReportStatus{
			ChangedAt: &now, Node: v1alpha1.NodeFacts{BootID: "b", KernelVersion: "k"}, PodsTotal: 1,
			Groups: []v1alpha1.ObservedGroup{{
				Inspected: true, Levels: v1alpha1.Levels{PID: "Host", Network: "Pod", IPC: "Pod", UTS: "Pod", Mount: "Container", User: "Host", Cgroup: "Host", Time: "Host"},
				Pods: []v1alpha1.ObservedPod{{UID: first.UID, Namespace: "crowd", Name: first.Name}},
			}},
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLooking, LastTransitionTime: now},
				{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonEstablished, LastTransitionTime: now},
			},
		}
		Expect(cluster.Status().Update(ctx, witness)).To(Succeed())
		create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: "r1", Namespace: v1alpha1.InstallNamespace, Labels: map[string]string{v1alpha1.LabelLease: v1alpha1.LeaseAgent}},
			Spec:       coordinationv1.LeaseSpec{RenewTime: ptr.To(metav1.NewMicroTime(time.Now())), LeaseDurationSeconds: ptr.To[int32](120)},
		})

		By("telling all of it as JSON, whatever the namespace of the context")
		out, code, err := reported("-o", "json", "--kubeconfig", file)
		Expect(err).NotTo(HaveOccurred())
		Expect(code).To(BeZero())
		var told struct {
			APIVersion, Kind string
			Pods             []struct{ Namespace, Name, Verdict, Unseen string }
			Nodes            []struct{ Name, Agent string }
		}
		Expect(json.Unmarshal([]byte(out), &told)).To(Succeed())
		Expect(told.Kind).To(Equal("IsolationOverview"))
		Expect(told.APIVersion).To(Equal(report.APIVersion))
		Expect(told.Nodes).To(ContainElement(HaveField("Agent", "Reporting")))
		crowd := 0
		for _, pod := range told.Pods {
			if pod.Namespace == "crowd" {
				crowd++
			}
		}
		Expect(crowd).To(Equal(pods))
		Expect(told.Pods[0]).To(And(HaveField("Name", "p000"), HaveField("Verdict", "Breached")))
		Expect(told.Pods[1]).To(And(HaveField("Verdict", "Unverified"), HaveField("Unseen", ContainSubstring("has not seen it"))))

		By("telling the worst of it in a terminal")
		out, _, err = reported("-n", "crowd", "--kubeconfig", file)
		Expect(err).NotTo(HaveOccurred())
		Expect(out).To(And(ContainSubstring("510 pods in 1 namespaces on 1 nodes"), MatchRegexp(`crowd/p000 +r1 +Breached +!Host/Container +Pod `),
			ContainSubstring("... and 460 more pods"), ContainSubstring("policy crowd is not of its present spec")))

		By("making a page of it, and YAML")
		out, _, err = reported("--policy", "crowd", "-o", "html", "--limit", "7", "--kubeconfig", file)
		Expect(err).NotTo(HaveOccurred())
		Expect(out).To(And(HavePrefix("<!doctype html>"), ContainSubstring("503 more pods, none worse than those above, are left out here")))
		out, _, err = reported("userns", "-n", "crowd", "-o", "yaml", "--kubeconfig", file)
		Expect(err).NotTo(HaveOccurred())
		Expect(out).To(And(ContainSubstring("kind: UserNamespaceReadiness\n"), ContainSubstring("\n  pods: 510\n"), ContainSubstring("reason: HostPID\n")))
	})

	It("says what it cannot find", func() {
		file := kubeconfig(config)
		for _, c := range []struct {
			args []string
			told string
		}{
			{[]string{"--policy", "nobody"}, `no IsolationPolicy of that name`},
			{[]string{"-n", "nowhere"}, `no such namespace`},
			{[]string{"-o", "pdf"}, `--output "pdf": it can be table, json, yaml, html`},
			{[]string{"userns", "-o", "html"}, `--output "html": it can be table, json, yaml`},
			{[]string{"--limit", "-2"}, `cannot be negative`},
		} {
			_, code, err := reported(append(c.args, "--kubeconfig", file)...)
			Expect(code).To(Equal(2))
			Expect(err).To(MatchError(ContainSubstring(c.told)))
		}
	})

	DescribeTable("tells as refused with hostUsers: false what the API server refuses, and nothing else",
		func(ctx context.Context, text string, refused bool) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "userns", Namespace: "default"}}
			Expect(yaml.UnmarshalStrict([]byte(text), &pod.Spec)).To(Succeed())
			told := false
			for _, o := range isolation.UserNamespaceObstacles(&pod.Spec, nil, nil) {
				told = told || o.Kind == isolation.ObstacleRefused
			}
			Expect(told).To(Equal(refused))
			Expect(cluster.Create(ctx, pod.DeepCopy(), client.DryRunAll)).To(Succeed(), "without it the pod is a good one")
			pod.Spec.HostUsers = ptr.To(false)
			err := cluster.Create(ctx, pod, client.DryRunAll)
			Expect(apierrors.IsInvalid(err)).To(Equal(refused), "the API server says: %v", err)
		},
		Entry("nothing", "containers: [{name: a, image: i}]", false),
		Entry("hostNetwork", "{hostNetwork: true, containers: [{name: a, image: i}]}", true),
		Entry("hostPID", "{hostPID: true, containers: [{name: a, image: i}]}", true),
		Entry("hostIPC", "{hostIPC: true, containers: [{name: a, image: i}]}", true),
		Entry("Windows", "{os: {name: windows}, containers: [{name: a, image: i}]}", true),
		Entry("a raw block volume", "{containers: [{name: a, image: i, volumeDevices: [{name: v, devicePath: /d}]}], volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]}", true),
		Entry("a raw block volume of an init container", "{initContainers: [{name: i, image: i, volumeDevices: [{name: v, devicePath: /d}]}], containers: [{name: a, image: i}], volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]}", true),
		Entry("privileged", "containers: [{name: a, image: i, securityContext: {privileged: true}}]", false),
		Entry("a user that is not mapped", "{securityContext: {runAsUser: 70000}, containers: [{name: a, image: i}]}", false),
		Entry("NFS", "{containers: [{name: a, image: i, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, nfs: {server: s, path: /p}}]}", false),
	)
})
