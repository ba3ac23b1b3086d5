// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

const (
	// acting names the policy under which pods are evicted.
	acting = "acting"
	// byEviction is how long it takes at most until what is wrong with a pod has it evicted: it is seen, has
	// held for a minute, and is decided on.
	byEviction = byALook + 75*time.Second
	// evictionComponent lets the manager evict.
	evictionComponent = "../../config/components/eviction"
)

var _ = Describe("A controller that evicts", Label("node"), Serial, Ordered, func() {
	var (
		l     *lab
		nodes []string
		// bystanders are pods with which nothing is wrong, on both nodes. None of them is ever evicted.
		bystanders []corev1.Pod
	)
	remain := func() {
		GinkgoHelper()
		for _, p := range bystanders {
			Expect(l.there(p)()).To(BeTrue(), "nothing is wrong with %s", p.Name)
		}
	}

	BeforeAll(func() {
		l = newLab(k)
		l.ns = k.namespace("acting", acting)
		nodes = l.nodes()
		Expect(len(nodes)).To(BeNumerically(">=", 2))
		k.mustKubectl("apply", "--server-side", "-k", evictionComponent) // it goes with the suite
		k.policy(acting, `
  match: {namespaceSelector: {matchLabels: {tenancy: acting}}}
  isolation: {network: Pod}
  admission: {action: Deny}
  runtime: {action: Evict}`)
		DeferCleanup(k.kubectl, "", "delete", "isolationpolicy", acting)
		for i := range 8 {
			name := fmt.Sprintf("bystander-%d", i)
			l.mustApply(on(nodes[min(i/6, 1)], pod(l.ns, name, "")))
		}
		for i := range 8 {
			bystanders = append(bystanders, l.running(l.ns, fmt.Sprintf("bystander-%d", i)))
		}
		k.mustKubectl("wait", "--for=condition=EvictionReady", "isolationpolicy/"+acting, "--timeout=60s")
		k.mustKubectl("wait", "--for=condition=Verified", "isolationpolicy/"+acting, "--timeout=120s")
	})
	AfterEach(remain)

	It("evicts whom the runtime gave the node's network, and an intruder, and not its victim nor whom a budget keeps", func() {
		l.mustApply(fmt.Sprintf(`apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guarded, namespace: %s}
spec: {minAvailable: 1, selector: {matchLabels: {app: guarded}}}`, l.ns))
		guarded := l.owned(on(nodes[0], l.deceived("guarded", "network", "", "")))
		deceived := l.owned(on(nodes[0], l.deceived("deceived", "network", "", "")))
		intruder, victim := l.owned(on(nodes[0], l.insider("intruder"))), bystanders[0]
		l.inside(intruder, "enter", l.pid(victim), "net")

		for _, p := range []corev1.Pod{intruder, deceived} {
			Eventually(l.there(p)).WithTimeout(byEviction).Should(BeFalse(), "%s is evicted", p.Name)
			Eventually(l.eventsOf(p, "Evicted")).WithTimeout(soon).Should(HaveLen(1))
		}
		Eventually(l.eventsOf(guarded, "NotEvicted")).WithTimeout(byEviction).Should(ConsistOf(ContainSubstring("Disrupted: ")))
		Expect(l.there(guarded)()).To(BeTrue())
	})

	It("does not evict one for ever that comes back the same", Label("faults"), func() {
		again := l.podOf("deceived")
		Eventually(l.eventsOf(again, "NotEvicted")).WithTimeout(byEviction).Should(ConsistOf(ContainSubstring("BackedOff: ")))
		Expect(l.there(again)()).To(BeTrue())
		l.disown("deceived", "guarded", "intruder")
	})

	It("does not lose, double or invent anything while its leader is killed again and again", Label("faults"), func() {
		fickle := l.owned(on(nodes[1], l.deceived("fickle", "network", "", "")))
		leader := ""
		for i := range 4 {
			leader = l.leader(leader)
			// Each change of the policy has its status written. A replica that was killed may still be asked.
			change := fmt.Sprintf(`{"spec":{"match":{"namespaceSelector":{"matchExpressions":[{"key":"round-%d","operator":"DoesNotExist"}]}}}}`, i)
			Eventually(func() (string, error) {
				return k.kubectl("", "patch", "isolationpolicy", acting, "--type=merge", "-p", change)
			}).WithTimeout(time.Minute).Should(ContainSubstring("patched"))
			name, _, _ := strings.Cut(leader, "_")
			l.kill([]string{name})
		}
		l.managersBack()
		Eventually(l.there(fickle)).WithTimeout(byEviction+30*time.Second).Should(BeFalse(), "it is evicted all the same")
		Eventually(l.eventsOf(fickle, "Evicted")).WithTimeout(soon).Should(HaveLen(1))
		Expect(l.eventsOf(fickle, "Drift")()).To(HaveLen(1))
		l.disown("fickle")
		l.recovers(len(bystanders))
	})

	It("is not led astray by a report full of nonsense", Label("faults"), func(ctx context.Context) {
		agent := l.agentPod(nodes[0])
		token := strings.TrimSpace(k.mustKubectl("-n", "bulkhead-system", "create", "token", "bulkhead-agent",
			"--bound-object-kind=Pod", "--bound-object-name="+agent.Name, "--bound-object-uid="+string(agent.UID)))
		intruder := k.withToken(token)
		// The agent itself does not look for as long as this takes, and its health is not asked for so soon.
		number, err := strconv.Atoi(l.pid(agent))
		Expect(err).NotTo(HaveOccurred())
		l.onNode(nodes[0], "", "kill", "-STOP", strconv.Itoa(number))
		going := true
		resume := func() {
			if going {
				going = false
				l.onNode(nodes[0], "", "kill", "-CONT", strconv.Itoa(number))
			}
		}
		DeferCleanup(resume)

		report := &v1alpha1.NodeIsolationReport{}
		Expect(intruder.Get(ctx, client.ObjectKey{Name: nodes[0]}, report)).To(Succeed())
		nonsense := lies(bystanders)
		nonsense.Conditions = report.Status.Conditions // it calls itself ready, as the agent did
		excess := report.DeepCopy()
		excess.Status = nonsense
		one := v1alpha1.NodeFinding{Kind: v1alpha1.Orphan, Message: "x", FirstSeen: metav1.Now()}
		excess.Status.Findings = slices.Repeat([]v1alpha1.NodeFinding{one}, 10_000)
		Expect(intruder.Status().Update(ctx, excess)).To(MatchError(apierrors.IsInvalid, "IsInvalid"), "10,000 findings are no report")
		report.Status = nonsense
		Expect(intruder.Status().Update(ctx, report)).To(Succeed())
		for end := time.Now().Add(100 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Second) {
			// As alive as an agent can be.
			lease := &coordinationv1.Lease{}
			Expect(intruder.Get(ctx, client.ObjectKey{Namespace: "bulkhead-system", Name: nodes[0]}, lease)).To(Succeed())
			lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
			Expect(intruder.Update(ctx, lease)).To(Succeed())
			remain()
		}
		p, err := k.getPolicy(acting)
		Expect(err).NotTo(HaveOccurred())
		Expect(meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionEvictionReady)).To(HaveField("Reason", v1alpha1.ReasonCircuitOpen))
		Expect(p.Status.Pods.Matched).To(BeEquivalentTo(len(bystanders)), "what is not there is not counted")
		Expect(p.Status.Pods.Breached).To(BeEquivalentTo(6), "a node's word counts for its own pods: %+v", p.Status.Pods)
		Expect(len(p.Status.Findings)).To(BeNumerically("<=", 100))
		for _, f := range p.Status.Findings {
			Expect(f.Node).To(Equal(nodes[0]))
			Expect(strings.IndexFunc(f.Pod+f.Message, unprintable)).To(Equal(-1), "%q", f.Pod+f.Message)
		}
		resume()
		l.recovers(len(bystanders))
		k.mustKubectl("wait", "--for=condition=EvictionReady", "isolationpolicy/"+acting, "--timeout=60s")
	})

	It("finds the truth again when somebody else writes a policy's status", Label("faults"), func() {
		for range 5 {
			k.mustKubectl("patch", "isolationpolicy", acting, "--subresource=status", "--type=merge", "-p",
				`{"status":{"pods":{"matched":7000,"breached":7000},"conditions":[],"findings":[{"kind":"Escape","namespace":"nowhere","pod":"nobody","message":"believe me"}]}}`)
			k.mustKubectl("annotate", "isolationpolicy", acting, "--overwrite", "touched="+time.Now().Format("150405.000000000"))
		}
		l.recovers(len(bystanders))
	})

	It("finds its way back after the API server was gone for two minutes, and evicts whom it should and nobody else", Label("faults"), func() {
		late := l.owned(on(nodes[1], l.deceived("late", "network", "", "")))
		joined := l.owned(on(nodes[0], pod(l.ns, "joined", "")))
		Eventually(l.levels(joined)).WithTimeout(soon).ShouldNot(BeNil())
		l.outage(2*time.Minute, func() {
			// An escape that nobody can tell of before it is over.
			l.beside(joined, labFolder+"/escapes", "join", containerID(joined))
		})
		Eventually(func() error { _, err := k.kubectl("", "get", "--raw", "/readyz"); return err }).WithTimeout(time.Minute).Should(Succeed())
		for _, p := range []corev1.Pod{late, joined} {
			Eventually(l.there(p)).WithTimeout(byEviction+time.Minute).Should(BeFalse(), "%s is evicted", p.Name)
			Eventually(l.eventsOf(p, "Evicted")).WithTimeout(soon).Should(HaveLen(1))
		}
		l.disown("late", "joined")
		l.managersBack()
		l.recovers(len(bystanders))
	})
})

