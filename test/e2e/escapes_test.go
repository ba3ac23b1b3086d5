// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// An escape is a case of the corpus: a pod, what is done to it for real, and what must be found of it.
type escape struct {
	name string
	// manifest of the pod.
	manifest func(l *lab, name string) string
	// do brings the condition about once the pod runs; nil if it is there from the start.
	do func(l *lab, pod corev1.Pod)
	// find are the findings that must be there, each its kind and its axis or portal.
	find []string
	// within how long after it was brought about. A new look comes every 10 s, a close one every 60 s,
	// each is confirmed by another, and reports are written at most every 10 s.
	within time.Duration
}

const (
	byALook      = 45 * time.Second
	byACloseLook = 100 * time.Second
)

func insider(l *lab, name string) string { return l.insider(name) }

func deceived(what, spec, container string) func(*lab, string) string {
	return func(l *lab, name string) string { return l.deceived(name, what, spec, container) }
}

func plain(spec string) func(*lab, string) string {
	return func(l *lab, name string) string { return pod(l.ns, name, spec) }
}

func deed(args ...string) func(*lab, corev1.Pod) {
	return func(l *lab, p corev1.Pod) { l.inside(p, args...) }
}

// escapes are the corpus.
func escapes(victim *corev1.Pod) []escape {
	var all []escape
	for kind, axis := range map[string]string{"mnt": "mount", "net": "network", "ipc": "ipc", "uts": "uts"} {
		all = append(all, escape{"enters the node's " + axis + " namespace", insider, deed("enter", "1", kind), []string{"Escape " + axis}, byALook})
	}
	slices.SortFunc(all, func(a, b escape) int { return strings.Compare(a.name, b.name) })
	return append(all,
		escape{"is joined by a process of the node", plain("hostUsers: false"), func(l *lab, p corev1.Pod) {
			l.beside(p, labFolder+"/escapes", "join", containerID(p))
		}, []string{"Escape pid", "Escape user", "Escape network", "Escape mount"}, byALook},
		escape{"has one thread elsewhere", insider, deed("thread", "1", "net"), []string{"Escape network"}, byALook},
		escape{"has a thread elsewhere whose leader ended", insider, deed("leaderless", "1", "net"), []string{"Escape network"}, byALook},
		escape{"forks processes that are elsewhere for a moment", insider, deed("fork", "1", "net"), []string{"Escape network"}, byALook},
		escape{"has a hostile name", insider, deed("rename", "1", "uts"), []string{"Escape uts"}, byALook},
		escape{"enters another pod's network", insider, func(l *lab, p corev1.Pod) {
			l.inside(p, "enter", l.pid(*victim), "net")
		}, []string{"Foreign network"}, byALook},
		escape{"hides in a cgroup that looks like another pod's", insider, func(l *lab, p corev1.Pod) {
			l.beside(p, labFolder+"/escapes", "nest", containerID(p), "kubepods/pod"+string(victim.UID)+"/"+containerID(*victim))
		}, []string{"Escape network"}, byALook},
		escape{"has a process that was moved into another pod's cgroup", plain(""), func(l *lab, p corev1.Pod) {
			// nsenter itself stays outside: what it starts is in the pod's pid namespace, and goes from there.
			l.beside(p, "nsenter", "-t", l.pid(p), "-p", labFolder+"/escapes", "join", containerID(*victim))
		}, []string{"Escape network", "Escape mount"}, byALook},
		// Privileged, for others are not allowed the devices that ctr gives.
		escape{"has a container in its own that ctr started with the node's network", insider, func(l *lab, p corev1.Pod) {
			l.ctr(p, "inner", "lab-inner", "--net-host")
		}, []string{"Escape network"}, byALook},

		escape{"was given no pid namespace", deceived("pid", "", ""), nil, []string{"Drift pid"}, byALook},
		escape{"was given no network namespace", deceived("network", "", ""), nil, []string{"Drift network"}, byALook},
		escape{"was given no user namespace", deceived("user", "hostUsers: false", ""), nil, []string{"Drift user"}, byALook},
		escape{"was given a /proc without masks", deceived("masks", "", ""), nil, []string{"Portal procMount"}, byACloseLook},
		escape{"was given control groups to write to", deceived("cgroups", "", ""), nil, []string{"Portal procMount"}, byACloseLook},
		escape{"was given a folder of the node", deceived("hostPath", "", ""), nil, []string{"Portal hostPaths"}, byACloseLook},
		escape{"was given the runtime's socket", deceived("socket", "", ""), nil, []string{"Portal runtimeSockets"}, byACloseLook},
		escape{"was given a mount that travels", deceived("propagation", "volumes: [{name: log, hostPath: {path: /var/log}}]", ", volumeMounts: [{name: log, mountPath: /node-log}]"), nil,
			[]string{"Portal mountPropagation"}, byACloseLook},
		escape{"was given a capability", deceived("capabilities", "", ""), nil, []string{"Portal capabilities"}, byACloseLook},
		escape{"was given no seccomp filter", deceived("seccomp", "securityContext: {seccompProfile: {type: RuntimeDefault}}", ""), nil, []string{"Portal seccomp"}, byACloseLook},
		escape{"may gain privileges", deceived("noNewPrivileges", "", ", securityContext: {allowPrivilegeEscalation: false}"), nil, []string{"Portal noNewPrivileges"}, byACloseLook},
		escape{"was given a directory of the node to hold", deceived("leak", "", ""), nil, []string{"Leak"}, byACloseLook},
	)
}

