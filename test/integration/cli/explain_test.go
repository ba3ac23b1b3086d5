// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/exit"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/explain"
)

// kubeconfig is a file by which kubectl would reach the server.
func kubeconfig(c *rest.Config) string {
	GinkgoHelper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData, TLSServerName: c.ServerName}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: c.CertData, ClientKeyData: c.KeyData, Token: c.BearerToken}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: "shop"}
	config.CurrentContext = "x"
	file := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(clientcmd.WriteToFile(*config, file)).To(Succeed())
	return file
}

// explained calls the command as the program does.
func explained(args ...string) (out string, code int, err error) {
	var stdout bytes.Buffer
	c := explain.Command()
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

var _ = Describe("bulkhead explain", func() {
	It("reads pod, namespace, policies, report and lease from the cluster", func(ctx context.Context) {
		file := kubeconfig(config)
		for _, name := range []string{"shop", v1alpha1.InstallNamespace} {
			Expect(client.IgnoreAlreadyExists(cluster.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"tenancy": "shared"}}}))).To(Succeed())
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}, Spec: corev1.PodSpec{
			NodeName: "n1", HostPID: true, Containers: []corev1.Container{{Name: "app", Image: "app"}},
		}}
		Expect(cluster.Create(ctx, pod)).To(Succeed())
		policy := &v1alpha1.IsolationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "tenants"}, Spec: v1alpha1.IsolationPolicySpec{
			Match:     &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tenancy": "shared"}}},
			Isolation: &v1alpha1.Isolation{PID: "Container", Network: "Pod"}, Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Audit},
		}}
		Expect(cluster.Create(ctx, policy)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(cluster.Delete(ctx, policy)).To(Succeed()) })

		By("telling that nobody has seen the pod")
		out, code, err := explained("pod", "web", "--kubeconfig", file)
		Expect(err).NotTo(HaveOccurred())
		Expect(code).To(Equal(1))
		Expect(out).To(And(ContainSubstring("Pod shop/web on node n1\n"), ContainSubstring("node n1: no agent has reported"),
			MatchRegexp(`pid +Container +Host +not seen +tenants\n`), ContainSubstring("spec.hostPID is true and claims Host")))

		By("telling what the agent of its node saw")
		levels := v1alpha1.Levels{PID: "Host", Network: "Host", IPC: "Pod", UTS: "Pod", Mount: "Container", User: "Host", Cgroup: "Host", Time: "Host"}
		report := &v1alpha1.NodeIsolationReport{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
		Expect(cluster.Create(ctx, report)).To(Succeed())
		now := metav1.Now()
		report.Status = v1alpha1.NodeIsolationReportStatus{
			ChangedAt: &now, Node: v1alpha1.NodeFacts{BootID: "b", KernelVersion: "k"}, PodsTotal: 1,
			Groups: []v1alpha1.ObservedGroup{{Levels: levels, Pods: []v1alpha1.ObservedPod{{UID: pod.UID, Namespace: "shop", Name: "web"}}}},
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLooking, LastTransitionTime: now},
				{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonEstablished, LastTransitionTime: now},
			},
		}
		Expect(cluster.Status().Update(ctx, report)).To(Succeed())
		Expect(cluster.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "n1", Namespace: v1alpha1.InstallNamespace}, Spec: coordinationv1.LeaseSpec{
			RenewTime: ptr.To(metav1.NewMicroTime(time.Now())), LeaseDurationSeconds: ptr.To[int32](120),
		}})).To(Succeed())
		out, code, err = explained("pod", "web", "-n", "shop", "--kubeconfig", file)
		Expect(err).NotTo(HaveOccurred())
		Expect(code).To(Equal(1))
		Expect(out).To(And(ContainSubstring("Observed by the agent of node n1, which was alive"), MatchRegexp(`network +Pod +Pod +Host +tenants\n`),
			ContainSubstring("Policy tenants (Audit): breached"), ContainSubstring("network was observed as Host, Pod is required")))

		By("telling programs the same")
		out, code, err = explained("pod", "web", "--kubeconfig", file, "-o", "json")
		Expect(err).NotTo(HaveOccurred())
		Expect(code).To(Equal(1))
		var told struct {
			Kind     string
			Policies []struct{ Name, Verdict string }
			Axes     []struct{ Axis, Required, Claimed, Observed string }
			Portals  []struct{ Portal, Observed string }
		}
		Expect(json.Unmarshal([]byte(out), &told)).To(Succeed())
		Expect(told.Kind).To(Equal("PodExplanation"))
		Expect(told.Policies).To(ConsistOf(HaveField("Verdict", "Breached")))
		Expect(told.Axes).To(ContainElement(struct{ Axis, Required, Claimed, Observed string }{"network", "Pod", "Pod", "Host"}))
		Expect(told.Portals).To(ContainElement(struct{ Portal, Observed string }{"hostPaths", "NotSeen"}))
		_, code, err = explained("pod", "web", "--kubeconfig", file, "-o", "xml")
		Expect(code).To(Equal(2))
		Expect(err).To(MatchError(ContainSubstring(`--output "xml": it can be text, json or yaml`)))

		By("saying what it cannot find")
		_, code, err = explained("pod", "nobody", "--kubeconfig", file)
		Expect(code).To(Equal(2))
		Expect(err).To(MatchError(ContainSubstring("read pod shop/nobody")))
		_, code, err = explained("pod", "web", "--kubeconfig", file+".none")
		Expect(code).To(Equal(2))
		Expect(err).To(MatchError(ContainSubstring("kubeconfig")))
		_, code, err = explained("deployment", "web")
		Expect(code).To(Equal(2))
		Expect(err).To(MatchError(ContainSubstring("name one pod")))
	})

	It("tells of a claim that leads to the node's file system", func(ctx context.Context) {
		for _, name := range []string{"shop", v1alpha1.InstallNamespace} {
			Expect(client.IgnoreAlreadyExists(cluster.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"tenancy": "shared"}}}))).To(Succeed())
		}
		has := func(o client.Object) {
			GinkgoHelper()
			Expect(cluster.Create(ctx, o)).To(Succeed())
			DeferCleanup(func(ctx context.Context) {
				Expect(client.IgnoreNotFound(cluster.Delete(ctx, o, client.GracePeriodSeconds(0)))).To(Succeed())
			})
		}
		has(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"}, Spec: corev1.PodSpec{
			NodeName: "n9", Containers: []corev1.Container{{Name: "app", Image: "app", VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}}},
			Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}},
		}})
		has(&v1alpha1.IsolationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "paths"}, Spec: v1alpha1.IsolationPolicySpec{
			Portals: &v1alpha1.Portals{HostPaths: &v1alpha1.HostPathsPortal{}}, Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Audit},
		}})
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-db"}, Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv"}},
			ClaimRef:               &corev1.ObjectReference{Namespace: "shop", Name: "data", UID: "uid"},
		}}
		has(pv)
		pv.Status.Phase = corev1.VolumeBound
		Expect(cluster.Status().Update(ctx, pv)).To(Succeed())

		out, code, err := explained("pod", "db", "--kubeconfig", kubeconfig(config))
		Expect(err).NotTo(HaveOccurred())
		Expect(code).To(Equal(1))
		Expect(out).To(ContainSubstring("spec.volumes[0].persistentVolumeClaim is hostPath /srv of PersistentVolume pv-db, which is not allowed"))
		out, _, err = reported("-n", "shop", "--policy", "paths", "-o", "json", "--kubeconfig", kubeconfig(config))
		Expect(err).NotTo(HaveOccurred())
		Expect(out).To(ContainSubstring("hostPath /srv of PersistentVolume pv-db"))
	})
})
