// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestRefusesEveryOpeningInEveryKindOfContainer(t *testing.T) {
	h := handlerOf(compile(t, policyOf("tenants", v1alpha1.Deny, everyPortal)))
	violating(func(name, subject string, p *corev1.Pod) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			resp := ask(t, h, creation(t, p))
			g.Expect(resp.Allowed).To(BeFalse())
			g.Expect(resp.Result.Message).To(ContainSubstring("policy tenants: " + subject + ": "))
		})
	})
}

// The policy demands all, and exempts others: another namespace, another account, a time that is
// over. None of what a pod's author writes into it makes the pod one of them.
func TestNothingThatAPodSaysOfItselfOpensAnything(t *testing.T) {
	open := v1alpha1.Exemption{
		Isolation: &v1alpha1.Isolation{PID: "Host", Network: "Host", IPC: "Host", UTS: "Host"},
		Portals: &v1alpha1.ExemptPortals{
			Privileged: v1alpha1.PortalAllow, ProcMount: v1alpha1.PortalAllow, MountPropagation: v1alpha1.PortalAllow,
			Devices: v1alpha1.PortalAllow, RuntimeSockets: v1alpha1.PortalAllow,
			WindowsHostProcess: v1alpha1.PortalAllow, HostProbes: v1alpha1.PortalAllow,
			HostPaths:    &v1alpha1.HostPathsPortal{Allow: []v1alpha1.AllowedHostPath{{PathPrefix: "/"}}},
			HostPorts:    &v1alpha1.HostPortsPortal{Allow: []v1alpha1.PortRange{{From: 1, To: 65535}}},
			Capabilities: &v1alpha1.ExemptCapabilities{Allow: []v1alpha1.Capability{"ALL"}},
		},
	}
	policy := policyOf("tenants", v1alpha1.Deny, everyPortal, func(s *v1alpha1.IsolationPolicySpec) {
		elsewhere, account, over := open, open, open
		elsewhere.Name, elsewhere.Namespaces = "elsewhere", []string{"kube-system", "monitoring"}
		account.Name, account.Namespaces, account.ServiceAccounts = "account", []string{"shop"}, []string{"node-exporter"}
		over.Name, over.Namespaces, over.Expires = "over", []string{"shop"}, &metav1.Time{Time: today}
		s.Exemptions = []v1alpha1.Exemption{elsewhere, account, over}
	})
	h := handlerOf(compile(t, policy))
	disguises := map[string]func(*corev1.Pod){
		"labels": func(p *corev1.Pod) {
			p.Labels = map[string]string{"app": "node-exporter", "bulkhead.dev/exempt": "true", "exempt": "true", corev1.LabelMetadataName: "kube-system"}
		},
		"annotations": func(p *corev1.Pod) { p.Annotations = map[string]string{"bulkhead.dev/exempt": "elsewhere"} },
		"its image": func(p *corev1.Pod) {
			p.Spec.Containers[0].Image = "registry.k8s.io/kube-proxy"
		},
		"a sidecar's image": func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "istio-proxy", Image: "docker.io/istio/proxyv2", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)})
		},
		"its name":       func(p *corev1.Pod) { p.Name = "kube-proxy" },
		"generateName":   func(p *corev1.Pod) { p.Name, p.GenerateName = "", "node-exporter-" },
		"its namespace":  func(p *corev1.Pod) { p.Namespace = "kube-system" },
		"its age":        func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(today.AddDate(-1, 0, 0)) },
		"a debug target": func(p *corev1.Pod) { debugger("dbg", false)(p) },
		"an owner": func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "kube-proxy", UID: "1", Controller: ptr.To(true)}}
		},
		"a node as owner": func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "1", Controller: ptr.To(true)}}
			p.Spec.NodeName = "n1"
		},
		"mirror annotations": func(p *corev1.Pod) {
			p.Spec.NodeName = "n1"
			p.Annotations = map[string]string{
				corev1.MirrorPodAnnotationKey: "0123", "kubernetes.io/config.hash": "0123", "kubernetes.io/config.source": "file",
			}
		},
		"its phase": func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded },
		"its priority": func(p *corev1.Pod) {
			p.Spec.PriorityClassName = "system-node-critical"
		},
	}
	for name, disguise := range disguises {
		t.Run(name, func(t *testing.T) {
			violating(func(opening, _ string, p *corev1.Pod) {
				disguise(p)
				if resp := ask(t, h, creation(t, p)); resp.Allowed {
					t.Errorf("opens %s", opening)
				}
			})
		})
	}
	t.Run("but the account that is exempt does", func(t *testing.T) {
		violating(func(opening, _ string, p *corev1.Pod) {
			p.Spec.ServiceAccountName = "node-exporter"
			resp := ask(t, h, creation(t, p))
			debug := len(p.Spec.EphemeralContainers) > 0
			if resp.Allowed == debug {
				t.Errorf("%s: allowed %v: %+v", opening, resp.Allowed, resp.Result)
			}
		})
	})
}

