// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// newestMinor is the newest version of Pod Security that there are fixtures for; the suite asks for
// no newer one.
const newestMinor = 37

// covered are the controls of Pod Security that Bulkhead covers, with what its message says when it
// refuses for that reason.
var covered = map[policy.CheckID]*regexp.Regexp{
	"hostNamespaces":             regexp.MustCompile(`spec\.host(PID|IPC|Network) is true`),
	"privileged":                 regexp.MustCompile(`privileged: .*securityContext\.privileged is true`),
	"hostPathVolumes":            regexp.MustCompile(`hostPaths: .*hostPath`),
	"hostPorts":                  regexp.MustCompile(`hostPorts: .*(hostPort|containerPort)`),
	"procMount":                  regexp.MustCompile(`procMount: .*procMount is Unmasked`),
	"procMount_restricted":       regexp.MustCompile(`procMount: .*procMount is Unmasked`),
	"hostProbesAndHostLifecycle": regexp.MustCompile(`hostProbes: .*\.host is `),
	"windowsHostProcess":         regexp.MustCompile(`windowsHostProcess: .*hostProcess is true`),
	"capabilities_baseline":      regexp.MustCompile(`capabilities: .*capabilities\.add`),
}

const otherSubject = "it limits what a process may do within its container, not how the container is separated: that is left to Pod Security"

// notCovered are the other controls, and why Bulkhead leaves them to Pod Security.
var notCovered = map[policy.CheckID]string{
	"allowPrivilegeEscalation":  otherSubject,
	"appArmorProfile":           otherSubject,
	"runAsNonRoot":              otherSubject,
	"runAsUser":                 otherSubject,
	"seLinuxOptions":            otherSubject,
	"seccompProfile_baseline":   otherSubject,
	"seccompProfile_restricted": otherSubject,
	"sysctls":                   otherSubject,
	"capabilities_restricted":   "it demands that ALL is dropped; Bulkhead's portal says what may not be added",
	"restrictedVolumes":         "of volumes only hostPath leads out of the container, and that is the control hostPathVolumes",
}

// capabilitiesBeyondBaseline are all of Linux' but those that Pod Security's baseline lets a
// container add.
var capabilitiesBeyondBaseline = []v1alpha1.Capability{
	"AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "DAC_READ_SEARCH", "IPC_LOCK", "IPC_OWNER",
	"LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "NET_ADMIN", "NET_BROADCAST", "NET_RAW", "PERFMON", "SYSLOG",
	"SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME",
	"SYS_TTY_CONFIG", "WAKE_ALARM",
}

// policies say in Bulkhead's words what the labels of Pod Security say. It is what somebody
// installs who comes from Pod Security: the labels stay as they are.
func policies(engine v1alpha1.AdmissionEngine) []*v1alpha1.IsolationPolicy {
	enforced := metav1.LabelSelectorRequirement{
		Key: api.EnforceLevelLabel, Operator: metav1.LabelSelectorOpIn,
		Values: []string{string(api.LevelBaseline), string(api.LevelRestricted)},
	}
	withProbes := metav1.LabelSelectorRequirement{Key: api.EnforceVersionLabel, Operator: metav1.LabelSelectorOpIn}
	for minor := 34; minor <= newestMinor; minor++ {
		withProbes.Values = append(withProbes.Values, fmt.Sprintf("v1.%d", minor))
	}
	return []*v1alpha1.IsolationPolicy{
		enforcing("pod-security", engine, &v1alpha1.Portals{
			Privileged:         v1alpha1.PortalForbid,
			ProcMount:          v1alpha1.PortalForbid,
			WindowsHostProcess: v1alpha1.PortalForbid,
			HostPaths:          &v1alpha1.HostPathsPortal{},
			HostPorts:          &v1alpha1.HostPortsPortal{},
			Capabilities:       &v1alpha1.CapabilitiesPortal{Forbid: capabilitiesBeyondBaseline},
		}, &v1alpha1.Isolation{PID: "Pod", Network: "Pod", IPC: "Pod"}, enforced),
		// Pod Security knows this control since v1.34.
		enforcing("pod-security-since-v1.34", engine,
			&v1alpha1.Portals{HostProbes: v1alpha1.PortalForbid}, nil, enforced, withProbes),
	}
}

func enforcing(name string, engine v1alpha1.AdmissionEngine, portals *v1alpha1.Portals, isolation *v1alpha1.Isolation, where ...metav1.LabelSelectorRequirement) *v1alpha1.IsolationPolicy {
	return &v1alpha1.IsolationPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.IsolationPolicySpec{
			Match:     &v1alpha1.PolicyMatch{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: where}},
			Isolation: isolation,
			Portals:   portals,
			Admission: v1alpha1.AdmissionSpec{Action: v1alpha1.Deny, Engine: engine},
		},
	}
}
