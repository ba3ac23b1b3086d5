// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

/*
Volumes that show a part of the node's file system.

Fields:

	spec.volumes[*].hostPath.path
	    passes if an allowed prefix covers it, and, where that entry says readOnly, no container that is
	    judged mounts it writable and its type creates nothing
	spec.*[*].volumeMounts[*].readOnly
*/
var hostPathsConcern = concern{
	name:   "hostPaths",
	group:  groupVolumes,
	judged: func(c *compiler) bool { return c.portals.HostPaths != nil },
	asks:   func(*compiler) asks { return asks{volume: hasHostPath} },
	sentences: func(c *compiler) string {
		folder := c.folders() + "[i]"
		covered := c.covers(folder, func(*v1alpha1.AllowedHostPath) bool { return true })
		paths := c.hostPathSentences("hostPaths", not(covered...), forbidden("use a volume of another type; allowed "+isolation.DescribeHostPaths(c.portals.HostPaths)))
		if !c.knowsReadOnly() {
			return paths
		}
		return sum(paths, c.writableSentences(folder, covered))
	},
}

// writableSentences are about the volumes that may be mounted, but not writable.
func (c *compiler) writableSentences(folder string, covered []string) string {
	writable := c.covers(folder, func(a *v1alpha1.AllowedHostPath) bool { return !a.ReadOnly })
	readOnly := c.variable("readOnlyVolumes", func() string {
		return "object.spec.?volumes.orValue([]).transformMapEntry(i, v, " +
			allOf("i in "+c.folders(), "("+anyOf(covered...)+")", not(writable...)) + ", {v.name: true})"
	})
	// Two steps, so that mounts are compared with volumes only where something is wrong.
	writers := c.variable("writers", func() string {
		return c.containers() + `.filter(c, c.is.?volumeMounts.orValue([]).exists(m, m.name in ` + readOnly + ` && !m.?readOnly.orValue(false)))`
	})
	written := writers + `.exists(c, c.is.volumeMounts.exists(m, m.name == v.name && !m.?readOnly.orValue(false)))`
	return `object.spec.?volumes.orValue([]).transformList(i, v, v.name in ` + readOnly + ` &&
      (` + written + ` || v.hostPath.?type.orValue('') in ['FileOrCreate', 'DirectoryOrCreate']),
    ` + sentence("hostPaths", "'spec.volumes[' + string(i) + '].hostPath.path is ' + "+shown("v.hostPath.path")+" + '"+forbidden("' + (")+written+` ?
      'set readOnly: true on every mount of volume "' + v.name + '"' : `+literal(isolation.RemedyCreates)+`)`, "") + `)`
}

// covers test whether one of those allowances of the policy and its exemptions covers a folder.
func (c *compiler) covers(folder string, which func(*v1alpha1.AllowedHostPath) bool) []string {
	in := func(p *v1alpha1.HostPathsPortal) string {
		prefixes := prefixesOf(p, which)
		if len(prefixes) == 0 {
			return ""
		}
		return literals(prefixes) + ".exists(prefix, " + folder + ".startsWith(prefix))"
	}
	var out []string
	if test := in(c.portals.HostPaths); test != "" {
		out = append(out, test)
	}
	for i := range c.policy.Spec.Exemptions {
		e := &c.policy.Spec.Exemptions[i]
		if e.Portals == nil {
			continue
		}
		if test := in(e.Portals.HostPaths); test != "" {
			out = append(out, c.exemption(e)+" && "+test)
		}
	}
	return out
}

func prefixesOf(p *v1alpha1.HostPathsPortal, which func(*v1alpha1.AllowedHostPath) bool) []string {
	if p == nil {
		return nil
	}
	var prefixes []string
	for i := range p.Allow {
		if which(&p.Allow[i]) {
			prefixes = append(prefixes, p.Allow[i].PathPrefix)
		}
	}
	return asFolders(prefixes)
}

// knowsReadOnly tells whether an entry of the policy or of an exemption says readOnly.
func (c *compiler) knowsReadOnly() bool {
	readOnly := func(a *v1alpha1.AllowedHostPath) bool { return a.ReadOnly }
	if len(prefixesOf(c.portals.HostPaths, readOnly)) > 0 {
		return true
	}
	for i := range c.policy.Spec.Exemptions {
		if p := c.policy.Spec.Exemptions[i].Portals; p != nil && len(prefixesOf(p.HostPaths, readOnly)) > 0 {
			return true
		}
	}
	return false
}
