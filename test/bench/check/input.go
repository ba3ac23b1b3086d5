// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {tenancy: shared}}\n"

// manifests are so many pods; each tenth or so, if asked for, shares the node's processes.
func manifests(pods, hostPIDEvery int, pod func(text string, last bool) string) string {
	var b strings.Builder
	for i := range pods {
		text := strings.ReplaceAll(template, "NUMBER", strconv.Itoa(i))
		if hostPIDEvery > 0 && i%hostPIDEvery == 0 {
			text += "  hostPID: true\n"
		}
		b.WriteString(pod(text, i == pods-1))
	}
	return b.String()
}

func yamlPod(text string, _ bool) string { return "---\n" + text }

func jsonPod(text string, last bool) string {
	value, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		panic(err) // the template below is YAML
	}
	if last {
		return string(value) + "\n"
	}
	return string(value) + ",\n"
}

// template is a pod of two containers, as charts write them.
const template = `apiVersion: v1
kind: Pod
metadata:
  name: web-NUMBER
  namespace: shop
  labels:
    app.kubernetes.io/name: web
    app.kubernetes.io/instance: web-NUMBER
    app.kubernetes.io/part-of: shop
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: "9090"
spec:
  serviceAccountName: web
  automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    fsGroup: 1000
    seccompProfile:
      type: RuntimeDefault
  containers:
  - name: app
    image: registry.example.com/shop/web:1.2.NUMBER
    imagePullPolicy: IfNotPresent
    args: ["--listen=:8080", "--log-format=json"]
    env:
    - name: DATABASE_URL
      valueFrom:
        secretKeyRef:
          name: database
          key: url
    - name: LOG_LEVEL
      value: info
    ports:
    - name: http
      containerPort: 8080
      protocol: TCP
    resources:
      requests:
        cpu: 100m
        memory: 128Mi
      limits:
        memory: 256Mi
    livenessProbe:
      httpGet:
        path: /healthz
        port: http
      periodSeconds: 10
    readinessProbe:
      httpGet:
        path: /readyz
        port: http
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: ["ALL"]
    volumeMounts:
    - name: config
      mountPath: /etc/web
      readOnly: true
    - name: cache
      mountPath: /var/cache/web
  - name: metrics
    image: registry.example.com/shop/exporter:0.9.1
    ports:
    - name: metrics
      containerPort: 9090
    resources:
      requests:
        cpu: 10m
        memory: 32Mi
    securityContext:
      allowPrivilegeEscalation: false
      capabilities:
        drop: ["ALL"]
    volumeMounts:
    - name: config
      mountPath: /etc/exporter
      readOnly: true
  volumes:
  - name: config
    configMap:
      name: web
  - name: cache
    emptyDir: {}
`
