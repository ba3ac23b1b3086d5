// SPDX-License-Identifier: Apache-2.0

// Package api asks the cluster's API server the few questions that the launcher
// has. A client library would be many times the size of the launcher.
package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

// Client talks to one cluster's API server and nodes.
type Client struct {
	cluster *state.Cluster
	http    *http.Client
}

// NewClient returns a client with the API server's own rights. It never looks at
// a kubeconfig of the user's.
func NewClient(dir state.Dir, cluster *state.Cluster) (*Client, error) {
	ca, err := os.ReadFile(dir.PKI("ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's certificate authority: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(dir.PKI("apiserver-kubelet.crt"), dir.PKI("apiserver-kubelet.key"))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{
		Proxy:           nil, // the cluster is on this machine, whatever HTTPS_PROXY says
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
	}
	return &Client{cluster: cluster, http: &http.Client{Transport: transport, Timeout: 5 * time.Second}}, nil
}

// WaitForServer waits until the API server serves requests and has made the roles
// that its clients need. Starting them earlier works too, but takes longer: what
// they are refused at first they only try again after a while. So it waits for a
// minute at most.
func (c *Client) WaitForServer() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := c.get(ctx, c.cluster.Network.APIURL()+"/readyz"); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Ready returns nil once the API server, every node and every kube-proxy are ready
// and pods can be made. Otherwise the error says what is missing.
func (c *Client) Ready(ctx context.Context) error {
	if _, err := c.get(ctx, c.cluster.Network.APIURL()+"/readyz"); err != nil {
		return fmt.Errorf("the API server is not ready: %w", err)
	}
	for _, node := range c.cluster.Nodes {
		if err := c.nodeReady(ctx, node); err != nil {
			return err
		}
	}
	if _, err := c.get(ctx, c.cluster.Network.APIURL()+"/api/v1/namespaces/default/serviceaccounts/default"); err != nil {
		return fmt.Errorf("the controller manager has not made the default service account: %w", err)
	}
	return nil
}

func (c *Client) nodeReady(ctx context.Context, node state.Node) error {
	data, err := c.get(ctx, c.cluster.Network.APIURL()+"/api/v1/nodes/"+node.Name)
	if err != nil {
		return fmt.Errorf("node %s has not registered: %w", node.Name, err)
	}
	var object struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return fmt.Errorf("read node %s: %w", node.Name, err)
	}
	ready, message := false, "it has not said why"
	for _, condition := range object.Status.Conditions {
		if condition.Type == "Ready" {
			ready, message = condition.Status == "True", condition.Message
		}
	}
	if !ready {
		return fmt.Errorf("node %s is not ready: %s", node.Name, message)
	}
	if _, err := c.get(ctx, fmt.Sprintf("http://%s:10256/healthz", node.Address)); err != nil {
		return fmt.Errorf("kube-proxy on node %s is not ready: %w", node.Name, err)
	}
	return nil
}

func (c *Client) get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return body, nil
}
