// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/component-helpers/auth/rbac/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Account is the name by which an API server knows a service account.
func Account(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}

// Grant is the least that a role can grant: one verb on one resource, of one name or of any.
type Grant struct {
	// Role that grants it, such as "ClusterRole bulkhead-agent".
	Role string
	// Namespace in which it holds; empty for all of the cluster.
	Namespace string
	// Rule has one verb, one resource, and at most one name.
	Rule rbacv1.PolicyRule
}

// String is what is granted, such as "get leases.coordination.k8s.io bulkhead-manager in bulkhead-system".
func (g Grant) String() string {
	out := g.Rule.Verbs[0]
	if len(g.Rule.NonResourceURLs) > 0 {
		return out + " " + g.Rule.NonResourceURLs[0]
	}
	out += " " + schema.GroupResource{Group: g.Rule.APIGroups[0], Resource: g.Rule.Resources[0]}.String()
	if len(g.Rule.ResourceNames) > 0 {
		out += " " + g.Rule.ResourceNames[0]
	}
	if g.Namespace != "" {
		out += " in " + g.Namespace
	}
	return out
}

// covers tells whether the grant permits the call.
func (g Grant) covers(c call) bool {
	if g.Namespace != "" && g.Namespace != c.namespace {
		return false
	}
	covers, _ := validation.Covers([]rbacv1.PolicyRule{g.Rule}, []rbacv1.PolicyRule{c.rule})
	return covers
}

// Roles are roles, and to whom they are bound.
type Roles struct {
	ClusterRoles        []rbacv1.ClusterRole
	ClusterRoleBindings []rbacv1.ClusterRoleBinding
	Roles               []rbacv1.Role
	RoleBindings        []rbacv1.RoleBinding
}

// Installed reads all roles of a cluster.
func Installed(ctx context.Context, c client.Reader) (*Roles, error) {
	var (
		clusterRoles        rbacv1.ClusterRoleList
		clusterRoleBindings rbacv1.ClusterRoleBindingList
		roles               rbacv1.RoleList
		roleBindings        rbacv1.RoleBindingList
	)
	for _, list := range []client.ObjectList{&clusterRoles, &clusterRoleBindings, &roles, &roleBindings} {
		if err := c.List(ctx, list); err != nil {
			return nil, fmt.Errorf("read what is granted: %w", err)
		}
	}
	return &Roles{clusterRoles.Items, clusterRoleBindings.Items, roles.Items, roleBindings.Items}, nil
}

// To is what is granted to one account by its name. What every account may is left out: nobody of ours decides on it.
func (r *Roles) To(account string) []Grant {
	var out []Grant
	for i := range r.ClusterRoleBindings {
		if b := &r.ClusterRoleBindings[i]; bound(b.Subjects, account) {
			out = append(out, r.granted(b.RoleRef, "")...)
		}
	}
	for i := range r.RoleBindings {
		if b := &r.RoleBindings[i]; bound(b.Subjects, account) {
			out = append(out, r.granted(b.RoleRef, b.Namespace)...)
		}
	}
	slices.SortFunc(out, func(a, b Grant) int {
		return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.String(), b.String()))
	})
	return out
}

func bound(subjects []rbacv1.Subject, account string) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && Account(s.Namespace, s.Name) == account
	})
}

// granted is what a binding grants in its namespace; empty for all of the cluster.
func (r *Roles) granted(role rbacv1.RoleRef, namespace string) []Grant {
	var rules []rbacv1.PolicyRule
	for i := range r.ClusterRoles {
		if c := &r.ClusterRoles[i]; role.Kind == "ClusterRole" && c.Name == role.Name {
			rules = c.Rules
		}
	}
	for i := range r.Roles {
		if n := &r.Roles[i]; role.Kind == "Role" && n.Name == role.Name && n.Namespace == namespace {
			rules = n.Rules
		}
	}
	var out []Grant
	for _, rule := range rules {
		for _, least := range validation.BreakdownRule(rule) {
			out = append(out, Grant{Role: role.Kind + " " + role.Name, Namespace: namespace, Rule: least})
		}
	}
	return out
}
