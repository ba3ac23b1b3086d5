// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
)

// magicLinks matches clean paths through links that lead wherever a process is, or has something
// open (proc(5)): /proc/1/root is the node's root, whatever the path says. /dev/fd is such a link,
// too. They are written out as a pattern because CEL has to say the same.
var magicLinks = regexp.MustCompile(MagicLinks)

// MagicLinks is the regular expression (RE2) of clean paths of which nobody can tell where they
// lead: through the links of processes in proc(5), and the links of /dev to them.
const MagicLinks = `^/proc/[^/]+/(task/[^/]+/)?(root|cwd|exe|fd|map_files)(/|$)|^/dev/(fd|stdin|stdout|stderr)(/|$)`

// processFolders matches the clean paths of folders that hold magic links.
var processFolders = regexp.MustCompile(ProcessFolders)

// ProcessFolders is the regular expression (RE2) of clean paths, with or without a slash at their end,
// of the folders in which proc(5) has links to the root and the open files of processes: who has such
// a folder has the node's root, as /proc/1/root.
const ProcessFolders = `^/proc(/([0-9]+|self|thread-self)(/task(/[0-9]+)?)?)?/?$`

// MaxHostPath is the number of characters of a path beyond which nobody can tell where it leads: the
// kernel opens none of more than 4095 bytes (PATH_MAX in limits.h).
const MaxHostPath = 4096

// resolve is where a hostPath leads, clean. ok is false if it does not say: it is relative, has an
// element "..", is longer than a kernel opens, or goes through a magic link. Other symbolic links are
// the node's, and not known.
func resolve(hostPath string) (clean string, ok bool) {
	if !path.IsAbs(hostPath) || hasDotDot(hostPath) || utf8.RuneCountInString(hostPath) > MaxHostPath {
		return "", false
	}
	clean = path.Clean(hostPath)
	suspect := within(clean, "/proc") || within(clean, "/dev") // most paths need no expression
	return clean, !suspect || !magicLinks.MatchString(clean)
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
	return path.IsAbs(prefix) && strings.HasPrefix(p, prefix) && p[len(prefix)] == '/'
}

// windowsDrive matches paths of Windows, such as C:\data. On Linux they name nothing that matters.
var windowsDrive = regexp.MustCompile(WindowsDrive)

// WindowsDrive is the regular expression (RE2) of paths that begin with a drive of Windows.
const WindowsDrive = `^[A-Za-z]:([\\/]|$)`

// reaches tells whether a hostPath shows one of the places: it is one, is in one, or holds one. A
// path of which nobody can tell where it leads reaches all of them, and so does one that holds links to
// the roots of processes.
func reaches(hostPath string, places []string) bool {
	if !path.IsAbs(hostPath) && !hasDotDot(hostPath) && windowsDrive.MatchString(hostPath) {
		return false
	}
	clean, ok := resolve(hostPath)
	if !ok || within(clean, "/proc") && processFolders.MatchString(clean) {
		return true
	}
	if within(clean, "/var/run") {
		clean = strings.TrimPrefix(clean, "/var") // a link to /run (FHS 3.0)
	}
	for _, place := range places {
		if within(clean, place) || within(place, clean) {
			return true
		}
	}
	return false
}

// A hostPath is a volume that shows a part of the node's file system, in its place.
type hostPath struct {
	*corev1.HostPathVolumeSource
	index int
	name  string
	// claimed is the PersistentVolume that has the path; nil if the pod's spec has it.
	claimed *NodeVolume
	// writable is set if a container in scope may write to it.
	writable bool
}

// creates tells whether the kubelet creates the path on the node if nothing is there.
func (v *hostPath) creates() bool {
	return v.Type != nil && (*v.Type == corev1.HostPathDirectoryOrCreate || *v.Type == corev1.HostPathFileOrCreate)
}

// hostPaths visits the volumes in scope that show a part of the node's file system: all of a pod's,
// mounted or not, and those that an ephemeral container mounts. Whether a claim of the pod is bound to such
// a volume the subject says.
func (s scope) hostPaths(visit func(hostPath)) {
	for i := range s.Spec.Volumes {
		v := &s.Spec.Volumes[i]
		var claimed []NodeVolume
		if len(s.Claims) > 0 {
			claimed = s.Claims[VolumeClaimOf(s.Name, v)]
		}
		if v.HostPath == nil && len(claimed) == 0 {
			continue
		}
		mounted, writable := s.mounts(v.Name)
		if s.ephemeral && !mounted {
			continue
		}
		if v.HostPath != nil {
			visit(hostPath{v.HostPath, i, v.Name, nil, writable})
			continue
		}
		writable = writable && (v.PersistentVolumeClaim == nil || !v.PersistentVolumeClaim.ReadOnly)
		for j := range claimed {
			if !claimed[j].of(s.Created) {
				continue
			}
			visit(hostPath{claimed[j].bound(), i, v.Name, &claimed[j], writable})
		}
	}
}

// pathOf is where the volume's path stands, or else the claim that leads to it.
func (s scope) pathOf(v hostPath) string {
	at := s.Path + ".volumes[" + strconv.Itoa(v.index) + "]"
	switch {
	case v.claimed == nil:
		return at + ".hostPath.path"
	case s.Spec.Volumes[v.index].Ephemeral != nil:
		return at + ".ephemeral"
	default:
		return at + ".persistentVolumeClaim"
	}
}

// told is the path, and whose it is if the spec does not have it.
func (v *hostPath) told() string {
	if v.claimed != nil {
		return v.claimed.String()
	}
	return v.Path
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