// owned makes a pod that a ReplicaSet of its name has, and waits for it to run: what is evicted comes back, and
// pods of one owner are evicted one after another.
func (l *lab) owned(manifest string) corev1.Pod {
	GinkgoHelper()
	var p corev1.Pod
	Expect(yaml.Unmarshal([]byte(manifest), &p)).To(Succeed())
	labels := map[string]string{"app": p.Name}
	set := appsv1.ReplicaSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
		Spec: appsv1.ReplicaSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: p.Spec},
		},
	}
	text, err := json.Marshal(set)
	Expect(err).NotTo(HaveOccurred())
	l.mustApply(string(text))
	return l.podOf(p.Name)
}

// podOf waits for the pod of a ReplicaSet to run.
func (l *lab) podOf(set string) corev1.Pod {
	GinkgoHelper()
	var running []corev1.Pod
	Eventually(func() ([]corev1.Pod, error) {
		var all corev1.PodList
		err := l.get(&all, "pods", "-n", l.ns, "-l", "app="+set)
		running = slices.DeleteFunc(all.Items, func(p corev1.Pod) bool {
			return p.DeletionTimestamp != nil || len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].State.Running == nil
		})
		return running, err
	}).WithTimeout(90 * time.Second).Should(HaveLen(1))
	return running[0]
}

