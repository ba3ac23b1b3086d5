// SPDX-License-Identifier: Apache-2.0

package isolation

import corev1 "k8s.io/api/core/v1"

/*
Probes and lifecycle hooks that name a host: the kubelet connects to it from the node's network.
127.0.0.1 is the node's as well. Some CSI drivers need it, so it is a switch of its own.

Fields:
  spec.{initContainers,containers,ephemeralContainers}[*].{livenessProbe,readinessProbe,startupProbe}.{httpGet,tcpSocket}.host
  spec.{…}[*].lifecycle.{postStart,preStop}.{httpGet,tcpSocket}.host
      empty and unset pass
*/

var hostProbesCheck = portalCheck{
	name:   switchNames[hostProbes],
	judged: hostProbes.judged,
	causes: func(s scope, _ *portals, out []cause) []cause {
		s.containers(func(c container) {
			probe := func(name string, p *corev1.Probe) {
				if p != nil {
					out = hostCauses(s, c, name, p.HTTPGet, p.TCPSocket, out)
				}
			}
			hook := func(name string, h *corev1.LifecycleHandler) {
				if h != nil {
					out = hostCauses(s, c, name, h.HTTPGet, h.TCPSocket, out)
				}
			}
			probe(".livenessProbe", c.LivenessProbe)
			probe(".readinessProbe", c.ReadinessProbe)
			probe(".startupProbe", c.StartupProbe)
			if c.Lifecycle != nil {
				hook(".lifecycle.postStart", c.Lifecycle.PostStart)
				hook(".lifecycle.preStop", c.Lifecycle.PreStop)
			}
		})
		return out
	},
}

func hostCauses(s scope, c container, name string, get *corev1.HTTPGetAction, socket *corev1.TCPSocketAction, out []cause) []cause {
	const remedy = "remove it: without it the probe or hook goes to the pod"
	if get != nil && get.Host != "" {
		out = append(out, cause{field: s.path(c, name+".httpGet.host"), value: get.Host, remedy: remedy})
	}
	if socket != nil && socket.Host != "" {
		out = append(out, cause{field: s.path(c, name+".tcpSocket.host"), value: socket.Host, remedy: remedy})
	}
	return out
}
