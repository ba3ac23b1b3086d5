// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/vap"
)

// refusal is how long something that the API server refused is not tried again: a newer API server
// may take it.
const refusal = 5 * time.Minute

// compileFunc makes of a policy what the API server is to evaluate itself, with everything filled in
// that it would fill in. The error says what CEL cannot say.
type compileFunc func(*v1alpha1.IsolationPolicy) (generated, error)

// A compiler compiles each revision of a policy once, and remembers what the API server said of it.
// Both controllers use it.
type compiler struct {
	compile compileFunc
	// name of both objects of a policy, also of one that does not compile.
	name  func(*v1alpha1.IsolationPolicy) string
	clock clock.PassiveClock

	mu    sync.Mutex
	known map[revision]product
}

// revision is one state of a policy's spec.
type revision struct {
	uid        types.UID
	generation int64
}

// product is what became of a revision.
type product struct {
	// generated is as it should stand; empty if err is set.
	generated
	// err is why the API server cannot carry the policy out: what CEL cannot say, or what the API
	// server said when it was told.
	err error
	// fault is why it could not be written the last time; empty if it could.
	fault string
	// refused is when the API server did not take it.
	refused time.Time
}

// of is what became of a policy.
func (c *compiler) of(p *v1alpha1.IsolationPolicy) product {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remembered(p)
}

// attempt is what to write for a policy: that of which the API server said no is tried again after a
// while. Until it says yes, [compiler.of] tells what it said.
func (c *compiler) attempt(p *v1alpha1.IsolationPolicy) product {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.remembered(p)
	if known.refused.IsZero() || c.clock.Since(known.refused) < refusal {
		return known
	}
	g, err := c.compile(p)
	return product{generated: g, err: err}
}

// remembered compiles what is not known yet.
func (c *compiler) remembered(p *v1alpha1.IsolationPolicy) product {
	key := revision{p.UID, p.Generation}
	if known, ok := c.known[key]; ok {
		return known
	}
	g, err := c.compile(p)
	if c.known == nil {
		c.known = make(map[revision]product)
	}
	c.known[key] = product{generated: g, err: err}
	return c.known[key]
}

// wrote remembers how an attempt to write ended. A refusal of what was written is as good as an error
// of the compiler; everything else passes.
func (c *compiler) wrote(p *v1alpha1.IsolationPolicy, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := revision{p.UID, p.Generation}
	made, ok := c.known[key]
	if !ok {
		return
	}
	made.fault = ""
	switch {
	case apierrors.IsInvalid(err):
		made = product{err: err, refused: c.clock.Now()}
	case err == nil && !made.refused.IsZero():
		// What was refused was taken now.
		delete(c.known, key)
		return
	case err != nil:
		made.fault = isolation.Sanitize(err.Error(), 1024)
	}
	c.known[key] = made
}

// keep forgets the revisions that are no more.
func (c *compiler) keep(policies []v1alpha1.IsolationPolicy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	current := make(map[revision]bool, len(policies))
	for i := range policies {
		current[revision{policies[i].UID, policies[i].Generation}] = true
	}
	for key := range c.known {
		if !current[key] {
			delete(c.known, key)
		}
	}
}

// newCompiler compiles for an installation that leaves these namespaces alone.
func newCompiler(excluded []string, clk clock.PassiveClock) *compiler {
	return &compiler{
		clock: clk, name: vap.Name,
		compile: func(p *v1alpha1.IsolationPolicy) (generated, error) {
			o, err := vap.Compile(p, vap.Options{ExcludedNamespaces: excluded})
			if err != nil {
				return generated{}, err
			}
			return generated{Policy: o.Policy, Binding: o.Binding}, nil
		},
	}
}
