// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"path"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

/*
Volumes that show a part of the node's file system.

Fields:
  spec.volumes[*].hostPath.path
      passes if an allowed prefix covers it by whole path elements, and, where that entry says
      readOnly, every mount of the volume says readOnly: true
  spec.*[*].volumeMounts[*].readOnly

A volume that nobody mounts is judged by its path alone. A path with an element ".." never
passes: the kubelet resolves it on the node. An ephemeral container is judged by the volumes that
it mounts.
*/

var hostPathsCheck = portalCheck{
	name:   "hostPaths",
	judged: func(p *portals) bool { return p.hostPaths != nil },
	causes: causesHostPaths,
}

func causesHostPaths(s scope, p *portals, out []cause) []cause {
	for i := range s.Spec.Volumes {
		v := &s.Spec.Volumes[i]
		if v.HostPath == nil {
			continue
		}
		mounted, writable := s.mounts(v.Name)
		if s.ephemeral && !mounted {
			continue
		}
		covered, ok := p.hostPaths.allows(v.HostPath.Path, writable)
		if ok {
			continue
		}
		remedy := "use a volume of another type; allowed " + p.hostPaths.String()
		if covered {
			remedy = "set readOnly: true on every mount of volume " + quote(v.Name)
		}
		out = append(out, cause{field: s.volumePath(i), value: v.HostPath.Path, remedy: remedy})
	}
	return out
}

func (s scope) volumePath(i int) string {
	return s.Path + ".volumes[" + strconv.Itoa(i) + "].hostPath.path"
}

// mounts tells whether a container in scope mounts the volume, and whether one may write to it.
func (s scope) mounts(volume string) (mounted, writable bool) {
	s.containers(func(c container) {
		for i := range c.VolumeMounts {
			if m := &c.VolumeMounts[i]; m.Name == volume {
				mounted = true
				writable = writable || !m.ReadOnly
			}
		}
	})
	return mounted, writable
}

// pathAllowance is a list of allowed host paths.
type pathAllowance struct {
	prefixes []v1alpha1.AllowedHostPath
}

func pathAllowanceOf(p *v1alpha1.HostPathsPortal) *pathAllowance {
	if p == nil {
		return nil
	}
	return &pathAllowance{prefixes: p.Allow}
}

// and is what both allow together. What is not judged stays so: an exemption cannot arm a portal.
func (a *pathAllowance) and(b *pathAllowance) *pathAllowance {
	if a == nil || b == nil {
		return a
	}
	both := make([]v1alpha1.AllowedHostPath, 0, len(a.prefixes)+len(b.prefixes))
	return &pathAllowance{prefixes: append(append(both, a.prefixes...), b.prefixes...)}
}

// allows tells whether the path passes; covered is set if only its being writable is in the way.
func (a *pathAllowance) allows(hostPath string, writable bool) (covered, ok bool) {
	if !path.IsAbs(hostPath) || hasDotDot(hostPath) {
		return false, false
	}
	clean := path.Clean(hostPath)
	for _, p := range a.prefixes {
		if !within(clean, p.PathPrefix) {
			continue
		}
		if !p.ReadOnly || !writable {
			return true, true
		}
		covered = true
	}
	return covered, false
}

func hasDotDot(p string) bool {
	for e := range strings.SplitSeq(p, "/") {
		if e == ".." {
			return true
		}
	}
	return false
}

// within compares by whole elements: /var/log covers /var/log/pods and not /var/logs. A prefix that
// is not clean covers nothing: the schema refuses it.
func within(p, prefix string) bool {
	if prefix == "/" || p == prefix {
		return true
	}
	return path.IsAbs(prefix) && strings.HasPrefix(p, prefix+"/")
}

// String lists what is allowed, for a message.
func (a *pathAllowance) String() string {
	if len(a.prefixes) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, p := range a.prefixes {
		if i == 8 {
			b.WriteString(", and " + strconv.Itoa(len(a.prefixes)-i) + " more")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(Sanitize(p.PathPrefix, 128))
		if p.ReadOnly {
			b.WriteString(" (read-only)")
		}
	}
	return b.String()
}
