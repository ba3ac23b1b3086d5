// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// AgentCounts counts nodes by how their agents are: every node that has a pod, a report or an agent is in
// one of the first four.
type AgentCounts struct {
	// Reporting agents see everything.
	Reporting int
	// Degraded ones are alive and do not see everything, or say that they are not ready.
	Degraded int
	// Silent ones have not said in time that they are alive, or not by a right clock.
	Silent int
	// Absent is where no agent has reported.
	Absent int
	// Truncated is how many reports could not name everything.
	Truncated int
	// Oldest is when the agent that has been silent for longest last said that it is alive; zero if none ever did.
	Oldest time.Time
}

// Agents counts the nodes as they are now.
func (l *Ledger) Agents() AgentCounts {
	var c AgentCounts
	for _, n := range l.nodes {
		if n.report != nil && n.report.Status.Truncated {
			c.Truncated++
		}
		switch {
		case n.absent():
			c.Absent++
			continue
		case n.silent(l.now):
			c.Silent++
		case unfit(n.name, &n.report.Status) != (state{}):
			c.Degraded++
		default:
			c.Reporting++
		}
		if c.Oldest.IsZero() || n.renewed.Before(c.Oldest) {
			c.Oldest = n.renewed
		}
	}
	return c
}

// absent tells whether no agent has reported.
func (n *node) absent() bool { return n.report == nil || n.renewed.IsZero() }

// silent tells whether the agent has not said in time that it is alive.
func (n *node) silent(now time.Time) bool { return !Fresh(n.renewed, now, AgentLease) }
