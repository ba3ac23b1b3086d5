// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"strings"
	"testing"
	"time"
)

// statLine puts a line of stat together, around a name.
func statLine(comm string) string {
	return "7 (" + comm + ") S 1 7 7 0 -1 4194560 100 0 0 0 5 6 0 0 20 -5 3 0 4200 1000 50 1844 1 1\n"
}

func TestParseStat(t *testing.T) {
	names := map[string]string{
		"reads an ordinary name":                                "nginx",
		"reads a comm that contains a closing parenthesis":      "a) R 1",
		"reads a comm that looks like the rest of the line":     ") R 1 7 7 0 -1 4194560 100",
		"reads a comm that contains an opening parenthesis":     "((sd-pam)",
		"reads a comm that contains newlines":                   "a\n8 (b) R\n",
		"reads a comm that ends with a parenthesis and a space": "x) ",
		"reads a comm of one parenthesis":                       ")",
		"reads an empty comm":                                   "",
		"keeps terminal escapes and invalid UTF-8 as they are":  "\x1b[2J\xff\xfe",
		"reads a kernel thread's long name":                     "kworker/u8:0-ext4-rsv-conversion-and-what-not",
	}
	for name, comm := range names {
		t.Run(name, func(t *testing.T) {
			stat, err := parseStat([]byte(statLine(comm)))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, stat, Stat{PID: 7, Comm: comm, State: 'S', PPID: 1, Session: 7, Flags: 4194560, NumThreads: 3, StartTime: 4200})
		})
	}
}

func TestParseStatOfATaskThatIsBeingReaped(t *testing.T) {
	// The signal handlers are gone, and with them the session and the number of threads: as Linux 6.18 shows it.
	stat, err := parseStat([]byte("7 (true) X 0 -1 -1 0 -1 4194572 0 0 0 0 0 0 0 0 20 0 0 0 4200 0 0 0 0 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, stat, Stat{PID: 7, Comm: "true", State: 'X', Flags: 4194572, StartTime: 4200})
	equal(t, stat.Exited(), true)
}

func TestParseStatRefuses(t *testing.T) {
	good := statLine("x")
	tests := map[string]struct{ text, says string }{
		"nothing":                      {"", "truncated"},
		"a line that is cut off":       {good[:40], "truncated"},
		"a line that ends too early":   {good[:40] + "\n", "is not what it should be"},
		"a line without a name":        {"7 S 1 7 7\n", "no name in parentheses"},
		"a name that does not end":     {"7 (x S 1 7 7\n", "no name in parentheses"},
		"parentheses in wrong order":   {"7 ) (x S 1\n", "no name in parentheses"},
		"a process number with a sign": {"-" + good, "process number"},
		"process number zero":          {"0" + good[1:], "process number"},
		"a state of two letters":       {strings.Replace(good, ") S ", ") SS ", 1), "field 3 (state)"},
		"a negative session":           {strings.Replace(good, " 1 7 7 0 ", " 1 7 -7 0 ", 1), "field 6 (session)"},
		"a negative parent":            {strings.Replace(good, ") S 1 ", ") S -1 ", 1), "field 4 (ppid)"},
		"flags of more than 32 bits":   {strings.Replace(good, "4194560", "4294967296", 1), "field 9 (flags)"},
		"a start that overflows":       {strings.Replace(good, "4200", "18446744073709551616", 1), "field 22 (starttime)"},
	}
	for name, test := range tests {
		t.Run("refuses "+name, func(t *testing.T) {
			_, err := parseStat([]byte(test.text))
			fails(t, err, test.says)
		})
	}
}

func TestStat(t *testing.T) {
	t.Run("reads a process of a tree", func(t *testing.T) {
		stat := must[Stat](t)(openProcess(t, openFixture(t, bareV2), 900).Stat())
		equal(t, stat, Stat{PID: 900, Comm: "kubelet", State: 'S', PPID: 1, Session: 900, Flags: 4194560, NumThreads: 12, StartTime: 1200})
	})
	t.Run("tells kernel threads from processes", func(t *testing.T) {
		tree := openFixture(t, bareV2)
		equal(t, must[Stat](t)(openProcess(t, tree, 2).Stat()).KernelThread(), true)
		equal(t, must[Stat](t)(openProcess(t, tree, 1).Stat()).KernelThread(), false)
	})
	t.Run("reads a hostile name", func(t *testing.T) {
		equal(t, must[Stat](t)(openProcess(t, openFixture(t, hostile), 10).Stat()).Comm, "a) R 1 (\n")
	})
	t.Run("tells that a process has exited", func(t *testing.T) {
		for stat, exited := range map[Stat]bool{
			{State: 'Z'}:                     true,
			{State: 'X'}:                     true,
			{State: 'R', Flags: flagExiting}: true,
			{State: 'R', Flags: 4194560}:     false,
			{State: 'D', Flags: flagKthread}: false,
		} {
			if stat.Exited() != exited {
				t.Errorf("%+v: %v, want %v", stat, stat.Exited(), exited)
			}
		}
	})
}

func TestStarted(t *testing.T) {
	boot := time.Unix(1790000000, 0)
	t.Run("turns ticks into time", func(t *testing.T) {
		equal(t, Stat{StartTime: 1234}.Started(boot), boot.Add(12340*time.Millisecond))
	})
	t.Run("holds for a century of ticks", func(t *testing.T) {
		century := uint64(100 * 365 * 24 * 3600)
		equal(t, Stat{StartTime: century*ClockTicks() + 1}.Started(boot).Unix(), boot.Unix()+int64(century))
	})
}
