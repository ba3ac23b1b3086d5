// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"strconv"
	"unicode/utf8"
)

// Sanitize makes text that a process, a path or a report chose safe for a terminal, a log and an
// API object: everything but printable ASCII is escaped as Go does, and what would be longer than
// max bytes is cut with "...". The result is at most max bytes long, and sanitising it again
// changes nothing: text passes several hands, and each of them distrusts the one before. So a
// backslash stays as it is.
func Sanitize(s string, max int) string {
	if len(s) <= max && isPlain(s) {
		return s
	}
	const ellipsis = "..."
	var b []byte
	cut := 0 // where an ellipsis still fits
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		b = appendEscaped(b, r, s[:size])
		s = s[size:]
		if len(b) > max {
			b = append(b[:cut], ellipsis...)
			return string(b[:min(len(b), max)])
		}
		if len(b)+len(ellipsis) <= max {
			cut = len(b)
		}
	}
	return string(b)
}

// appendEscaped appends a rune, of which the bytes are given too: of one that is no UTF-8 the rune
// tells nothing.
func appendEscaped(b []byte, r rune, raw string) []byte {
	const digits = "0123456789abcdef"
	switch {
	case isPrintable(r):
		return append(b, raw...)
	case r == utf8.RuneError && len(raw) == 1:
		return append(b, '\\', 'x', digits[raw[0]>>4], digits[raw[0]&15])
	default:
		q := strconv.QuoteRuneToASCII(r)
		return append(b, q[1:len(q)-1]...)
	}
}

func isPlain(s string) bool {
	for _, r := range s {
		if !isPrintable(r) {
			return false
		}
	}
	return true
}

func isPrintable(r rune) bool { return r >= ' ' && r < 0x7f }

// quote quotes a value that came from a spec for a message, bounded.
func quote(s string) string {
	return `"` + Sanitize(s, 256) + `"`
}
