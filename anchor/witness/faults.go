//go:build faults

package witness

import (
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
//	QIFENG_FAULT_KILL=witness-recorded:3     kill -9 when the place is passed for the third time
//	QIFENG_FAULT_WAIT=witness-recorded:50ms  a wait at the place, each time
func init() {
	var passed atomic.Int32
	killAt, n, _ := strings.Cut(os.Getenv("QIFENG_FAULT_KILL"), ":")
	times, _ := strconv.Atoi(n)
	waitAt, d, _ := strings.Cut(os.Getenv("QIFENG_FAULT_WAIT"), ":")
	wait, _ := time.ParseDuration(d)
	point = func(name string) error {
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