// disown ends ReplicaSets and their pods.
func (l *lab) disown(sets ...string) {
	GinkgoHelper()
	l.mustKubectl(append([]string{"-n", l.ns, "delete", "replicaset", "--cascade=foreground"}, sets...)...)
}

// there tells whether a pod is still there, and nobody has it deleted.
func (c *cluster) there(p corev1.Pod) func() (bool, error) {
	return func() (bool, error) {
		out, err := c.kubectl("", "-n", p.Namespace, "get", "pod", p.Name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}{.metadata.deletionTimestamp}")
		return out == string(p.UID), err
	}
}

// eventsOf are the notes of events on a pod with a reason; one that came several times is there so often.
func (c *cluster) eventsOf(p corev1.Pod, reason string) func() ([]string, error) {
	return func() ([]string, error) {
		var list eventsv1.EventList
		err := c.get(&list, "events.events.k8s.io", "-n", p.Namespace, "--field-selector", "reason="+reason)
		var out []string
		for _, e := range list.Items {
			if e.Regarding.UID != p.UID {
				continue
			}
			times := 1
			if e.Series != nil {
				times = int(e.Series.Count)
			}
			out = append(out, slices.Repeat([]string{e.Note}, times)...)
		}
		return out, err
	}
}

// recovers waits until the policy's status is what it is while all is well with so many pods.
func (l *lab) recovers(pods int) {
	GinkgoHelper()
	Eventually(func() (v1alpha1.IsolationPolicyStatus, error) {
		p, err := l.getPolicy(acting)
		return p.Status, err
	}).WithTimeout(2 * time.Minute).Should(SatisfyAll(
		HaveField("Pods", v1alpha1.PodCounts{Matched: int32(pods), Compliant: int32(pods)}),
		HaveField("Findings", BeEmpty()),
		HaveField("Conditions", ContainElements(
			SatisfyAll(HaveField("Type", v1alpha1.ConditionVerified), HaveField("Status", metav1.ConditionTrue)),
			SatisfyAll(HaveField("Type", v1alpha1.ConditionEnforced), HaveField("Status", metav1.ConditionTrue)))),
	))
}

