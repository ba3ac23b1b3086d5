// SPDX-License-Identifier: Apache-2.0

package check

import "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

// rule is an axis or a portal, for readers of SARIF who know nothing of either.
type rule struct {
	axis, portal string // one of them
	short        string // what is wrong, one sentence
	help         string // why it matters, and what to do
}

// rules are all of them, in the order in which violations are told.
var rules = []rule{
	{axis: "pid", short: "The pod shares a process namespace that the policy wants to be its own.",
		help: "With hostPID every process of the node can be seen, signalled and, with the rights, read; with shareProcessNamespace those of the pod's other containers. Remove hostPID and shareProcessNamespace, or set them to false."},
	{axis: "network", short: "The pod uses the node's network.",
		help: "With hostNetwork the pod reaches services that listen on the node's loopback, can listen on the node's addresses, and no NetworkPolicy holds for it. Remove hostNetwork, or set it to false, and use a Service."},
	{axis: "ipc", short: "The pod shares the node's inter-process communication.",
		help: "With hostIPC the pod reaches shared memory, semaphores and message queues of the node's processes. Remove hostIPC, or set it to false."},
	{axis: "uts", short: "The pod shares the node's host name.",
		help: "Container runtimes give a pod with hostNetwork the node's UTS namespace as well. Remove hostNetwork, or set it to false."},
	{axis: "mount", short: "The container shares the node's mounts.",
		help: "No field of a pod asks for it."},
	{axis: "user", short: "Root in the pod is root on the node.",
		help: "Without a user namespace a process that breaks out as root is root on the node. Set hostUsers to false."},
	{axis: "cgroup", short: "The container shares the node's cgroup namespace.",
		help: "A privileged container sees, and can change, the node's cgroups. Remove privileged, or set it to false."},
	{portal: "privileged", short: "The container is privileged.",
		help: "A privileged container has all capabilities, all devices and no confinement: it is root on the node. Remove privileged, or set it to false, and add the capabilities that it needs."},
	{portal: "capabilities", short: "The container adds a capability that the policy forbids.",
		help: "Capabilities such as SYS_ADMIN, SYS_PTRACE and SYS_MODULE are ways out of a container. Remove it from securityContext.capabilities.add."},
	{portal: "procMount", short: "The container sees /proc without masks.",
		help: "The masks hide files by which the node's kernel can be read and changed. Remove procMount, or set it to Default."},
	{portal: "hostPaths", short: "The pod mounts a path of the node that the policy does not allow.",
		help: "A path of the node is a way to read what other pods and the node keep there, and often a way to run code on it. Use a volume of another type."},
	{portal: "mountPropagation", short: "Mounts pass between the container and the node.",
		help: "With mountPropagation mounts that the container makes appear on the node, or those of the node in it. Remove mountPropagation, or set it to None."},
	{portal: "devices", short: "The container reaches devices of the node.",
		help: "A device of the node is read and written past its file systems and their rights. Use a volume of another type, or a device plugin."},
	{portal: "runtimeSockets", short: "The pod reaches a socket of the container runtime or the kubelet.",
		help: "Whoever talks to the runtime can start a privileged container, and so owns the node. Use a volume of another type."},
	{portal: "hostPorts", short: "The container takes a port of the node that the policy does not allow.",
		help: "A port of the node is reached from outside without a Service, and at most one pod a node can have it. Use a Service."},
	{portal: "hostProbes", short: "A probe or a lifecycle hook names a host.",
		help: "The kubelet connects to it from the node's network, where the pod itself could not. Remove host: the default is the pod."},
	{portal: "windowsHostProcess", short: "The pod runs as processes of a Windows node.",
		help: "HostProcess containers have no isolation from their node. Remove hostProcess, or set it to false."},
}

func (r *rule) id() string {
	if r.axis != "" {
		return "isolation/" + r.axis
	}
	return "portal/" + r.portal
}

// ruleID is the rule that the field violates.
func ruleID(v *violation) string { return (&rule{axis: v.Axis, portal: v.Portal}).id() }

func (r *rule) sarif() *sarif.ReportingDescriptor {
	name := r.axis + r.portal
	d := sarif.NewRule(r.id()).WithName(name).WithDescription(r.short).WithHelpURI(home + "#readme")
	d.WithFullDescription(sarif.NewMultiformatMessageString().WithText(r.short + " " + r.help))
	d.WithHelp(sarif.NewMultiformatMessageString().WithText(r.help).WithMarkdown(r.help))
	d.WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(sarif.LevelError))
	properties := sarif.NewPropertyBag()
	properties.Add("tags", []string{"security", "kubernetes"})
	return d.WithProperties(properties)
}
