// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sanitize makes text that a process, a path or a report chose safe for a terminal, a log and an
// API object: everything but printable ASCII is escaped as Go does, and what is longer than max
// bytes is cut with "...". The result is itself at most max bytes long for max of at least 3.
func Sanitize(s string, max int) string {
	var b strings.Builder
	for i, r := range s {
		var esc string
		switch {
		case r == utf8.RuneError:
			// One byte that is no UTF-8, or the replacement character itself.
			esc = `\x` + hex2(s[i])
		case r >= ' ' && r < 0x7f && r != '\\':
			esc = string(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			esc = q[1 : len(q)-1]
		}
		if b.Len()+len(esc) > max-3 && len(s)-i > 3 || b.Len()+len(esc) > max {
			b.WriteString("...")
			break
		}
		b.WriteString(esc)
	}
	return b.String()
}

func hex2(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// quote quotes a value that came from a spec for a message, bounded.
func quote(s string) string {
	return `"` + Sanitize(s, 256) + `"`
}
