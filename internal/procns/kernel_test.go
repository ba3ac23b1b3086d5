// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"testing"
	"time"
)

func TestKernel(t *testing.T) {
	t.Run("reads a tree's boot and kernel", func(t *testing.T) {
		tree := openFixture(t, bareV2)
		equal(t, must[string](t)(tree.BootID()), "0b9c8f0e-3b0a-4c55-9d0f-6f1f3f1d2c11")
		equal(t, must[string](t)(tree.KernelRelease()), "6.18.0-amd64")
		equal(t, must[time.Time](t)(tree.BootTime()).Unix(), int64(1790000000))
	})
	t.Run("refuses what is not a boot ID, and an empty release, and a stat without btime", func(t *testing.T) {
		tree := openFixture(t, hostile)
		_, err := tree.BootID()
		fails(t, err, "hostile/sys/kernel/random/boot_id", "not-a-boot-id")
		_, err = tree.KernelRelease()
		fails(t, err, "hostile/sys/kernel/osrelease", "truncated")
		_, err = tree.BootTime()
		fails(t, err, "hostile/stat", "btime")
	})
}

func TestParseBootTime(t *testing.T) {
	for name, test := range map[string]struct{ text, says string }{
		"a line that is cut off":       {"cpu 1\nbtime 17900", "truncated"},
		"a negative time":              {"btime -5\n", "seconds"},
		"a time beyond all clocks":     {"btime 18446744073709551615\n", "seconds"},
		"a name that only begins like": {"btimes 5\n", "no line btime"},
		"nothing":                      {"", "no line btime"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, err := parseBootTime([]byte(test.text))
			fails(t, err, test.says)
		})
	}
}

func TestReservesNetAndMnt(t *testing.T) {
	for release, want := range map[string]bool{
		"6.17.0": true, "6.17-rc1": true, "6.18.44-fc-v669": true, "7.0.1": true, "10.2": true, "6.17": true,
		"6.16.12": false, "6.8.0-45-generic": false, "5.19.0": false, "4.18.0-553.el8": false, "": false, "6": false, "six.17": false,
	} {
		if reservesNetAndMnt(release) != want {
			t.Errorf("%q: %v, want %v", release, !want, want)
		}
	}
}
