// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

const managerName = "bulkhead-manager"

// buildManager builds the program as `make build` does; to profile it, the same with the profiler
// around it.
func buildManager(ctx context.Context, dir string, profile bool) (string, error) {
	what, binary := ".", filepath.Join(dir, "bulkhead")
	if profile {
		what = "./test/bench/admission/profiled"
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, what)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w: %s", what, err, out)
	}
	return binary, nil
}

// manager is a replica, in a process of its own.
type manager struct {
	process *exec.Cmd
	output  *tail
	metrics string // URL
	profile string // file
	// profiled tells that this is the program with the profiler around it.
	profiled bool
	ended    sync.Once
}

func (m *manager) pid() int    { return m.process.Process.Pid }
func (m *manager) log() string { return m.output.String() }

// stop ends it and waits until it is gone.
func (m *manager) stop() {
	m.ended.Do(func() {
		_ = m.process.Process.Signal(syscall.SIGTERM)
		// It drains for seconds at most; then it is not asked any more.
		giveUp := time.AfterFunc(30*time.Second, func() { _ = m.process.Process.Kill() })
		defer giveUp.Stop()
		_ = m.process.Wait()
	})
}

// startManager starts a replica with the arguments, the environment and the rights that the shipped
// Deployment gives it, on other ports, and makes it the endpoint of the webhook's Service.
func (s *server) startManager(ctx context.Context, binary, dir string, profiled bool) (*manager, error) {
	var d appsv1.Deployment
	if err := s.admin.Get(ctx, client.ObjectKey{Namespace: v1alpha1.InstallNamespace, Name: managerName}, &d); err != nil {
		return nil, err
	}
	kubeconfig, err := s.managerKubeconfig(ctx, dir)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	pod, err := s.playPod(ctx, &d, ports[0])
	if err != nil {
		return nil, err
	}
	shipped := d.Spec.Template.Spec.Containers[0]
	m := &manager{
		process: exec.Command(binary, append(shipped.Args, "--webhook-port="+strconv.Itoa(ports[0]),
			fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", ports[1]), fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", ports[2]))...),
		output:  &tail{},
		metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[1]),
		profile: filepath.Join(dir, "manager.pprof"), profiled: profiled,
	}
	m.process.Env = []string{
		"KUBECONFIG=" + kubeconfig, "POD_NAME=" + pod.Name, "POD_NAMESPACE=" + pod.Namespace, "POD_UID=" + string(pod.UID),
		profileVariable + "=" + m.profile,
	}
	for _, e := range shipped.Env {
		if e.ValueFrom == nil {
			m.process.Env = append(m.process.Env, e.Name+"="+e.Value)
		}
	}
	m.process.Stdout, m.process.Stderr = m.output, m.output
	m.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.process.Start(); err != nil {
		return nil, fmt.Errorf("start the manager: %w", err)
	}
	ready := fmt.Sprintf("http://127.0.0.1:%d/readyz", ports[2])
	if err := eventually(ctx, func(ctx context.Context) error { _, err := get(ctx, ready); return err }); err != nil {
		m.stop()
		return nil, fmt.Errorf("the manager is not ready: %w: it says:\n%s", err, m.log())
	}
	return m, nil
}

// managerKubeconfig is the way to the API server with a token of the manager's account.
func (s *server) managerKubeconfig(ctx context.Context, dir string) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: managerName, Namespace: v1alpha1.InstallNamespace}}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](86400)}}
	if err := s.admin.SubResource("token").Create(ctx, account, token); err != nil {
		return "", fmt.Errorf("ask for a token of the manager's account: %w", err)
	}
	file := filepath.Join(dir, "manager.kubeconfig")
	return file, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"bench": {Server: s.config.Host, CertificateAuthorityData: s.config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{managerName: {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{"bench": {Cluster: "bench", AuthInfo: managerName}},
		CurrentContext: "bench",
	}, file)
}

// playPod does what Deployment, kubelet and endpoint controller would do: there is a pod, and the
// Service leads to it.
func (s *server) playPod(ctx context.Context, d *appsv1.Deployment, port int) (*corev1.Pod, error) {
	pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
	pod.Name, pod.Namespace = managerName+"-bench", d.Namespace
	if err := s.admin.Create(ctx, pod); err != nil {
		return nil, fmt.Errorf("create the manager's pod: %w", err)
	}
	address, err := ownAddress()
	if err != nil {
		return nil, err
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: v1alpha1.WebhookServiceName, Namespace: d.Namespace,
			Labels: map[string]string{discoveryv1.LabelServiceName: v1alpha1.WebhookServiceName},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(int32(port))}},
	}
	if err := s.admin.Create(ctx, slice); err != nil {
		return nil, fmt.Errorf("lead the webhook's Service to %s: %w", address, err)
	}
	return pod, nil
}

// ownAddress is one of this machine's that an endpoint may have: not a loopback one.
func ownAddress() (string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String(), nil
		}
	}
	return "", errors.New("this machine has no IPv4 address but loopback, and an endpoint may not have that one; " +
		"give it one, such as: ip link add bench0 type dummy && ip addr add 198.51.100.1/32 dev bench0 && ip link set bench0 up")
}

func freePorts(n int) ([]int, error) {
	out := make([]int, n)
	for i := range out {
		l, err := net.Listen("tcp", ":0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		out[i] = l.Addr().(*net.TCPAddr).Port
	}
	return out, nil
}

// removeWebhook removes the configuration that the manager keeps, and what holds its place.
func (s *server) removeWebhook(ctx context.Context) error {
	c := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.WebhookConfigurationName}}
	if err := s.admin.Delete(ctx, c); err != nil {
		return fmt.Errorf("delete the webhook configuration: %w", err)
	}
	return nil
}

// reviews is how often the webhook has been asked about a pod.
func (m *manager) reviews(ctx context.Context) (int, error) {
	text, err := get(ctx, m.metrics)
	if err != nil {
		return 0, fmt.Errorf("read the manager's metrics: %w", err)
	}
	total := 0.0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, "bulkhead_admission_reviews_total{") || !strings.Contains(line, `resource="pods"`) {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("read the manager's metrics: %q: %w", line, err)
		}
		total += n
	}
	return int(total), nil
}

// get reads what is at a URL, if the answer is 200.
func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	// The manager is not to spend its time on compressing.
	r.Header.Set("Accept-Encoding", "identity")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(answer.Body); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", url, answer.Status, b.String())
	}
	return b.Bytes(), nil
}

// tail keeps the end of what is written.
type tail struct {
	lock sync.Mutex
	b    []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.b = append(t.b, b...)
	if over := len(t.b) - 4<<10; over > 0 {
		t.b = append([]byte(nil), t.b[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.lock.Lock()
	defer t.lock.Unlock()
	return string(t.b)
}
