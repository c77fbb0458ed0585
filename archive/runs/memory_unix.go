//go:build unix

package runs

import (
	"fmt"
	"syscall"
)

// borrow returns n zero bytes outside the collected heap. Filters are most of
// what a store holds and live as long as their runs: in the heap the collector
// would keep as much again in reserve for them.
func borrow(n int64) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, int(n), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("asking for %d bytes of memory: %w", n, err)
	}
	return b, nil
}

// giveBack ends the use of what borrow returned: nobody may read it any more.
func giveBack(b []byte) {
	if err := syscall.Munmap(b[:cap(b)]); err != nil {
		panic(fmt.Sprintf("giving memory back that was not borrowed: %v", err))
	}
}
