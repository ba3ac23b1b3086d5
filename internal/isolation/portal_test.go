// SPDX-License-Identifier: Apache-2.0

package isolation_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/isolation"
)

func TestHostPaths(t *testing.T) {
	const logs = "{allow: [{pathPrefix: /var/log}]}"
	const logsReadOnly = "{allow: [{pathPrefix: /var/log, readOnly: true}]}"
	const none = "use a volume of another type; allowed none"
	const onlyLogs = "use a volume of another type; allowed /var/log"
	const readOnly = `set readOnly: true on every mount of volume "v"`
	const mounted = "containers: [{name: app, volumeMounts: [{name: v, mountPath: /v%s}]}]\n"
	rw, ro := fmt.Sprintf(mounted, ""), fmt.Sprintf(mounted, ", readOnly: true")

	for name, c := range map[string]struct {
		allowed, pod, path string
		refused            string // what would pass; empty if it passes
	}{
		"is refused where nothing is allowed":            {"{}", rw, "/etc", none},
		"is refused though nobody mounts it":             {"{}", "", "/etc", none},
		"passes by its prefix itself":                    {logs, rw, "/var/log", ""},
		"passes below its prefix":                        {logs, rw, "/var/log/pods/a", ""},
		"is compared by whole elements":                  {logs, rw, "/var/logs", onlyLogs},
		"is refused above its prefix":                    {logs, rw, "/var", onlyLogs},
		"passes everywhere below the root":               {"{allow: [{pathPrefix: /}]}", rw, "/etc/shadow", ""},
		"passes as the root itself":                      {"{allow: [{pathPrefix: /}]}", rw, "/", ""},
		"is refused as the root where less is allowed":   {logs, rw, "/", onlyLogs},
		"passes with a slash at its end":                 {logs, rw, "/var/log/", ""},
		"passes with empty elements and dots":            {logs, rw, "//var/./log//pods/.", ""},
		"is refused if it climbs out":                    {logs, rw, "/var/log/../../etc", onlyLogs},
		"is refused if it climbs and comes back":         {logs, rw, "/var/log/../log", onlyLogs},
		"is refused if it ends by climbing":              {logs, rw, "/var/log/a/..", onlyLogs},
		"is refused if it climbs where all is allowed":   {"{allow: [{pathPrefix: /}]}", rw, "/a/..", "use a volume of another type; allowed /"},
		"passes with dots in the names of its elements":  {logs, rw, "/var/log/..data/a..b/...", ""},
		"is refused if it is relative":                   {logs, rw, "var/log", onlyLogs},
		"is refused if it is of Windows":                 {"{allow: [{pathPrefix: /}]}", rw, `C:\`, "use a volume of another type; allowed /"},
		"is refused by a prefix that is not clean":       {"{allow: [{pathPrefix: /var/../}]}", rw, "/etc", "use a volume of another type; allowed /var/../"},
		"is refused by an empty prefix":                  {`{allow: [{pathPrefix: ""}]}`, rw, "/etc", "use a volume of another type; allowed "},
		"passes read-only if its mount is":               {logsReadOnly, ro, "/var/log", ""},
		"is refused if its mount is writable":            {logsReadOnly, rw, "/var/log", readOnly},
		"passes read-only if nobody mounts it":           {logsReadOnly, "", "/var/log", ""},
		"is refused for its path before its mounts":      {logsReadOnly, rw, "/etc", "use a volume of another type; allowed /var/log (read-only)"},
		"is refused if one of its mounts is writable":    {logsReadOnly, "initContainers: [{name: i, volumeMounts: [{name: v, mountPath: /v}]}]\n" + ro, "/var/log", readOnly},
		"is refused if a container has it writable too":  {logsReadOnly, "containers: [{name: app, volumeMounts: [{name: v, mountPath: /a, readOnly: true}, {name: v, mountPath: /b}]}]\n", "/var/log", readOnly},
		"is refused if a sidecar mounts it writable":     {logsReadOnly, ro + "initContainers: [{name: s, restartPolicy: Always, volumeMounts: [{name: v, mountPath: /v}]}]\n", "/var/log", readOnly},
		"passes though another volume is writable":       {logsReadOnly, "containers: [{name: app, volumeMounts: [{name: w, mountPath: /w}, {name: v, mountPath: /v, readOnly: true}]}]\n", "/var/log", ""},
		"passes writable if another entry allows it":     {"{allow: [{pathPrefix: /, readOnly: true}, {pathPrefix: /var/log}]}", rw, "/var/log/pods", ""},
		"is refused writable where only read is allowed": {"{allow: [{pathPrefix: /, readOnly: true}, {pathPrefix: /var/log}]}", rw, "/etc", readOnly},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy(t, "portals: {hostPaths: "+c.allowed+"}")
			s := subject(t, c.pod+"volumes: [{name: w, emptyDir: {}}, {name: v, hostPath: {path: "+fmt.Sprintf("%q", c.path)+"}}]")
			if c.refused == "" {
				expectMessages(t, p.Judge(s))
				return
			}
			expectMessages(t, p.Judge(s), "hostPaths: spec.volumes[1].hostPath.path is "+c.path+", which is not allowed: "+c.refused)
		})
	}
}

func TestAHostPathThatTheNodeCreatesIsWritten(t *testing.T) {
	const pod = `
containers: [{name: app, volumeMounts: [{name: v, mountPath: /v, readOnly: %t}]}]
volumes: [{name: v, hostPath: {path: /var/log/x, type: %s}}]`
	const readOnly, writable = "readOnly: true", "readOnly: false"
	for _, c := range []struct {
		allowed, kind string
		mounted       bool
		remedy        string
	}{
		{readOnly, "Directory", true, ""},
		{readOnly, "DirectoryOrCreate", true, isolation.RemedyCreates},
		{readOnly, "FileOrCreate", true, isolation.RemedyCreates},
		{readOnly, "FileOrCreate", false, `set readOnly: true on every mount of volume "v"`},
		{writable, "FileOrCreate", true, ""},
	} {
		t.Run(fmt.Sprintf("%s, %s, read-only %t", c.allowed, c.kind, c.mounted), func(t *testing.T) {
			var want []string
			if c.remedy != "" {
				want = []string{"hostPaths: spec.volumes[0].hostPath.path is /var/log/x, which is not allowed: " + c.remedy}
			}
			p := policy(t, "portals: {hostPaths: {allow: [{pathPrefix: /var/log, "+c.allowed+"}]}}")
			expectMessages(t, p.Judge(subject(t, fmt.Sprintf(pod, c.mounted, c.kind))), want...)
		})
	}
}

func TestHostPathsOfDebugContainers(t *testing.T) {
	const pod = `
containers: [{name: app, volumeMounts: [{name: v, mountPath: /v, readOnly: true}]}]
volumes: [{name: v, hostPath: {path: /var/log}}, {name: w, hostPath: {path: /var/log/pods}}]
ephemeralContainers:
- {name: reads, volumeMounts: [{name: v, mountPath: /v, readOnly: true}]}
- {name: writes, volumeMounts: [{name: v, mountPath: /v}]}
- {name: mounts-nothing}`
	p := policy(t, "portals: {hostPaths: {allow: [{pathPrefix: /var/log, readOnly: true}]}}")
	const refused = `hostPaths: spec.volumes[0].hostPath.path is /var/log, which is not allowed: set readOnly: true on every mount of volume "v"`
	for name, c := range map[string]struct {
		debug []string
		want  []string
	}{
		"one that reads":                       {[]string{"reads"}, nil},
		"one that writes":                      {[]string{"writes"}, []string{refused}},
		"one that mounts nothing":              {[]string{"mounts-nothing"}, nil},
		"one that reads beside one of before":  {[]string{"reads", "mounts-nothing"}, nil},
		"all of a pod that runs, and the rest": {nil, []string{refused}},
	} {
		t.Run(name, func(t *testing.T) {
			s := subject(t, pod)
			s.Debug = c.debug
			expectMessages(t, p.Judge(s), c.want...)
		})
	}
}

func TestTextOfHostPathsIsSafeAndBounded(t *testing.T) {
	prefixes := make([]string, 12)
	for i := range prefixes {
		prefixes[i] = fmt.Sprintf("{pathPrefix: /p%d}", i)
	}
	p := policy(t, "portals: {hostPaths: {allow: ["+strings.Join(prefixes, ", ")+"]}}")
	j := p.Judge(subject(t, `{volumes: [{name: "v", hostPath: {path: "/a\n\x1b[2J`+strings.Repeat("b", 400)+`"}}]}`))
	if len(j.Violations) != 1 {
		t.Fatalf("%q", messages(j))
	}
	v := j.Violations[0]
	if len(v.Value) != 256 || !strings.HasPrefix(v.Value, `/a\n\x1b[2Jbbb`) || !strings.HasSuffix(v.Value, "...") {
		t.Errorf("value %q", v.Value)
	}
	if want := "allowed /p0, /p1, /p2, /p3, /p4, /p5, /p6, /p7, and 4 more"; !strings.HasSuffix(v.Message, want) {
		t.Errorf("message %q", v.Message)
	}
}

func TestHostPorts(t *testing.T) {
	const low = "{allow: [{from: 80, to: 80}, {from: 30000, to: 30010}]}"
	const refused = ", which is not allowed: use a Service instead; allowed 80, 30000-30010"
	at := func(field string) string { return "hostPorts: spec.containers[0].ports[0]." + field + " is " }
	for name, c := range map[string]struct {
		allowed, pod string
		want         []string
	}{
		"a container port is no host port": {"{}", "containers: [{name: app, ports: [{containerPort: 80}]}]", nil},
		"host port 0 is none":              {"{}", "containers: [{name: app, ports: [{containerPort: 80, hostPort: 0}]}]", nil},
		"the only port of a range":         {low, "containers: [{name: app, ports: [{containerPort: 8080, hostPort: 80}]}]", nil},
		"the first port of a range":        {low, "containers: [{name: app, ports: [{containerPort: 8080, hostPort: 30000}]}]", nil},
		"the last port of a range":         {low, "containers: [{name: app, ports: [{containerPort: 8080, hostPort: 30010}]}]", nil},
		"a port before a range":            {low, "containers: [{name: app, ports: [{containerPort: 8080, hostPort: 29999}]}]", []string{at("hostPort") + "29999" + refused}},
		"a port after a range":             {low, "containers: [{name: app, ports: [{containerPort: 8080, hostPort: 30011}]}]", []string{at("hostPort") + "30011" + refused}},
		"a negative port":                  {low, "containers: [{name: app, ports: [{containerPort: 8080, hostPort: -1}]}]", []string{at("hostPort") + "-1" + refused}},
		"on the node's network, as written": {low, "hostNetwork: true\ncontainers: [{name: app, ports: [{containerPort: 8080}]}]",
			[]string{at("containerPort") + "8080" + refused}},
		"on the node's network, as the API server has it": {low, "hostNetwork: true\ncontainers: [{name: app, ports: [{containerPort: 8080, hostPort: 8080}]}]",
			[]string{at("hostPort") + "8080" + refused}},
		"an allowed one on the node's network, as written":               {low, "hostNetwork: true\ncontainers: [{name: app, ports: [{containerPort: 80}]}]", nil},
		"an allowed one on the node's network, as the API server has it": {low, "hostNetwork: true\ncontainers: [{name: app, ports: [{containerPort: 80, hostPort: 80}]}]", nil},
		"init containers and sidecars too": {"{}", "initContainers: [{name: i, ports: [{containerPort: 1, hostPort: 2}, {containerPort: 3, hostPort: 4}]}]",
			[]string{
				"hostPorts: spec.initContainers[0].ports[0].hostPort is 2, which is not allowed: use a Service instead; allowed none",
				"hostPorts: spec.initContainers[0].ports[1].hostPort is 4, which is not allowed: use a Service instead; allowed none",
			}},
	} {
		t.Run(name, func(t *testing.T) {
			expectMessages(t, policy(t, "portals: {hostPorts: "+c.allowed+"}").Judge(subject(t, c.pod)), c.want...)
		})
	}
}

func TestRangesOfPortsInAMessageAreBounded(t *testing.T) {
	ranges := make([]string, 10)
	for i := range ranges {
		ranges[i] = fmt.Sprintf("{from: %d, to: %d}", 10*i+1, 10*i+1+i%2)
	}
	p := policy(t, "portals: {hostPorts: {allow: ["+strings.Join(ranges, ", ")+"]}}")
	expectMessages(t, p.Judge(subject(t, "containers: [{name: app, ports: [{containerPort: 1, hostPort: 9999}]}]")),
		"hostPorts: spec.containers[0].ports[0].hostPort is 9999, which is not allowed: use a Service instead; allowed 1, 11-12, 21, 31-32, 41, 51-52, 61, 71-72, and 2 more")
}
