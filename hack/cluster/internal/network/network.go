// SPDX-License-Identifier: Apache-2.0

// Package network wires a cluster. It has a network namespace of its own, and every
// node has one too:
//
//	this machine          the cluster's machine              node
//	bh-<name> .254 ------ host0 - bridge .1 - <node> ------- eth0 .11
//	                              API server                 pods 10.244.1.0/24
//
// Nothing but the link bh-<name> is outside, and it vanishes with the cluster's
// namespace: no firewall rule, forwarding or address of this machine is involved.
package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/bulkhead-dev/bulkhead/hack/cluster/internal/state"
)

const (
	bridge   = "bridge"
	hostPeer = "host0"
	nodePeer = "eth0"
)

// FindFree picks a subnet that this machine has no route into.
func FindFree() (state.Network, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return state.Network{}, fmt.Errorf("list routes: %w", err)
	}
	for subnet := range 256 {
		candidate := state.Network{Subnet: subnet}
		if free(candidate, routes) {
			return candidate, nil
		}
	}
	return state.Network{}, errors.New("find a subnet for the cluster: this machine has routes into every 10.213.x.0/24")
}

func free(candidate state.Network, routes []netlink.Route) bool {
	for _, route := range routes {
		if route.Dst == nil {
			continue
		}
		// The default route contains everything, and is no obstacle.
		if ones, _ := route.Dst.Mask.Size(); ones > 0 && route.Dst.Contains(net.ParseIP(candidate.API())) {
			return false
		}
	}
	return true
}

// ConnectHost links this machine with the cluster's, whose process is given.
func ConnectHost(cluster *state.Cluster, machine int) error {
	name := state.HostLink(cluster.Name)
	if err := connect(name, hostPeer, nil, machine); err != nil {
		return err
	}
	return configure(name, cluster.Network.Host()+"/24")
}

// HostLinkExists tells whether this machine has a link into the cluster.
func HostLinkExists(cluster string) bool {
	_, err := netlink.LinkByName(state.HostLink(cluster))
	return err == nil
}

// DisconnectHost removes this machine's link into the cluster, if it is there.
func DisconnectHost(cluster string) error {
	name := state.HostLink(cluster)
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	// The kernel removes it by itself, at about the same time.
	if err != nil && HostLinkExists(cluster) {
		return fmt.Errorf("remove link %s: %w", name, err)
	}
	return nil
}

// SetUpMachine makes the bridge in the cluster's network namespace, which the
// calling process is in.
func SetUpMachine(cluster *state.Cluster) error {
	if err := configure("lo"); err != nil {
		return err
	}
	attributes := netlink.LinkAttrs{Name: bridge, HardwareAddr: hardwareAddress(cluster.Network.API())}
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attributes}); err != nil {
		return fmt.Errorf("make the bridge: %w", err)
	}
	if err := configure(bridge, cluster.Network.API()+"/24"); err != nil {
		return err
	}
	if err := plug(hostPeer); err != nil {
		return err
	}
	for _, node := range cluster.Nodes {
		if err := addRoute(node.PodCIDR, node.Address); err != nil {
			return err
		}
	}
	return nil
}

// ConnectNode links the node, whose process is given, with the bridge.
func ConnectNode(node state.Node, pid int) error {
	if err := connect(node.Name, nodePeer, hardwareAddress(node.Address), pid); err != nil {
		return err
	}
	return plug(node.Name)
}

// SetUpNode waits for the node's link, and configures it in the node's network
// namespace, which the calling process is in.
func SetUpNode(cluster *state.Cluster, node state.Node) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := netlink.LinkByName(nodePeer)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wait for link %s of node %s: %w", nodePeer, node.Name, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := configure("lo"); err != nil {
		return err
	}
	if err := configure(nodePeer, node.Address+"/24"); err != nil {
		return err
	}
	// Service addresses are translated before a packet leaves, but only if there is
	// a route for it to leave by.
	if err := addRoute("0.0.0.0/0", cluster.Network.API()); err != nil {
		return err
	}
	for _, other := range cluster.Nodes {
		if other.Name == node.Name {
			continue
		}
		if err := addRoute(other.PodCIDR, other.Address); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("let node %s forward its pods' packets: %w", node.Name, err)
	}
	return nil
}

// hardwareAddress derives one from an IP address. Left to itself, a node that is
// started again would come with another one, and so would the bridge, which takes
// that of one of its links: for half a minute others would go on to use the old one.
func hardwareAddress(ip string) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0xb1}, net.ParseIP(ip).To4()...)
}

// connect makes a pair of links, of which the peer is in the network namespace of
// the process.
func connect(name, peer string, peerAddress net.HardwareAddr, pid int) error {
	link := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: name},
		PeerName:         peer,
		PeerHardwareAddr: peerAddress,
		PeerNamespace:    netlink.NsPid(pid),
	}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("make link %s to %s of process %d: %w", name, peer, pid, err)
	}
	return nil
}

// plug puts a link into the bridge.
func plug(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	to, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("find the bridge: %w", err)
	}
	if err := netlink.LinkSetMaster(link, to); err != nil {
		return fmt.Errorf("put link %s into the bridge: %w", name, err)
	}
	return configure(name)
}

// configure gives a link addresses and turns it on.
func configure(name string, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	for _, address := range addresses {
		parsed, err := netlink.ParseAddr(address)
		if err != nil {
			return fmt.Errorf("address %q of link %s: %w", address, name, err)
		}
		if err := netlink.AddrAdd(link, parsed); err != nil {
			return fmt.Errorf("give link %s address %s: %w", name, address, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("turn on link %s: %w", name, err)
	}
	return nil
}

func addRoute(destination, gateway string) error {
	_, network, err := net.ParseCIDR(destination)
	if err != nil {
		return fmt.Errorf("route to %q: %w", destination, err)
	}
	if err := netlink.RouteAdd(&netlink.Route{Dst: network, Gw: net.ParseIP(gateway)}); err != nil {
		return fmt.Errorf("add a route to %s by %s: %w", destination, gateway, err)
	}
	return nil
}
