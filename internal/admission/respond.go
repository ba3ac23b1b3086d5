// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

// Bounds of an answer, in bytes.
const (
	// maxMessage bounds a refusal. A hundred violations and more fit.
	maxMessage = 32 << 10
	// maxLine bounds one line of a refusal: a policy can allow sixty paths, which a remedy lists.
	maxLine = 2 << 10
	// maxWarning and maxWarnings bound one warning and all of them. Once the warnings of a request,
	// those of others included, exceed 4096 characters, the API server cuts each to 256
	// (k8s.io/apiserver/pkg/endpoints/filters/warning.go): what matters most stands in front.
	maxWarning, maxWarnings = 512, 3 << 10
	// maxAnnotation bounds an audit annotation.
	maxAnnotation = 8 << 10
)

// Keys of audit annotations. The API server puts the webhook's name and a slash before them.
const (
	// auditViolations lists all violations, whatever their policies do about them.
	auditViolations = "violations"
	// auditExemptions lists the exemptions that were needed, as policy/exemption.
	auditExemptions = "exemptions"
	// auditMirror names the node whose static pod it is that a policy would have refused.
	auditMirror = "mirror-pod"
)

// A verdict is what all policies together say of one subject, in order of their names.
type verdict struct {
	deny, warn, audit []isolation.Violation
	exempt            []string
	// broken is set if a Deny policy could not be judged by.
	broken bool
	// mirrorOf is the node whose static pod cannot be refused.
	mirrorOf string
}

// add what one more policy says of the same subject.
func (v *verdict) add(one *verdict) {
	v.deny = append(v.deny, one.deny...)
	v.warn = append(v.warn, one.warn...)
	v.audit = append(v.audit, one.audit...)
	v.exempt = append(v.exempt, one.exempt...)
	v.broken = v.broken || one.broken
}

// name is the value of the label verdict.
func (v *verdict) name() string {
	switch {
	case len(v.deny) > 0 && v.mirrorOf != "":
		return verdictMirror
	case v.broken:
		return verdictError
	case len(v.deny) > 0:
		return verdictDenied
	case len(v.warn) > 0:
		return verdictWarned
	case len(v.audit) > 0:
		return verdictAudited
	case len(v.exempt) > 0:
		return verdictExempt
	default:
		return verdictAllowed
	}
}

// answer words the verdict. what names the subject, as in `pod "web"`.
func (v *verdict) answer(uid types.UID, what string) *answer {
	a := allowed(uid)
	a.verdict = v.name()
	switch {
	case len(v.deny) == 0:
	case v.mirrorOf != "":
		// The kubelet logs warnings.
		prefix := "mirror pod of node " + isolation.Sanitize(v.mirrorOf, 253) + ", whose static pod runs anyway: "
		a.Warnings = warnings(prefix, v.deny, v.warn)
	default:
		head := what + " asks for less isolation than is required:\n"
		a.refuse(http.StatusForbidden, metav1.StatusReasonForbidden,
			head+strings.Join(within(lines("", maxLine, v.deny), "\n", maxMessage-len(head)), "\n"))
		if v.broken {
			a.Result.Code, a.Result.Reason = http.StatusInternalServerError, metav1.StatusReasonInternalError
		}
	}
	if a.Warnings == nil {
		a.Warnings = warnings("", v.warn)
	}
	a.AuditAnnotations = v.auditAnnotations()
	return a
}

// allowed is the answer that has nothing against a request.
func allowed(uid types.UID) *answer {
	return &answer{admissionv1.AdmissionResponse{UID: uid, Allowed: true}, verdictAllowed}
}

// refuse makes a refusal of an answer.
func (a *answer) refuse(code int32, reason metav1.StatusReason, message string) {
	a.Allowed = false
	a.Result = &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
}

func (v *verdict) auditAnnotations() map[string]string {
	if len(v.deny)+len(v.warn)+len(v.audit)+len(v.exempt) == 0 {
		return nil
	}
	annotations := map[string]string{}
	if all := lines("", maxLine, v.deny, v.warn, v.audit); len(all) > 0 {
		annotations[auditViolations] = strings.Join(within(all, "; ", maxAnnotation), "; ")
	}
	if len(v.exempt) > 0 {
		annotations[auditExemptions] = strings.Join(within(v.exempt, ", ", maxAnnotation), ", ")
	}
	if v.mirrorOf != "" && len(v.deny) > 0 {
		annotations[auditMirror] = isolation.Sanitize(v.mirrorOf, 253)
	}
	return annotations
}

// warnings are violations as a person sees them who applies a pod.
func warnings(prefix string, violations ...[]isolation.Violation) []string {
	return within(lines("bulkhead: "+prefix, maxWarning, violations...), "", maxWarnings)
}

// lines words violations, each on one line.
func lines(prefix string, limit int, violations ...[]isolation.Violation) []string {
	var out []string
	for _, list := range violations {
		for i := range list {
			v := &list[i]
			about := ""
			if s := v.Subject(); s != "" {
				about = s + ": "
			}
			out = append(out, clip(prefix+"policy "+v.Policy+": "+about+v.Message, limit))
		}
	}
	return out
}

// within keeps what fits into limit bytes with separators between; what does not is counted on the
// last line.
func within(lines []string, separator string, limit int) []string {
	const reserve = len("... and 1000000 more")
	fit, total := 0, 0
	for _, l := range lines {
		total += len(l) + len(separator)
		if total <= limit-reserve {
			fit++
		}
	}
	if total-len(separator) <= limit {
		return lines
	}
	return append(lines[:fit:fit], fmt.Sprintf("... and %d more", len(lines)-fit))
}

// clip cuts what is longer than limit. Violations are printable ASCII, so it cuts no character.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit-3] + "..."
}
