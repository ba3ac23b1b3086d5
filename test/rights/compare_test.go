// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"encoding/json"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// installed is what a cluster would have of an account "ship:captain": a ClusterRole, and a Role in its own namespace.
var installed = Roles{
	ClusterRoles: []rbacv1.ClusterRole{{
		ObjectMeta: metav1.ObjectMeta{Name: "captain"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{""}, Resources: []string{"pods/eviction"}, Verbs: []string{"create"}},
		},
	}, {
		ObjectMeta: metav1.ObjectMeta{Name: "unbound"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}},
	}},
	ClusterRoleBindings: []rbacv1.ClusterRoleBinding{bindTo("captain", "ClusterRole", "ship")},
	Roles: []rbacv1.Role{{
		ObjectMeta: metav1.ObjectMeta{Name: "captain", Namespace: "ship"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create", "patch"}},
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"key"}, Verbs: []string{"list"}},
		},
	}},
	RoleBindings: []rbacv1.RoleBinding{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ship"},
		RoleRef:    rbacv1.RoleRef{Kind: "Role", Name: "captain"}, Subjects: bindTo("", "", "ship").Subjects,
	}},
}

func bindTo(role, kind, namespace string) rbacv1.ClusterRoleBinding {
	return rbacv1.ClusterRoleBinding{
		RoleRef:  rbacv1.RoleRef{Kind: kind, Name: role},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "captain"}},
	}
}

// captain's requests that use all that is granted, as an API server logs them.
var all = []string{
	`{"stage":"ResponseStarted","verb":"watch","requestURI":"/api/v1/pods?sendInitialEvents=true","objectRef":{"resource":"pods"},"responseStatus":{"code":200}}`,
	`{"stage":"ResponseComplete","verb":"create","requestURI":"","objectRef":{"resource":"pods","subresource":"eviction","namespace":"shop","name":"web"},"responseStatus":{"code":429}}`,
	`{"stage":"ResponseComplete","verb":"patch","requestURI":"","objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io","namespace":"ship","name":"captain-1"},"responseStatus":{"code":201}}`,
	`{"stage":"ResponseComplete","verb":"list","requestURI":"","objectRef":{"resource":"secrets","namespace":"ship","name":"key"},"responseStatus":{"code":200}}`,
}

// run is a run in which captain asked for these, as the program "ship", and for others as somebody else.
func run(t *testing.T, requests ...string) *Run {
	t.Helper()
	var log strings.Builder
	for _, request := range requests {
		var event map[string]any
		if err := json.Unmarshal([]byte(request), &event); err != nil {
			t.Fatal(err)
		}
		for key, value := range map[string]any{
			"kind": "Event", "userAgent": "ship/v1 (linux/amd64)", "user": map[string]any{"username": Account("ship", "captain")},
		} {
			if event[key] == nil {
				event[key] = value
			}
		}
		line, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		log.Write(line)
		log.WriteByte('\n')
	}
	log.WriteString(`{"kind":"Event","stage":"Resp`) // the API server is still writing
	events, err := ReadLog(strings.NewReader(log.String()))
	if err != nil {
		t.Fatal(err)
	}
	account := Account("ship", "captain")
	return &Run{Account: account, Program: "ship/", Grants: installed.To(account), Events: events}
}

func TestWhatIsGrantedAndUsedIsFine(t *testing.T) {
	g := NewWithT(t)
	r := run(t, all...)
	g.Expect(r.Grants).To(HaveLen(6), "what is bound to nobody is granted to nobody")
	g.Expect(r.Judge()).To(BeEmpty())
}

func TestWhatIsGrantedAndNeverUsedIsTold(t *testing.T) {
	NewWithT(t).Expect(run(t).Judge()).To(ConsistOf(
		"never used: list pods, granted to system:serviceaccount:ship:captain by ClusterRole captain",
		HavePrefix("never used: watch pods, "), HavePrefix("never used: create pods/eviction, "),
		HavePrefix("never used: create leases.coordination.k8s.io in ship, "), HavePrefix("never used: patch leases.coordination.k8s.io in ship, "),
		"never used: list secrets key in ship, granted to system:serviceaccount:ship:captain by Role captain",
	))
}

