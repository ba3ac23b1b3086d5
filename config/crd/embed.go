// SPDX-License-Identifier: Apache-2.0

// Package crd holds the generated CustomResourceDefinitions, so that what judges files offline
// judges by the same schema and the same CEL rules as an API server.
package crd

import _ "embed"

// IsolationPolicies is the CustomResourceDefinition of IsolationPolicy, as YAML.
//
//go:embed bulkhead.dev_isolationpolicies.yaml
var IsolationPolicies []byte
