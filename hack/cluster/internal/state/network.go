// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"net"
	"strconv"
)

// Addresses inside the cluster's own network namespace. Nothing outside sees them,
// so every cluster can use the same.
const (
	PodCIDR     = "10.244.0.0/16"
	ServiceCIDR = "10.96.0.0/16"
	ServiceIP   = "10.96.0.1" // the API server's Service, the first of ServiceCIDR
	APIPort     = 6443
)

// MaxNodes keeps node addresses within one byte, with room to spare.
const MaxNodes = 20

// Network is the cluster's bridge: a /24 that the machine outside reaches through
// one link, to talk to the API server and to nodes.
type Network struct {
	Subnet int // the third byte of 10.213.x.0/24
}

func (n Network) address(last int) string { return fmt.Sprintf("10.213.%d.%d", n.Subnet, last) }

// CIDR is the bridge's subnet.
func (n Network) CIDR() string { return n.address(0) + "/24" }

// API is the API server's address: the bridge itself.
func (n Network) API() string { return n.address(1) }

// APIAddress is the API server's address and port.
func (n Network) APIAddress() string { return net.JoinHostPort(n.API(), strconv.Itoa(APIPort)) }

// APIURL is where clients find the API server.
func (n Network) APIURL() string { return "https://" + n.APIAddress() }

// Host is the address of the machine outside.
func (n Network) Host() string { return n.address(254) }

// HostLink names the machine's link into the cluster.
func HostLink(cluster string) string { return "bh-" + cluster }

// MakeNodes names and numbers a cluster's nodes.
func (n Network) MakeNodes(cluster string, count int) []Node {
	var nodes []Node
	for i := 1; i <= count; i++ {
		nodes = append(nodes, Node{
			Name:    fmt.Sprintf("%s-%d", cluster, i),
			Address: n.address(10 + i),
			PodCIDR: fmt.Sprintf("10.244.%d.0/24", i),
		})
	}
	return nodes
}
