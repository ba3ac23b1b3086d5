// SPDX-License-Identifier: Apache-2.0

package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The images that every node has from the start.
const (
	Pause   = "registry.k8s.io/pause:bulkhead"
	Busybox = "docker.io/library/busybox:bulkhead" // "busybox:bulkhead" in a pod
)

// WriteAll writes the images' archives into a folder. pause is the program that
// keeps a pod's namespaces.
func WriteAll(folder, pause string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder of images: %w", err)
	}
	program, err := os.ReadFile(pause)
	if err != nil {
		return fmt.Errorf("read the pause program: %w", err)
	}
	image := Image{
		Reference: Pause,
		Files:     []File{{Path: "pause", Mode: 0o755, Data: program}},
		Config:    v1.ImageConfig{User: "65535:65535", Entrypoint: []string{"/pause"}},
	}
	if err := image.Write(filepath.Join(folder, "pause.tar")); err != nil {
		return err
	}
	files, err := busyboxFiles()
	if err != nil {
		return err
	}
	image = Image{
		Reference: Busybox,
		Files:     files,
		Config:    v1.ImageConfig{Cmd: []string{"sh"}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}},
	}
	return image.Write(filepath.Join(folder, "busybox.tar"))
}

// FindBusybox returns the path of a busybox that needs no libraries, or what to
// install to have one.
func FindBusybox() (string, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return "", errors.New("no busybox on PATH: install busybox-static")
	}
	binary, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("look into %s: %w", path, err)
	}
	defer binary.Close() //nolint:errcheck // only read
	for _, segment := range binary.Progs {
		if segment.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s needs shared libraries, and runs in no image: install busybox-static", path)
		}
	}
	return path, nil
}

// busyboxFiles is a root file system made of busybox.
func busyboxFiles() ([]File, error) {
	path, err := FindBusybox()
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read busybox: %w", err)
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its applets: %w", path, err)
	}
	files := []File{
		{Path: "bin/", Mode: 0o755},
		{Path: "etc/", Mode: 0o755},
		{Path: "home/", Mode: 0o755},
		{Path: "root/", Mode: 0o700},
		{Path: "tmp/", Mode: 0o1777},
		{Path: "etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{Path: "etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{Path: "bin/busybox", Mode: 0o755, Data: program},
	}
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" {
			files = append(files, File{Path: "bin/" + applet, Mode: 0o777, Link: "busybox"})
		}
	}
	return files, nil
}
