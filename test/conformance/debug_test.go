// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/policy"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// A debugCase adds an ephemeral container to a pod that was there before the policies were: by an
// update of its subresource, as `kubectl debug` does.
type debugCase struct {
	name string
	pod  func(*corev1.Pod)
	// had is an ephemeral container that the pod had before.
	had, add func(*corev1.EphemeralContainer)
	// control refuses it; if it is empty, it is admitted.
	control policy.CheckID
	// otherwise says why Pod Security refuses what Bulkhead admits; empty if they agree.
	otherwise string
	// invalid is set if the API server's own validation refuses the field.
	invalid bool
}

const wholePod = "Pod Security judges the whole pod again, Bulkhead what the update adds, and where (kubernetes/kubernetes#118961)"

var debugCases = []debugCase{
	{name: "admits a debug container that asks for nothing"},
	{name: "admits a debug container with a target", add: func(e *corev1.EphemeralContainer) { e.TargetContainerName = "app" }},
	{name: "admits a debug container with a harmless capability", add: adds("CHOWN")},
	{name: "admits a debug container that asks for nothing in a pod that violates all but namespaces", pod: openButForNamespaces, otherwise: wholePod},
	{name: "refuses a debug container that asks for nothing in a pod that has the node's namespaces", pod: openToEverything, control: "hostNamespaces"},
	{name: "admits a debug container that asks for nothing after a privileged one", had: isPrivileged, otherwise: wholePod},
	{name: "refuses a privileged debug container", add: isPrivileged, control: "privileged"},
	{name: "refuses a privileged debug container in a pod that violates everything", pod: openToEverything, add: isPrivileged, control: "privileged"},
	{name: "refuses a second privileged debug container", had: isPrivileged, add: isPrivileged, control: "privileged"},
	{name: "refuses a debug container with NET_RAW", add: adds("NET_RAW"), control: "capabilities_baseline"},
	{
		name: "refuses a debug container that mounts a hostPath volume", pod: openToEverything, control: "hostPathVolumes",
		add: func(e *corev1.EphemeralContainer) {
			e.VolumeMounts = []corev1.VolumeMount{{Name: "host", MountPath: "/host"}}
		},
	}, {
		name: "refuses a debug container with an unmasked /proc", control: "procMount",
		pod: func(p *corev1.Pod) { p.Spec.HostUsers = ptr.To(false) },
		add: func(e *corev1.EphemeralContainer) {
			e.SecurityContext = &corev1.SecurityContext{ProcMount: ptr.To(corev1.UnmaskedProcMount)}
		},
	}, {
		name: "refuses a debug container that is a process of a Windows host", control: "windowsHostProcess",
		pod: func(p *corev1.Pod) {
			p.Spec.OS, p.Spec.HostNetwork = &corev1.PodOS{Name: corev1.Windows}, true
			p.Spec.Containers[0].SecurityContext = hostProcess()
		},
		add: func(e *corev1.EphemeralContainer) { e.SecurityContext = hostProcess() },
	},
	// These two have fields in an ephemeral container, and the API refuses them.
	{
		name: "is not asked about a debug container with a host port", invalid: true,
		add: func(e *corev1.EphemeralContainer) {
			e.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
		},
	}, {
		name: "is not asked about a debug container with a probe of a host", invalid: true,
		add: func(e *corev1.EphemeralContainer) {
			e.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
				TCPSocket: &corev1.TCPSocketAction{Host: "127.0.0.1", Port: intstr.FromInt32(80)},
			}}
		},
	},
}

func openButForNamespaces(p *corev1.Pod) {
	openToEverything(p)
	p.Spec.HostPID, p.Spec.HostNetwork, p.Spec.HostIPC = false, false, false
}

func isPrivileged(e *corev1.EphemeralContainer) {
	e.SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
}

func hostProcess() *corev1.SecurityContext {
	return &corev1.SecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)}}
}

func adds(capability corev1.Capability) func(*corev1.EphemeralContainer) {
	return func(e *corev1.EphemeralContainer) {
		e.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{capability}}}
	}
}

// debugger is an ephemeral container, which asks for nothing but what the edit does.
func debugger(name string, edit func(*corev1.EphemeralContainer)) corev1.EphemeralContainer {
	e := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: name, Image: "busybox",
		ImagePullPolicy: corev1.PullIfNotPresent, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}}
	if edit != nil {
		edit(&e)
	}
	return e
}

// before creates the pod of the case while its namespace is not under a policy yet.
func (s *server) before(ctx context.Context, t *testing.T, n *corev1.Namespace, c *debugCase) *corev1.Pod {
	t.Helper()
	g := NewWithT(t)
	pod := newPod(n.Name)
	if c.pod != nil {
		c.pod(pod)
	}
	g.Expect(s.Client.Create(ctx, pod)).To(Succeed(), c.name)
	if c.had != nil {
		pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, debugger("before", c.had))
		g.Expect(s.Client.SubResource("ephemeralcontainers").Update(ctx, pod)).To(Succeed(), c.name)
	}
	return pod
}

// debug adds the case's ephemeral container to the pod, and compares with Pod Security.
func (s *server) debug(ctx context.Context, t *testing.T, c *debugCase, pod *corev1.Pod, o *oracle, engine v1alpha1.AdmissionEngine) {
	g := NewWithT(t)
	pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, debugger("debugger", c.add))
	refusing := o.refusing(updatesLevel, &pod.ObjectMeta, &pod.Spec)
	err := s.Client.SubResource("ephemeralcontainers").Update(ctx, pod, client.DryRunAll)
	var answered answer
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		answered = answer{code: int(status.Status().Code), message: status.Status().Message}
	}
	switch {
	case c.invalid:
		g.Expect(answered.code).To(Equal(http.StatusUnprocessableEntity), "%v", err)
		g.Expect(answered.invalid()).To(BeTrue(), answered.message)
	case c.control != "":
		g.Expect(refusing).To(ContainElement(c.control), "Pod Security refuses it, too")
		g.Expect(answered.byBulkhead(engine)).To(BeTrue(), "%v", err)
		g.Expect(answered.message).To(MatchRegexp(covered[c.control].String()))
		if c.control != "hostPathVolumes" && c.control != "hostNamespaces" { // whose fields are the pod's
			g.Expect(answered.message).To(ContainSubstring("ephemeralContainers["))
		}
	default:
		g.Expect(err).NotTo(HaveOccurred())
		if c.otherwise != "" {
			g.Expect(refusing).NotTo(BeEmpty(), "Pod Security admits it as well: take the note away that it does otherwise because %s", c.otherwise)
		} else {
			g.Expect(refusing).To(BeEmpty(), "Pod Security refuses it")
		}
	}
}
