// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/ledger/ledgertest"
)

// The scene of every test is made by ledgertest.
var (
	now         = ledgertest.Now
	isolated    = ledgertest.Isolated
	demanding   = ledgertest.Demanding
	running     = ledgertest.Running
	onHostPID   = ledgertest.OnHostPID
	report      = ledgertest.Report
	group       = ledgertest.Group
	mustCompile = ledgertest.MustCompile
)

var options = newWebhookOptions("bulkhead-system", []string{"kube-system"})

// scene is a cluster with an installation.
type scene struct {
	input
	ledgertest.Scene
}

func world() *scene {
	return &scene{input{Now: now, Replicas: map[string]replica{}}, ledgertest.World()}
}

func (s *scene) judge() judgement {
	return judge(&s.input, s.Ledger(s.Now, s.Policies...), options)
}

// judgeOne judges by one policy.
func judgeOne(s *scene, p v1alpha1.IsolationPolicy) *verdict {
	s.Policies = []v1alpha1.IsolationPolicy{p}
	j := s.judge()
	return &j.verdicts[0]
}
