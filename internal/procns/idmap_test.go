// SPDX-License-Identifier: Apache-2.0

package procns

import "testing"

var identity = IDMap{{Inside: 0, Outside: 0, Count: 4294967295}}

func TestIDMap(t *testing.T) {
	t.Run("reads the identity", func(t *testing.T) {
		equal(t, must[IDMap](t)(openProcess(t, openFixture(t, bareV2), 1).UIDMap()), identity)
	})
	t.Run("reads the map of a pod with a user namespace", func(t *testing.T) {
		p := openProcess(t, openFixture(t, bareV2), 1300)
		equal(t, must[IDMap](t)(p.UIDMap()), IDMap{{0, 1245184, 65536}})
		equal(t, must[IDMap](t)(p.GIDMap()), IDMap{{0, 1245184, 65536}})
	})
	t.Run("reads a map of several ranges", func(t *testing.T) {
		equal(t, must[IDMap](t)(openProcess(t, openFixture(t, hostile), 12).UIDMap()), IDMap{{0, 1000, 1}, {1, 100000, 65536}})
	})
	t.Run("reads a map that nobody has written yet", func(t *testing.T) {
		equal(t, len(must[IDMap](t)(openProcess(t, openFixture(t, hostile), 12).GIDMap())), 0)
	})
	t.Run("refuses a map that is cut off", func(t *testing.T) {
		p := openProcess(t, openFixture(t, hostile), 11)
		_, err := p.UIDMap()
		fails(t, err, "/11/uid_map", "truncated")
		_, err = p.GIDMap()
		fails(t, err, "/11/gid_map", "three numbers")
	})
}

func TestContainsOutside(t *testing.T) {
	for name, test := range map[string]struct {
		ids      IDMap
		id       uint32
		contains bool
	}{
		"the identity contains the node's root":                          {identity, 0, true},
		"the identity contains the last ID":                              {identity, 4294967294, true},
		"the identity does not contain the invalid ID":                   {identity, 4294967295, false},
		"a pod's range does not contain the node's root":                 {IDMap{{0, 1245184, 65536}}, 0, false},
		"a pod's range contains its first ID":                            {IDMap{{0, 1245184, 65536}}, 1245184, true},
		"a pod's range contains its last ID":                             {IDMap{{0, 1245184, 65536}}, 1310719, true},
		"a pod's range does not contain the next ID":                     {IDMap{{0, 1245184, 65536}}, 1310720, false},
		"a pod's range does not contain the ID before":                   {IDMap{{0, 1245184, 65536}}, 1245183, false},
		"a map that hides the node's root in a later range contains it":  {IDMap{{0, 100000, 1000}, {1000, 0, 1}}, 0, true},
		"a map that gives the node's root another number contains it":    {IDMap{{1000, 0, 1}}, 0, true},
		"a range up to the end does not wrap around to the node's root":  {IDMap{{0, 4294967294, 4294967295}}, 0, false},
		"a range that the reader cannot name could be the node's root's": {IDMap{{0, 4294967295, 1}}, 0, true},
		"a map that nobody has written contains nobody":                  {nil, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			equal(t, test.ids.ContainsOutside(test.id), test.contains)
		})
	}
}

func TestParseIDMap(t *testing.T) {
	for name, text := range map[string]string{
		"two numbers":                     "0 1000\n",
		"four numbers":                    "0 0 1 2\n",
		"an empty line":                   "\n",
		"a number that overflows":         "0 0 4294967296\n",
		"a negative number":               "0 -1 1\n",
		"an empty range":                  "0 0 0\n",
		"text":                            "root root 1\n",
		"a newline missing between lines": "0 0 1 1 100000 65536\n",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, err := parseIDMap([]byte(text))
			fails(t, err, "three numbers")
		})
	}
}
