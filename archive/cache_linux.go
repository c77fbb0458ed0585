package archive

import (
	"os"

	"golang.org/x/sys/unix"
)

// uncache lets go of what the system keeps of a file in memory. It is advice:
// where it fails, nothing is lost but memory.
func uncache(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // advice, see above
}
