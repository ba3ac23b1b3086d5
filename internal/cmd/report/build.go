// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/cmd/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

// The longest foreign text that is shown.
const (
	nameLimit    = 253
	messageLimit = 1024
)

// surroundings are what pods are judged by, at one moment.
type surroundings struct {
	Now      time.Time
	Policies []v1alpha1.IsolationPolicy
	// Namespaces are the labels of each.
	Namespaces map[string]labels.Set
	// Nodes by name, with nothing but what is read here.
	Nodes   map[string]*corev1.Node
	Reports map[string]*v1alpha1.NodeIsolationReport
	// Agents is when each node's agent last said that it is alive.
	Agents map[string]time.Time
	// Handlers are the runtime classes with their handlers.
	Handlers map[string]string
	// Volumes that lead claims to the node's file system.
	Volumes *cluster.Volumes
	// Namespace and Only, if they are set, narrow the report to a namespace and to policies by name.
	Namespace string
	Only      []string
}

func (in *surroundings) header(kind string) header {
	return header{
		APIVersion: APIVersion, Kind: kind, GeneratedAt: in.Now.UTC().Format(time.RFC3339),
		Namespace: in.Namespace, Policies: in.Only,
	}
}

// subject is a pod in its namespace. Of a namespace that is not known, policies match every pod.
func (in *surroundings) subject(pod *corev1.Pod) *isolation.Subject {
	labels, known := in.Namespaces[pod.Namespace]
	s := isolation.NewSubject(pod, labels)
	s.NamespaceUnknown = !known
	in.Volumes.TellOf(s)
	return s
}

// seen is what the agents of all nodes see.
func (in *surroundings) seen() *ledger.Sights {
	s := ledger.NewSights(in.Reports, in.Agents, in.Now)
	for name, n := range in.Nodes {
		if ledger.OnWindows(n.Labels) {
			s.OnWindows(name)
		}
	}
	return s
}

// builder makes an overview of one pod after the other: what it keeps of a pod is a row.
type builder struct {
	*surroundings
	out        *overview
	sights     *ledger.Sights
	policies   []*isolation.Policy
	namespaces map[string]*namespaceRow
	nodes      map[string]*nodeRow
}

// newBuilder fails if a policy is asked for that is not there.
func newBuilder(in *surroundings) (*builder, error) {
	b := &builder{
		surroundings: in, out: &overview{header: in.header("IsolationOverview")},
		sights:     in.seen(),
		namespaces: make(map[string]*namespaceRow), nodes: make(map[string]*nodeRow),
	}
	for _, name := range in.Only {
		if !slices.ContainsFunc(in.Policies, func(p v1alpha1.IsolationPolicy) bool { return p.Name == name }) {
			return nil, fmt.Errorf("--policy %q: the cluster has no IsolationPolicy of that name", name)
		}
	}
	for i := range in.Policies {
		if p := &in.Policies[i]; len(in.Only) == 0 || slices.Contains(in.Only, p.Name) {
			b.policy(p)
		}
	}
	if in.Namespace == "" {
		for name := range in.Nodes {
			b.node(name)
		}
	}
	return b, nil
}

