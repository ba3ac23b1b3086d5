// SPDX-License-Identifier: Apache-2.0

// Package process runs programs the way an init does: it starts them, keeps their
// logs, restarts what ends, and reaps every orphan that lands on it.
package process

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Service is one program.
type Service struct {
	Name string
	Args []string // with the program's path first
	Env  []string

	// Namespaces are the clone flags of the namespaces that it gets of its own.
	Namespaces uintptr

	// Started is called with the pid of the service after each start, if set.
	Started func(pid int) error
}

// Supervisor starts services and reaps. There is one per process, since it reaps
// every child: do not use os/exec beside it.
type Supervisor struct {
	logs string

	// mu is held while a child is started, so that the reaper cannot meet a child
	// that nobody waits for yet.
	mu     sync.Mutex
	exits  map[int]chan unix.WaitStatus
	status Status
}

// NewSupervisor returns a supervisor that writes <logs>/<service>.log and
// <logs>/status.json, and starts to reap.
func NewSupervisor(logs string) *Supervisor {
	s := &Supervisor{logs: logs, exits: map[int]chan unix.WaitStatus{}, status: Status{}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	go func() {
		for range signals {
			for s.reapOne() {
			}
		}
	}()
	return s
}

// reapOne reaps one child that has ended, and tells whether there was one.
func (s *Supervisor) reapOne() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
	if err == unix.EINTR { //nolint:errorlint // a bare errno
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if exited, ok := s.exits[pid]; ok {
		exited <- status
		delete(s.exits, pid)
	}
	return true
}

// Run runs a service once and waits for its end.
func (s *Supervisor) Run(service Service) error {
	_, exited, err := s.start(service)
	if err != nil {
		return err
	}
	if status := <-exited; status.ExitStatus() != 0 {
		return fmt.Errorf("%s: %s; see its log", service.Name, describe(status))
	}
	return nil
}

// Keep starts a service and starts it again, a second later, whenever it ends.
func (s *Supervisor) Keep(service Service) {
	go func() {
		for {
			end := s.runNoted(service)
			s.note(service.Name, func(status *ServiceStatus) {
				status.PID = 0
				status.Exits++
				status.LastExit = end
			})
			s.log(service.Name, end)
			time.Sleep(time.Second)
		}
	}()
}

// runNoted runs a service, telling so in the status, and returns how it ended.
func (s *Supervisor) runNoted(service Service) string {
	pid, exited, err := s.start(service)
	if err != nil {
		return err.Error()
	}
	s.note(service.Name, func(status *ServiceStatus) {
		status.PID = pid
		status.Starts++
	})
	if service.Started != nil {
		if err := service.Started(pid); err != nil {
			unix.Kill(pid, unix.SIGKILL) //nolint:errcheck // it may have ended by itself
			<-exited
			return err.Error()
		}
	}
	return describe(<-exited)
}

func (s *Supervisor) start(service Service) (int, <-chan unix.WaitStatus, error) {
	log, err := os.OpenFile(filepath.Join(s.logs, service.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, nil, fmt.Errorf("open the log of %s: %w", service.Name, err)
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, nil, fmt.Errorf("open the input of %s: %w", service.Name, err)
	}
	defer null.Close() //nolint:errcheck // only read

	s.mu.Lock()
	// Not os/exec: it would wait for the child by itself, and lose against the reaper.
	pid, err := syscall.ForkExec(service.Args[0], service.Args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   service.Env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Cloneflags: service.Namespaces, Setsid: true},
	})
	if err != nil {
		s.mu.Unlock()
		return 0, nil, fmt.Errorf("start %s (%s): %w", service.Name, service.Args[0], err)
	}
	exited := make(chan unix.WaitStatus, 1)
	s.exits[pid] = exited
	s.mu.Unlock()
	return pid, exited, nil
}

// log adds a line of the supervisor's own to a service's log.
func (s *Supervisor) log(service, message string) {
	file, err := os.OpenFile(filepath.Join(s.logs, service+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer file.Close() //nolint:errcheck // a log line is not worth more
	fmt.Fprintf(file, "supervisor: %s: %s\n", time.Now().Format(time.TimeOnly), message)
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
