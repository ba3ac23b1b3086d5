// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
)

// crowd is a server with room for few connections. It answers at once; /wait and /half when it may, where the
// first has arrived and the second has not; /endless without end; and /refused with a refusal.
type crowd struct {
	address     string
	authorities []byte
	waiting     chan struct{}
	proceed     func()
}

func crowded(t *testing.T) *crowd {
	t.Helper()
	const most = 4
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
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/wait", func(http.ResponseWriter, *http.Request) {
		c.waiting <- struct{}{}
		<-may
	})
	mux.HandleFunc("/half", func(_ http.ResponseWriter, r *http.Request) {
		c.waiting <- struct{}{}
		select { // nothing is read: no time limit ends this
		case <-r.Context().Done():
		case <-may:
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		c.waiting <- struct{}{}
		for err := error(nil); err == nil; {
			_, err = w.Write(make([]byte, 1<<20))
		}
	})
	mux.HandleFunc("/refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	s := &server{certs: certs, log: logr.Discard(), most: most, handler: mux}
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

// says something over a connection of its own and reads no answer.
func (c *crowd) says(t *testing.T, what string) *tls.Conn {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.authorities)
	conn, err := tls.Dial("tcp", c.address, &tls.Config{RootCAs: roots, ServerName: serviceName})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.NetConn().Close() })
	if _, err := io.WriteString(conn, what); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestWhoHoldsConnectionsThatWereAnsweredKeepsNobodyOut(t *testing.T) {
	c := crowded(t)
	for range 12 {
		NewWithT(t).Expect(c.asks("/")).To(Succeed())
	}
}

func TestWhoConnectsAndSaysNothingKeepsNobodyOut(t *testing.T) {
	g := NewWithT(t)
	c := crowded(t)
	for range 12 {
		conn, err := net.Dial("tcp", c.address)
		g.Expect(err).NotTo(HaveOccurred())
		defer func() { _ = conn.Close() }()
	}
	g.Expect(c.asks("/")).To(Succeed())
}

func TestWhoSendsHalfAReviewKeepsNobodyOut(t *testing.T) {
	g := NewWithT(t)
	c := crowded(t)
	for range 4 {
		c.says(t, "POST /half HTTP/1.1\r\nHost: webhook\r\nContent-Length: 100\r\n\r\n{")
		g.Eventually(c.waiting).WithTimeout(20 * time.Second).Should(Receive())
	}
	g.Expect(c.asks("/")).To(Succeed())
}

func TestWhoReadsNoAnswerKeepsNobodyOut(t *testing.T) {
	g := NewWithT(t)
	c := crowded(t)
	for range 4 {
		c.says(t, "GET /endless HTTP/1.1\r\nHost: webhook\r\n\r\n")
		g.Eventually(c.waiting).WithTimeout(20 * time.Second).Should(Receive())
	}
	g.Expect(c.asks("/")).To(Succeed())
}

func TestAConnectionEndsWithWhatIsNotAnsweredWith200(t *testing.T) {
	for path, code := range map[string]int{"/refused": http.StatusBadRequest, "/nowhere": http.StatusNotFound} {
		g := NewWithT(t)
		conn := crowded(t).says(t, "GET "+path+" HTTP/1.1\r\nHost: webhook\r\n\r\n")
		g.Expect(conn.SetReadDeadline(time.Now().Add(20 * time.Second))).To(Succeed())
		answer := bufio.NewReader(conn)
		resp, err := http.ReadResponse(answer, nil)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(resp.StatusCode).To(Equal(code))
		_, err = io.Copy(io.Discard, resp.Body)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(resp.Body.Close()).To(Succeed())
		_, err = answer.ReadByte()
		g.Expect(err).To(MatchError(io.EOF))
	}
}

func TestAReviewThatArrivedIsNotCutOffAndTheNextCallerWaits(t *testing.T) {
	g := NewWithT(t)
	c := crowded(t)
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
	conns, done := make([]net.Conn, 6), make([]context.Context, 6)
	for i := range conns {
		conns[i], _ = net.Pipe()
	}
	come := func(i int) { done[i] = c.admit(t.Context(), conns[i]) }
	// answer is a review as the server tells of it; meanwhile happens once it has arrived.
	answer := func(i int, meanwhile func()) {
		c.follow(conns[i], http.StateActive)
		r := httptest.NewRequestWithContext(done[i], http.MethodPost, "/", strings.NewReader("{}"))
		c.receive(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			g.Expect(err).NotTo(HaveOccurred())
			meanwhile()
			w.WriteHeader(http.StatusOK)
		})).ServeHTTP(httptest.NewRecorder(), r)
		c.follow(conns[i], http.StateIdle)
	}
	nothing := func() {}
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
	answer(0, nothing)
	come(3)
	g.Expect(there()).To(Equal([]int{0, 2, 3}), "1 never asked for anything, and 0 was answered since")
	g.Expect(done[1].Err()).To(MatchError(context.Canceled), "nothing more is done for it")
	answer(1, nothing)
	g.Expect(there()).To(Equal([]int{0, 2, 3}), "what is said of one that was closed does not bring it back")
	answer(2, func() {
		come(4)
		come(5)
		g.Expect(there()).To(Equal([]int{2, 4, 5}), "2 had been there for longest, and its review arrived")
		g.Expect(done[2].Err()).NotTo(HaveOccurred())
	})
	for i := range conns {
		c.follow(conns[i], http.StateClosed)
	}
	g.Expect(c.open).To(BeEmpty())
	g.Expect(c.still.Len()).To(BeZero())
}
