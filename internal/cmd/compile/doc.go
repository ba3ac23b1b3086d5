// SPDX-License-Identifier: Apache-2.0

// Package compile is the command that prints what policies become in the API server's own language:
// ValidatingAdmissionPolicies and their bindings, for GitOps or for an API server that loads them from
// files.
package compile