// policy adds a policy, and judges by it if it can be judged by.
func (b *builder) policy(p *v1alpha1.IsolationPolicy) {
	row := policyRow{
		Name: isolation.Sanitize(p.Name, nameLimit), Action: p.Spec.Admission.Action, Engine: cmp.Or(p.Spec.Admission.Engine, v1alpha1.EngineWebhook),
		Findings: p.Status.FindingsTotal,
		Outdated: p.Status.ObservedGeneration != p.Generation, Status: make(map[string]conditionValue),
	}
	if p.Status.ObservedGeneration > 0 {
		row.Pods, row.Nodes = &p.Status.Pods, &p.Status.Nodes
	}
	for _, name := range conditions {
		row.Status[name] = conditionValue{Status: "Unknown"}
		if c := meta.FindStatusCondition(p.Status.Conditions, name); c != nil {
			row.Status[name] = conditionValue{string(c.Status), isolation.Sanitize(c.Reason, nameLimit), isolation.Sanitize(c.Message, messageLimit)}
		}
	}
	if compiled, err := isolation.Compile(p); err != nil {
		row.Invalid = isolation.Sanitize(err.Error(), messageLimit)
		b.note("Nobody is judged by policy %s: %s", row.Name, row.Invalid)
	} else {
		row.Required = levels(compiled.Required())
		b.policies = append(b.policies, compiled)
	}
	if n := p.Status.Pods.NotApplicable; n > 0 {
		b.note("Of the %d unverified pods of policy %s %d can be seen by no agent: they run on Windows or in a sandbox with a kernel of its own",
			p.Status.Pods.Unverified, row.Name, n)
	}
	if row.Outdated {
		b.note("The status of policy %s is not of its present spec: the manager has not judged by it yet, or does not run", row.Name)
	}
	b.out.Policies = append(b.out.Policies, row)
}

// conditions of a policy in their order.
var conditions = []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionEnforced, v1alpha1.ConditionVerified}

func (b *builder) note(format string, values ...any) {
	b.out.Notes = append(b.out.Notes, fmt.Sprintf(format, values...))
}

// node is the row of a node. A pod may name one that the API does not know.
func (b *builder) node(name string) *nodeRow {
	if row, ok := b.nodes[name]; ok {
		return row
	}
	state, why := b.sights.Agent(name)
	row := &nodeRow{Name: isolation.Sanitize(name, nameLimit), Agent: state, Why: isolation.Sanitize(why, messageLimit)}
	if r := b.Reports[name]; r != nil {
		row.Reported = r.Status.FindingsTotal
	}
	if n := b.Nodes[name]; n != nil {
		row.Kernel = isolation.Sanitize(n.Status.NodeInfo.KernelVersion, nameLimit)
		row.Runtime = isolation.Sanitize(n.Status.NodeInfo.ContainerRuntimeVersion, nameLimit)
	} else {
		row.Why = isolation.Sanitize("the API knows no such node; "+why, messageLimit)
	}
	b.nodes[name] = row
	return row
}

// pod judges a pod and adds it, unless it has ended or is not asked for.
func (b *builder) pod(pod *corev1.Pod) {
	if isolation.Ended(pod) {
		return
	}
	row := b.judge(pod)
	if len(b.Only) > 0 && len(row.Policies) == 0 {
		return
	}
	b.out.Totals.add(&row)
	observed := isolation.Vector(row.Observed)
	space, ok := b.namespaces[pod.Namespace]
	if !ok {
		space = &namespaceRow{Name: row.Namespace}
		b.namespaces[pod.Namespace] = space
	}
	space.add(&row)
	(*isolation.Vector)(&space.Lowest).Lower(&observed)
	if pod.Spec.NodeName != "" {
		node := b.node(pod.Spec.NodeName)
		node.add(&row)
		(*isolation.Vector)(&node.Lowest).Lower(&observed)
	}
	b.out.Pods = append(b.out.Pods, row)
}

// judge tells what the policies say of a pod.
func (b *builder) judge(pod *corev1.Pod) podRow {
	sight := b.sights.Of(pod)
	row := podRow{
		Namespace: isolation.Sanitize(pod.Namespace, nameLimit), Name: isolation.Sanitize(pod.Name, nameLimit),
		Node: isolation.Sanitize(pod.Spec.NodeName, nameLimit), Verdict: unmatched, Observed: levels(sight.Levels),
		Unseen: isolation.Sanitize(sight.Unseen, messageLimit), Doubt: isolation.Sanitize(sight.Doubt, messageLimit),
	}
	if sight.Unseen != "" {
		row.Observed = levels(isolation.Fill(isolation.Unknown))
	}
	subject := b.subject(pod)
	for _, p := range b.policies {
		a := p.Assess(subject, sight)
		if a.Class == isolation.Unmatched {
			continue
		}
		row.Policies = append(row.Policies, p.Name)
		row.Required.raise(p.Required())
		if v := verdictOf[a.Class]; rank(v) < rank(row.Verdict) {
			row.Verdict = v
		}
		for i := range a.Findings {
			f := &a.Findings[i]
			row.Findings = append(row.Findings, finding{string(f.Kind), string(f.Axis), isolation.Sanitize(f.Portal, 63), p.Name, isolation.Sanitize(f.Message, messageLimit)})
		}
	}
	row.addSeen(sight.Findings)
	return row
}

