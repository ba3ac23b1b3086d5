// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// hasHostPath tests a volume.
var hasHostPath = []string{"has(v.hostPath)"}

// folders is the variable that maps the place of each hostPath volume that is judged in spec.volumes
// to where it leads, clean and with a slash at its end, so that "is within" is "starts with": of a new
// pod all of them, of a pod that is debugged those that an added container mounts. A path of which
// nobody can tell where it leads is empty: it is within nothing, and everything is within it. One of
// Windows is C:.
func (c *compiler) folders() string {
	return c.variable("folders", func() string {
		return `object.spec.?volumes.orValue([])
  .transformMap(i, v, has(v.hostPath) && (` + created + ` ||
      ` + c.containers() + `.exists(c, c.is.?volumeMounts.orValue([]).exists(m, m.name == v.name))),
    ('/' + v.hostPath.path + '/').contains('/../') ? '' :
    !v.hostPath.path.startsWith('/') ? (v.hostPath.path.matches(r'` + isolation.WindowsDrive + `') ? 'C:' : '') :
    v.hostPath.path.size() > ` + strconv.Itoa(isolation.MaxHostPath) + ` ? '' :
    (v.hostPath.path + '/').contains('//') || (v.hostPath.path + '/').contains('/./') ?
      '/' + v.hostPath.path.split('/').filter(e, e != '' && e != '.').map(e, e + '/').join('') :
    v.hostPath.path + '/')
  .transformMap(i, f, (f.startsWith('/proc/') || f.startsWith('/dev/')) && f.matches(r'` + isolation.MagicLinks + `') ? '' : f)`
	})
}

// hostPathSentences are the sentences about the hostPath volumes v, at i, of which the test holds.
func (c *compiler) hostPathSentences(name, test, rest string) string {
	return "object.spec.?volumes.orValue([]).transformList(i, v, " + allOf("i in "+c.folders(), test) + ",\n    " +
		sentence(name, "'spec.volumes[' + string(i) + '].hostPath.path is ' + "+shown("v.hostPath.path"), rest) + ")"
}

// reaches tests whether a folder is one of the places, is in one or holds one, or holds the links of
// processes to everywhere.
func reaches(folder string, places []string) string {
	return "(" + literals(asFolders(places)) + ".exists(place, " + folder + ".startsWith(place) || place.startsWith(" + folder + ")) ||\n      " +
		folder + ".startsWith('/proc/') && " + folder + ".matches(r'" + isolation.ProcessFolders + "'))"
}

// asFolders are the prefixes that mean something, with a slash at their end.
func asFolders(prefixes []string) []string {
	var out []string
	for _, p := range prefixes {
		switch {
		case p == "/":
			out = append(out, p)
		case strings.HasPrefix(p, "/"):
			out = append(out, p+"/")
		}
	}
	return out
}
