// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestSanitize(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		max  int
		want string
	}{
		"leaves plain text alone":                         {"nginx: worker", 64, "nginx: worker"},
		"leaves text that just fits alone":                {"0123456789", 10, "0123456789"},
		"cuts text that just does not fit":                {"0123456789a", 10, "0123456..."},
		"escapes a newline":                               {"a\nb", 64, `a\nb`},
		"escapes a terminal's escape":                     {"\x1b[2Jx", 64, `\x1b[2Jx`},
		"escapes DEL":                                     {"\x7f", 64, `\x7f`},
		"escapes a C1 control":                            {"\u009b", 64, `\u009b`},
		"escapes letters that are not ASCII":              {"pöd", 64, `p\u00f6d`},
		"escapes a right-to-left override":                {"\u202e", 64, `\u202e`},
		"escapes every byte that is no UTF-8":             {"\xff\xfe", 64, `\xff\xfe`},
		"keeps the replacement character apart from them": {"\uFFFD", 64, `\ufffd`},
		"escapes a torn replacement character":            {"\xef\xbf", 64, `\xef\xbf`},
		"keeps a backslash":                               {`C:\x`, 64, `C:\x`},
		"keeps quotes":                                    {`"'`, 64, `"'`},
		"never cuts an escape in two":                     {"abcdefg\x1b\x1b", 10, "abcdefg..."},
		"cuts when the escapes at the end grow too long":  {"aaaaaaa\n\n\n", 10, "aaaaaaa..."},
		"has room for a piece of the dots only":           {"abcdef", 2, ".."},
		"has room for nothing":                            {"abcdef", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isolation.Sanitize(c.in, c.max); got != c.want {
				t.Errorf("Sanitize(%q, %d) = %q, want %q", c.in, c.max, got, c.want)
			}
		})
	}
}

func FuzzSanitize(f *testing.F) {
	for _, seed := range []string{"", "sh", "a\nb\x1b[31m", "\xff\xfe", "\uFFFD", "\xef\xbf", strings.Repeat("\n", 80), `\\\`, "日本語"} {
		for _, max := range []uint8{0, 2, 3, 4, 64} {
			f.Add(seed, max)
		}
	}
	f.Fuzz(func(t *testing.T, in string, max uint8) {
		out := isolation.Sanitize(in, int(max))
		if len(out) > int(max) {
			t.Errorf("Sanitize(%q, %d) = %q: %d bytes", in, max, out, len(out))
		}
		for _, r := range out {
			if r < ' ' || r > '~' {
				t.Errorf("Sanitize(%q, %d) = %q holds %q", in, max, out, r)
			}
		}
		if again := isolation.Sanitize(out, int(max)); again != out {
			t.Errorf("Sanitize(%q, %d) = %q, and again %q", in, max, out, again)
		}
		if utf8.RuneCountInString(in) > int(max) && max >= 3 && !strings.HasSuffix(out, "...") {
			t.Errorf("Sanitize(%q, %d) = %q hides that it was cut", in, max, out)
		}
	})
}