// addSeen adds what the agent found, whatever the policies say, unless one of them has told it: one cause
// is one finding. What it could not see the levels say.
func (p *podRow) addSeen(found []v1alpha1.NodeFinding) {
	told := len(p.Findings)
	for i := range found {
		f := &found[i]
		axis, portal := isolation.Sanitize(string(f.Axis), 63), isolation.Sanitize(f.Portal, 63)
		// Of what lowers no level, a leak or a cgroup that was left, policies say on which axis it counts, and
		// then what the report says.
		same := func(t finding) bool {
			return t.Kind == string(f.Kind) && (t.Axis == axis && t.Portal == portal ||
				axis == "" && portal == "" && strings.HasSuffix(t.Message, ": "+isolation.Told(f)))
		}
		if f.Kind == v1alpha1.Unverified || slices.ContainsFunc(p.Findings[:told], same) {
			continue
		}
		p.Findings = append(p.Findings, finding{isolation.Sanitize(string(f.Kind), 63), axis, portal, "", isolation.Sanitize(f.Message, messageLimit)})
	}
}

func rank(v verdict) int { return slices.Index(verdicts, v) }

// done is the overview, with its lists in order.
func (b *builder) done() *overview {
	o := b.out
	slices.SortFunc(o.Policies, func(x, y policyRow) int { return cmp.Compare(x.Name, y.Name) })
	for _, row := range b.namespaces {
		o.Namespaces = append(o.Namespaces, *row)
	}
	slices.SortFunc(o.Namespaces, func(x, y namespaceRow) int {
		return cmp.Or(x.worse(&y.counts), cmp.Compare(x.Name, y.Name))
	})
	o.Totals.Agents = make(map[ledger.AgentState]int)
	for _, row := range b.nodes {
		o.Nodes = append(o.Nodes, *row)
		o.Totals.Agents[row.Agent]++
	}
	slices.SortFunc(o.Nodes, func(x, y nodeRow) int {
		return cmp.Or(cmp.Compare(agentRank(x.Agent), agentRank(y.Agent)), x.worse(&y.counts), cmp.Compare(x.Name, y.Name))
	})
	slices.SortFunc(o.Pods, func(x, y podRow) int {
		return cmp.Or(cmp.Compare(rank(x.Verdict), rank(y.Verdict)), -cmp.Compare(min(1, len(x.Findings)), min(1, len(y.Findings))),
			cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	o.Totals.Namespaces, o.Totals.Nodes = len(o.Namespaces), len(o.Nodes)
	if b.Namespace != "" {
		b.note("Only pods of namespace %s are shown; policies count pods of the whole cluster", isolation.Sanitize(b.Namespace, nameLimit))
	}
	if len(o.Policies) == 0 {
		b.note("There is no policy: nothing is required")
	}
	return o
}

// worse compares by how many pods there are of the worst verdict, of the next, and so on.
func (c *counts) worse(other *counts) int {
	for _, v := range verdicts[:rank(exempt)] {
		if order := cmp.Compare(*other.of(v), *c.of(v)); order != 0 {
			return order
		}
	}
	return cmp.Compare(other.Findings, c.Findings)
}

// agentStates, worst first.
var agentStates = []ledger.AgentState{
	ledger.AgentAbsent, ledger.AgentSilent, ledger.AgentNotReady, ledger.AgentDegraded, ledger.AgentReporting,
}

func agentRank(s ledger.AgentState) int { return slices.Index(agentStates, s) }
