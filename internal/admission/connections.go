// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"container/list"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
)

// maxConnections bounds how many callers hold memory: whoever reaches the Service can connect, send half a
// review and wait. An API server has one connection for each review that is on its way.
const maxConnections = 1024

// connections are those of callers, as many as there may be. When there are as many, whoever comes takes the
// place of the one that has done nothing for longest. A connection does something only from when its review
// has arrived whole until the answer is known: the rest is up to the caller, who can take any time for a
// handshake, a review, or reading what was answered. So nobody keeps the API server out by holding connections.
// A review that arrived is never cut off; where all did, the next caller waits. Nothing here helps against
// somebody who really has so many answered at a time.
//
// What is closed may be the API server's. It asks with POST, and Go's net/http sends that again over another
// connection only if nothing of it was written yet (persistConn.shouldRetryRequest): a review that set out in
// the moment in which its connection was closed is lost. That is why the order is by time alone. The API server
// uses again what it used last, so what it has not used for longest is what it needs least; and one that shakes
// hands stands behind all that were there before.
type connections struct {
	most int

	mu sync.Mutex
	// left tells that one was closed, or can be.
	left *sync.Cond
	open map[net.Conn]*place
	// still are the places of those that do nothing, for longest first.
	still list.List
}

// place is that of one connection.
type place struct {
	conn net.Conn
	// giveUp ends what is done for it.
	giveUp context.CancelFunc
	// at is where it stands among those that do nothing; nil if it does something.
	at *list.Element
}

func newConnections(most int) *connections {
	c := &connections{most: most, open: make(map[net.Conn]*place, most)}
	c.left = sync.NewCond(&c.mu)
	return c
}

type placeKey struct{}

// admit is the server's [http.Server.ConnContext]. The server accepts no other connection until it returns.
func (c *connections) admit(ctx context.Context, conn net.Conn) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.makeRoom()
	ctx, giveUp := context.WithCancel(ctx)
	p := &place{conn: conn, giveUp: giveUp}
	c.open[conn] = p
	c.rest(p)
	return context.WithValue(ctx, placeKey{}, p)
}

// follow is the server's [http.Server.ConnState].
func (c *connections) follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.open[conn]
	if p == nil {
		return // it was closed to make room
	}
	switch state {
	case http.StateActive, http.StateIdle:
		c.rest(p) // it has only begun to ask, or was answered
	case http.StateClosed, http.StateHijacked:
		c.forget(p)
	}
}

// receive is the server's handler: h, followed from when a review has arrived until its answer is known. What is
// answered with anything but 200 was hardly asked by an API server, and ends the connection.
func (c *connections) receive(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := r.Context().Value(placeKey{}).(*place)
		if r.Body == http.NoBody {
			c.change(p, c.work)
		} else {
			r.Body = &arrival{r.Body, func() { c.change(p, c.work) }}
		}
		h.ServeHTTP(&departure{w, func() { c.change(p, c.rest) }}, r)
	})
}

// arrival is a body that tells when all of it was read.
type arrival struct {
	io.ReadCloser
	whole func()
}

func (a *arrival) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if err == io.EOF {
		a.whole()
	}
	return n, err
}

// departure is an answer that tells when it is known.
type departure struct {
	http.ResponseWriter
	known func()
}

func (d *departure) WriteHeader(code int) {
	if code != http.StatusOK {
		d.Header().Set("Connection", "close")
	}
	d.known()
	d.ResponseWriter.WriteHeader(code)
}

// change a place by [connections.work] or [connections.rest], if it is still there.
func (c *connections) change(p *place, by func(*place)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p != nil && c.open[p.conn] == p {
		by(p)
	}
}

// work takes a place from those that do nothing.
func (c *connections) work(p *place) {
	if p.at != nil {
		c.still.Remove(p.at)
		p.at = nil
	}
}

// rest puts a place behind all others that do nothing.
func (c *connections) rest(p *place) {
	c.work(p)
	p.at = c.still.PushBack(p)
	c.left.Signal()
}

func (c *connections) forget(p *place) {
	c.work(p)
	delete(c.open, p.conn)
	p.giveUp()
	c.left.Signal()
}

func (c *connections) makeRoom() {
	for len(c.open) >= c.most {
		longest := c.still.Front()
		if longest == nil {
			c.left.Wait()
			continue
		}
		if p, ok := longest.Value.(*place); ok {
			c.forget(p)
			hangUp(p.conn)
		}
	}
}

// hangUp closes a connection without a word: TLS would say goodbye first, and wait for who does not read.
func hangUp(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close()
}
