// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/ledger"
)

func TestEachPodIsCountedInItsWorstClass(t *testing.T) {
	in, pods := inhabited(t)
	o := built(t, in, pods)
	for name, want := range map[string]verdict{
		"web": compliant, "escaped": breached, "debugger": exempt, "powerful": violating, "doubted": unverified,
		"lost": unverified, "pending": unverified, "sandboxed": unverified, "proxy": unmatched,
	} {
		if got := o.row(t, name).Verdict; got != want {
			t.Errorf("pod %s is %s, want %s", name, got, want)
		}
	}
	want := counts{Pods: 9, Seen: 6, Breached: 1, Violating: 1, Unverified: 4, Exempt: 1, Compliant: 1, Unmatched: 1, Findings: 7}
	if o.Totals.counts != want {
		t.Errorf("got %+v, want %+v: the pod that has ended does not count", o.Totals.counts, want)
	}
}

func TestTheWorstOfSeveralPoliciesCounts(t *testing.T) {
	in, pods := inhabited(t)
	in.Policies[1].Spec.Match = nil
	o := built(t, in, pods)
	web := o.row(t, "web")
	if web.Verdict != breached || web.Required[isolation.User] != isolation.Pod || web.Required[isolation.PID] != isolation.Container {
		t.Errorf("got %s under %s", web.Verdict, asJSON(t, web.Required))
	}
	if got := strings.Join(web.Policies, " "); got != "tenants trial" {
		t.Errorf("got policies %s", got)
	}
}

func TestWhatIsObservedStandsBesideWhatIsRequired(t *testing.T) {
	in, pods := inhabited(t)
	o := built(t, in, pods)
	for _, c := range []struct {
		pod  string
		axis isolation.Axis
		want string
	}{
		{"web", isolation.PID, "Container/Container met"},
		{"web", isolation.User, "Host free"},
		{"escaped", isolation.PID, "!Host/Container below"},
		{"escaped", isolation.Network, "Pod/Pod met"},
		{"debugger", isolation.Network, "~Host/Pod exempt"},
		{"debugger", isolation.UTS, "Host free"},
		{"doubted", isolation.PID, "?Container/Container unknown"},
		{"lost", isolation.PID, "?Unknown/Container unknown"},
		{"lost", isolation.Time, "?Unknown unknown"},
		{"pending", isolation.Mount, "?Unknown/Container unknown"},
		{"sandboxed", isolation.User, "?Unknown/Pod unknown"},
		{"proxy", isolation.Network, "Host free"},
	} {
		cell := o.row(t, c.pod).cell(c.axis)
		if got := cell.String() + " " + string(cell.State); got != c.want {
			t.Errorf("%s of pod %s is %q, want %q", c.axis, c.pod, got, c.want)
		}
	}
}

func TestAnEscapeOnAnAxisThatNobodyDemandsIsFoundWrong(t *testing.T) {
	in, pods := inhabited(t)
	in.Policies = nil
	o := built(t, in, pods)
	escaped := o.row(t, "escaped")
	if escaped.Verdict != unmatched || escaped.cell(isolation.PID).State != below || len(escaped.Findings) != 1 || escaped.Findings[0].Policy != "" {
		t.Errorf("got %s", asJSON(t, escaped))
	}
	expectContains(t, strings.Join(o.Notes, "\n"), "There is no policy")
}

