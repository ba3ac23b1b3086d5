// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// sharedBooks are the books as others may read them than the one worker that keeps them. That one need
// not lock to read: nobody else changes them, and what it works out on the way nobody else reads.
type sharedBooks struct {
	mu    sync.RWMutex
	books *ledger.Ledger
	// tell is told the namespaces of whose pods policies may say something else now; nil if nobody asks.
	tell func(namespaces []string)
}

// keep changes the books, nil as long as there are none, and tells what changed.
func (s *sharedBooks) keep(change func(*ledger.Ledger) *ledger.Ledger) *ledger.Ledger {
	s.mu.Lock()
	books := change(s.books)
	s.books = books
	changed := books.Changed()
	s.mu.Unlock()
	if s.tell != nil {
		s.tell(changed)
	}
	return books
}

// assessments is what policies say of the pods of a namespace; ok is false as long as there are no books.
func (s *sharedBooks) assessments(namespace string) (all []ledger.Assessed, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.books == nil {
		return nil, false
	}
	return s.books.Assessments(namespace), true
}

// namespaces are those that have pods.
func (s *sharedBooks) namespaces() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.books == nil {
		return nil
	}
	return s.books.Namespaces()
}
