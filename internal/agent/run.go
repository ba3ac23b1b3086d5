// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/procns"
)

// Options say what the agent works on.
type Options struct {
	// NodeName is the node that the agent runs on; its report and lease have that name. Required.
	NodeName string
	// Namespace is where the installation is, and the lease. Empty means
	// [v1alpha1.InstallNamespace].
	Namespace string
	// PodName is the agent's own pod in Namespace; empty means the host name, which is the pod's
	// unless it uses the node's network.
	PodName string
	// Proc is where the node's procfs is mounted; empty means /proc.
	Proc string
	// RestConfig reaches the API server. Required.
	RestConfig *rest.Config
	// Interval between looks, give or take a fifth; 0 means [DefaultInterval]. From one second to
	// [MaxInterval].
	Interval time.Duration
	// SandboxedHandlers are the RuntimeClass handlers whose pods the node's kernel does not show;
	// nil means [DefaultSandboxedHandlers].
	SandboxedHandlers []string
	// HealthAddr is where metrics and health are served (/metrics, /healthz, /readyz), such as
	// ":8080"; empty means nowhere.
	HealthAddr string
	// Log gets what goes wrong; the zero value discards it.
	Log logr.Logger
}

const (
	// DefaultInterval is how often the agent looks.
	DefaultInterval = 10 * time.Second
	// inspectConfirm is less than two regular looks are apart, so that the second confirms the first.
	inspectConfirm = 7 * time.Second
	// MaxInterval keeps an agent's lease from going stale between two looks.
	MaxInterval = 30 * time.Second
)

// complete fills in what is left out and refuses what is wrong.
func (o *Options) complete() error {
	if o.NodeName == "" {
		return errors.New("run the agent: no node name: set NODE_NAME to the node's name (fieldRef spec.nodeName)")
	}
	if o.RestConfig == nil {
		return errors.New("run the agent: no configuration for the API server")
	}
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Interval < time.Second || o.Interval > MaxInterval {
		return fmt.Errorf("run the agent: interval %s is not between 1s and %s", o.Interval, MaxInterval)
	}
	if o.Namespace == "" {
		o.Namespace = v1alpha1.InstallNamespace
	}
	if o.PodName == "" {
		// Without it the agent's own containers may not be told apart on cgroup v2; that shows as
		// unverified and is no reason not to run.
		o.PodName, _ = os.Hostname()
	}
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	if o.SandboxedHandlers == nil {
		o.SandboxedHandlers = DefaultSandboxedHandlers
	}
	return nil
}

// Run looks and reports until the context ends; then it returns nil. It works on while the API
// server is away. The error tells what it cannot start without.
func Run(ctx context.Context, o Options) error {
	if err := o.complete(); err != nil {
		return err
	}
	tree, err := procns.Open(o.Proc)
	if err != nil {
		return fmt.Errorf("run the agent: %w", err)
	}
	defer func() { _ = tree.Close() }() // nothing was written
	bootID, err := tree.BootID()
	if err != nil {
		return fmt.Errorf("run the agent: %w", err)
	}
	kernel, err := tree.KernelRelease()
	if err != nil {
		return fmt.Errorf("run the agent: %w", err)
	}
	client, err := kubernetes.NewForConfig(o.RestConfig)
	if err != nil {
		return fmt.Errorf("run the agent: make a client: %w", err)
	}
	dir, err := newKubeDirectory(client, o.NodeName, o.SandboxedHandlers)
	if err != nil {
		return fmt.Errorf("run the agent: %w", err)
	}
	leases := client.CoordinationV1().Leases(o.Namespace)
	publisher, err := newPublisher(o.RestConfig, o.NodeName, leases, dir.nodeObject)
	if err != nil {
		return fmt.Errorf("run the agent: %w", err)
	}
	facts := func() v1alpha1.NodeFacts {
		f := v1alpha1.NodeFacts{BootID: isolation.Sanitize(bootID, 64), KernelVersion: isolation.Sanitize(kernel, 128)}
		if node := dir.nodeObject(); node != nil {
			f.ContainerRuntime = isolation.Sanitize(node.Status.NodeInfo.ContainerRuntimeVersion, 256)
		}
		return f
	}
	looker := NewLooker(tree, dir, LookerOptions{SelfNamespace: o.Namespace, SelfName: o.PodName, Inspect: inspectConfirm})
	return run(ctx, &o, looker, dir, publisher, facts)
}

// run starts the loops and waits for their end.
func run(ctx context.Context, o *Options, looker *Looker, dir *kubeDirectory, publisher *publisher, facts func() v1alpha1.NodeFacts) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		board  = newBoard()
		m      = newMetrics()
		former = make(chan []isolation.Finding, 1)
		fresh  = 2*o.Interval + writeGap
		h      = &health{board: board, stuck: max(time.Minute, 6*o.Interval), now: time.Now, start: time.Now()}
	)
	looks := &looking{
		log: o.Log, observer: looker, board: board, metrics: m, now: time.Now,
		pace:    pace{interval: o.Interval, jitter: rand.Float64},
		changed: dir.changed, former: former, facts: facts, confirm: inspectConfirm,
		informed: func() bool { return dir.pods.HasSynced() && dir.classes.HasSynced() && dir.nodeObject() != nil },
	}
	reports := &reporting{
		log: o.Log, reporter: publisher, board: board, metrics: m, now: time.Now, former: former,
		bootID: facts().BootID, fresh: fresh, published: func() { h.published.Store(true) },
	}
	var served error
	var wg sync.WaitGroup
	defer wg.Wait()
	if o.HealthAddr != "" {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.HealthAddr)
		if err != nil {
			return fmt.Errorf("run the agent: serve metrics and health: %w", err)
		}
		wg.Go(func() {
			served = serve(ctx, listener, handler(m, h))
			cancel()
		})
	}
	o.Log.Info("The agent looks", "node", o.NodeName, "interval", o.Interval.String())
	wg.Go(func() { dir.run(ctx.Done()) })
	wg.Go(func() { looks.run(ctx) })
	wg.Go(func() { reports.run(ctx) })
	wg.Wait()
	return served
}