func TestWhatIsWrongBesideTheAxesIsMarkedBesideThem(t *testing.T) {
	in, pods := inhabited(t)
	left := v1alpha1.NodeFinding{Kind: v1alpha1.Escape, Message: "process 7 has left its cgroup"}
	in.sees(pods[0], isolated, left)
	in.sees(pods[8], isolated, left)
	o := built(t, in, pods)
	var out, page strings.Builder
	if err := errors.Join(o.tables(&out, 0), writeHTML(&page, o, 0)); err != nil {
		t.Fatal(err)
	}
	for pod, want := range map[string]struct {
		verdict  verdict
		beside   []string
		findings int
	}{
		"web":      {compliant, []string{"Escape"}, 1},              // the policy does not demand the cgroup
		"proxy":    {unmatched, []string{"hostPaths", "Escape"}, 2}, // no policy speaks of it
		"powerful": {violating, []string{"privileged"}, 1},
		"escaped":  {breached, nil, 1}, // an axis shows it
		"lost":     {unverified, nil, 1},
	} {
		row := o.row(t, pod)
		if row.Verdict != want.verdict || !slices.Equal(row.beside(), want.beside) || len(row.Findings) != want.findings {
			t.Errorf("pod %s is %s, beside %q, findings %s", pod, row.Verdict, row.beside(), asJSON(t, row.Findings))
		}
	}
	for _, c := range o.row(t, "web").cells() {
		if c.State == below {
			t.Errorf("%s is marked, and no level is too low", c.Axis)
		}
	}
	table := strings.Split(out.String(), "\n")
	for _, want := range []string{"shop/web +seen +Compliant .* !Escape$", "kube-system/proxy .* !hostPaths !Escape$", "shop/debugger .* -$"} {
		if !slices.ContainsFunc(table, regexp.MustCompile(want).MatchString) {
			t.Errorf("no row is like %q:\n%s", want, out.String())
		}
	}
	expectContains(t, page.String(), `<td class="cell below"><span aria-hidden="true">✕</span> hostPaths, Escape</td>`, `<td class="cell free">–</td>`)
}

func TestAFindingOfTheNodeThatAPolicyTellsIsToldOnce(t *testing.T) {
	in, pods := inhabited(t)
	escaped := built(t, in, pods).row(t, "escaped")
	if len(escaped.Findings) != 1 || escaped.Findings[0].Kind != "Escape" || escaped.Findings[0].Policy != "tenants" {
		t.Errorf("got %s", asJSON(t, escaped.Findings))
	}

	// What lowers no level has no axis in the report, and one where a policy tells it.
	leak := v1alpha1.NodeFinding{Kind: v1alpha1.Leak, Message: "process 7 has /etc of the node open\nas 3"}
	other := v1alpha1.NodeFinding{Kind: v1alpha1.Leak, Message: "process 8 has / of the node open"}
	in.sees(pods[0], isolated, leak, other)
	in.sees(pods[8], isolated, leak)
	o := built(t, in, pods)
	for pod, want := range map[string]int{"web": 2, "proxy": 2} {
		row := o.row(t, pod)
		if len(row.Findings) != want || (pod == "web") != (row.Findings[1].Policy == "tenants") {
			t.Errorf("pod %s: got %s", pod, asJSON(t, row.Findings))
		}
	}
}

