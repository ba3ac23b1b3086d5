// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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
	"github.com/bulkhead-dev/bulkhead/test/bench/process"
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
	*process.Process
	metrics string // URL
	profile string // file
	// profiled tells that this is the program with the profiler around it.
	profiled bool
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
	ports, err := process.FreePorts(3)
	if err != nil {
		return nil, err
	}
	pod, err := s.playPod(ctx, &d, ports[0])
	if err != nil {
		return nil, err
	}
	shipped := d.Spec.Template.Spec.Containers[0]
	m := &manager{
		metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[1]),
		profile: filepath.Join(dir, "manager.pprof"), profiled: profiled,
	}
	args := slices.Concat(shipped.Args, []string{"--webhook-port=" + strconv.Itoa(ports[0]),
		fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", ports[1]), fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", ports[2])})
	environment := []string{
		"KUBECONFIG=" + kubeconfig, "POD_NAME=" + pod.Name, "POD_NAMESPACE=" + pod.Namespace, "POD_UID=" + string(pod.UID),
		profileVariable + "=" + m.profile,
	}
	for _, e := range shipped.Env {
		if e.ValueFrom == nil {
			environment = append(environment, e.Name+"="+e.Value)
		}
	}
	if m.Process, err = process.Start(binary, args, environment); err != nil {
		return nil, err
	}
	ready := fmt.Sprintf("http://127.0.0.1:%d/readyz", ports[2])
	if err := eventually(ctx, func(ctx context.Context) error { _, err := get(ctx, ready); return err }); err != nil {
		m.Stop()
		return nil, fmt.Errorf("the manager is not ready: %w: it says:\n%s", err, m.Log())
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
	address, err := process.OwnAddress()
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
