// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestSecurityLabel(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"AppArmor, a profile":   {"cri-containerd.apparmor.d (enforce)\n", "cri-containerd.apparmor.d (enforce)"},
		"AppArmor, none":        {"unconfined\n", "unconfined"},
		"SELinux":               {"system_u:system_r:container_t:s0:c1,c2\x00", "system_u:system_r:container_t:s0:c1,c2"},
		"SELinux, not loaded":   {"kernel\x00", "kernel"},
		"a module that is mute": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "7", "attr")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "current"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			equal(t, must[string](t)(openProcess(t, openTree(t, root), 7).SecurityLabel()), c.want)
		})
	}
	t.Run("that the kernel does not have, or its security module gives", func(t *testing.T) {
		label, err := openProcess(t, openFixture(t, bareV2), 1).SecurityLabel()
		is(t, err, ErrUnsupported)
		equal(t, label, "")
	})
}

func TestSecurityLabelOfThisProcess(t *testing.T) {
	label, err := openProcess(t, openProc(t), os.Getpid()).SecurityLabel()
	switch {
	case err == nil && label == "":
		t.Error("an empty label, and no error that says that there is none")
	case err != nil && !errors.Is(err, ErrUnsupported):
		t.Error(err)
	}
}
