// SPDX-License-Identifier: Apache-2.0

package procns

import "bytes"

const (
	labelFile  = "attr/current"
	labelLimit = 4 << 10 // the kernel's own limit is a page (fs/proc/base.c, proc_pid_attr_write)
)

// SecurityLabel reads what a security module holds the process by, /proc/<pid>/attr/current
// (proc_pid_attr(5)): a profile of AppArmor with its mode ("unconfined",
// "cri-containerd.apparmor.d (enforce)"), or a context of SELinux
// ("system_u:system_r:container_t:s0:c1,c2"). The error is [ErrUnsupported] if no module gives
// labels. Landlock gives none, and neither does a BPF program: nothing in /proc tells of them.
func (p Process) SecurityLabel() (string, error) {
	text, err := p.read(labelFile, labelLimit)
	switch {
	case err != nil && invalid(err): // no module answers (security/security.c, security_getprocattr)
		return "", p.failed("read", labelFile, ErrUnsupported, err)
	case err != nil:
		return "", err
	}
	return parseLabel(text), nil
}

// parseLabel drops how a label ends: AppArmor writes a newline, SELinux a NUL.
func parseLabel(text []byte) string { return string(bytes.TrimRight(text, "\n\x00")) }
