// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// workloadsIn are one of each kind that makes pods, with the place of the pod's spec.
func workloadsIn(n *corev1.Namespace, edit ...func(*corev1.Pod)) map[client.Object]string {
	labels := map[string]string{"app": "web"}
	template := func(restart corev1.RestartPolicy) corev1.PodTemplateSpec {
		p := podIn(n, edit...)
		p.Spec.RestartPolicy = restart
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: p.Spec}
	}
	always, never := template(corev1.RestartPolicyAlways), template(corev1.RestartPolicyNever)
	selector := &metav1.LabelSelector{MatchLabels: labels}
	meta := metav1.ObjectMeta{Name: "web", Namespace: n.Name}
	const nested = "spec.template.spec"
	return map[client.Object]string{
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: always}}:                                                            nested,
		&appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: always}}:                                                            nested,
		&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: always}}:                                                          nested,
		&appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: always}}:                                                              nested,
		&batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: never}}:                                                                                             nested,
		&corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Selector: labels, Template: ptr.To(always)}}:                                nested,
		&corev1.PodTemplate{ObjectMeta: meta, Template: always}:                                                                                                            "template.spec",
		&batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: "0 * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: never}}}}: "spec.jobTemplate.spec.template.spec",
	}
}

var _ = Describe("A workload", func() {
	It("is accepted with a warning in the words of its pods' refusal", func(ctx context.Context) {
		n := namespace(ctx)
		p := serve(ctx, policyFor(n, v1alpha1.Deny))
		for workload, path := range workloadsIn(n, hostPID) {
			c, warnings := listening(server.Config)
			Expect(c.Create(ctx, workload)).To(Succeed(), "%T", workload)
			Expect(warnings()).To(ConsistOf("bulkhead: its pods would be refused: policy "+p.Name+": pid: "+path+
				".hostPID is true and claims Host, Container is required: remove it or set it to false"), "%T", workload)

			By("and nothing is said again while its template stays")
			c, warnings = listening(server.Config)
			workload.SetLabels(map[string]string{"seen": "yes"})
			Expect(c.Update(ctx, workload)).To(Succeed(), "%T", workload)
			Expect(warnings()).To(BeEmpty(), "%T", workload)
		}
		for workload := range workloadsIn(n) {
			c, warnings := listening(server.Config)
			workload.SetName("sound")
			Expect(c.Create(ctx, workload)).To(Succeed(), "%T", workload)
			Expect(warnings()).To(BeEmpty(), "%T", workload)
		}
	})

	It("is told again when its template changes", func(ctx context.Context) {
		n := namespace(ctx)
		p := policyFor(n, v1alpha1.Warn)
		p.Spec.Admission.Engine = v1alpha1.EngineValidatingAdmissionPolicy
		serve(ctx, p)
		d := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: n.Name},
			Spec: appsv1.DeploymentSpec{
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: podIn(n).Spec},
			},
		}
		c, warnings := listening(server.Config)
		Expect(c.Create(ctx, d)).To(Succeed())
		Expect(warnings()).To(BeEmpty())
		d.Spec.Template.Spec.HostNetwork = true
		Expect(c.Update(ctx, d)).To(Succeed())
		Expect(warnings()).To(HaveExactElements(
			HavePrefix("bulkhead: its pods would be admitted with a warning: policy "+p.Name+": network: spec.template.spec.hostNetwork is true"),
			HavePrefix("bulkhead: its pods would be admitted with a warning: policy "+p.Name+": uts: spec.template.spec.hostNetwork is true"),
		))
	})
})