// leader is the identity of the process of the manager that leads, once the former one no longer does: a
// leader that was killed holds its Lease until that runs out. It begins with the name of its pod.
func (c *cluster) leader(former string) string {
	GinkgoHelper()
	var holder string
	Eventually(func() (string, error) {
		var lease coordinationv1.Lease
		err := c.get(&lease, "lease", "bulkhead-manager", "-n", "bulkhead-system")
		holder = ptr.Deref(lease.Spec.HolderIdentity, "")
		return holder, err
	}).WithTimeout(time.Minute).ShouldNot(Or(BeEmpty(), Equal(former)))
	return holder
}

// outage keeps the API server away for so long. During is done in the meantime.
func (c *cluster) outage(howLong time.Duration, during func()) {
	GinkgoHelper()
	end := time.Now().Add(howLong)
	c.killComponent("kube-apiserver")
	during()
	for time.Now().Before(end) {
		// It is started again a second later each time, and needs longer to answer.
		if pid := c.componentPID("kube-apiserver"); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// componentPID is the process of one of the cluster's components; 0 while it does not run.
func (c *cluster) componentPID(name string) int {
	GinkgoHelper()
	out, err := exec.Command(c.launcher, "status").Output()
	Expect(err).NotTo(HaveOccurred())
	for _, line := range strings.Split(string(out), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			pid, _ := strconv.Atoi(fields[1])
			return pid
		}
	}
	return 0
}

// lies are what somebody can say who has taken over a node: everything is wrong, everywhere, in as many words
// as fit.
func lies(pods []corev1.Pod) v1alpha1.NodeIsolationReportStatus {
	hostile := "\x1b[2J\n\u202etxt.exe`$(reboot)`" + strings.Repeat("A", 900)
	var all v1alpha1.ObservedGroup
	host := v1alpha1.LevelHost
	all.Levels = v1alpha1.Levels{PID: host, Network: host, IPC: host, UTS: host, Mount: host, User: host, Cgroup: host, Time: host}
	status := v1alpha1.NodeIsolationReportStatus{
		ChangedAt: ptr.To(metav1.Now()), Node: v1alpha1.NodeFacts{BootID: hostile[:64], KernelVersion: hostile[:64]},
	}
	add := func(p v1alpha1.ObservedPod) {
		all.Pods = append(all.Pods, p)
		if len(status.Findings) < 100 {
			status.Findings = append(status.Findings, v1alpha1.NodeFinding{
				Kind: v1alpha1.Escape, Pod: p, Axis: "network", Observed: host, FirstSeen: metav1.NewTime(time.Unix(0, 0)), Message: hostile,
				Evidence: &v1alpha1.Evidence{PID: -1, StartTime: -1, Command: hostile[:100], Owner: hostile[:100], Processes: 1 << 30},
			})
		}
	}
	for _, p := range pods {
		add(v1alpha1.ObservedPod{UID: p.UID, Namespace: p.Namespace, Name: p.Name})
	}
	for i := range 1000 {
		add(v1alpha1.ObservedPod{UID: types.UID(fmt.Sprintf("no-such-%d", i)), Namespace: "kube-system", Name: hostile[:200]})
	}
	status.Groups = []v1alpha1.ObservedGroup{all}
	status.PodsTotal, status.FindingsTotal = 1<<30, 1<<30
	return status
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
