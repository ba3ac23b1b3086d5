// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStatus(t *testing.T) {
	t.Run("reads a process in a container", func(t *testing.T) {
		status := must[Status](t)(openProcess(t, openFixture(t, bareV2), 1300).Status())
		no := false
		ids := [4]uint32{1245184, 1245184, 1245184, 1245184}
		equal(t, status, Status{
			Name: "nginx", State: 'S', Tgid: 1300, PPid: 1190, NSpid: []int{1300, 1}, Uid: ids, Gid: ids,
			Groups: []uint32{1245184, 1245194}, Seccomp: 2, SeccompFilters: 1, Kthread: &no, Threads: 1,
			CapPrm: 0xa80425fb, CapEff: 0xa80425fb, CapBnd: 0xa80425fb,
		})
	})
	t.Run("reads a kernel thread", func(t *testing.T) {
		status := must[Status](t)(openProcess(t, openFixture(t, bareV2), 2).Status())
		if status.Kthread == nil || !*status.Kthread {
			t.Errorf("Kthread: %v", status.Kthread)
		}
	})
	t.Run("leaves Kthread open on kernels that do not tell", func(t *testing.T) {
		status := must[Status](t)(openProcess(t, openFixture(t, bareV1), 2).Status())
		if status.Kthread != nil {
			t.Errorf("Kthread: %v", *status.Kthread)
		}
	})
	t.Run("reads the process of a thread", func(t *testing.T) {
		p := openProcess(t, openFixture(t, bareV2), 1300)
		thread := must[Process](t)(p.Thread(1301))
		defer func() { _ = thread.Close() }()
		status := must[Status](t)(thread.Status())
		equal(t, status.Tgid, 1300)
		equal(t, status.NSpid, []int{1301, 2})
	})
	t.Run("keeps a hostile name as the kernel escapes it", func(t *testing.T) {
		equal(t, must[Status](t)(openProcess(t, openFixture(t, hostile), 10).Status()).Name, `a) R 1 (\n`)
	})
}

func TestParseStatus(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", bareV2, "1300", "status"))
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the fixture", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	before, _, _ := strings.Cut(good, "CapInh")
	t.Run("skips lines that it does not know", func(t *testing.T) {
		_, err := parseStatus([]byte(good + "Fancy_new_line:\t?? \xff: what:ever\n"))
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("reads all capability sets", func(t *testing.T) {
		text := replace("CapInh:\t0000000000000000", "CapInh:\t0000000000000001")
		text = strings.Replace(text, "CapPrm:\t00000000a80425fb", "CapPrm:\t0000000000000002", 1)
		text = strings.Replace(text, "CapBnd:\t00000000a80425fb", "CapBnd:\t000001ffffffffff", 1)
		text = strings.Replace(text, "CapAmb:\t0000000000000000", "CapAmb:\t0000000000000008", 1)
		status, err := parseStatus([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, []uint64{status.CapInh, status.CapPrm, status.CapEff, status.CapBnd, status.CapAmb},
			[]uint64{1, 2, 0xa80425fb, 0x1ffffffffff, 8})
	})
	for name, test := range map[string]struct{ text, says string }{
		"a file that is cut off":                 {good[:len(good)-5], "truncated"},
		"a file without effective capabilities":  {replace("CapEff:\t00000000a80425fb\n", ""), "CapEff"},
		"a file that ends before capabilities":   {before, "CapInh"},
		"a second line of effective IDs":         {good + "Uid:\t0\t0\t0\t0\n", "twice"},
		"three user IDs":                         {replace("Uid:\t1245184\t", "Uid:\t"), "Uid"},
		"five user IDs":                          {replace("Uid:\t", "Uid:\t1\t"), "Uid"},
		"a user ID that overflows":               {replace("Uid:\t1245184", "Uid:\t4294967296"), "Uid"},
		"a capability set that is no number":     {replace("CapBnd:\t0", "CapBnd:\tx"), "CapBnd"},
		"a capability set of more than 64 bits":  {replace("CapBnd:\t0", "CapBnd:\t00"), "CapBnd"},
		"no-new-privileges that is neither":      {replace("NoNewPrivs:\t0", "NoNewPrivs:\t2"), "NoNewPrivs"},
		"a number of filters that is none":       {replace("Seccomp_filters:\t1", "Seccomp_filters:\tx"), "Seccomp_filters"},
		"an empty NSpid":                         {replace("NSpid:\t1300\t1", "NSpid:\t"), "NSpid"},
		"a line without a colon":                 {good + "what\n", "no colon"},
		"an empty state":                         {replace("State:\tS (sleeping)", "State:\t"), "State"},
		"a group that is no number":              {replace("Groups:\t1245184", "Groups:\troot"), "Groups"},
		"nothing":                                {"", "truncated"},
		"a file of an unknown system, one line":  {"\n", "no colon"},
		"a kernel thread flag that is no number": {replace("Kthread:\t0", "Kthread:\tyes"), "Kthread"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, err := parseStatus([]byte(test.text))
			fails(t, err, test.says)
		})
	}
}
