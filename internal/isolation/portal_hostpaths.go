// SPDX-License-Identifier: Apache-2.0

package isolation

import "github.com/bulkhead-dev/bulkhead/api/v1alpha1"

/*
Volumes that show a part of the node's file system.

Fields:
  spec.volumes[*].hostPath.path
      passes if an allowed prefix covers it by whole path elements, and, where that entry says
      readOnly, every mount of the volume says readOnly: true and its type creates nothing
  spec.volumes[*].hostPath.type
      FileOrCreate and DirectoryOrCreate write to the node
  spec.*[*].volumeMounts[*].readOnly
  spec.volumes[*].persistentVolumeClaim, ephemeral
      a claim that is bound to a PersistentVolume with such a path is judged like it (nodevolume.go)

A volume that nobody mounts is judged by its path alone. A path with an element "..", or through a
link of /proc such as /proc/1/root, never passes: it leads elsewhere than it says. An ephemeral container is judged by the volumes that
it mounts.
*/

var hostPathsCheck = portalCheck{
	name:   "hostPaths",
	judged: func(p *portals) bool { return p.hostPaths != nil },
	causes: causesHostPaths,
}

func causesHostPaths(s scope, p *portals, out []cause) []cause {
	s.hostPaths(func(v hostPath) {
		covered, ok := p.hostPaths.allows(v.Path, v.writable || v.creates())
		if ok {
			return
		}
		remedy := "use a volume of another type; allowed " + p.hostPaths.String()
		switch {
		case covered && v.writable:
			remedy = "set readOnly: true on every mount of volume " + quote(v.name)
		case covered:
			remedy = RemedyCreates
		}
		out = append(out, cause{field: s.pathOf(v), value: v.told(), remedy: remedy})
	})
	return out
}

// RemedyCreates is the remedy against a type of volume that creates what is missing where nothing may be
// written.
const RemedyCreates = "set its type to File or Directory: the node may not be written to, and this type creates what is missing"

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
	clean, known := resolve(hostPath)
	if !known {
		return false, false
	}
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

// String lists what is allowed, for a message.
func (a *pathAllowance) String() string {
	return listed(a.prefixes, func(p v1alpha1.AllowedHostPath) string {
		text := Sanitize(p.PathPrefix, 128)
		if p.ReadOnly {
			text += " (read-only)"
		}
		return text
	})
}
