// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"bytes"
	"errors"
	"time"
)

const (
	bootIDFile        = "sys/kernel/random/boot_id"
	kernelReleaseFile = "sys/kernel/osrelease"
	lineLimit         = 4 << 10

	kernelStatFile  = "stat"
	kernelStatLimit = 8 << 20 // a line per CPU, and one with a number for every interrupt
)

// BootID gives the random ID of this boot, in the form of a UUID (random(4)). It is not namespaced:
// containers read the same.
func (f *FS) BootID() (string, error) {
	line, err := f.readLine(bootIDFile)
	if err != nil {
		return "", err
	}
	if !isUUID(line) {
		return "", f.failed("parse", bootIDFile, malformed("not a UUID", line))
	}
	return string(line), nil
}

// KernelRelease gives the kernel's release, as "uname -r" does ("6.18.0-amd64"). It is the build's
// free text.
func (f *FS) KernelRelease() (string, error) {
	line, err := f.readLine(kernelReleaseFile)
	if err != nil {
		return "", err
	}
	return string(line), nil
}

// BootTime gives the moment of boot on the wall clock, to the second: btime of /proc/stat
// (proc_stat(5)). It moves when the clock is set. Like [Stat.StartTime] it is counted in the
// reader's time namespace (since 5.12), so the two add up.
func (f *FS) BootTime() (time.Time, error) {
	text, err := f.read(f.fd, kernelStatFile, kernelStatLimit)
	if err != nil {
		return time.Time{}, f.failed("read", kernelStatFile, err)
	}
	boot, err := parseBootTime(text)
	if err != nil {
		return time.Time{}, f.failed("parse", kernelStatFile, err)
	}
	return boot, nil
}

// parseBootTime finds the line "btime SECONDS".
func parseBootTime(text []byte) (time.Time, error) {
	for rest := text; len(rest) > 0; {
		var line []byte
		var ended bool
		line, rest, ended = bytes.Cut(rest, []byte{'\n'})
		value, found := bytes.CutPrefix(line, []byte("btime "))
		if !found {
			continue
		}
		if !ended {
			return time.Time{}, errTruncated
		}
		seconds, ok := parseUint(value)
		if !ok || seconds > 1<<40 {
			return time.Time{}, malformed("not a number of seconds", line)
		}
		return time.Unix(int64(seconds), 0), nil
	}
	return time.Time{}, errors.New("no line btime")
}

// readLine reads a file of one line, without its newline.
func (f *FS) readLine(name string) ([]byte, error) {
	text, err := f.read(f.fd, name, lineLimit)
	if err != nil {
		return nil, f.failed("read", name, err)
	}
	line, err := parseLine(text)
	if err != nil {
		return nil, f.failed("parse", name, err)
	}
	return line, nil
}

// parseLine parses exactly one line that is not empty.
func parseLine(text []byte) ([]byte, error) {
	if !bytes.HasSuffix(text, []byte{'\n'}) {
		return nil, errTruncated
	}
	line, rest := nextLine(text)
	if len(line) == 0 || len(rest) > 0 {
		return nil, malformed("not one line", text)
	}
	return line, nil
}

// isUUID matches 8-4-4-4-12 lower-case hexadecimal digits.
func isUUID(text []byte) bool {
	if len(text) != 36 {
		return false
	}
	for i, c := range text {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
