// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// verdict is what became of an attempt to create a pod.
type verdict string

const (
	admitted verdict = "admitted"
	// refused by a policy, with its reasons.
	refused verdict = "refused"
	// unjudged: refused, for the webhook did not answer.
	unjudged verdict = "unjudged"
	// unanswered: the API server itself was away or not ready.
	unanswered verdict = "unanswered"
)

// verdictOf tells who said no.
func verdictOf(err error) verdict {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return admitted
	case !errors.As(err, &status):
		return unanswered
	case strings.Contains(err.Error(), "failed calling webhook"):
		return unjudged
	case strings.Contains(err.Error(), "bulkhead"):
		return refused
	default:
		return unanswered
	}
}

// attempt is one try.
type attempt struct {
	start time.Time
	took  time.Duration
	verdict
	err error
}

// prober tries again and again to create a pod, as a server-side dry run, until it is stopped.
type prober struct {
	name     string
	pod      *corev1.Pod
	client   kubernetes.Interface
	lock     sync.Mutex
	attempts []attempt
	stop     func()
}

// probe starts a prober. It is stopped with the spec at the latest.
func (c *cluster) probe(name, namespace string, every time.Duration, spec corev1.PodSpec) *prober {
	GinkgoHelper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	config.QPS, config.Timeout = -1, 15*time.Second
	config.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	p := &prober{name: name, client: client, pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-", Namespace: namespace}, Spec: spec,
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p.stop = func() { cancel(); <-done }
	DeferCleanup(p.stop)
	go func() {
		defer close(done)
		p.run(ctx, every)
	}()
	return p
}

func (p *prober) run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		a := attempt{start: time.Now()}
		_, a.err = p.client.CoreV1().Pods(p.pod.Namespace).Create(ctx, p.pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		a.took, a.verdict = time.Since(a.start), verdictOf(a.err)
		if ctx.Err() != nil {
			return
		}
		p.lock.Lock()
		p.attempts = append(p.attempts, a)
		p.lock.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// since are the attempts that were begun at that moment or later.
func (p *prober) since(moment time.Time) []attempt {
	p.lock.Lock()
	defer p.lock.Unlock()
	first := slices.IndexFunc(p.attempts, func(a attempt) bool { return !a.start.Before(moment) })
	if first < 0 {
		return nil
	}
	return slices.Clone(p.attempts[first:])
}

func (p *prober) all() []attempt { return p.since(time.Time{}) }

// with are those that had one of the verdicts.
func with(attempts []attempt, verdicts ...verdict) []attempt {
	return slices.DeleteFunc(slices.Clone(attempts), func(a attempt) bool { return !slices.Contains(verdicts, a.verdict) })
}

// eventually waits until an attempt that begins from now on has the verdict.
func (p *prober) eventually(want verdict) {
	GinkgoHelper()
	now := time.Now()
	Eventually(func() []attempt { return with(p.since(now), want) }).WithTimeout(2*time.Minute).
		ShouldNot(BeEmpty(), "%s: nothing was %s", p.name, want)
}

// String is one line for a report: counts by verdict, and how long answers took.
func (p *prober) String() string {
	attempts := p.all()
	line := fmt.Sprintf("%-42s %5d attempts:", p.name, len(attempts))
	for _, v := range []verdict{admitted, refused, unjudged, unanswered} {
		if n := len(with(attempts, v)); n > 0 {
			line += fmt.Sprintf(" %d %s,", n, v)
		}
	}
	took := make([]time.Duration, 0, len(attempts))
	for _, a := range with(attempts, admitted, refused, unjudged) {
		took = append(took, a.took)
	}
	if len(took) == 0 {
		return line
	}
	slices.Sort(took)
	at := func(percent int) time.Duration { return took[(len(took)-1)*percent/100].Round(time.Millisecond / 10) }
	return line + fmt.Sprintf(" half within %s, 99%% within %s, all within %s", at(50), at(99), at(100))
}

// describe lists attempts for a failure, a few of them.
func describe(attempts []attempt) string {
	var b strings.Builder
	for _, a := range attempts[:min(len(attempts), 5)] {
		fmt.Fprintf(&b, "%s: %s", a.start.Format(time.StampMilli), a.verdict)
		if a.err != nil {
			fmt.Fprintf(&b, ": %s", isolation.Sanitize(a.err.Error(), 512))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// cleanSpec asks for nothing; violatingSpec for what every Deny policy of this suite forbids.
func cleanSpec() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image(), Command: []string{"sleep", "1d"}}}}
}

func violatingSpec() corev1.PodSpec {
	spec, yes := cleanSpec(), true
	spec.HostPID = true
	spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	return spec
}

// crowd is everybody who creates pods while something goes wrong.
type crowd struct {
	// violators may never succeed: one under each engine.
	webhook, vap *prober
	// judged is a good pod that the webhook must let pass, when it is there.
	judged *prober
	// unhindered may never be refused: no Deny policy matches them, or none that needs the webhook.
	unhindered []*prober
}

// crowded starts probers in new namespaces: tenants is the policy of engine Webhook, sealed that of
// engine ValidatingAdmissionPolicy, trial only warns.
func (c *cluster) crowded() *crowd {
	GinkgoHelper()
	const every = 100 * time.Millisecond
	c.settled()
	shared, sealed, trial, free := c.namespace("shop", "shared"), c.namespace("vault", "sealed"), c.namespace("lab", "trial"), c.namespace("free", "")
	w := &crowd{
		webhook: c.probe("violates tenants (webhook)", shared, every/2, violatingSpec()),
		vap:     c.probe("violates sealed (VAP)", sealed, every/2, violatingSpec()),
		judged:  c.probe("complies with tenants (webhook)", shared, every, cleanSpec()),
		unhindered: []*prober{
			c.probe("complies with sealed (VAP)", sealed, every, cleanSpec()),
			c.probe("violates trial, which warns (webhook)", trial, every, violatingSpec()),
			c.probe("no policy", free, every, violatingSpec()),
		},
	}
	DeferCleanup(func() {
		report := ""
		for _, p := range w.everybody() {
			p.stop()
			report += p.String() + "\n"
		}
		AddReportEntry("who asked, and what became of it", report, ReportEntryVisibilityAlways)
	})
	w.settle()
	return w
}

func (w *crowd) everybody() []*prober {
	return append([]*prober{w.webhook, w.vap, w.judged}, w.unhindered...)
}

// settle waits until everybody gets the answer that they should get.
func (w *crowd) settle() {
	GinkgoHelper()
	w.webhook.eventually(refused)
	w.vap.eventually(refused)
	w.judged.eventually(admitted)
	for _, p := range w.unhindered {
		p.eventually(admitted)
	}
}

// stands says that no violator ever got in, and that nobody else was kept out by Bulkhead. away
// tells that the API server was gone for a time.
func (w *crowd) stands(away bool) {
	GinkgoHelper()
	for _, p := range []*prober{w.webhook, w.vap} {
		in := with(p.all(), admitted)
		Expect(in).To(BeEmpty(), "%s was admitted %d times:\n%s", p.name, len(in), describe(in))
		Expect(with(p.all(), refused)).NotTo(BeEmpty(), "%s was never judged", p.name)
	}
	hindrances := []verdict{refused, unjudged}
	if !away {
		hindrances = append(hindrances, unanswered)
	}
	for _, p := range w.unhindered {
		out := with(p.all(), hindrances...)
		Expect(out).To(BeEmpty(), "%s was kept out %d times:\n%s", p.name, len(out), describe(out))
	}
}