func TestWarnAndAuditTellWhatDenyWouldRefuse(t *testing.T) {
	deny := handlerOf(compile(t, policyOf("p", v1alpha1.Deny, everyPortal)))
	warn := handlerOf(compile(t, policyOf("p", v1alpha1.Warn, everyPortal)))
	audit := handlerOf(compile(t, policyOf("p", v1alpha1.Audit, everyPortal)))
	violating(func(name, _ string, p *corev1.Pod) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			refused := ask(t, deny, creation(t, p))
			g.Expect(refused.Allowed).To(BeFalse())
			words := strings.Split(refused.Result.Message, "\n")[1:]
			g.Expect(words).NotTo(BeEmpty())

			warned := ask(t, warn, creation(t, p))
			expectAllowed(t, warned)
			var told []string
			for _, w := range warned.Warnings {
				told = append(told, strings.TrimPrefix(w, "bulkhead: "))
			}
			g.Expect(told).To(Equal(words))
			g.Expect(warned.AuditAnnotations[auditViolations]).To(Equal(strings.Join(words, "; ")))

			audited := ask(t, audit, creation(t, p))
			expectAllowed(t, audited)
			g.Expect(audited.Warnings).To(BeEmpty())
			g.Expect(audited.AuditAnnotations[auditViolations]).To(Equal(strings.Join(words, "; ")))
			g.Expect(refused.AuditAnnotations[auditViolations]).To(Equal(strings.Join(words, "; ")))
		})
	})
}

func TestWhatTheAPIServerTellsItselfIsNotToldTwice(t *testing.T) {
	inServer := func(s *v1alpha1.IsolationPolicySpec) { s.Admission.Engine = v1alpha1.EngineValidatingAdmissionPolicy }
	for action, allowed := range map[v1alpha1.AdmissionAction]bool{v1alpha1.Deny: false, v1alpha1.Warn: true, v1alpha1.Audit: true} {
		t.Run(string(action), func(t *testing.T) {
			g := NewWithT(t)
			resp := ask(t, handlerOf(compile(t, policyOf("p", action, inServer))), creation(t, podOf(hostPID)))
			g.Expect(resp.Allowed).To(Equal(allowed))
			g.Expect(resp.Warnings).To(BeEmpty())
			if allowed {
				g.Expect(resp.AuditAnnotations).To(BeEmpty())
			}
		})
	}
}

func TestAnExpiredExemptionIsSaidToBeOver(t *testing.T) {
	policy := policyOf("tenants", v1alpha1.Deny, everyPortal, func(s *v1alpha1.IsolationPolicySpec) {
		s.Exemptions = []v1alpha1.Exemption{{
			Name: "gone", Namespaces: []string{"shop"}, Isolation: &v1alpha1.Isolation{PID: "Host"}, Expires: &metav1.Time{Time: today},
		}}
	})
	resp := ask(t, handlerOf(compile(t, policy)), creation(t, podOf(hostPID)))
	NewWithT(t).Expect(resp.Result.Message).To(ContainSubstring("(exemption gone expired at 2027-03-01T12:00:00Z)"))
	NewWithT(t).Expect(isolation.Caveats(policy, today)).To(ContainElement(ContainSubstring(`exemption "gone" expired`)))
}
