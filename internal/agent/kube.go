// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
	"github.com/bulkhead-dev/bulkhead/internal/openings"
)

// DefaultSandboxedHandlers are the usual RuntimeClass handlers of runtimes that give a pod a kernel
// of its own: Kata Containers and gVisor.
var DefaultSandboxedHandlers = []string{
	"kata", "kata-qemu", "kata-clh", "kata-fc", "kata-dragonball", "kata-cc", "kata-remote",
	"runsc", "gvisor",
}

// kubeDirectory is what the API server tells of one node's pods, kept by watches. It goes on with
// what it last heard while the API server is away.
type kubeDirectory struct {
	nodeName string
	handlers []string

	pods    cache.SharedIndexInformer
	node    cache.SharedIndexInformer
	classes cache.SharedIndexInformer

	// changed gets an element when containers changed, if there is room.
	changed chan struct{}

	mu    sync.Mutex
	known map[types.UID]digest
}

// digest is a pod as the looker takes it, and what it was made of.
type digest struct {
	version, handler string
	pod              Pod
}

// RBAC cannot limit this to the node and its pods.
// +kubebuilder:rbac:groups="",resources=pods;nodes,verbs=list;watch
// +kubebuilder:rbac:groups=node.k8s.io,resources=runtimeclasses,verbs=list;watch

// newKubeDirectory watches with the client: pods of the node, the node, runtime classes.
func newKubeDirectory(client kubernetes.Interface, nodeName string, handlers []string) (*kubeDirectory, error) {
	only := func(field string) informers.SharedInformerOption {
		return informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(field, nodeName).String()
		})
	}
	lean := informers.WithTransform(lean)
	d := &kubeDirectory{
		nodeName: nodeName, handlers: handlers, changed: make(chan struct{}, 1),
		known: make(map[types.UID]digest),
		pods: informers.NewSharedInformerFactoryWithOptions(client, 0, only("spec.nodeName"), lean).
			Core().V1().Pods().Informer(),
		node: informers.NewSharedInformerFactoryWithOptions(client, 0, only("metadata.name"), lean).
			Core().V1().Nodes().Informer(),
		classes: informers.NewSharedInformerFactoryWithOptions(client, 0, lean).
			Node().V1().RuntimeClasses().Informer(),
	}
	_, err := d.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { d.notify() },
		DeleteFunc: func(any) { d.notify() },
		UpdateFunc: func(before, after any) {
			if !slices.Equal(containerStates(before), containerStates(after)) {
				d.notify()
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watch the pods of node %q: %w", nodeName, err)
	}
	return d, nil
}

// run watches until stop is closed.
func (d *kubeDirectory) run(stop <-chan struct{}) {
	var wg sync.WaitGroup
	for _, informer := range []cache.SharedIndexInformer{d.pods, d.node, d.classes} {
		wg.Go(func() { informer.Run(stop) })
	}
	wg.Wait()
}

func (d *kubeDirectory) notify() {
	select {
	case d.changed <- struct{}{}:
	default: // one is waiting already
	}
}

