// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
)

// crowd is a server with room for few connections, which answers at once, or for /wait when it may.
type crowd struct {
	address     string
	authorities []byte
	waiting     chan struct{}
	proceed     func()
}

func crowded(t *testing.T, most int) *crowd {
	t.Helper()
	certs, clock := emptySecret(t)
	clock.SetTime(time.Now())
	secret := secretOf(t, certs)
	certs.load(t.Context(), secret)
	may := make(chan struct{})
	c := &crowd{authorities: secret.Data[caCertKey], waiting: make(chan struct{}, most), proceed: sync.OnceFunc(func() { close(may) })}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.address = listener.Addr().String()
	s := &server{certs: certs, log: logr.Discard(), most: most, handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			c.waiting <- struct{}{}
			<-may
		}
	})}
	ended := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- s.serve(ctx, listener) }()
	t.Cleanup(func() {
		c.proceed()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

// asks over a connection of its own, which stays when it was answered.
func (c *crowd) asks(path string) error {
	one := caller(c.authorities, true)
	one.Timeout = 20 * time.Second
	resp, err := one.Get("https://" + c.address + path)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func TestWhoHoldsConnectionsThatWereAnsweredKeepsNobodyOut(t *testing.T) {
	c := crowded(t, 4)
	for range 12 {
		NewWithT(t).Expect(c.asks("/")).To(Succeed())
	}
}

func TestWhoConnectsAndSaysNothingKeepsNobodyOut(t *testing.T) {
	g := NewWithT(t)
	c := crowded(t, 4)
	for range 12 {
		conn, err := net.Dial("tcp", c.address)
		g.Expect(err).NotTo(HaveOccurred())
		defer func() { _ = conn.Close() }()
	}
	g.Expect(c.asks("/")).To(Succeed())
}

func TestAReviewThatIsOnItsWayIsNotCutOffAndTheNextCallerWaits(t *testing.T) {
	g := NewWithT(t)
	c := crowded(t, 4)
	answers, next := make(chan error, 4), make(chan error, 1)
	for range 4 {
		go func() { answers <- c.asks("/wait") }()
	}
	for range 4 {
		g.Eventually(c.waiting).WithTimeout(20 * time.Second).Should(Receive())
	}
	go func() { next <- c.asks("/") }()
	g.Consistently(next).WithTimeout(300 * time.Millisecond).ShouldNot(Receive())
	c.proceed()
	for range 4 {
		g.Eventually(answers).WithTimeout(20 * time.Second).Should(Receive(BeNil()))
	}
	g.Eventually(next).WithTimeout(20 * time.Second).Should(Receive(BeNil()))
}

func TestOfThoseThatDoNothingTheLongestGoesFirst(t *testing.T) {
	g := NewWithT(t)
	c := newConnections(3)
	conns := make([]net.Conn, 5)
	for i := range conns {
		conns[i], _ = net.Pipe()
	}
	come := func(i int) { c.follow(conns[i], http.StateNew) }
	answer := func(i int) {
		c.follow(conns[i], http.StateActive)
		c.follow(conns[i], http.StateIdle)
	}
	there := func() (out []int) {
		for i := range conns {
			if c.open[conns[i]] != nil {
				out = append(out, i)
			}
		}
		return out
	}
	come(0)
	come(1)
	come(2)
	answer(1)
	answer(2)
	answer(1)
	come(3)
	g.Expect(there()).To(Equal([]int{0, 1, 3}), "2 was answered before 1 was again")
	answer(2)
	g.Expect(there()).To(Equal([]int{0, 1, 3}), "what is said of one that was closed does not bring it back")
	c.follow(conns[1], http.StateActive)
	come(4)
	g.Expect(there()).To(Equal([]int{1, 3, 4}), "0 never asked for anything, and 1 waits for its answer")
	for i := range conns {
		c.follow(conns[i], http.StateClosed)
	}
	g.Expect(c.open).To(BeEmpty())
	g.Expect(c.answered.Len() + c.silent.Len()).To(BeZero())
}
