// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

const (
	// maxBody bounds a review. The API server takes objects of at most 3 MiB; a review holds two,
	// and less than 1 MiB beside them. (controller-runtime has the same bound.)
	maxBody = 7 << 20
	// smallBody is what nearly all reviews stay below: a pod has some 5 to 20 KiB.
	smallBody = 64 << 10
	// maxLarge is how many reviews above that are in memory at once.
	maxLarge = 2
	// maxJudged is how many reviews are decoded and judged at once. More would not be answered
	// sooner: it is work for the processors.
	maxJudged = 32
	// maxObjects is how many JSON objects a review may hold. Two pods of 500 containers with their
	// managedFields do not reach it; it bounds what the elements of nested lists become in memory.
	maxObjects = 200_000
)

// limits bound how many reviews an endpoint reads and judges at once; each endpoint has its own, so that
// none waits for another. Of the beginnings of reviews there is one for each connection at most. Who sends
// slowly holds nothing that a small review needs. Who has to wait waits until the API server would no
// longer listen. What a review becomes when it is decoded is bounded by [few].
type limits struct {
	large, judged chan struct{}
}

func newLimits() *limits {
	return &limits{large: make(chan struct{}, maxLarge), judged: make(chan struct{}, maxJudged)}
}

// take one of the places; release gives it back.
func take(ctx context.Context, places chan struct{}) (release func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, overloaded(fmt.Errorf("%d reviews of this size are being answered, and none ended in time: try again", cap(places)))
	}
}

// buffers are used again: what is decoded from a body does not point into it.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// read the body of a request. It must not be used once release has been called.
func (l *limits) read(ctx context.Context, r *http.Request) (body []byte, release func(), err error) {
	if r.ContentLength > maxBody {
		return nil, func() {}, tooLarge(maxBody)
	}
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	release = func() { buffers.Put(b) }
	if _, err := b.ReadFrom(io.LimitReader(r.Body, smallBody)); err != nil {
		return nil, release, unread(err)
	}
	if b.Len() == smallBody {
		free, err := take(ctx, l.large)
		if err != nil {
			return nil, release, err
		}
		// A large buffer is not kept.
		release = free
		if _, err := b.ReadFrom(io.LimitReader(r.Body, maxBody-smallBody+1)); err != nil {
			return nil, release, unread(err)
		}
	}
	if b.Len() > maxBody {
		return nil, release, tooLarge(maxBody)
	}
	if b.Len() == 0 {
		return nil, release, badRequest(errors.New("the request has no body: an AdmissionReview belongs there"))
	}
	if bytes.Count(b.Bytes(), []byte{'{'}) > maxObjects {
		return nil, release, tooMany(maxObjects)
	}
	return b.Bytes(), release, nil
}

func unread(err error) error { return badRequest(fmt.Errorf("read the AdmissionReview: %w", err)) }