var _ = Describe("The corpus of escapes", Label("escapes", "node"), Ordered, func() {
	It("is found, every case of it, and nobody else is blamed", func() {
		l := newLab(k)
		l.mustApply(pod(l.ns, "victim", "nodeName: "+l.nodes()[0]))
		victim := l.running(l.ns, "victim")
		cases := escapes(&victim)
		pods := make([]corev1.Pod, len(cases))
		for i := range cases {
			l.mustApply(on(victim.Spec.NodeName, cases[i].manifest(l, fmt.Sprintf("case-%d", i))))
		}
		for i := range cases {
			pods[i] = l.running(l.ns, fmt.Sprintf("case-%d", i))
		}
		// Where a container started is known only once it has been seen twice.
		Eventually(l.levels(pods[len(pods)-1])).WithTimeout(soon).ShouldNot(BeNil())
		time.Sleep(15 * time.Second)

		since := make([]time.Time, len(cases))
		for i := range cases {
			since[i] = time.Now()
			if cases[i].do != nil {
				cases[i].do(l, pods[i])
			} else {
				since[i] = pods[i].Status.ContainerStatuses[0].State.Running.StartedAt.Time
			}
		}
		rows := l.search(cases, pods, since)
		tellAndExpect("ESCAPE", rows)
		report, err := l.report(victim.Spec.NodeName)
		Expect(err).NotTo(HaveOccurred())
		for _, f := range report.Status.Findings {
			Expect(f.Pod.UID).NotTo(Equal(victim.UID), "the victim is not to blame: %s", f.Message)
			told := f.Message
			if f.Evidence != nil {
				told += f.Evidence.Command
			} else {
				AddReportEntry("without evidence", fmt.Sprintf("%s of %s/%s: %s", f.Kind, f.Pod.Namespace, f.Pod.Name, f.Message))
				Expect(f.Kind).To(Equal(v1alpha1.Unverified), "only what was not seen has no evidence: %s", f.Message)
			}
			Expect(told).NotTo(ContainSubstring("\n"), "text of processes is sanitised")
			Expect(told).NotTo(ContainSubstring("\x1b"))
		}
	})
})

// search waits until every case is found, or its time is over.
func (l *lab) search(cases []escape, pods []corev1.Pod, since []time.Time) []row {
	GinkgoHelper()
	rows := make([]row, len(cases))
	for open := true; open; time.Sleep(500 * time.Millisecond) {
		report, err := l.report(pods[0].Spec.NodeName)
		Expect(err).NotTo(HaveOccurred())
		open = false
		for i := range cases {
			r := &rows[i]
			if r.ok {
				continue
			}
			found := aboutPod(report, pods[i])
			*r = row{name: cases[i].name, expected: strings.Join(cases[i].find, ", "), found: strings.Join(found, ", ")}
			r.ok = !slices.ContainsFunc(cases[i].find, func(want string) bool { return !slices.Contains(found, want) })
			if r.ok {
				r.took = time.Since(since[i])
			}
			open = open || !r.ok && time.Since(since[i]) < cases[i].within
		}
	}
	return rows
}

// aboutPod is what a report finds of a pod, without what could not be seen.
func aboutPod(report *v1alpha1.NodeIsolationReport, p corev1.Pod) []string {
	var found []string
	for i := range report.Status.Findings {
		if f := &report.Status.Findings[i]; f.Pod.UID == p.UID && !slices.Contains(found, about(f)) {
			found = append(found, about(f))
		}
	}
	return found
}
