package archive

import (
	"io"
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

// willNeed asks the system to begin reading a part of a file. So what is wanted
// from several places is waited for once and not for each. It is advice too.
func willNeed(r io.ReaderAt, from, n int64) {
	f, ok := r.(*os.File)
	if !ok {
		return
	}
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) { _ = unix.Fadvise(int(fd), from, n, unix.FADV_WILLNEED) })
}