// Pods implements [Directory].
func (d *kubeDirectory) Pods() ([]Pod, bool) {
	if !d.pods.HasSynced() || !d.classes.HasSynced() {
		return nil, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	objects := d.pods.GetStore().List()
	pods := make([]Pod, 0, len(objects))
	known := make(map[types.UID]digest, len(objects))
	for _, o := range objects {
		pod, ok := o.(*corev1.Pod)
		if !ok {
			continue
		}
		handler := d.handler(pod)
		p, ok := d.known[pod.UID]
		if !ok || p.version != pod.ResourceVersion || p.handler != handler {
			p = digest{version: pod.ResourceVersion, handler: handler, pod: PodOf(pod)}
			if slices.Contains(d.handlers, handler) {
				p.pod.NotApplicable = "runtime class " + *pod.Spec.RuntimeClassName + " (handler " + handler +
					") gives the pod a kernel of its own: the node's does not show it"
			}
		}
		known[pod.UID] = p
		pods = append(pods, p.pod)
	}
	d.known = known
	return pods, true
}

// handler is that of the pod's runtime class; empty if it has none.
func (d *kubeDirectory) handler(pod *corev1.Pod) string {
	if pod.Spec.RuntimeClassName == nil {
		return ""
	}
	o, ok, err := d.classes.GetStore().GetByKey(*pod.Spec.RuntimeClassName)
	if err != nil || !ok {
		return ""
	}
	if class, ok := o.(*nodev1.RuntimeClass); ok {
		return class.Handler
	}
	return ""
}

// nodeObject is the node as the API knows it; nil if it does not, or has not been asked.
func (d *kubeDirectory) nodeObject() *corev1.Node {
	o, ok, err := d.node.GetStore().GetByKey(d.nodeName)
	if err != nil || !ok {
		return nil
	}
	node, _ := o.(*corev1.Node)
	return node
}

// PodOf is a pod as the looker takes it.
func PodOf(pod *corev1.Pod) Pod {
	p := Pod{UID: string(pod.UID), Namespace: pod.Namespace, Name: pod.Name}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		p.ConfigHash = pod.Annotations["kubernetes.io/config.hash"]
	}
	named := 0
	eachStatus(pod, func(s *corev1.ContainerStatus) {
		named++
		if s.State.Running == nil && s.State.Terminated == nil {
			p.Starting = true
		}
		claim, _ := isolation.ClaimOf(&pod.Spec, s.Name)
		var granted *openings.Grant
		if g, ok := openings.GrantOf(&pod.Spec, s.Name); ok {
			granted = &g
		}
		add := func(id string, running bool) {
			if id = bareID(id); id != "" {
				p.Containers = append(p.Containers, Container{Name: s.Name, ID: id, Running: running, Claim: claim, Grant: granted})
			}
		}
		add(s.ContainerID, s.State.Running != nil)
		if last := s.LastTerminationState.Terminated; last != nil && last.ContainerID != s.ContainerID {
			add(last.ContainerID, false)
		}
	})
	p.Starting = p.Starting || named < len(pod.Spec.InitContainers)+len(pod.Spec.Containers)+len(pod.Spec.EphemeralContainers)
	return p
}

func eachStatus(pod *corev1.Pod, visit func(*corev1.ContainerStatus)) {
	for _, list := range [][]corev1.ContainerStatus{
		pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses,
	} {
		for i := range list {
			visit(&list[i])
		}
	}
}

// bareID is a container's ID without the runtime's scheme, as in containerd://<ID>.
func bareID(id string) string {
	if _, bare, ok := strings.Cut(id, "://"); ok {
		return bare
	}
	return id
}

// containerStates tell what of a pod concerns a look.
func containerStates(o any) []string {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil
	}
	var states []string
	eachStatus(pod, func(s *corev1.ContainerStatus) {
		state := s.Name + " " + s.ContainerID
		if s.State.Running != nil {
			state += " running"
		}
		states = append(states, state)
	})
	return states
}

// lean drops what no look needs of what is watched, for the agent is to stay small.
func lean(o any) (any, error) {
	if object, ok := o.(metav1.Object); ok {
		object.SetManagedFields(nil)
	}
	switch o := o.(type) {
	case *corev1.Node:
		o.Status = corev1.NodeStatus{NodeInfo: o.Status.NodeInfo}
	case *corev1.Pod:
		for i := range o.Spec.Volumes {
			leanVolume(&o.Spec.Volumes[i])
		}
		leanContainers(o.Spec.InitContainers)
		leanContainers(o.Spec.Containers)
		for i := range o.Spec.EphemeralContainers {
			e := &o.Spec.EphemeralContainers[i]
			e.Env, e.EnvFrom, e.Command, e.Args = nil, nil, nil, nil
		}
	}
	return o, nil
}

// leanVolume leaves of a volume what kind it is, and the path of a hostPath.
func leanVolume(v *corev1.Volume) {
	lean := corev1.Volume{Name: v.Name}
	switch {
	case v.HostPath != nil:
		lean.HostPath = v.HostPath
	case v.EmptyDir != nil || v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil:
		// All of these are the kubelet's, made for the pod.
		lean.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	*v = lean
}

func leanContainers(containers []corev1.Container) {
	for i := range containers {
		c := &containers[i]
		c.Env, c.EnvFrom, c.Command, c.Args = nil, nil, nil, nil
		c.LivenessProbe, c.ReadinessProbe, c.StartupProbe, c.Lifecycle = nil, nil, nil, nil
	}
}
