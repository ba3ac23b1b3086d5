// SPDX-License-Identifier: Apache-2.0

package procns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// seenFiles is what the helper reader could read, by the names of the methods.
type seenFiles map[string]string

// reader reads another process with few capabilities, those that its directory's name says.
func reader() error {
	var pid int
	var capabilities uint32
	if _, err := fmt.Sscan(os.Getenv(helperDir), &pid, &capabilities); err != nil {
		return err
	}
	data := [2]unix.CapUserData{{Effective: capabilities, Permitted: capabilities}}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	tree, err := Open("/proc")
	if err != nil {
		return err
	}
	p, err := tree.Process(pid)
	if err != nil {
		return err
	}
	seen := seenFiles{}
	say := func(name string, err error) {
		switch {
		case err == nil:
			seen[name] = "read"
		case errors.Is(err, fs.ErrPermission):
			seen[name] = "refused"
		default:
			seen[name] = err.Error()
		}
	}
	_, err = p.Namespace(Net)
	say("Namespace", err)
	say("Mounts", p.Mounts(func(Mount) bool { return true }))
	_, err = p.OpenFiles(10, func(OpenFile) {})
	say("OpenFiles", err)
	_, err = p.Cwd()
	say("Cwd", err)
	_, err = p.Root()
	say("Root", err)
	_, err = p.FilePlace(0)
	say("FilePlace", err)
	return json.NewEncoder(os.Stdout).Encode(seen)
}

func TestReadingAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to start processes of other users")
	}
	tree := openProc(t)
	command := exec.Command("cat")
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	target := start(t, tree, command)
	read := func(t *testing.T, capabilities uint32) seenFiles {
		t.Helper()
		command := helper("reader")
		command.Env = append(command.Env, fmt.Sprintf("%s=%d %d", helperDir, target.PID, capabilities))
		output, err := command.Output()
		if err != nil {
			t.Skipf("the reader could not read, see above: %v", err)
		}
		seen := seenFiles{}
		if err := json.Unmarshal(output, &seen); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d/fdinfo", target.PID))
	if err != nil {
		t.Fatal(err)
	}
	files := "read"
	if info.Mode().Perm() == 0o500 { // before 5.14
		files = "refused"
	}
	t.Run("without capabilities shows mounts only", func(t *testing.T) {
		equal(t, read(t, 0), seenFiles{"Namespace": "refused", "Mounts": "read", "OpenFiles": "refused",
			"Cwd": "refused", "Root": "refused", "FilePlace": "refused"})
	})
	t.Run("with CAP_SYS_PTRACE shows all but the places of open files", func(t *testing.T) {
		equal(t, read(t, 1<<unix.CAP_SYS_PTRACE), seenFiles{"Namespace": "read", "Mounts": "read", "OpenFiles": files,
			"Cwd": "read", "Root": "read", "FilePlace": "refused"})
	})
	t.Run("with CAP_DAC_READ_SEARCH too shows everything", func(t *testing.T) {
		equal(t, read(t, 1<<unix.CAP_SYS_PTRACE|1<<unix.CAP_DAC_READ_SEARCH), seenFiles{"Namespace": "read",
			"Mounts": "read", "OpenFiles": "read", "Cwd": "read", "Root": "read", "FilePlace": "read"})
	})
}
