// SPDX-License-Identifier: Apache-2.0

package isolation

import "cmp"

// round is the work of one look.
type round struct {
	look   *Look
	before *memory
	after  memory
	owners *ownership
	out    Observation

	// from is where the findings of the container that is being observed begin.
	from int

	unexplained bool
}

// add adds a finding on the container that is being observed, or counts the process where the
// finding is known: one cause is one finding, with the worst as its evidence.
func (r *round) add(f Finding) {
	for i := r.from; i < len(r.out.Findings); i++ {
		known := &r.out.Findings[i]
		if known.Key() != f.Key() {
			continue
		}
		processes := known.Evidence.Processes + f.Evidence.Processes
		if f.Observed < known.Observed {
			*known = f
		}
		known.Evidence.Processes = processes
		return
	}
	r.out.Findings = append(r.out.Findings, f)
}

// container observes one container: its first process, then how the others differ from it.
func (r *round) container(c *ContainerLook) ObservedContainer {
	oc := ObservedContainer{ContainerLook: c}
	first := c.First()
	if first == nil {
		if c.Expected {
			r.unseen(c, &oc)
		}
		return oc
	}
	r.orphan(c)
	r.from = len(r.out.Findings)
	base := r.start(c, first)
	for _, a := range Axes {
		s := base[a]
		oc.Inodes[a] = s.id.Inode
		level := s.level
		if c.Sandbox {
			// A sandbox is no workload: it counts by what else runs in it.
			level = None
		}
		if began := r.after.started[c.ID].levels[a]; began.Known() {
			s.level, s.reason = began, ""
		} else if s.level == Unknown && c.Claim[a] != None {
			s.level = min(c.Claim[a], a.ceiling())
		}
		others, reason := r.others(c, first, a, s)
		oc.Levels[a] = Lowest(level, others)
		if base[a].reason == notConfirmed {
			base[a].reason = cmp.Or(reason, notConfirmed)
		}
		base[a].reason = cmp.Or(base[a].reason, reason)
		if c.Missed != "" && c.NotApplicable == "" {
			oc.Levels[a] = Lowest(oc.Levels[a], Unknown)
		}
	}
	r.unverified(c, &oc, base)
	return oc
}

// unseen is a container that should run and has no process. Its levels are unknown at once; that
// it is missing is told after a while, for the API learns of the end of a container later.
func (r *round) unseen(c *ContainerLook, oc *ObservedContainer) {
	oc.Levels = Fill(Unknown)
	reason := "the API says that it runs, and no process of it was seen"
	if c.NotApplicable != "" {
		oc.Levels, reason = Fill(NotApplicable), c.NotApplicable
	} else {
		since, known := r.before.missing[c.ID]
		if !known {
			since = r.look.At
		}
		r.after.missing[c.ID] = since
		if r.look.At.Sub(since) < MissingAfter {
			return
		}
	}
	r.out.Findings = append(r.out.Findings, unverifiedFinding(c, oc.Levels[PID], "", reason))
}

// orphan reports a container that the API has not known for a while.
func (r *round) orphan(c *ContainerLook) {
	if c.Stray == "" {
		return
	}
	since, known := r.before.strays[c.ID]
	if !known {
		since = r.look.At
	}
	r.after.strays[c.ID] = since
	grace := OrphanAfter
	if c.Starting {
		grace = StartingAfter
	}
	if r.look.At.Sub(since) < grace {
		return
	}
	if !c.Sandbox {
		r.out.Findings = append(r.out.Findings, orphanFinding(c))
	}
}

// start judges a container's first process: against the claim when it is first confirmed, and
// against what it was then ever after.
func (r *round) start(c *ContainerLook, first *Process) [NumAxes]seen {
	var now [NumAxes]seen
	// Levels go with the container's ID: ending the first process does not make another one,
	// that has escaped, the measure.
	started := r.before.started[c.ID]
	started.owner = c.owner()
	if started.process != first.whole() {
		started.process, started.since, started.home = first.whole(), r.look.At, [NumAxes]NamespaceID{}
	}
	confirmed := r.look.At.Sub(started.since) >= ConfirmAfter
	for _, a := range Axes {
		now[a] = r.owners.level(r.look, c, first, a)
		if former, ok := r.before.escaped[containerAxis{c.ID, a}]; ok && !started.levels[a].Known() {
			r.after.escaped[containerAxis{c.ID, a}] = former
		}
		r.explain(now[a])
		if c.doubtful(a, now[a].level) && (!confirmed || now[a].owner.tentative && !r.confirmed(c, a, first)) {
			// runc's init looks like this for a moment: nothing is known yet, either way.
			r.out.Pending = true
			reason := notConfirmed
			if now[a].owner.tentative {
				reason = r.visited(c, a, &now[a])
			}
			now[a] = seen{level: Unknown, reason: reason, id: now[a].id}
		}
		if now[a].visited {
			r.out.Pending = r.out.Pending || !confirmed
			now[a].reason = r.visited(c, a, &now[a])
		}
	}
	if confirmed {
		r.startFindings(c, first, &now, &started)
	}
	r.after.started[c.ID] = started
	return now
}

// doubtful tells whether a first process's level must be confirmed: less than was promised or,
// where nothing is promised, nothing at all. Of a sandbox nothing is promised ever, and a container
// runtime separates no time namespaces.
func (c *ContainerLook) doubtful(a Axis, level Level) bool {
	return level == Foreign || level.Below(c.Claim[a]) ||
		level == Host && c.Claim[a] == None && a != Time && !c.Sandbox
}

