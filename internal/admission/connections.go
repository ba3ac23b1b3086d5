// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// maxConnections bounds how many callers hold memory: whoever reaches the Service can connect, send half a
// review and wait. An API server has one connection for each review that is on its way.
const maxConnections = 1024

// connections are those of callers, as many as there may be. When there are as many, whoever comes takes the
// place of the one that has done nothing for longest: of those that were answered first, then of those that
// have not asked yet. So nobody keeps the API server out by holding connections. A review that is on its way
// is never cut off; where all are, the next caller waits. Nothing here helps against somebody who really has
// so many answered at a time.
type connections struct {
	most int

	mu sync.Mutex
	// left tells that one was closed.
	left *sync.Cond
	open map[net.Conn]*place
	// answered and silent are those that do nothing, for longest first.
	answered, silent list.List
}

// place is where a connection stands among those that do nothing; nil if it does something.
type place struct {
	among *list.List
	at    *list.Element
}

func newConnections(most int) *connections {
	c := &connections{most: most, open: make(map[net.Conn]*place, most)}
	c.left = sync.NewCond(&c.mu)
	return c
}

// follow is the server's [http.Server.ConnState]. The server accepts no other connection until it returns from
// [http.StateNew].
func (c *connections) follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.makeRoom()
		c.open[conn] = &place{}
		c.move(conn, &c.silent)
	case http.StateActive:
		c.move(conn, nil)
	case http.StateIdle:
		c.move(conn, &c.answered)
		c.left.Signal() // it can be closed now
	case http.StateClosed, http.StateHijacked:
		c.forget(conn)
	}
}

func (c *connections) makeRoom() {
	for len(c.open) >= c.most {
		longest := c.answered.Front()
		if longest == nil {
			longest = c.silent.Front()
		}
		if longest == nil {
			c.left.Wait()
			continue
		}
		if conn, ok := longest.Value.(net.Conn); ok {
			c.forget(conn)
			hangUp(conn)
		}
	}
}

// move puts a connection behind all others that do nothing as it does, or takes it from them. One that was
// closed to make room may still be told of.
func (c *connections) move(conn net.Conn, to *list.List) {
	p := c.open[conn]
	if p == nil {
		return
	}
	if p.among != nil {
		p.among.Remove(p.at)
	}
	if p.among, p.at = to, nil; to != nil {
		p.at = to.PushBack(conn)
	}
}

func (c *connections) forget(conn net.Conn) {
	c.move(conn, nil)
	delete(c.open, conn)
	c.left.Signal()
}

// hangUp closes a connection without a word: TLS would say goodbye first, and wait for who does not read.
func hangUp(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close()
}
