// SPDX-License-Identifier: Apache-2.0

// Command kube-apiserver is the API server of an older Kubernetes, for tests. It is a module of its
// own for every version: 1.34.mod is go.mod and 1.34.sum is go.sum when that one is built. A folder
// with a go.mod could not be embedded in the launcher.
package main

import (
	"os"
	_ "time/tzdata" // time zones of CronJobs, which the API server validates

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // build info metric
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
}
