//go:build faults

package chain

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A program built with the tag "faults" hurts itself where its environment says;
// test/drills builds one. No other build holds this file, or reads these names.
//
//	QIFENG_FAULT_KILL=guarded:3     kill -9 when the place is passed for the third time
//	QIFENG_FAULT_FAIL=committed:3   an error when the place is passed for the third time
//	QIFENG_FAULT_WAIT=guarded:50ms  a wait at the place, each time
func init() {
	waitAt, d, _ := strings.Cut(os.Getenv("QIFENG_FAULT_WAIT"), ":")
	wait, _ := time.ParseDuration(d)
	kill, fail := faultAt(os.Getenv("QIFENG_FAULT_KILL")), faultAt(os.Getenv("QIFENG_FAULT_FAIL"))
	point = func(name string) error {
		if name == waitAt {
			time.Sleep(wait) // the fault itself
		}
		if kill(name) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing more happens in this process
		}
		if fail(name) {
			return errors.New("fault: " + name)
		}
		return nil
	}
}

// faultAt says when the place is passed for the time that "place:times" names.
func faultAt(text string) func(name string) bool {
	at, n, _ := strings.Cut(text, ":")
	times, _ := strconv.Atoi(n)
	var passed atomic.Int32
	return func(name string) bool { return name == at && passed.Add(1) == int32(times) }
}
