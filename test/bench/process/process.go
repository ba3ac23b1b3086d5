// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs beside the benchmark, and ends with it at the latest.
type Process struct {
	command *exec.Cmd
	output  tail
	ended   sync.Once
}

// Start starts a program with this environment alone.
func Start(binary string, args, environment []string) (*Process, error) {
	p := &Process{command: exec.Command(binary, args...)}
	p.command.Env = environment
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	return p, nil
}

// PID of the process.
func (p *Process) PID() int { return p.command.Process.Pid }

// Signal sends it a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.command.Process.Signal(s) }

// Log is the end of what it wrote.
func (p *Process) Log() string { return p.output.String() }

// Stop ends it and waits until it is gone.
func (p *Process) Stop() {
	p.ended.Do(func() {
		_ = p.Signal(syscall.SIGTERM)
		// It drains for seconds at most; then it is not asked any more.
		giveUp := time.AfterFunc(30*time.Second, func() { _ = p.command.Process.Kill() })
		defer giveUp.Stop()
		_ = p.command.Wait()
	})
}

// FreePorts are ports on which nobody listens.
func FreePorts(n int) ([]int, error) {
	out := make([]int, n)
	for i := range out {
		l, err := net.Listen("tcp", ":0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		out[i] = l.Addr().(*net.TCPAddr).Port
	}
	return out, nil
}

// OwnAddress is one of this machine's that an endpoint may have: not a loopback one.
func OwnAddress() (string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String(), nil
		}
	}
	return "", errors.New("this machine has no IPv4 address but loopback, and an endpoint may not have that one; " +
		"give it one, such as: ip link add bench0 type dummy && ip addr add 198.51.100.1/32 dev bench0 && ip link set bench0 up")
}

// tail keeps the end of what is written.
type tail struct {
	lock sync.Mutex
	b    []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.b = append(t.b, b...)
	if over := len(t.b) - 4<<10; over > 0 {
		t.b = append([]byte(nil), t.b[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.lock.Lock()
	defer t.lock.Unlock()
	return string(t.b)
}
