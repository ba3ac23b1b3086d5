// SPDX-License-Identifier: Apache-2.0

package vap

import (
	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// headline begins every message.
func headline(p *v1alpha1.IsolationPolicy) string {
	return "this asks for less isolation than policy " + isolation.Sanitize(p.Name, 63) + " requires: "
}

// valid is the one validation. The API server passes on the first denial only, so there is one.
const valid = "variables.violations.size() == 0 ||\n" + mirror

// conclude writes the variables of the verdict: the groups of sentences together, and the message.
//
// An API server throws a message of more than 5 KiB away, and one with a line break: of what violates
// as much is told as fits, and what is not printable ASCII becomes a question mark.
func (c *compiler) conclude(groups []string) {
	violations := c.variable("violations", func() string {
		if len(groups) == 0 {
			// The policy demands nothing that a spec can fail.
			return "[].map(v, '')"
		}
		return c.tooLarge() + " ?\n[" + literal(isolation.TooLarge) +
			"] :\n" + sum(groups...)
	})
	c.variable("message", func() string {
		return violations + `.size() == 0 ? '' :
[` + violations + `.transformList(i, v, i < 64, v.size() <= 1000 ? v : v.substring(0, 997) + '...')]
  .map(first, first.transformList(i, v, first.transformList(j, w, j <= i, w.size() + 2).sum() <= 4800, v))
  .map(told, ` + literal(headline(c.policy)) + ` + told.join('; ') + (told.size() == ` + violations + `.size() ? '' :
    '; ... and ' + string(` + violations + `.size() - told.size()) + ' more'))
  .map(text, text.matches('^[ -~]*$') ? text : text.split('').map(r, r.matches('^[ -~]$') ? r : '?').join(''))[0]`
	})
}
