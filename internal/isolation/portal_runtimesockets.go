// SPDX-License-Identifier: Apache-2.0

package isolation

/*
Sockets that command a container runtime or the kubelet: who can speak to one can start what it
likes on the node.

Fields:
  spec.volumes[*].hostPath.path
      passes if it is none of the places below, in none of them and above none of them; /var/run is
      taken for /run, and /proc and the folder of a process are above all
*/

var runtimeSocketsCheck = portalCheck{
	name:   switchNames[runtimeSockets],
	judged: runtimeSockets.judged,
	causes: func(s scope, _ *portals, out []cause) []cause {
		s.hostPaths(func(v hostPath) {
			if reaches(v.Path, runtimeSocketPlaces) {
				out = append(out, cause{
					field: s.pathOf(v), value: v.told(),
					remedy: "it reaches a socket that commands the container runtime or the kubelet: use a volume of another type",
				})
			}
		})
		return out
	},
}

// runtimeSocketPlaces are where runtimes and the kubelet listen, as their documentation says.
// Folders stand for all that is in them.
var runtimeSocketPlaces = []string{
	"/run/containerd", "/run/crio", "/run/docker", "/run/docker.sock", "/run/dockershim.sock",
	"/run/cri-dockerd.sock", "/run/podman", "/run/k3s", "/run/k0s", "/run/buildkit",
	"/run/nri",  // plugins change what containers are made of (containerd, docs/NRI.md)
	"/run/user", // rootless docker, podman and containerd
	"/var/snap/microk8s/common/run",
	// Who listens there is asked by the kubelet for devices and mounts, or tells whose they are.
	"/var/lib/kubelet/plugins", // CSI and DRA drivers: they mount for the kubelet, as root on the node
	"/var/lib/kubelet/device-plugins", "/var/lib/kubelet/plugins_registry", "/var/lib/kubelet/pod-resources",
	"/pipe", // named pipes of Windows, written as //./pipe/docker_engine
}
