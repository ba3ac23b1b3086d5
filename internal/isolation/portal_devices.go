// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

/*
Devices of the node. What device plugins and resource claims give is the node's decision, and not
judged.

Fields:
  spec.{initContainers,containers,ephemeralContainers}[*].volumeDevices
      none passes: each is a raw block device
  spec.volumes[*].hostPath
      passes if its type is neither CharDevice nor BlockDevice and its path is neither /dev nor /sys,
      in none of them and above none of them; /proc and the folder of a process are above all
  spec.{…}[*].securityContext.privileged
      false and unset pass: privileged gives all devices
*/

var devicesCheck = portalCheck{
	name:   switchNames[devices],
	judged: devices.judged,
	causes: causesDevices,
}

// devicePlaces is where devices are, and where the kernel is told what to do with them (sysfs(5)): below
// /sys are the memory of PCI devices, and programs that the kernel starts when a device comes or when a
// control group is empty.
var devicePlaces = []string{"/dev", "/sys"}

func causesDevices(s scope, _ *portals, out []cause) []cause {
	s.containers(func(c container) {
		if isPrivileged(c) {
			out = append(out, privilegedCause(s, c, None))
		}
		for i := range c.VolumeDevices {
			out = append(out, cause{
				field: s.path(c, ".volumeDevices["+strconv.Itoa(i)+"].devicePath"), value: c.VolumeDevices[i].DevicePath,
				remedy: "mount the volume as a file system (volumeMode: Filesystem)",
			})
		}
	})
	s.hostPaths(func(v hostPath) {
		device := v.Type != nil && (*v.Type == corev1.HostPathCharDev || *v.Type == corev1.HostPathBlockDev)
		if device || reaches(v.Path, devicePlaces) {
			out = append(out, cause{
				field: s.pathOf(v), value: v.told(),
				remedy: "it reaches devices of the node: use a volume of another type, or a device plugin",
			})
		}
	})
	return out
}