func TestAUseIsOneOfThatVerbResourceNamespaceNameAccountAndProgram(t *testing.T) {
	for name, c := range map[string]struct{ request, unused string }{
		"a watch that goes on from a list is no list": {
			`{"verb":"watch","requestURI":"/api/v1/pods?resourceVersion=7","objectRef":{"resource":"pods"},"responseStatus":{"code":200}}`, "list pods"},
		"a patch of what is there creates nothing": {
			`{"verb":"patch","objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io","namespace":"ship","name":"x"},"responseStatus":{"code":200}}`,
			"create leases.coordination.k8s.io in ship"},
		"a pod is not its eviction": {
			`{"verb":"create","objectRef":{"resource":"pods","namespace":"shop","name":"web"},"responseStatus":{"code":201}}`, "create pods/eviction"},
		"another namespace is not that of the role": {
			`{"verb":"create","objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io","namespace":"shop","name":"x"},"responseStatus":{"code":201}}`,
			"create leases.coordination.k8s.io in ship"},
		"another group's resource is another one": {
			`{"verb":"list","objectRef":{"resource":"pods","apiGroup":"metrics.k8s.io"},"responseStatus":{"code":200}}`, "list pods"},
		"another name is not that of the rule": {
			`{"verb":"list","objectRef":{"resource":"secrets","namespace":"ship","name":"lock"},"responseStatus":{"code":200}}`, "list secrets key in ship"},
		"what was refused was not used": {
			`{"verb":"list","objectRef":{"resource":"pods"},"responseStatus":{"code":403}}`, "list pods"},
		"another account uses its own": {
			`{"verb":"list","user":{"username":"system:serviceaccount:ship:mate"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200}}`, "list pods"},
		"who plays another account uses that one's": {
			`{"verb":"list","impersonatedUser":{"username":"admin"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200}}`, "list pods"},
		"a test with the account's token is not the program": {
			`{"verb":"list","userAgent":"kubectl/v1.37","objectRef":{"resource":"pods"},"responseStatus":{"code":200}}`, "list pods"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(run(t, c.request).Judge()).To(ContainElement(HavePrefix("never used: " + c.unused + ",")))
		})
	}
}

func TestWhatIsDeniedForWantOfAGrantIsTold(t *testing.T) {
	for name, c := range map[string]struct{ request, told string }{
		"another verb": {
			`{"stage":"ResponseComplete","verb":"delete","objectRef":{"resource":"pods","namespace":"shop","name":"web"},"responseStatus":{"code":403}}`,
			"denied: system:serviceaccount:ship:captain may not delete pods web in shop (2 times)"},
		"all, where one name is granted": {
			`{"stage":"ResponseComplete","verb":"list","objectRef":{"resource":"secrets","namespace":"ship"},"responseStatus":{"code":403}}`,
			"denied: system:serviceaccount:ship:captain may not list secrets in ship (2 times)"},
		"another namespace": {
			`{"stage":"ResponseComplete","verb":"patch","objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io","namespace":"shop","name":"x"},"responseStatus":{"code":403}}`,
			"denied: system:serviceaccount:ship:captain may not patch leases.coordination.k8s.io x in shop (2 times)"},
		"no resource at all": {
			`{"stage":"ResponseComplete","verb":"get","requestURI":"/metrics","responseStatus":{"code":403}}`,
			"denied: system:serviceaccount:ship:captain may not get /metrics (2 times)"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(run(t, append(all, c.request, c.request)...).Judge()).To(ContainElement(HavePrefix(c.told)))
		})
	}
}

func TestTheRightToCreateIsMissedByWhoAppliesWhatIsNotThere(t *testing.T) {
	r := run(t, append(all, `{"stage":"ResponseComplete","verb":"patch","objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io","namespace":"ship","name":"x"},"responseStatus":{"code":403}}`)...)
	g := NewWithT(t)
	g.Expect(r.Judge()).To(BeEmpty(), "both are granted: it was admission that refused it")
	r.Grants = r.Grants[:0:0]
	for _, grant := range installed.To(r.Account) {
		if grant.String() != "create leases.coordination.k8s.io in ship" {
			r.Grants = append(r.Grants, grant)
		}
	}
	g.Expect(r.Judge()).To(ConsistOf(HavePrefix("denied: system:serviceaccount:ship:captain may not create leases.coordination.k8s.io in ship (1 times)")))
}

func TestWhatNeedNotBeUsedIsGrantedForAReason(t *testing.T) {
	g := NewWithT(t)
	r := run(t, all[1:]...)
	r.Unused = map[string]string{"list pods": "for who cannot watch", "watch pods": "nothing happens in this run"}
	g.Expect(r.Judge()).To(BeEmpty())
	r.Unused["delete pods"] = "was granted once"
	g.Expect(r.Judge()).To(ConsistOf("not granted: delete pods has no need of a reason why it is not used"))
}

func TestALogThatIsNoneIsAnError(t *testing.T) {
	_, err := ReadLog(strings.NewReader("{}\nnothing, believe me\n"))
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("line 2 of the audit log")))
}