// Reasons why a level is Unknown.
const (
	// notConfirmed is one for the moment; it is no finding.
	notConfirmed = "seen once, not confirmed yet"
	// unread is that of a container of which another process than the first was not read.
	unread = "a process of it could not be read"
)

// explain notes whether a namespace needs the processes outside of containers to be explained.
func (r *round) explain(s seen) {
	if s.owner.fresh && !r.look.OutsideRead {
		r.unexplained = true
	}
}

// visited is why a level is Unknown that a visitor leaves open, or a process outside of containers of which
// it is not known yet that it is more than that: one can seem to be the other from look to look.
func (r *round) visited(c *ContainerLook, a Axis, s *seen) string {
	since, known := r.before.visited[containerAxis{c.ID, a}]
	if !known {
		since = r.look.At
	}
	r.after.visited[containerAxis{c.ID, a}] = since
	if r.look.At.Sub(since) < VisitedAfter {
		return notConfirmed
	}
	if s.owner.tentative {
		return s.owner.outside + ", which is in no container, is in its " + a.String() + " namespace, and was not in every look: whose it is cannot be told"
	}
	return s.reason
}

// startFindings compares a confirmed first process with the claim and with its own past.
func (r *round) startFindings(c *ContainerLook, first *Process, now *[NumAxes]seen, started *start) {
	for _, a := range Axes {
		level := now[a].level
		if !started.levels[a].Known() {
			started.levels[a] = level
			left := started.home[a] != (NamespaceID{}) && started.home[a] != now[a].id
			if level.Known() && left || r.before.escaped[containerAxis{c.ID, a}] == first.whole() {
				started.levels[a] = Lowest(c.Claim[a], a.ceiling())
			}
		}
		began := started.levels[a]
		if (began.Known() || now[a].visited) && started.home[a] == (NamespaceID{}) {
			started.home[a] = now[a].id
		}
		switch {
		case level.Below(began):
			r.add(escapeFinding(c, a, seen{level: began}, first, now[a]))
		case level == Foreign || !c.Sandbox && c.Claim[a] != None && level.Below(c.Claim[a]):
			r.add(startFinding(c, a, first, now[a]))
		}
	}
}

// others is the lowest level of the container's other processes, those left out of which it is
// not confirmed that they are below where the container started; None if there are none. The reason
// says why the level of one of them is Unknown: that it was not read, rather than that it cannot be told
// whose its namespace is.
func (r *round) others(c *ContainerLook, first *Process, a Axis, base seen) (lowest Level, reason string) {
	for i := range c.Processes {
		p := &c.Processes[i]
		if p == first {
			continue
		}
		s := r.owners.level(r.look, c, p, a)
		r.explain(s)
		switch {
		case s.visited || s.owner.tentative && s.level.Below(Pod):
			if why := r.visited(c, a, &s); reason == "" || reason == notConfirmed {
				reason = why
			}
		case s.level == Unknown:
			reason = unread
		}
		escaped := s.level.Below(base.level) || !base.level.Known() && s.level.Below(Pod)
		drifted := !c.Sandbox && s.level.Below(c.Claim[a])
		if !escaped && (!c.Sandbox || !s.level.Known()) {
			// No less than at the start, which can be less than the first process has by now.
			lowest = Lowest(lowest, s.level)
		}
		switch {
		case !escaped && !drifted:
		case !r.confirmed(c, a, p):
			r.out.Pending = true
			if s.owner.tentative {
				// Who holds the namespace may have been a visitor in the look before.
				lowest = Lowest(lowest, Unknown)
			}
		case !escaped:
			r.add(startFinding(c, a, p, s))
		default:
			lowest = Lowest(lowest, s.level)
			if base.level.Known() {
				r.add(escapeFinding(c, a, base, p, s))
			}
		}
	}
	return lowest, reason
}

// confirmed remembers a suspicion, and tells whether it is more than one look's: the same process
// again, or another one of the container. The latter leaves out processes whose parent is outside
// the container, for every exec starts with such a one.
func (r *round) confirmed(c *ContainerLook, a Axis, p *Process) bool {
	since := r.after.suspect(suspicion{c.ID, a, p.key()}, r.before, r.look.At)
	if c.Has(p.PPID) {
		any := r.after.suspect(suspicion{container: c.ID, axis: a}, r.before, r.look.At)
		if any.Before(since) {
			since = any
		}
	}
	return r.look.At.Sub(since) >= ConfirmAfter
}

// unverified reports what of a container could not be seen: once for all axes if the reason is
// the same, and once if it is that processes were missed, whatever was found of the others.
func (r *round) unverified(c *ContainerLook, oc *ObservedContainer, base [NumAxes]seen) {
	if c.Sandbox {
		return
	}
	reasons := make(map[string][]Axis)
	var order []string
	for _, a := range Axes {
		if oc.Levels[a].Known() {
			continue
		}
		reason := base[a].reason
		if reason == notConfirmed {
			continue
		}
		if reason == "" || reason == unread {
			reason = cmp.Or(c.Missed, unread)
		}
		if len(reasons[reason]) == 0 {
			order = append(order, reason)
		}
		reasons[reason] = append(reasons[reason], a)
	}
	for _, reason := range order {
		axes := reasons[reason]
		if len(axes) == NumAxes || reason == c.Missed {
			r.out.Findings = append(r.out.Findings, unverifiedFinding(c, oc.Levels[axes[0]], "", reason))
			continue
		}
		for _, a := range axes {
			r.out.Findings = append(r.out.Findings, unverifiedFinding(c, oc.Levels[a], a.String(), reason))
		}
	}
}