func TestNodesTellHowTheirAgentIs(t *testing.T) {
	in, pods := inhabited(t)
	pods = append(pods, podOf(t, "shop", "astray", "{nodeName: gone, containers: [{name: app}]}"))
	var got []string
	for _, n := range built(t, in, pods).Nodes {
		got = append(got, n.Name+" "+string(n.Agent))
		if (n.Why == "") != (n.Agent == ledger.AgentReporting) {
			t.Errorf("node %s is %s because of %q", n.Name, n.Agent, n.Why)
		}
	}
	if want := "bare Absent, gone Absent, silent Silent, degraded Degraded, seen Reporting"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheLowestLevelsOfANamespaceCountPodsThatNobodySaw(t *testing.T) {
	in, pods := inhabited(t)
	o := built(t, in, pods)
	shop := o.Namespaces[0]
	if shop.Name != "shop" {
		t.Fatalf("the worst namespace is %s", shop.Name)
	}
	want := `{"pid":"Host","network":"Host","ipc":"Unknown","uts":"Host","mount":"Unknown","user":"Host","cgroup":"Unknown","time":"Host"}`
	if got := asJSON(t, shop.Lowest); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPoliciesAreToldAsTheirStatusTellsThem(t *testing.T) {
	in, pods := inhabited(t)
	in.Policies[1].Spec.Isolation.User = "Container"
	o := built(t, in, pods)
	p, broken := o.Policies[0], o.Policies[1]
	if p.Pods.Breached != 1 || p.Findings != 6 || p.Outdated || p.Status["Verified"].Reason != "Breached" || p.Status["Accepted"].Status != "True" {
		t.Errorf("got %s", asJSON(t, p))
	}
	if broken.Invalid == "" || !broken.Outdated || broken.Status["Enforced"].Status != "Unknown" {
		t.Errorf("got %s", asJSON(t, broken))
	}
	expectContains(t, strings.Join(o.Notes, "\n"), "Of the 3 unverified pods of policy tenants 2 can be seen by no agent", "Nobody is judged by policy trial", "The status of policy trial is not of its present spec")
}

func TestAReportCanBeNarrowed(t *testing.T) {
	in, pods := inhabited(t)
	in.Only = []string{"trial"}
	o := built(t, in, pods)
	if len(o.Pods) != 1 || o.Pods[0].Name != "sandboxed" || len(o.Policies) != 1 || asJSON(t, o.header) != `{"apiVersion":"report.bulkhead.dev/v1alpha1","kind":"IsolationOverview","generatedAt":"2026-05-04T12:00:00Z","onlyPolicies":["trial"]}` {
		t.Errorf("got %s", asJSON(t, o))
	}
	in.Only = []string{"nobody"}
	if _, err := newBuilder(in); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("got error %v", err)
	}
	in.Only, in.Namespace = nil, "lab"
	if o := built(t, in, pods[7:8]); len(o.Nodes) != 1 || o.Nodes[0].Name != "bare" {
		t.Errorf("got nodes %s", asJSON(t, o.Nodes))
	}
}

func TestTheOrderOfPodsChangesNothing(t *testing.T) {
	in, pods := inhabited(t)
	forth := asJSON(t, built(t, in, pods))
	back := make([]*corev1.Pod, 0, len(pods))
	for i := range pods {
		back = append(back, pods[len(pods)-1-i])
	}
	if got := asJSON(t, built(t, in, back)); got != forth {
		t.Errorf("got %s, want %s", got, forth)
	}
}

func TestTablesAreBoundedAndSayWhatTheyLeaveOut(t *testing.T) {
	in, pods := inhabited(t)
	o := built(t, in, pods)
	var all, few strings.Builder
	if err := o.tables(&all, 0); err != nil {
		t.Fatal(err)
	}
	expectContains(t, all.String(), "9 pods in 3 namespaces on 4 nodes", "1 breached, 1 violating, 4 unverified, 1 exempt, 1 compliant, 1 unmatched",
		"tenants  Deny    True      True      False", "shop/escaped", "!Host/Container", "?Unknown/Container", "~Host/Pod", "silent    Silent")
	if strings.Contains(all.String(), "more pods") {
		t.Error("it leaves out pods that it has")
	}
	if err := o.tables(&few, 2); err != nil {
		t.Fatal(err)
	}
	expectContains(t, few.String(), "shop/escaped", "shop/powerful", "... and 7 more pods", "... and 2 more nodes")
	if strings.Contains(few.String(), "shop/web") {
		t.Error("it shows what it says that it leaves out")
	}
}

func TestWhatANodeReportsIsSanitised(t *testing.T) {
	in, pods := inhabited(t)
	in.Reports["seen"].Status.Findings[0].Message = "\x1b[2Jgone"
	in.Nodes["seen"].Status.NodeInfo.KernelVersion = "6\x1b[2J"
	in.Reports["degraded"].Status.Conditions[1].Message = "\x1b[2J"
	o := built(t, in, pods)
	var out strings.Builder
	if err := o.tables(&out, 0); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String()+asJSON(t, o), "\x1b") || strings.Contains(asJSON(t, o), "\\u001b") {
		t.Errorf("there are terminal escapes in %+q", out.String())
	}
}
