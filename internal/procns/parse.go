// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"errors"
	"math"
)

// The small parts that the parsers share. They take bytes, so that nothing is copied before it is
// known to be kept, and they refuse what the kernel does not print: signs, spaces, leading zeros,
// overflow.

// errTruncated is the verdict on text that does not end as the kernel ends it.
var errTruncated = errors.New("does not end in a newline: truncated")

// parseUint reads an unsigned decimal number of nothing but digits, without leading zeros.
func parseUint(text []byte) (uint64, bool) {
	if len(text) == 0 || len(text) > 1 && text[0] == '0' {
		return 0, false
	}
	var n uint64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// parseInt reads an unsigned decimal number that fits a process number (pid_t, 31 bits).
func parseInt(text []byte) (int, bool) {
	n, ok := parseUint(text)
	if !ok || n > math.MaxInt32 {
		return 0, false
	}
	return int(n), true
}

// parseUint32 reads an unsigned decimal number of 32 bits.
func parseUint32(text []byte) (uint32, bool) {
	n, ok := parseUint(text)
	if !ok || n > math.MaxUint32 {
		return 0, false
	}
	return uint32(n), true
}

// parseHex reads an unsigned hexadecimal number of nothing but digits, at most 64 bits.
func parseHex(text []byte) (uint64, bool) {
	if len(text) == 0 || len(text) > 16 {
		return 0, false
	}
	var n uint64
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// parseOctal reads an unsigned octal number of nothing but digits, at most 32 bits.
func parseOctal(text []byte) (uint32, bool) {
	if len(text) == 0 || len(text) > 12 {
		return 0, false
	}
	var n uint64
	for _, c := range text {
		if c < '0' || c > '7' {
			return 0, false
		}
		n = n<<3 | uint64(c-'0')
	}
	return uint32(n), n <= math.MaxUint32
}

// nextLine cuts the first line off. The rest is nil after the last one.
func nextLine(text []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(text, []byte{'\n'})
	return line, rest
}

// nextField cuts the first field off, fields being separated by spaces or tabs.
func nextField(text []byte) (field, rest []byte) {
	start := 0
	for start < len(text) && blank(text[start]) {
		start++
	}
	end := start
	for end < len(text) && !blank(text[end]) {
		end++
	}
	return text[start:end], text[end:]
}

func blank(c byte) bool { return c == ' ' || c == '\t' }
