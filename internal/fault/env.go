//go:build faults

package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// New returns a point that hurts this process where the environment says; places
// have names of their own in each room. test/drills builds such programs.
//
//	QIFENG_FAULT_KILL=guarded:3     kill -9 when the place is passed for the third time
//	QIFENG_FAULT_WAIT=guarded:50ms  a wait at the place, each time
func New() Point {
	var passed atomic.Int32
	killAt, n, _ := strings.Cut(os.Getenv("QIFENG_FAULT_KILL"), ":")
	times, _ := strconv.Atoi(n)
	waitAt, d, _ := strings.Cut(os.Getenv("QIFENG_FAULT_WAIT"), ":")
	wait, _ := time.ParseDuration(d)
	return func(name string) error {
		if name == waitAt {
			time.Sleep(wait) // the fault itself
		}
		if name == killAt && passed.Add(1) == int32(times) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing more happens in this process
		}
		return nil
	}
}
