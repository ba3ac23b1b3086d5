// SPDX-License-Identifier: Apache-2.0

package openings

import (
	"math/bits"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Capabilities is a set: bit n is capability n of linux/capability.h, as in /proc/PID/status.
type Capabilities uint64

// AllCapabilities is every capability, those of later kernels included.
const AllCapabilities = ^Capabilities(0)

// capabilityNames are the names by their numbers (capabilities(7), as of Linux 5.9).
var capabilityNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE",
	"SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE",
	"AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// DefaultCapabilities are those that runtimes give a container that does not ask: containerd, Docker and
// Podman at most these (containerd, pkg/oci/spec.go, defaultUnixCaps), CRI-O fewer.
var DefaultCapabilities = capabilities(
	"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
	"NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
)

func capabilities(names ...string) Capabilities {
	var set Capabilities
	for _, name := range names {
		for n, known := range capabilityNames {
			if known == name {
				set |= 1 << n
			}
		}
	}
	return set
}

// changed is the set after what a spec adds and drops, as runtimes take it: first what concerns ALL, then
// what is added by name, then what is dropped by name (containerd, internal/cri/server, WithCapabilities).
func (c Capabilities) changed(by *corev1.Capabilities) Capabilities {
	added, addsAll := parseCapabilities(by.Add)
	dropped, dropsAll := parseCapabilities(by.Drop)
	if addsAll {
		c = AllCapabilities
	}
	if dropsAll {
		c = 0
	}
	return (c | added) &^ dropped
}

// parseCapabilities reads names as specs have them, without regard to case and CAP_. A name that is not
// known stands for nothing.
func parseCapabilities(list []corev1.Capability) (set Capabilities, all bool) {
	for _, name := range list {
		name := isolation.CapabilityName(string(name))
		all = all || name == "ALL"
		set |= capabilities(name)
	}
	return set, all
}

// Names lists the names; one that has none yet is called by its number.
func (c Capabilities) Names() []string {
	var names []string
	for set := uint64(c); set != 0; set &= set - 1 {
		if n := bits.TrailingZeros64(set); n < len(capabilityNames) {
			names = append(names, capabilityNames[n])
		} else {
			names = append(names, "CAP_"+strconv.Itoa(n))
		}
	}
	return names
}

// String lists the names for a message.
func (c Capabilities) String() string {
	unnamed := c >> len(capabilityNames) << len(capabilityNames)
	names := (c &^ unnamed).Names()
	if unnamed != 0 {
		names = append(names, "others")
	}
	return strings.Join(names, ", ")
}
