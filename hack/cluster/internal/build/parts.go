// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Part is a set of programs that is built, kept and used together.
type Part struct {
	Name  string
	Title string // as in "Building <title>"

	// recipe counts up when steps change in a way that changes what they make.
	recipe int
	steps  []step
	check  func() error
}

type step func(context.Context, *task) error

// KubePrograms are the names that the multi-call binary answers to.
var KubePrograms = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet",
}

// Kube is Kubernetes itself, with etcd. It needs nothing but Go, and is all that
// envtest needs.
func Kube() Part {
	return Part{
		Name:   "kube",
		Title:  "Kubernetes and etcd",
		recipe: 1,
		steps:  []step{compileKubernetes("./kube"), linkNames},
		check:  func() error { return nil },
	}
}

// APIServer is the kube-apiserver of another minor version of Kubernetes, such as
// 1.34, for tests. Its sources are a package, and <minor>.mod and <minor>.sum.
func APIServer(minor string) Part {
	return Part{
		Name:   "apiserver-" + minor,
		Title:  "kube-apiserver " + minor,
		recipe: 1,
		steps:  []step{useModule(minor), compileKubernetes(".")},
		check:  func() error { return nil },
	}
}

// Node is what a node runs beside the kubelet: containerd, runc, CNI plugins and
// the program that keeps a pod's namespaces.
func Node() Part {
	return Part{
		Name:   "node",
		Title:  "containerd, runc and CNI plugins",
		recipe: 1,
		steps:  []step{compileContainerd, compileRunc, compilePause},
		check:  checkCompiler,
	}
}

// useModule makes the files of that name the module's go.mod and go.sum.
func useModule(name string) step {
	return func(_ context.Context, t *task) error {
		t.say("choosing the modules of %s", name)
		for _, kind := range []string{".mod", ".sum"} {
			if err := os.Rename(filepath.Join(t.dir, name+kind), filepath.Join(t.dir, "go"+kind)); err != nil {
				return fmt.Errorf("make %s%s the module's own: %w", name, kind, err)
			}
		}
		return nil
	}
}

// compileKubernetes compiles a package that is made of k8s.io/kubernetes.
func compileKubernetes(target string) step {
	return func(ctx context.Context, t *task) error {
		version, err := t.module(ctx, "k8s.io/kubernetes", "{{.Version}}")
		if err != nil {
			return err
		}
		// Without a version, kubelets and clients refuse to work with the API server.
		parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
		var flags []string
		for _, owner := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
			flags = append(flags,
				"-X", owner+".gitVersion="+version,
				"-X", owner+".gitMajor="+parts[0],
				"-X", owner+".gitMinor="+parts[1],
				"-X", owner+".gitTreeState=clean")
		}
		return t.compile(ctx, compilation{
			title:   "Kubernetes " + version,
			flags:   []string{"-ldflags", "-s -w " + strings.Join(flags, " ")},
			targets: []string{target},
		})
	}
}

// linkNames makes a link per program: a folder with these is what KUBEBUILDER_ASSETS
// names.
func linkNames(_ context.Context, t *task) error {
	t.say("linking %s to it", strings.Join(KubePrograms, ", "))
	for _, name := range KubePrograms {
		if err := os.Symlink("kube", filepath.Join(t.out, name)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	return nil
}

func compileContainerd(ctx context.Context, t *task) error {
	version, err := t.module(ctx, "github.com/containerd/containerd/v2", "{{.Version}}")
	if err != nil {
		return err
	}
	return t.compile(ctx, compilation{
		title: "containerd " + version + " and CNI plugins",
		flags: []string{"-ldflags", "-s -w -X github.com/containerd/containerd/v2/version.Version=" + version},
		targets: []string{
			"github.com/containerd/containerd/v2/cmd/containerd",
			"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
			"github.com/containerd/containerd/v2/cmd/ctr",
			"github.com/containernetworking/plugins/plugins/ipam/host-local",
			"github.com/containernetworking/plugins/plugins/main/loopback",
			"github.com/containernetworking/plugins/plugins/main/ptp",
			"github.com/containernetworking/plugins/plugins/meta/portmap",
		},
	})
}

func compileRunc(ctx context.Context, t *task) error {
	version, err := t.module(ctx, "github.com/opencontainers/runc", "{{.Version}}")
	if err != nil {
		return err
	}
	return t.compile(ctx, compilation{
		title: "runc " + version,
		cgo:   true,
		// Without seccomp, no container that has a profile would start.
		flags:   []string{"-tags", "seccomp", "-ldflags", "-s -w"},
		targets: []string{"github.com/opencontainers/runc"},
	})
}

// compilePause compiles Kubernetes' own pause program, which is a page of C.
func compilePause(ctx context.Context, t *task) error {
	t.say("compiling pause")
	dir, err := t.module(ctx, "k8s.io/kubernetes", "{{.Dir}}")
	if err != nil {
		return err
	}
	source := filepath.Join(dir, "build", "pause", "linux", "pause.c")
	cmd := exec.CommandContext(ctx, "gcc", "-Os", "-Wall", "-static", "-DVERSION=bulkhead",
		"-o", filepath.Join(t.out, "pause"), source)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s: %w\n%s", source, err, output)
	}
	return nil
}

// checkCompiler says what to install before minutes have gone into compiling.
func checkCompiler() error {
	if absent := missing("gcc", "pkg-config"); len(absent) > 0 {
		return needs(absent)
	}
	if exec.Command("pkg-config", "--exists", "libseccomp").Run() != nil {
		return needs([]string{"libseccomp-dev"})
	}
	return nil
}
