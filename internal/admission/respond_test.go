// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strconv"
	"strings"
	"testing"
	"unicode"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func violationsOf(n, size int) []isolation.Violation {
	out := make([]isolation.Violation, n)
	for i := range out {
		out[i] = isolation.Violation{Policy: "p", Portal: "hostPaths", Message: strings.Repeat("x", size)}
	}
	return out
}

func TestAnAnswerIsBoundedAndSaysWhatItLeavesOut(t *testing.T) {
	g := NewWithT(t)
	v := &verdict{deny: violationsOf(500, 300), warn: violationsOf(500, 5000), audit: violationsOf(500, 300)}
	for i := range 500 {
		v.exempt = append(v.exempt, "policy/exemption-"+strconv.Itoa(i)+strings.Repeat("x", 30))
	}
	r := v.answer("1", `pod "web"`)
	g.Expect(len(r.Result.Message)).To(BeNumerically("<=", maxMessage))
	told := strings.Split(r.Result.Message, "\n")
	g.Expect(told[len(told)-1]).To(Equal("... and " + strconv.Itoa(500-(len(told)-2)) + " more"))

	total := 0
	for _, w := range r.Warnings {
		g.Expect(len(w)).To(BeNumerically("<=", maxWarning))
		total += len(w)
	}
	g.Expect(total).To(BeNumerically("<=", 4096))
	g.Expect(r.Warnings[len(r.Warnings)-1]).To(Equal("... and " + strconv.Itoa(500-(len(r.Warnings)-1)) + " more"))

	for key, value := range r.AuditAnnotations {
		g.Expect(len(value)).To(BeNumerically("<=", maxAnnotation))
		g.Expect(validation.IsQualifiedName("deny-0.bulkhead.dev/" + key)).To(BeEmpty())
	}
	g.Expect(r.AuditAnnotations).To(HaveLen(2))
}

func TestWhatFitsIsNotCut(t *testing.T) {
	g := NewWithT(t)
	v := &verdict{deny: violationsOf(100, 200)}
	r := v.answer("1", `pod "web"`)
	g.Expect(strings.Split(r.Result.Message, "\n")).To(HaveLen(101))
	g.Expect(r.Result.Message).NotTo(ContainSubstring("..."))
	two := []string{strings.Repeat("a", 15), strings.Repeat("b", 15)}
	g.Expect(within(two, ",", 31)).To(Equal(two))
	g.Expect(within(two, ",", 30)).To(Equal([]string{"... and 2 more"}))
}

func TestNothingToSayIsNothingSaid(t *testing.T) {
	g := NewWithT(t)
	r := (&verdict{}).answer("1", `pod "web"`)
	g.Expect(r.Allowed).To(BeTrue())
	g.Expect(r.Warnings).To(BeEmpty())
	g.Expect(r.AuditAnnotations).To(BeNil())
}

func TestHostileTextReachesNobody(t *testing.T) {
	g := NewWithT(t)
	hostile := "/x\n\x1b[2Jpolicy y: all is well"
	pod := podOf(func(p *corev1.Pod) {
		p.Name = hostile
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: hostile}}}}
	})
	h := handlerOf(compile(t, policyOf("audit", v1alpha1.Audit)), compile(t, policyOf("deny", v1alpha1.Deny)), compile(t, policyOf("warn", v1alpha1.Warn)))
	r := ask(t, h, creation(t, pod))
	g.Expect(strings.Count(r.Result.Message, "\n")).To(Equal(1))
	texts := append([]string{strings.Replace(r.Result.Message, "\n", " ", 1), r.AuditAnnotations[auditViolations]}, r.Warnings...)
	g.Expect(texts).To(HaveLen(3))
	for _, text := range texts {
		g.Expect(strings.IndexFunc(text, func(c rune) bool { return c > unicode.MaxASCII || !unicode.IsPrint(c) })).To(Equal(-1), text)
	}
}
