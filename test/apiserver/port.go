// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePort is a port on which nobody listens. It is none of those that the kernel gives to who calls somebody, by default
// from 32768 on (net.ipv4.ip_local_port_range, ip(7)): one of these can be taken again before it is listened on.
func FreePort(t interface {
	Helper()
	Fatalf(format string, args ...any)
}) int32 {
	t.Helper()
	const first, last = 10_000, 32_767
	for range 100 {
		port := first + rand.Int32N(last-first)
		l, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(int(port))))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatalf("close a port that is free: %v", err)
		}
		return port
	}
	t.Fatalf("no port from %d to %d is free", first, last)
	return 0
}
